//! The fields of a CloudflareGatewayStatus besides conditions.

use domain::rotation::RotationFacts;
use domain::status::{GatewayDetails, HostnameDetails};
use domain::workload::ManagedObject;
use serde_json::{Map, Value, json};

/// Fields of `status`; what is not known is absent.
pub(super) fn fields(details: &GatewayDetails) -> Map<String, Value> {
    let hostnames = &details.hostnames;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("tunnel", tunnel(details));
    put("readyReplicas", Some(json!(details.ready_replicas)));
    put(
        "dns",
        Some(json!({
            "management": if details.manages_dns { "Enabled" } else { "Disabled" },
            "hostnames": hostnames.total,
            "applied": hostnames.applied,
            "notListed": hostnames.total - hostnames.listed.len(),
        })),
    );
    put("hostnames", Some(listed(hostnames)));
    let inventory = details.inventory.iter().map(object);
    put("inventory", Some(inventory.collect()));
    let handled = details.handled.as_ref();
    put(
        "lastHandledReconcileAt",
        handled.map(|it| it.to_string().into()),
    );
    fields
}

fn tunnel(details: &GatewayDetails) -> Option<Value> {
    let tunnel = details.tunnel.as_ref()?;
    let mut fields = json!({
        "id": tunnel.id.to_string(),
        "name": tunnel.name,
        "address": tunnel.id.address(),
    });
    if let Some(facts) = &details.rotation {
        fields["token"] = token(facts);
    }
    Some(fields)
}

fn token(facts: &RotationFacts) -> Value {
    let time = |at: domain::Timestamp| {
        let at = jiff::Timestamp::from_second(at.0).ok()?;
        Some(Value::from(at.to_string()))
    };
    let known = [
        (
            "lastHandledRotateAt",
            facts.handled.as_ref().map(|it| it.to_string().into()),
        ),
        ("lastRotatedAt", facts.last.and_then(time)),
        ("nextRotation", facts.next.and_then(time)),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut rotation: Map<String, Value> = known.collect();
    rotation.insert("underWay".to_owned(), facts.is_under_way.into());
    let mut token = Map::from_iter([("rotation".to_owned(), rotation.into())]);
    token.extend(
        facts
            .token
            .map(|hash| ("hash".to_owned(), hash.to_string().into())),
    );
    token.into()
}

fn listed(hostnames: &HostnameDetails) -> Value {
    let entries = hostnames.listed.iter().map(|hostname| {
        let mut entry = json!({
            "name": hostname.hostname.to_string(),
            "status": hostname.truth.as_str(),
            "reason": hostname.reason.as_str(),
        });
        if !hostname.message.is_empty() {
            entry["message"] = hostname.message.clone().into();
        }
        entry
    });
    entries.collect()
}

fn object(object: &ManagedObject) -> Value {
    json!({ "apiVersion": object.api_version, "kind": object.kind, "name": object.name })
}
