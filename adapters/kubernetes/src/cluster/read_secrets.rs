//! Watches the metadata of Secrets and reads those that are followed, few at the same time.

use std::sync::Arc;

use adapter_gateway_api::Kind;
use tokio::time::sleep;

use super::raw::Head;
use super::secrets::read;
use super::watch::Watch;
use super::{Cluster, named};
use crate::kind::{Area, endpoints};

/// Secrets that are read at the same time.
const AT_ONCE: usize = 4;

impl Cluster {
    /// For as long as the cluster is watched.
    pub(super) fn start_secrets(self: &Arc<Self>) {
        for area in self.inner.lock().secrets.areas() {
            let watch = self.watch_of_secrets(&area);
            let taker = self.clone();
            self.spawn(watch.run(move |news| {
                let mut inner = taker.inner.lock();
                let changed = inner.secrets.take(&area, news);
                taker.secrets_changed(inner, changed);
            }));
        }
        for _ in 0..AT_ONCE {
            self.spawn(self.clone().read_secrets());
        }
        self.spawn(self.clone().try_secrets_again());
    }

    fn watch_of_secrets(&self, area: &Area) -> Watch<Head> {
        Watch {
            client: self.client.clone(),
            endpoints: endpoints(Kind::Secret, area).collect(),
            name: named("Secrets", area),
            metadata_only: true,
            reader: Arc::new(|_, object| object.head.clone()),
            times: self.times,
        }
    }

    async fn read_secrets(self: Arc<Self>) {
        loop {
            let next = self.inner.lock().secrets.next();
            let Some((key, ticket)) = next else {
                self.unread_secrets.notified().await;
                continue;
            };
            if self.inner.lock().secrets.has_next() {
                self.unread_secrets.notify_one();
            }
            let answer = read(&self.client, &key).await;
            let mut inner = self.inner.lock();
            let changed = inner.secrets.done(&key, ticket, answer);
            self.secrets_changed(inner, changed);
        }
    }

    async fn try_secrets_again(self: Arc<Self>) {
        loop {
            sleep(self.times.longest_pause).await;
            let mut inner = self.inner.lock();
            inner.secrets.try_again();
            self.secrets_changed(inner, false);
        }
    }
}
