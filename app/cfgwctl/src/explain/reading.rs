//! The objects that an answer is made of: of a cluster, or of a folder of manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use adapter_gateway_api::Kind;
use adapter_manifests::Manifests;
use domain::ObjectRef;
use domain::attachment::GatewayDefaults;
use domain::snapshot::{ClusterSnapshot, Reading};

use super::way::{Knowledge, resolution};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::objects::{EndpointSlice, GatewayStatus};
use crate::settings::Settings;

/// Problems of a folder that are shown; the others are counted.
const SHOWN_PROBLEMS: usize = 8;

/// Reads a cluster, each kind once. What may not be read is a note.
///
/// # Errors
/// Gateways, classes or routes could not be read: without them there is nothing to say.
pub async fn of_cluster(cluster: &Cluster) -> Result<Knowledge, Failure> {
    let mut snapshot = cluster.snapshot().await;
    for (kind, why) in snapshot.unread() {
        use domain::snapshot::ObjectKind::{Gateway, GatewayClass, Route};
        if [Gateway, GatewayClass, Route].contains(&kind) {
            let message = format!("{} could not be read: {why}", kind.plural());
            return Err(Failure::new(
                message,
                "ask for that permission, or use another --context",
            ));
        }
    }
    let mut notes = Vec::new();
    let settings = match Settings::of_cluster(cluster, None).await {
        Ok(settings) => settings,
        Err(failure) => {
            notes.push(format!(
                "the controller's settings are not known, and the defaults are taken: {failure}"
            ));
            Settings::default()
        }
    };
    settings.apply(&mut snapshot);
    notes.extend(settings.told());
    add_secrets(cluster, &mut snapshot, &settings.defaults).await;
    note_unread_secrets(&snapshot, &mut notes);
    let statuses: Option<Vec<GatewayStatus>> = match cluster.list(Kind::GatewayStatus, None).await {
        Ok(found) => Some(found.unwrap_or_default()),
        Err(failure) => {
            notes.push(format!(
                "CloudflareGatewayStatuses could not be read: {failure}"
            ));
            None
        }
    };
    // Names of pods are an addition: without them the addresses tell.
    let slices = cluster.list(Kind::EndpointSlice, None).await;
    Ok(Knowledge {
        has_endpoints: !snapshot.endpoint_slices.is_unknown(),
        snapshot,
        defaults: settings.defaults,
        statuses,
        pods: pods(slices.ok().flatten().unwrap_or_default()),
        notes,
    })
}

/// Reads what may be known of the Secrets that matter and are not known yet.
pub async fn add_secrets(
    cluster: &Cluster,
    snapshot: &mut ClusterSnapshot,
    defaults: &GatewayDefaults,
) {
    // A certificate is looked at only where credentials are right, so a second round may bring more.
    for _ in 0..2 {
        let wanted = resolution(snapshot, defaults).referenced_secrets();
        let wanted: BTreeSet<ObjectRef> = wanted
            .into_iter()
            .filter(|secret| !snapshot.secrets.contains_key(secret))
            .collect();
        snapshot.secrets.extend(cluster.secrets(&wanted).await);
    }
    let trusted = resolution(snapshot, defaults).trusted_objects();
    snapshot.trust = cluster.trust(&trusted).await;
}

/// The objects of manifests, with what may be known of their Secrets.
pub fn of_manifests(manifests: &Manifests, defaults: &GatewayDefaults) -> ClusterSnapshot {
    let mut snapshot = manifests.snapshot(&BTreeSet::new());
    for _ in 0..2 {
        let wanted = resolution(&snapshot, defaults).referenced_secrets();
        let secrets = manifests.snapshot(&wanted).secrets;
        snapshot.secrets.extend(secrets);
    }
    let trusted = resolution(&snapshot, defaults).trusted_objects();
    snapshot.trust = manifests.snapshot(&trusted).trust;
    snapshot
}

fn note_unread_secrets(snapshot: &ClusterSnapshot, notes: &mut Vec<String>) {
    for (secret, reading) in &snapshot.secrets {
        if let Reading::Unknown(why) = reading {
            notes.push(format!(
                "{secret} could not be read and is taken as right: {why}"
            ));
        }
    }
}

fn pods(slices: Vec<EndpointSlice>) -> BTreeMap<String, String> {
    let endpoints = slices
        .into_iter()
        .filter_map(|slice| slice.endpoints)
        .flatten();
    let pods = endpoints.filter(|endpoint| endpoint.target_ref.kind == "Pod");
    pods.filter_map(|endpoint| {
        Some((
            endpoint.addresses.into_iter().next()?,
            endpoint.target_ref.name,
        ))
    })
    .collect()
}

/// Reads a folder of manifests, or one file. What it says of Secrets is taken as right, as they are rarely in such a folder.
///
/// # Errors
/// It cannot be read.
pub fn of_files(folder: &Path) -> Result<Knowledge, Failure> {
    let manifests = Manifests::read(folder).map_err(|error| Failure::new(error, ""))?;
    let defaults = GatewayDefaults::default();
    let mut snapshot = of_manifests(&manifests, &defaults);
    let mut notes = Vec::new();
    for (secret, reading) in &mut snapshot.secrets {
        if *reading == Reading::Absent {
            notes.push(format!(
                "{secret} is not in the files and is taken as right"
            ));
            *reading = Reading::Unknown("it is not in the files".to_owned());
        }
    }
    let problems = manifests.problems();
    notes.extend(
        problems
            .iter()
            .take(SHOWN_PROBLEMS)
            .map(ToString::to_string),
    );
    let more = problems.len().saturating_sub(SHOWN_PROBLEMS);
    if more > 0 {
        notes.push(format!("and {more} more problems of the files"));
    }
    Ok(Knowledge {
        has_endpoints: !snapshot.endpoint_slices.items().is_empty(),
        snapshot,
        defaults,
        statuses: None,
        pods: BTreeMap::new(),
        notes,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slice_without_endpoints_takes_no_name_of_a_pod_away() {
        let reference = json!({ "kind": "Pod", "name": "app-1" });
        let whole = json!({ "endpoints": [{ "addresses": ["10.1.2.3"], "targetRef": reference }] });
        let slices = [json!({ "endpoints": null }), json!({}), whole];
        let slices = slices.map(|slice| serde_json::from_value(slice).expect("a slice"));
        let named = BTreeMap::from([("10.1.2.3".to_owned(), "app-1".to_owned())]);
        assert_eq!(pods(slices.into()), named);
    }
}
