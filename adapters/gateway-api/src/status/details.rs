//! The fields of a CloudflareGatewayStatus besides conditions.

use domain::rotation::RotationFacts;
use domain::status::{CertificateCoverage, GatewayDetails, HostnameDetails};
use domain::workload::{ConnectedReplica, ManagedObject};
use serde_json::{Map, Value, json};

/// Fields of `status`. What is not known is absent; lists that are not known stay as they are in `earlier`, the same
/// object's status as it was written before.
pub(super) fn fields(details: &GatewayDetails, earlier: &Value) -> Map<String, Value> {
    let hostnames = &details.hostnames;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("tunnel", tunnel(details));
    put("readyReplicas", Some(json!(details.ready_replicas)));
    let list = |name: &str, known: Option<Value>| known.or_else(|| earlier.get(name).cloned());
    let connectors = details.connectors.as_ref();
    let connectors = connectors.map(|known| known.iter().map(connector).collect());
    put("connectors", list("connectors", connectors));
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
    let inventory = details.inventory.as_ref();
    let inventory = inventory.map(|known| known.iter().map(object).collect());
    put("inventory", list("inventory", inventory));
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
        let message = Some(hostname.message.clone()).filter(|message| !message.is_empty());
        let certificate = hostname.certificate.map(|it| certificate(it).to_owned());
        for (field, value) in [
            ("zone", hostname.zone.clone()),
            ("record", hostname.record.clone()),
            ("certificate", certificate),
            ("message", message),
        ] {
            if let Some(value) = value {
                entry[field] = value.into();
            }
        }
        entry
    });
    entries.collect()
}

fn certificate(coverage: CertificateCoverage) -> &'static str {
    match coverage {
        CertificateCoverage::Uploaded => "Uploaded",
        CertificateCoverage::Universal => "Universal",
        CertificateCoverage::NotCovered => "NotCovered",
    }
}

fn connector(connector: &ConnectedReplica) -> Value {
    let ConnectedReplica { name, http2, quic } = connector;
    json!({ "name": name, "connections": { "http2": http2, "quic": quic } })
}

fn object(object: &ManagedObject) -> Value {
    json!({ "apiVersion": object.api_version, "kind": object.kind, "name": object.name })
}
