//! The cluster as it is at one moment, without watches: for programs that ask and end.

use std::collections::{BTreeMap, BTreeSet};

use adapter_gateway_api::{Kind, SnapshotBuilder};
use domain::ObjectRef;
use domain::certificate::TrustBundle;
use domain::snapshot::{ClusterSnapshot, Reading, SecretFacts};
use futures_util::future::join_all;
use kube::Client;

use super::referred::{config_map, read};
use super::table::Table;
use super::times::WatchTimes;
use super::watch_of;
use crate::kind::watched;

/// Reads each kind once. One that may not be read is unknown, and says why. Secrets are left to [`secrets_once`].
pub async fn snapshot_once(client: &Client) -> ClusterSnapshot {
    let kinds = watched().filter(|kind| *kind != Kind::GatewayStatus);
    let tables = join_all(kinds.map(|kind| table_of(client, kind))).await;
    let mut builder = SnapshotBuilder::default();
    tables.iter().for_each(|table| table.add_to(&mut builder));
    builder.build()
}

async fn table_of(client: &Client, kind: Kind) -> Table {
    let watch = watch_of(client.clone(), kind, &None, WatchTimes::default());
    let mut table = Table::new(kind);
    table.take(watch.once().await);
    table
}

/// What may be known of each of these Secrets. No value is kept.
pub async fn secrets_once(
    client: &Client,
    wanted: &BTreeSet<ObjectRef>,
) -> BTreeMap<ObjectRef, Reading<SecretFacts>> {
    let reads = wanted.iter().map(|secret| async move {
        let read = read(client, &secret.key).await;
        let facts = read.map_or_else(Reading::Unknown, |(_, facts)| facts);
        (secret.clone(), facts)
    });
    join_all(reads).await.into_iter().collect()
}

/// The certificate authorities in each of these ConfigMaps and Secrets.
pub async fn trust_once(
    client: &Client,
    wanted: &BTreeSet<ObjectRef>,
) -> BTreeMap<ObjectRef, Reading<TrustBundle>> {
    let reads = wanted.iter().map(|object| async move {
        let read = match Kind::ConfigMap.has(object) {
            true => config_map(client, &object.key).await,
            false => read(client, &object.key).await.map(|(version, facts)| {
                let trust = match facts {
                    Reading::Known(facts) => Reading::Known(facts.trust),
                    Reading::Absent => Reading::Absent,
                    Reading::Unknown(why) => Reading::Unknown(why),
                };
                (version, trust)
            }),
        };
        let trust = read.map_or_else(Reading::Unknown, |(_, trust)| trust);
        (object.clone(), trust)
    });
    join_all(reads).await.into_iter().collect()
}
