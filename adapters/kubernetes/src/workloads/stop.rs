//! How the proxies of a Gateway go, or are let go of.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::ObjectKey;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tokio::time::Instant;

use super::apply::{delete, release};
use super::error::WorkloadError;
use super::objects::Kind;
use super::{Deployments, if_permitted, names};

/// How long one call waits for pods to stop. The caller has other Gateways to look after and calls again.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(250);

/// After this time past the moment at which it should be gone, a pod is on a node that is lost. Nothing tells
/// when such a node comes back, so it is not waited for.
const LOST_AFTER: Duration = Duration::from_secs(30);

impl Deployments {
    /// Deployments first; the rest once no pod is left that could use it.
    pub(super) async fn remove_all(&self, gateway: &ObjectKey) -> Result<(), WorkloadError> {
        let api = self.api(Kind::Deployment, &gateway.namespace);
        for deployment in self.deployments_of(gateway).await? {
            let name = deployment.name_any();
            delete(&api, gateway, Kind::Deployment, &name).await?;
        }
        self.remove_autoscalers(gateway, &BTreeSet::new()).await?;
        self.pods_are_gone(gateway).await?;
        if_permitted(self.delete_one(gateway, Kind::NetworkPolicy).await)?;
        for kind in [
            Kind::PodDisruptionBudget,
            Kind::Secret,
            Kind::ServiceAccount,
        ] {
            self.delete_one(gateway, kind).await?;
        }
        Ok(())
    }

    /// All that was made for the Gateway. The finalizer holds the Gateway until each of them is let go of.
    pub(super) async fn release_all(&self, gateway: &ObjectKey) -> Result<(), WorkloadError> {
        let name = names::object_name(&gateway.name);
        for kind in [
            Kind::Secret,
            Kind::ServiceAccount,
            Kind::PodDisruptionBudget,
        ] {
            release(&self.api(kind, &gateway.namespace), gateway, kind, &name).await?;
        }
        let policy = Kind::NetworkPolicy;
        let policies = self.api(policy, &gateway.namespace);
        if_permitted(release(&policies, gateway, policy, &name).await)?;
        for (kind, name) in self.autoscalers_of(gateway).await? {
            release(&self.api(kind, &gateway.namespace), gateway, kind, &name).await?;
        }
        let api = self.api(Kind::Deployment, &gateway.namespace);
        for deployment in self.deployments_of(gateway).await? {
            let name = deployment.name_any();
            release(&api, gateway, Kind::Deployment, &name).await?;
        }
        Ok(())
    }

    async fn pods_are_gone(&self, gateway: &ObjectKey) -> Result<(), WorkloadError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &gateway.namespace);
        let selected = ListParams::default().labels(&names::selector_of(&gateway.name));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = api.list(&selected).await.map_err(|error| {
                WorkloadError::api("listing", &format!("pods of {gateway}"), &error)
            })?;
            let Some(pod) = found.items.iter().find(|pod| !is_over(pod)) else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let pod = format!("pod {}/{}", gateway.namespace, pod.name_any());
                return Err(WorkloadError::Stopping(pod));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether nothing runs in a pod any more, or nothing that could still be told to stop.
fn is_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let due = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    matches!(phase, Some("Succeeded" | "Failed"))
        || due.is_some_and(|due| due + LOST_AFTER < Timestamp::now())
}
