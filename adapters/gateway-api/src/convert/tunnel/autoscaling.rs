//! `spec.tunnel.autoscaling`.

use domain::gateway::{Autoscaling, HorizontalAutoscaling, MOST_CONNECTORS, VerticalAutoscaling};

use super::{at_most, number, one_of, quantities};
use crate::fields::Fields;
use crate::types::{ParametersAutoscaling, ParametersHorizontal};

const FIELD: &str = "spec.tunnel.autoscaling";

/// Limits of the CRD.
const MOST_RESOURCES: usize = 8;
const MOST_IN_FLIGHT: i64 = 1_000_000;

/// Replicas of which one may go while the other serves.
const LEAST_BY_DEFAULT: u32 = 2;

pub(super) fn read(fields: &Fields, written: &ParametersAutoscaling) -> Autoscaling {
    let vertical = vertical(fields, written);
    let horizontal = written.horizontal.as_ref();
    if written.enabled.is_none() && horizontal.is_none() {
        let message = "Required value: write true for a VerticalPodAutoscaler, or horizontal";
        fields.invalid(format!("{FIELD}.enabled"), message);
    }
    Autoscaling {
        vertical: vertical.filter(|_| written.enabled == Some(true)),
        horizontal: horizontal.and_then(|written| self::horizontal(fields, written)),
    }
}

fn vertical(fields: &Fields, written: &ParametersAutoscaling) -> Option<VerticalAutoscaling> {
    let field = |name: &str| format!("{FIELD}.{name}");
    let min_allowed = written.min_allowed.as_ref();
    let max_allowed = written.max_allowed.as_ref();
    let resources = written.controlled_resources.as_ref();
    let count = resources.map_or(0, Vec::len);
    let field_of_resources = field("controlledResources");
    let resources_fit = at_most(fields, &field_of_resources, count, MOST_RESOURCES);
    for (index, resource) in resources.into_iter().flatten().enumerate() {
        fields.required(format!("{field_of_resources}[{index}]"), resource);
    }
    let values = written.controlled_values.as_deref();
    let values_fit = values.is_none_or(|value| {
        let values = ["RequestsAndLimits", "RequestsOnly"];
        one_of(fields, &field("controlledValues"), value, &values)
    });
    Some(VerticalAutoscaling {
        min_allowed: min_allowed.map(|it| quantities(fields, &field("minAllowed"), it)),
        max_allowed: max_allowed.map(|it| quantities(fields, &field("maxAllowed"), it)),
        controlled_resources: resources.cloned().filter(|_| resources_fit),
        controlled_values: values.map(str::to_owned).filter(|_| values_fit),
    })
}

fn horizontal(fields: &Fields, written: &ParametersHorizontal) -> Option<HorizontalAutoscaling> {
    let field = |name: &str| format!("{FIELD}.horizontal.{name}");
    let most = i64::from(MOST_CONNECTORS);
    let replicas = |name: &str, count: i64| {
        let field = field(name);
        if count > most {
            let message = format!(
                "Invalid value: {count}: must be at most {most}, because Cloudflare takes {most} connectors for a tunnel"
            );
            fields.invalid(field, message);
            return None;
        }
        number(fields, &field, count, 1..=most)
    };
    let max_replicas = replicas("maxReplicas", written.max_replicas);
    let min_replicas = match written.min_replicas {
        Some(count) => replicas("minReplicas", count),
        None => max_replicas.map(|most| most.min(LEAST_BY_DEFAULT)),
    };
    let target = field("targetInFlightRequests");
    let in_flight = written.target_in_flight_requests;
    let target_in_flight = number(fields, &target, in_flight, 1..=MOST_IN_FLIGHT);
    let read = HorizontalAutoscaling {
        min_replicas: min_replicas?,
        max_replicas: max_replicas?,
        target_in_flight: target_in_flight?,
    };
    if read.min_replicas > read.max_replicas {
        let message = format!(
            "Invalid value: {}: must be at most maxReplicas, {}",
            read.min_replicas, read.max_replicas
        );
        fields.invalid(field("minReplicas"), message);
        return None;
    }
    Some(read)
}
