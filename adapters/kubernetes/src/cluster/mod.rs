//! The cluster as one complete view, kept by watches.
//!
//! - `raw`: objects that are not read yet; `watch`: one watch;
//! - `table`: the objects of a kind as domain values;
//! - `once`: the same without watches;
//! - `referred`: Secrets and ConfigMaps that are referred to; `read_referred`: their watches, and when each is read.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod once;
mod raw;
mod read_referred;
pub(crate) mod referred;
mod table;
mod times;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_gateway_api::{Kind, SnapshotBuilder};
use async_trait::async_trait;
use domain::certificate::TrustBundle;
use domain::ports::ClusterSource;
use domain::snapshot::{ClusterSnapshot, EndpointRules, Reading, SecretFacts};
use domain::{ObjectKey, ObjectRef};
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::watch::Sender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::kind::{Area, areas_of, endpoints, watched};
pub use once::{secrets_once, snapshot_once, trust_once};
use referred::Referred;
pub(crate) use referred::secret;
use table::{Seen, Table};
pub(crate) use table::{StatusBase, UnreadObject};
pub use times::WatchTimes;
pub(crate) use watch::LONGEST_SILENCE;
use watch::{News, Watch};

/// What is watched, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// How patient the watches are.
    pub times: WatchTimes,
    /// Namespaces whose objects are watched, each kind over a connection of its own; `None` for all. What is in no
    /// namespace is watched whole.
    pub namespaces: Option<BTreeSet<String>>,
    /// Namespaces whose Secrets may be read, each watched over a connection of its own; `None` for all.
    pub secret_namespaces: Option<BTreeSet<String>>,
    /// Where endpoints may be.
    pub endpoint_rules: EndpointRules,
}

/// A Kubernetes cluster.
///
/// Each kind is listed and watched, over all namespaces or in some; of Secrets and ConfigMaps the metadata alone. Those that are
/// [followed](ClusterSource::follow) are read by name, and no value of theirs is kept. The first view comes
/// once every kind was listed, is absent, or cannot be read.
pub struct Cluster {
    client: Client,
    endpoint_rules: EndpointRules,
    times: WatchTimes,
    stop: CancellationToken,
    inner: Mutex<Inner>,
    /// The view shows something no longer as it is.
    news: Notify,
    /// Secrets wait to be read.
    unread_secrets: Notify,
    /// ConfigMaps wait to be read.
    unread_config_maps: Notify,
    namespaces: Option<BTreeSet<String>>,
    secret_namespaces: Option<BTreeSet<String>>,
    /// The present view and its number; none before the first one, which has number 1.
    view: Sender<(u64, Option<Arc<ClusterSnapshot>>)>,
    /// Number of the view that was last given away.
    seen: AtomicU64,
}

struct Inner {
    tables: BTreeMap<(Kind, Area), Table>,
    secrets: Referred<SecretFacts>,
    config_maps: Referred<TrustBundle>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Watches the cluster until `stop`. Must be called within a tokio runtime.
    pub fn start(client: Client, options: ClusterOptions, stop: CancellationToken) -> Arc<Self> {
        let ClusterOptions {
            times,
            namespaces,
            secret_namespaces,
            endpoint_rules,
        } = options;
        let watches = watched().flat_map(|kind| {
            let areas = areas_of(kind, namespaces.as_ref()).into_iter();
            areas.map(move |area| (kind, area))
        });
        let tables = watches.map(|(kind, area)| ((kind, area), Table::new(kind)));
        let tables: BTreeMap<_, _> = tables.collect();
        let watches: Vec<(Kind, Area)> = tables.keys().cloned().collect();
        let cluster = Arc::new(Self {
            client,
            endpoint_rules,
            times,
            stop,
            inner: Mutex::new(Inner {
                tables,
                secrets: Referred::new(Kind::Secret, secret_namespaces.as_ref()),
                config_maps: Referred::new(Kind::ConfigMap, namespaces.as_ref()),
            }),
            news: Notify::new(),
            unread_secrets: Notify::new(),
            unread_config_maps: Notify::new(),
            namespaces,
            secret_namespaces,
            view: Sender::new((0, None)),
            seen: AtomicU64::new(0),
        });
        for (kind, area) in watches {
            let watch = watch_of(cluster.client.clone(), kind, &area, cluster.times);
            let (taker, table) = (cluster.clone(), (kind, area));
            cluster.spawn(watch.run(move |news| taker.take(&table, news)));
        }
        cluster.start_referred::<SecretFacts>();
        cluster.start_referred::<TrustBundle>();
        cluster.spawn(cluster.clone().publish_all());
        cluster
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    fn take(&self, table: &(Kind, Area), news: News<Seen>) {
        let mut inner = self.inner.lock();
        let Some(table) = inner.tables.get_mut(table) else {
            return;
        };
        if table.take(news) {
            drop(inner);
            self.news.notify_one();
        }
    }

    /// Makes a view of what changed, and then of what changed in the meantime.
    async fn publish_all(self: Arc<Self>) {
        loop {
            self.news.notified().await;
            sleep(self.times.debounce).await;
            self.publish();
        }
    }

    fn publish(&self) {
        let inner = self.inner.lock();
        if !inner.tables.values().all(Table::is_listed) {
            return;
        }
        let mut builder = SnapshotBuilder::default();
        inner
            .tables
            .values()
            .for_each(|table| table.add_to(&mut builder));
        let next = ClusterSnapshot {
            secrets: inner.secrets.facts(),
            trust: inner.trust(),
            endpoint_rules: self.endpoint_rules.clone(),
            watched_namespaces: self.namespaces.clone(),
            secret_namespaces: self.secret_namespaces.clone(),
            ..builder.build()
        };
        drop(inner);
        self.view.send_modify(|(number, shown)| {
            *number += 1;
            *shown = Some(Arc::new(next));
        });
    }

    /// Whether there is a first view. Asking counts none as given away.
    pub fn is_read(&self) -> bool {
        self.present().is_some()
    }

    /// The present view, without counting it as given away. None before the first one.
    pub(crate) fn present(&self) -> Option<Arc<ClusterSnapshot>> {
        self.view.borrow().1.clone()
    }

    /// An object as it was last seen, for writing its status.
    pub(crate) fn status_base(&self, kind: Kind, key: &ObjectKey) -> Option<StatusBase> {
        let inner = self.inner.lock();
        let of_all = || inner.tables.get(&(kind, None));
        let of_namespace = inner.tables.get(&(kind, Some(key.namespace.clone())));
        of_namespace.or_else(of_all)?.status_base(key).cloned()
    }

    /// Whether the API server has this kind, as far as is known.
    pub(crate) fn serves(&self, kind: Kind) -> bool {
        let inner = self.inner.lock();
        let mut tables = inner.tables.iter();
        tables.any(|((of, _), table)| *of == kind && table.is_served())
    }

    pub(crate) fn unread(&self) -> Vec<UnreadObject> {
        let inner = self.inner.lock();
        inner.tables.values().flat_map(Table::unread).collect()
    }
}

impl Inner {
    /// The certificate authorities of all that is followed.
    fn trust(&self) -> BTreeMap<ObjectRef, Reading<TrustBundle>> {
        fn cloned(reading: Reading<&TrustBundle>) -> Reading<TrustBundle> {
            match reading {
                Reading::Known(bundle) => Reading::Known(bundle.clone()),
                Reading::Absent => Reading::Absent,
                Reading::Unknown(why) => Reading::Unknown(why),
            }
        }
        let secrets = self.secrets.last_known().map(|(object, reading)| {
            let trust = match reading {
                Reading::Known(facts) => Reading::Known(&facts.trust),
                Reading::Absent => Reading::Absent,
                Reading::Unknown(why) => Reading::Unknown(why),
            };
            (object, cloned(trust))
        });
        let config_maps = self.config_maps.last_known();
        let config_maps = config_maps.map(|(object, reading)| (object, cloned(reading)));
        secrets.chain(config_maps).collect()
    }
}

/// The watch of a kind in an area.
fn watch_of(client: Client, kind: Kind, area: &Area, times: WatchTimes) -> Watch<Seen> {
    Watch {
        client,
        endpoints: endpoints(kind, area).collect(),
        name: named(kind.as_str(), area),
        // Their schemas are large, and nothing is read of them.
        metadata_only: kind == Kind::CustomResourceDefinition,
        reader: Arc::new(move |endpoint, object| Seen::of(kind, endpoint, object)),
        times,
    }
}

/// What is watched, for messages.
fn named(objects: &str, area: &Area) -> String {
    match area {
        None => objects.to_owned(),
        Some(namespace) => format!("{objects} of namespace {namespace}"),
    }
}

#[async_trait]
impl ClusterSource for Cluster {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        let mut views = self.view.subscribe();
        loop {
            {
                let view = views.borrow_and_update();
                if let Some(snapshot) = &view.1 {
                    self.seen.fetch_max(view.0, Ordering::SeqCst);
                    return snapshot.clone();
                }
            }
            if views.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn changed(&self) {
        let mut views = self.view.subscribe();
        let newer = views.wait_for(|(number, _)| *number > self.seen.load(Ordering::SeqCst));
        // The sender lives as long as `self`.
        let _ = newer.await.map(|_| ());
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        let mut inner = self.inner.lock();
        let changed = inner.config_maps.follow(&refs);
        self.referred_changed::<TrustBundle>(inner, changed);
        let mut inner = self.inner.lock();
        let changed = inner.secrets.follow(&refs);
        self.referred_changed::<SecretFacts>(inner, changed);
    }
}
