//! Watches the metadata of Secrets and ConfigMaps and reads those that are followed, few at the same time.

use std::sync::Arc;

use adapter_gateway_api::Kind;
use domain::ObjectKey;
use domain::certificate::TrustBundle;
use domain::snapshot::SecretFacts;
use kube::Client;
use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::raw::Head;
use super::referred::{Read, Referred, config_map, read};
use super::watch::Watch;
use super::{Cluster, Inner, named};
use crate::kind::{Area, endpoints};

/// Objects of a kind that are read at the same time.
const AT_ONCE: usize = 4;

/// What is kept of the objects of one of these kinds.
pub(super) trait Kept: Clone + PartialEq + Send + Sync + 'static {
    const KIND: Kind;

    fn of(inner: &mut Inner) -> &mut Referred<Self>;

    /// Told when one waits to be read.
    fn unread(cluster: &Cluster) -> &Notify;

    fn read(
        client: &Client,
        key: &ObjectKey,
    ) -> impl Future<Output = Result<Read<Self>, String>> + Send;
}

impl Kept for SecretFacts {
    const KIND: Kind = Kind::Secret;

    fn of(inner: &mut Inner) -> &mut Referred<Self> {
        &mut inner.secrets
    }

    fn unread(cluster: &Cluster) -> &Notify {
        &cluster.unread_secrets
    }

    async fn read(client: &Client, key: &ObjectKey) -> Result<Read<Self>, String> {
        read(client, key).await
    }
}

impl Kept for TrustBundle {
    const KIND: Kind = Kind::ConfigMap;

    fn of(inner: &mut Inner) -> &mut Referred<Self> {
        &mut inner.config_maps
    }

    fn unread(cluster: &Cluster) -> &Notify {
        &cluster.unread_config_maps
    }

    async fn read(client: &Client, key: &ObjectKey) -> Result<Read<Self>, String> {
        config_map(client, key).await
    }
}

impl Cluster {
    /// For as long as the cluster is watched.
    pub(super) fn start_referred<F: Kept>(self: &Arc<Self>) {
        let areas = F::of(&mut self.inner.lock()).areas();
        for area in areas {
            let watch = self.watch_of_metadata(F::KIND, &area);
            let taker = self.clone();
            self.spawn(watch.run(move |news| {
                let mut inner = taker.inner.lock();
                let changed = F::of(&mut inner).take(&area, news);
                taker.referred_changed::<F>(inner, changed);
            }));
        }
        for _ in 0..AT_ONCE {
            self.spawn(self.clone().read_referred::<F>());
        }
        self.spawn(self.clone().try_referred_again::<F>());
    }

    fn watch_of_metadata(&self, kind: Kind, area: &Area) -> Watch<Head> {
        Watch {
            client: self.client.clone(),
            endpoints: endpoints(kind, area).collect(),
            name: named(&format!("{}s", kind.as_str()), area),
            metadata_only: true,
            reader: Arc::new(|_, object| object.head.clone()),
            times: self.times,
        }
    }

    async fn read_referred<F: Kept>(self: Arc<Self>) {
        loop {
            let next = F::of(&mut self.inner.lock()).next();
            let Some((key, ticket)) = next else {
                F::unread(&self).notified().await;
                continue;
            };
            if F::of(&mut self.inner.lock()).has_next() {
                F::unread(&self).notify_one();
            }
            let answer = F::read(&self.client, &key).await;
            let mut inner = self.inner.lock();
            let changed = F::of(&mut inner).done(&key, ticket, answer);
            self.referred_changed::<F>(inner, changed);
        }
    }

    async fn try_referred_again<F: Kept>(self: Arc<Self>) {
        loop {
            sleep(self.times.longest_pause).await;
            let mut inner = self.inner.lock();
            F::of(&mut inner).try_again();
            self.referred_changed::<F>(inner, false);
        }
    }

    /// Notifies the tasks that wait for a change of these.
    pub(super) fn referred_changed<F: Kept>(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        changed: bool,
    ) {
        let has_next = F::of(&mut inner).has_next();
        drop(inner);
        if changed {
            self.news.notify_one();
        }
        if has_next {
            F::unread(self).notify_one();
        }
    }
}
