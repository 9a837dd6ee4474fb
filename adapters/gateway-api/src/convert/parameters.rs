//! CloudflareGatewayParameters. The rules of its CRD are checked again here: a folder of manifests has no
//! API server in front of it.

use std::collections::{BTreeMap, BTreeSet};

use domain::gateway::{DnsPolicy, GatewayParameters, Replica, Resources};
use domain::names::is_dns_label;
use domain::{Hostname, ObjectKey};
use serde_json::Value;

use super::tenants;
use crate::error::ReadError;
use crate::fields::Fields;
use crate::kind::Kind;
use crate::metadata::Header;
use crate::types::{
    ParametersDns, ParametersReplica, ParametersSpec, ParametersTunnel, ResourceRequirements,
};

/// Told of a field that is known and has no effect.
const WITHOUT_EFFECT: &str = "it is accepted, but this version does not act upon it";

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<GatewayParameters, ReadError> {
    let spec: ParametersSpec = fields.read("spec")?;
    let key = header.key();
    let credentials = spec.secret_ref.map(|secret| {
        fields.required("spec.secretRef.name", &secret.name);
        Kind::Secret.reference(ObjectKey::new(&key.namespace, secret.name))
    });
    let tunnel = spec.tunnel.unwrap_or_default();
    not_acted_upon(fields, &tunnel);
    let replicas = tunnel.replicas.as_deref();
    let resources = tunnel.resources.as_ref();
    Ok(GatewayParameters {
        credentials,
        dns: spec.dns.as_ref().and_then(|dns| dns_policy(fields, dns)),
        upload_certificates: spec
            .certificates
            .and_then(|certificates| certificates.upload),
        replicas: replicas.map(|written| read_replicas(fields, written)),
        resources: resources.map(|written| read_resources(fields, written)),
        min_ready_seconds: tunnel
            .min_ready_seconds
            .and_then(|seconds| min_ready_seconds(fields, seconds)),
        tenants: spec
            .tenants
            .as_deref()
            .map(|written| tenants::read(fields, written)),
        defects: fields.defects(),
        key,
    })
}

/// An empty list of zones turns DNS off, as `enabled: false` does. Zones count as `enabled: true`.
fn dns_policy(fields: &Fields, written: &ParametersDns) -> Option<DnsPolicy> {
    let zones = written.zones.as_deref();
    match (written.enabled, zones) {
        (Some(false), Some([_, ..])) | (Some(true), Some([])) => {
            let message = "it contradicts spec.dns.zones; remove one of them";
            fields.invalid("spec.dns.enabled", message);
            None
        }
        (Some(false), _) | (None, Some([])) => Some(DnsPolicy::Off),
        (Some(true), None) => Some(DnsPolicy::All),
        (None, None) => None,
        (_, Some(zones)) => {
            let mut names = Vec::new();
            for (index, zone) in zones.iter().enumerate() {
                let field = format!("spec.dns.zones[{index}].name");
                match zone_name(&zone.name) {
                    Err(problem) => fields.invalid(field, problem),
                    Ok(name) if names.contains(&name) => {
                        fields.invalid(field, format!("{name} is listed twice; remove one"));
                    }
                    Ok(name) => names.push(name),
                }
            }
            Some(DnsPolicy::Below(names))
        }
    }
}

fn zone_name(written: &str) -> Result<Hostname, String> {
    let name = Hostname::parse(written).map_err(|error| error.to_string())?;
    if name.is_wildcard() {
        return Err(format!(
            "{written} is a wildcard; write the domain under which records may be made"
        ));
    }
    Ok(name)
}

fn read_replicas(fields: &Fields, written: &[ParametersReplica]) -> Vec<Replica> {
    let mut names = BTreeSet::new();
    let replica = |(index, replica): (usize, &ParametersReplica)| {
        let field = format!("spec.tunnel.replicas[{index}]");
        if !is_dns_label(&replica.name) {
            let message = format!(
                "Invalid value: {:?}: must be 1 to 63 of a-z, 0-9 and inner `-`",
                replica.name
            );
            fields.invalid(format!("{field}.name"), message);
        } else if !names.insert(replica.name.clone()) {
            let message = format!("{} is the name of two replicas; rename one", replica.name);
            fields.invalid(format!("{field}.name"), message);
        }
        match (&replica.affinity, &replica.zone) {
            (Some(_), Some(_)) => {
                let message = "zone and affinity exclude each other; remove one of them";
                fields.invalid(format!("{field}.affinity"), message);
            }
            (Some(_), None) => fields.unsupported(format!("{field}.affinity"), WITHOUT_EFFECT),
            (None, Some(zone)) => fields.required(format!("{field}.zone"), zone),
            (None, None) => {}
        }
        Replica {
            name: replica.name.clone(),
            zone: replica.zone.clone(),
            node_selector: replica.node_selector.clone(),
        }
    };
    written.iter().enumerate().map(replica).collect()
}

fn read_resources(fields: &Fields, written: &ResourceRequirements) -> Resources {
    let quantities = |list: &str, written: &BTreeMap<String, Value>| {
        let quantity = |(name, value): (&String, &Value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => String::new(),
            };
            if !is_quantity(&text) {
                let field = format!("spec.tunnel.resources.{list}.{name}");
                let message =
                    format!("Invalid value: {value}: must be a quantity such as 100m or 128Mi");
                fields.invalid(field, message);
            }
            (name.clone(), text)
        };
        written.iter().map(quantity).collect()
    };
    Resources {
        requests: quantities("requests", &written.requests),
        limits: quantities("limits", &written.limits),
    }
}

/// Units of Kubernetes' quantities (`resource.Quantity`).
const UNITS: [&str; 15] = [
    "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi",
];

fn is_quantity(text: &str) -> bool {
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.');
    let (number, unit) = text.split_at(digits.count());
    let is_unit = UNITS.contains(&unit) || unit == "Ei";
    let is_exponent = unit
        .strip_prefix(['e', 'E'])
        .is_some_and(|exponent| exponent.parse::<i8>().is_ok());
    number.parse::<f64>().is_ok() && (is_unit || is_exponent)
}

fn min_ready_seconds(fields: &Fields, written: i64) -> Option<u32> {
    let seconds = u32::try_from(written)
        .ok()
        .filter(|s| i32::try_from(*s).is_ok());
    if seconds.is_none() {
        let message = format!("{written} is out of range; write 0 or more seconds");
        fields.invalid("spec.tunnel.minReadySeconds", message);
    }
    seconds
}

/// What is known and does nothing yet. What is switched off does what it says.
fn not_acted_upon(fields: &Fields, tunnel: &ParametersTunnel) {
    let is_off = |value: &&Value| value["enabled"] == Value::Bool(false);
    let autoscaling = tunnel.autoscaling.as_ref();
    if autoscaling.is_some_and(|written| written["enabled"] == Value::Bool(true)) {
        fields.unsupported("spec.tunnel.autoscaling", WITHOUT_EFFECT);
    }
    let rotation = tunnel.token.as_ref().and_then(|it| it.rotation.as_ref());
    if rotation.filter(|written| !is_off(written)).is_some() {
        fields.unsupported("spec.tunnel.token.rotation", WITHOUT_EFFECT);
    }
    let patches = tunnel.patches.as_ref().and_then(Value::as_array);
    if patches.is_some_and(|patches| !patches.is_empty()) {
        fields.unsupported("spec.tunnel.patches", WITHOUT_EFFECT);
    }
}
