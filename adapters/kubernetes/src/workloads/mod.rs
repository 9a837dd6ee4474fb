//! Proxies as Deployments: for each Gateway, in its namespace, a Deployment (or one for each named replica),
//! a ServiceAccount, a Secret, a PodDisruptionBudget, and a NetworkPolicy and what scales them where that is asked for.
//!
//! - `names`: what they are called and labelled; `blueprint`: what they are made from; `objects`, `pod`, `scaling`, `network`:
//!   what they look like; `patches`: what users change of it.
//! - `apply`: how they are written, and whose they must be; `stop`: how they go.
//! - `view`, `status`: how they are doing.
//!
//! The Secret holds the tunnel's token and the public part of the controller's certificate authority as
//! files. A new token of the same tunnel, and a new authority, are taken from there by the running proxies: no
//! pod is replaced for them. Each named replica has a token of its own there, so that one takes a new token after
//! another. A new tunnel replaces the pods. A changed authority is written when a Gateway is next made to run, so an
//! old one must hold for longer than the time between two resyncs.

mod apply;
mod autoscalers;
mod blueprint;
mod error;
mod names;
mod network;
mod objects;
mod patches;
mod pod;
mod rollout;
mod scaling;
mod status;
mod stop;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::gateway::{FieldError, FieldErrorKind};
use domain::ports::{PortError, Workloads};
use domain::secret::ConnectorToken;
use domain::workload::{
    ConnectedReplica, EdgeConnections, ManagedObject, WorkloadSpec, WorkloadStatus,
};
use domain::{ObjectKey, TunnelId};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ObjectMeta;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::kind::{areas, resource};

use self::blueprint::{Blueprint, Owner};
use self::error::WorkloadError;
use self::objects::Kind;
use self::view::View;

pub(crate) use self::apply::is_of;
pub(crate) use self::names::MANAGED_BY;
pub use self::names::{GATEWAY_NAME_LABEL, object_name};
pub use self::network::NetworkRules;

/// What all proxies have in common.
#[derive(Clone)]
pub struct WorkloadOptions {
    /// Image of the pods; its entrypoint is `cfgw`.
    pub image: String,
    /// Names of the pull secrets, which must be in the namespaces of the Gateways.
    pub image_pull_secrets: Vec<String>,
    /// Namespaces in which Gateways are served, each watched over connections of its own; `None` for all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Namespace of the controller.
    pub controller_namespace: String,
    /// `host:port` of the controller's Service.
    pub stream_address: String,
    /// Audience of the tokens that say whose proxy it is.
    pub stream_audience: String,
    /// The controller's certificate authority: one or more certificates as PEM; empty until there is one.
    pub authority: watch::Receiver<String>,
    /// Root certificates of the edge as PEM, where the usual ones do not do.
    pub edge_roots: Option<String>,
    /// What proxies may reach, where the network is to hold them to it.
    pub network: Option<NetworkRules>,
    /// Settings that are passed on to proxies (`CFGW_TUNNEL__…`, `CFGW_LOG__…`). Nothing secret: they can be
    /// read in the Deployment.
    pub proxy_environment: BTreeMap<String, String>,
    /// How long requests in flight may go on after the order to stop (`tunnel.grace_period`).
    pub drain: Duration,
    /// Notified when anything changes that [`Workloads::status`] tells of.
    pub changed: Arc<Notify>,
    /// Connections of a Gateway's pods to the edge, by the name of the pod, as they say.
    pub connections: Arc<ConnectionsOfPods>,
}

/// See [`WorkloadOptions::connections`].
pub type ConnectionsOfPods = dyn Fn(&ObjectKey) -> BTreeMap<String, EdgeConnections> + Send + Sync;

/// What was found out when a Gateway was made to run.
#[derive(Default, Clone)]
struct Made {
    /// What is wrong with its parameters.
    told: Vec<FieldError>,
    /// What there is for it now.
    objects: Vec<ManagedObject>,
}

/// Runs proxies as Deployments.
pub struct Deployments {
    client: Client,
    options: WorkloadOptions,
    view: View,
    /// What was found out when each Gateway was made to run.
    made: Mutex<BTreeMap<ObjectKey, Made>>,
}

impl Deployments {
    /// Watches what runs already. Must be called within a tokio runtime.
    pub fn new(client: Client, options: WorkloadOptions) -> Arc<Self> {
        let view = View::open(
            &client,
            areas(options.namespaces.as_ref()),
            &options.changed,
        );
        Arc::new(Self {
            client,
            options,
            view,
            made: Mutex::default(),
        })
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// The Gateway as the owner of what is made for it.
    async fn owner(&self, gateway: &ObjectKey) -> Result<Owner, WorkloadError> {
        let gateways = resource(adapter_gateway_api::Kind::Gateway);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &gateway.namespace, &gateways);
        let found = api.get_metadata_opt(&gateway.name).await;
        let found = found.map_err(|error| {
            WorkloadError::api("reading", &format!("Gateway {gateway}"), &error)
        })?;
        let uid = found.and_then(|found| found.metadata.uid);
        let uid = uid.ok_or_else(|| WorkloadError::NoGateway(gateway.to_string()))?;
        Ok(Owner {
            gateway: gateway.clone(),
            uid,
        })
    }

    /// Deletes the object of this kind that has the Gateway's own name.
    async fn delete_one(&self, gateway: &ObjectKey, kind: Kind) -> Result<(), WorkloadError> {
        let name = names::object_name(&gateway.name);
        let api = self.api(kind, &gateway.namespace);
        apply::delete(&api, gateway, kind, &name).await
    }

    /// Deployments that were made for a Gateway.
    async fn deployments_of(&self, gateway: &ObjectKey) -> Result<Vec<Deployment>, WorkloadError> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &gateway.namespace);
        let selected = ListParams::default().labels(&names::selector_of(&gateway.name));
        let found = api.list(&selected).await.map_err(|error| {
            WorkloadError::api("listing", &format!("Deployments of {gateway}"), &error)
        })?;
        let ours = found.items.into_iter();
        Ok(ours
            .filter(|found| apply::is_of(&found.metadata, gateway))
            .collect())
    }

    async fn run(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, WorkloadError> {
        let authority = self.options.authority.borrow().clone();
        if authority.is_empty() {
            return Err(WorkloadError::NoAuthority);
        }
        if token.is_partial() && !self.view.replicas(gateway).is_empty() {
            return Ok(WorkloadStatus {
                unfinished: true,
                ..self.seen(gateway)
            });
        }
        let owner = self.owner(gateway).await?;
        let rollout = self.rollout(gateway, spec, token).await;
        let blueprint = Blueprint {
            options: &self.options,
            owner: &owner,
            spec,
            tunnel,
            token,
            kept_tokens: self.kept_tokens(gateway, &rollout.waiting).await?,
            running: self.view.replicas(gateway),
            authority: &authority,
        };
        let mut plan = blueprint.plan();
        let mut wanted = BTreeSet::new();
        let objects = plan.objects.iter().chain(&plan.autoscalers);
        let objects = objects.map(objects::Desired::managed).collect();
        for desired in plan.objects {
            let api = self.api(desired.kind, &gateway.namespace);
            let is_deployment = desired.kind == Kind::Deployment;
            if is_deployment {
                wanted.insert(desired.name.clone());
            }
            let applied = apply::apply(&api, &owner, desired).await;
            match applied {
                Err(error) if is_deployment && spec.has_patches() && error.is_invalid() => {
                    plan.told.push(misshapen(&error));
                    plan.is_whole = false;
                }
                applied => applied?,
            }
        }
        if self.options.network.is_none() {
            if_permitted(self.delete_one(gateway, Kind::NetworkPolicy).await)?;
        }
        let mut unfinished = blueprint.keeps_another_token();
        if plan.is_whole {
            let told = self.autoscale(&owner, plan.autoscalers).await?;
            plan.told.extend(told);
            unfinished |= !self.retire(gateway, &wanted).await?;
        }
        let made = Made {
            told: plan.told,
            objects,
        };
        self.made.lock().insert(gateway.clone(), made);
        Ok(WorkloadStatus {
            unfinished,
            holds_token: rollout.is_over,
            ..self.seen(gateway)
        })
    }

    /// What the cluster shows, and what was found out about the parameters.
    fn seen(&self, gateway: &ObjectKey) -> WorkloadStatus {
        let made = self.made.lock().get(gateway).cloned();
        let (parameters, objects) = made.map(|made| (made.told, made.objects)).unzip();
        let mut status = self.view.status(gateway);
        if status.ready == 0 {
            let wrong = parameters.iter().flatten();
            let wrong = wrong.filter(|field_error| field_error.kind == FieldErrorKind::Invalid);
            status.problems.extend(wrong.map(ToString::to_string));
        }
        let pods = (self.options.connections)(gateway);
        let connectors = pods
            .iter()
            .filter_map(|(pod, it)| ConnectedReplica::of(pod, it));
        WorkloadStatus {
            connectors: connectors.collect(),
            parameters,
            objects,
            ..status
        }
    }

    /// Removes Deployments that are not wanted any more, once those that are wanted serve. Whether all are gone.
    async fn retire(
        &self,
        gateway: &ObjectKey,
        wanted: &BTreeSet<String>,
    ) -> Result<bool, WorkloadError> {
        let found = self.deployments_of(gateway).await?;
        let (wanted, unwanted): (Vec<_>, Vec<_>) = found
            .iter()
            .partition(|found| wanted.contains(&found.name_any()));
        if unwanted.is_empty() {
            return Ok(true);
        }
        if !wanted.iter().all(|deployment| is_ready(deployment)) {
            return Ok(false);
        }
        let api = self.api(Kind::Deployment, &gateway.namespace);
        for deployment in unwanted {
            let name = deployment.name_any();
            apply::delete(&api, gateway, Kind::Deployment, &name).await?;
        }
        Ok(true)
    }
}

/// Whoever may not look at NetworkPolicies, as the account of an earlier release, has made none; Kubernetes deletes what is
/// left with its Gateway.
fn if_permitted(done: Result<(), WorkloadError>) -> Result<(), WorkloadError> {
    match done {
        Err(error) if error.is_refusal() => Ok(()),
        done => done,
    }
}

/// Told of patches that make a Deployment which the API server does not take.
fn misshapen(error: &WorkloadError) -> FieldError {
    FieldError {
        field: "spec.tunnel.patches".to_owned(),
        kind: FieldErrorKind::Invalid,
        message: format!(
            "Invalid value: what they make of the Deployment is refused, so it stays as it is: {error}"
        ),
    }
}

/// Whether a Deployment serves, in the shape that was applied last.
fn is_ready(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation);
    let ready = status.and_then(|status| status.ready_replicas);
    seen >= deployment.metadata.generation && ready.unwrap_or(0) > 0
}

#[async_trait]
impl Workloads for Deployments {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        Ok(self.run(gateway, spec, tunnel, token).await?)
    }

    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.release_all(gateway).await?;
        self.made.lock().remove(gateway);
        Ok(())
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.remove_all(gateway).await?;
        self.made.lock().remove(gateway);
        Ok(())
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        self.view.listed().await;
        self.seen(gateway)
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let selected = ListParams::default().labels(&names::selector_of_all());
        let mut running = BTreeSet::new();
        for area in areas(self.options.namespaces.as_ref()) {
            let api: Api<Deployment> = view::api_in(&self.client, &area);
            let found = api.list_metadata(&selected).await;
            let found =
                found.map_err(|error| WorkloadError::api("listing", "Deployments", &error))?;
            let owner = |metadata: &ObjectMeta| apply::owner_of(metadata);
            let owners = found.items.iter();
            running.extend(owners.filter_map(|found| owner(&found.metadata)));
        }
        Ok(running)
    }
}
