//! Looks again and again for clusters that are not heard of any more.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Timestamp;
use domain::broker::ClusterName;
use domain::broker::audit::Event;
use domain::broker::contact::{Contact, Look};
use domain::broker::ports::StoreError;
use domain::broker::watch;
use domain::ports::Clock as _;
use tokio_util::sync::CancellationToken;

use super::Engine;

/// How often is looked, at least and at most.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Engine {
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        let began = self.time.now();
        let interval = (self.patience.stale / 10).clamp(LOOKS.0, LOOKS.1);
        let mut told = BTreeSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            match self.look(began, &told).await {
                Ok(held_back) => told = held_back,
                Err(error) => tracing::warn!(%error, "silent clusters are looked for later"),
            }
        }
    }

    /// One look. The clusters that would have expired, of which `told` were told of already.
    async fn look(
        &self,
        began: Timestamp,
        told: &BTreeSet<ClusterName>,
    ) -> Result<BTreeSet<ClusterName>, StoreError> {
        let look = Look {
            now: self.time.now(),
            began,
            patience: self.patience,
        };
        let looked = watch::watch(&*self.store, &*self.edges, look).await?;
        for (cluster, contact) in &looked.news {
            match contact {
                Contact::Live => tracing::info!(%cluster, "the cluster is not stale any more"),
                Contact::Stale => tracing::warn!(%cluster, "the cluster is not heard of: stale"),
                Contact::Expired => tracing::warn!(
                    %cluster,
                    "the cluster is not heard of and none of its connectors is connected: expired"
                ),
            }
        }
        if !looked.held_back.is_empty() && looked.held_back != *told {
            self.tell_held_back(&looked.held_back, look.now).await?;
        }
        Ok(looked.held_back)
    }

    async fn tell_held_back(
        &self,
        clusters: &BTreeSet<ClusterName>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
        let names = names.join(" ");
        tracing::warn!(
            clusters = names,
            "more than half of all clusters would expire at once, so that none does; see whether this broker was cut off, or give them up one by one"
        );
        let event = Event {
            at: now,
            actor: "broker".to_owned(),
            action: "cluster.expire".to_owned(),
            result: "held-back".to_owned(),
            detail: format!("more than half of all clusters at once: {names}"),
            ..Event::default()
        };
        self.store.append(event).await
    }
}
