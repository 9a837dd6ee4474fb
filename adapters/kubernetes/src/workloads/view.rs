//! Deployments and pods of proxies as they are now, watched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use domain::ObjectKey;
use domain::rotation::HeldTokens;
use domain::secret::TokenHash;
use domain::workload::{EdgeConnections, WorkloadStatus};
use futures_util::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::kind::Area;

use super::names::{REPLICA_LABEL, is_labelled, selector_of_all};
use super::status::{describe, is_ready};

/// How long after the start statuses wait for the first list of proxies; statuses of everything else are not to wait
/// for ever.
const LONGEST_LIST: Duration = Duration::from_secs(10);

/// What is seen of the proxies of all Gateways. The watches end when it is dropped.
pub(super) struct View {
    areas: BTreeMap<Area, Stores>,
    listed_by: Instant,
    _watches: JoinSet<()>,
}

/// What is seen in one namespace, or in all.
struct Stores {
    deployments: Store<Deployment>,
    pods: Store<Pod>,
}

impl View {
    /// Watches these areas, and says so when anything has changed.
    pub(super) fn open(client: &Client, areas: Vec<Area>, changed: &Arc<Notify>) -> Self {
        let mut watches = JoinSet::new();
        let areas = areas.into_iter().map(|area| {
            let stores = Stores {
                deployments: follow(api_in(client, &area), changed.clone(), &mut watches),
                pods: follow(api_in(client, &area), changed.clone(), &mut watches),
            };
            (area, stores)
        });
        Self {
            areas: areas.collect(),
            listed_by: Instant::now() + LONGEST_LIST,
            _watches: watches,
        }
    }

    /// Waits for the first list, of a process that has only just started: before it nothing is known, which is not the
    /// same as no proxy being ready.
    pub(super) async fn listed(&self) {
        let listed = async {
            // An error is a watch that has ended: what was seen last is all there is.
            for stores in self.areas.values() {
                let _ = stores.deployments.wait_until_ready().await;
                let _ = stores.pods.wait_until_ready().await;
            }
        };
        if timeout_at(self.listed_by, listed).await.is_err() {
            tracing::debug!("the proxies have not been listed yet");
        }
    }

    /// With which tokens the pods of each replica hold connections, of what they say by name. Pods that are leaving do
    /// not count; `None` where one that is ready has not said anything.
    pub(super) fn held_tokens(
        &self,
        gateway: &ObjectKey,
        by_pod: &BTreeMap<String, EdgeConnections>,
    ) -> HeldTokens {
        let mut held: BTreeMap<String, BTreeSet<TokenHash>> = BTreeMap::new();
        for pod in self.pods(gateway) {
            let labels = pod.labels();
            let Some(replica) = labels.get(REPLICA_LABEL) else {
                continue;
            };
            if pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            match by_pod.get(&pod.name_any()) {
                Some(EdgeConnections { tokens, .. }) => {
                    held.entry(replica.clone()).or_default().extend(tokens);
                }
                None if is_ready(&pod) => return None,
                None => {}
            }
        }
        Some(held)
    }

    /// Replicas that have a Deployment.
    pub(super) fn replicas(&self, gateway: &ObjectKey) -> BTreeSet<String> {
        let deployments = self.deployments(gateway).into_iter();
        deployments
            .filter_map(|found| found.labels().get(REPLICA_LABEL).cloned())
            .collect()
    }

    /// How the proxies of a Gateway are doing.
    pub(super) fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        let deployments = self.deployments(gateway);
        let pods = self.pods(gateway);
        describe(
            deployments.iter().map(AsRef::as_ref),
            pods.iter().map(AsRef::as_ref),
        )
    }

    fn deployments(&self, gateway: &ObjectKey) -> Vec<Arc<Deployment>> {
        let stores = self.stores(gateway);
        stores.map_or_else(Vec::new, |stores| of(&stores.deployments, gateway))
    }

    fn pods(&self, gateway: &ObjectKey) -> Vec<Arc<Pod>> {
        let stores = self.stores(gateway);
        stores.map_or_else(Vec::new, |stores| of(&stores.pods, gateway))
    }

    fn stores(&self, gateway: &ObjectKey) -> Option<&Stores> {
        let of_all = || self.areas.get(&None);
        let of_namespace = self.areas.get(&Some(gateway.namespace.clone()));
        of_namespace.or_else(of_all)
    }
}

/// The objects of a kind in an area.
pub(super) fn api_in<K>(client: &Client, area: &Area) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match area {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

fn of<K>(store: &Store<K>, gateway: &ObjectKey) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state_filter(|object| {
        let metadata = object.meta();
        metadata.namespace.as_deref() == Some(gateway.namespace.as_str())
            && is_labelled(metadata.labels.as_ref(), &gateway.name)
    })
}

fn follow<K>(api: Api<K>, changed: Arc<Notify>, watches: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash,
{
    let (reader, writer) = reflector::store();
    let config = watcher::Config::default().labels(&selector_of_all());
    watches.spawn(async move {
        let events = watcher(api, config)
            .default_backoff()
            .modify(|object| object.meta_mut().managed_fields = None)
            .reflect(writer);
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::InitApply(_) | watcher::Event::Init) => {}
                Ok(_) => changed.notify_one(),
                Err(error) => tracing::debug!(%error, "the watch of proxies starts again"),
            }
        }
    });
    reader
}
