//! `spec.tunnel` of CloudflareGatewayParameters. The rules of its CRD are checked again here: a folder of manifests has
//! no API server in front of it.

mod autoscaling;
mod patches;
mod pods;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use domain::gateway::{Json, MOST_CONNECTORS, ProxySettings, Replica, Resources, TunnelParameters};
use domain::names::is_dns_label;
use serde::Serialize;
use serde_json::Value;

pub(super) use rotation::read as rotation;

use super::text::duration;
use crate::fields::Fields;
use crate::types::{ParametersLimits, ParametersReplica, ParametersTunnel};

/// Limits of the CRD.
const MOST_NODE_LABELS: usize = 32;
const MOST_QUANTITIES: usize = 16;
const LONGEST_MIN_READY: i64 = 86_400;
const MOST_IN_FLIGHT: i64 = 1_000_000;

/// How long the proxy's own times may be.
const GRACE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
const TIMES: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// What of `spec.tunnel` has no reader of its own.
pub(super) fn read(fields: &Fields, written: &ParametersTunnel) -> TunnelParameters {
    let autoscaling = written.autoscaling.as_ref();
    let patches = written.patches.as_deref();
    TunnelParameters {
        autoscaling: autoscaling.map(|written| autoscaling::read(fields, written)),
        patches: patches.map(|written| patches::read(fields, written)),
        pods: pods::read(fields, written),
        settings: settings(fields, written),
    }
}

pub(super) fn replicas(fields: &Fields, written: &ParametersTunnel) -> Option<Vec<Replica>> {
    let written = written.replicas.as_deref()?;
    if written.len() > MOST_CONNECTORS as usize {
        let message = format!(
            "Too many: {}: must have at most {MOST_CONNECTORS} items, because Cloudflare takes {MOST_CONNECTORS} connectors for a tunnel",
            written.len()
        );
        fields.invalid("spec.tunnel.replicas", message);
    }
    let mut names = BTreeSet::new();
    let each = written.iter().take(MOST_CONNECTORS as usize).enumerate();
    Some(
        each.map(|(index, written)| replica(fields, index, written, &mut names))
            .collect(),
    )
}

fn replica<'w>(
    fields: &Fields,
    index: usize,
    written: &'w ParametersReplica,
    names: &mut BTreeSet<&'w str>,
) -> Replica {
    let field = |name: &str| format!("spec.tunnel.replicas[{index}].{name}");
    let name = written.name.as_str();
    if !is_dns_label(name) {
        let message = format!("Invalid value: {name:?}: must be 1 to 63 of a-z, 0-9 and inner `-`");
        fields.invalid(field("name"), message);
    } else if !names.insert(name) {
        let message = format!("Duplicate value: {name:?}: rename one of the two replicas");
        fields.invalid(field("name"), message);
    }
    if let Some(zone) = &written.zone {
        fields.required(field("zone"), zone);
        if written.affinity.is_some() {
            let message = "Forbidden: zone and affinity exclude each other; remove one of them";
            fields.invalid(field("affinity"), message);
        }
    }
    let nodes = written.node_selector.len();
    at_most(fields, &field("nodeSelector"), nodes, MOST_NODE_LABELS);
    Replica {
        name: written.name.clone(),
        zone: written.zone.clone(),
        node_selector: written.node_selector.clone(),
        affinity: written.affinity.as_ref().map(json),
    }
}

/// Whether there are at most so many.
fn at_most(fields: &Fields, field: &str, count: usize, most: usize) -> bool {
    if count > most {
        let message = format!("Too many: {count}: must have at most {most} items");
        fields.invalid(field, message);
    }
    count <= most
}

fn json(value: &impl Serialize) -> Json {
    Json::new(serde_json::to_string(value).unwrap_or_default())
}

pub(super) fn resources(fields: &Fields, written: &ParametersTunnel) -> Option<Resources> {
    let written = written.resources.as_ref()?;
    Some(Resources {
        requests: quantities(fields, "spec.tunnel.resources.requests", &written.requests),
        limits: quantities(fields, "spec.tunnel.resources.limits", &written.limits),
    })
}

fn quantities(
    fields: &Fields,
    field: &str,
    written: &BTreeMap<String, Value>,
) -> BTreeMap<String, String> {
    at_most(fields, field, written.len(), MOST_QUANTITIES);
    let quantity = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        if !is_quantity(&text) {
            let message =
                format!("Invalid value: {value}: must be a quantity such as 100m or 128Mi");
            fields.invalid(format!("{field}.{name}"), message);
        }
        (name.clone(), text)
    };
    written.iter().map(quantity).collect()
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

pub(super) fn min_ready_seconds(fields: &Fields, written: &ParametersTunnel) -> Option<u32> {
    let field = "spec.tunnel.minReadySeconds";
    written
        .min_ready_seconds
        .and_then(|seconds| number(fields, field, seconds, 0..=LONGEST_MIN_READY))
}

fn number(fields: &Fields, field: &str, number: i64, range: RangeInclusive<i64>) -> Option<u32> {
    let fits = range.contains(&number);
    if !fits {
        let message = format!(
            "Invalid value: {number}: must be from {} to {}",
            range.start(),
            range.end()
        );
        fields.invalid(field, message);
    }
    u32::try_from(number).ok().filter(|_| fits)
}

fn settings(fields: &Fields, written: &ParametersTunnel) -> ProxySettings {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let nothing = ParametersLimits::default();
    let limits = written.limits.as_ref().unwrap_or(&nothing);
    let text = |field: &str, text: &Option<String>, values: &[&str]| {
        let text = text.as_deref()?;
        one_of(fields, field, text, values).then(|| text.to_owned())
    };
    let time = |name: &str, text: &Option<String>| {
        let field = format!("spec.tunnel.limits.{name}");
        time(fields, field, text.as_deref()?, &TIMES)
    };
    ProxySettings {
        log_level: text("spec.tunnel.logLevel", &written.log_level, &LEVELS),
        protocol: text(
            "spec.tunnel.protocol",
            &written.protocol,
            &["auto", "http2", "quic"],
        ),
        grace_period: written.grace_period.as_deref().and_then(|text| {
            let field = "spec.tunnel.gracePeriod".to_owned();
            self::time(fields, field, text, &GRACE)
        }),
        max_in_flight: limits.max_in_flight_requests.and_then(|count| {
            let field = "spec.tunnel.limits.maxInFlightRequests";
            number(fields, field, count, 1..=MOST_IN_FLIGHT)
        }),
        connect_timeout: time("connectTimeout", &limits.connect_timeout),
        answer_timeout: time("answerTimeout", &limits.answer_timeout),
        body_idle_timeout: time("bodyIdleTimeout", &limits.body_idle_timeout),
        upgrade_idle_timeout: time("upgradeIdleTimeout", &limits.upgrade_idle_timeout),
    }
}

/// Whether a text is one of these.
fn one_of(fields: &Fields, field: &str, text: &str, values: &[&str]) -> bool {
    let is_one = values.contains(&text);
    if !is_one {
        let message = format!(
            "Unsupported value: {text:?}: must be one of {}",
            values.join(", ")
        );
        fields.invalid(field, message);
    }
    is_one
}

fn time(
    fields: &Fields,
    field: String,
    text: &str,
    range: &RangeInclusive<Duration>,
) -> Option<Duration> {
    let time = duration(fields, field.clone(), text)?;
    let fits = range.contains(&time);
    if !fits {
        let message = format!(
            "Invalid value: {text:?}: must be from {:?} to {}h",
            range.start(),
            range.end().as_secs() / 3600
        );
        fields.invalid(field, message);
    }
    Some(time).filter(|_| fits)
}
