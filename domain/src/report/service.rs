//! Statuses of Services that ask to be exposed: those of their routes, and what is told of their load balancers.

use super::{Context, Verdict, dns, ready};
use crate::attachment::{ParentResolution, RefusedService};
use crate::names::{Hostname, ObjectKey, ObjectRef};
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

/// Of one without a Gateway to go to. What its load balancer says stays where it is not known whether there is one.
pub(super) fn refused(service: &RefusedService) -> StatusUpdate {
    let accepted = Verdict::refused(&service.refusal);
    let is_decided = accepted.truth == Truth::False;
    let accepted = accepted.condition(ConditionType::Accepted, service.generation);
    let ready = ready::verdict(&format!("Service {}", service.service), [&accepted]);
    let ready = ready.condition(ConditionType::Ready, service.generation);
    let own = StatusPart {
        part: Part::Object,
        gateway: None,
        conditions: vec![accepted, ready],
    };
    let emptied = service.is_load_balancer && is_decided;
    let emptied = emptied.then(|| load_balancer(Vec::new(), None));
    StatusUpdate {
        object: ObjectRef {
            group: String::new(),
            kind: "Service".to_owned(),
            key: service.service.clone(),
        },
        addresses: Vec::new(),
        details: None,
        parts: emptied.into_iter().chain([own]).collect(),
    }
}

pub(super) fn load_balancer(hostnames: Vec<Hostname>, gateway: Option<&ObjectKey>) -> StatusPart {
    StatusPart {
        part: Part::LoadBalancer { hostnames },
        gateway: gateway.cloned(),
        conditions: Vec::new(),
    }
}

/// The hostnames that lead to a Service by its route, wildcards excepted, which Kubernetes takes no load balancer for.
/// `None` where that is not known: then what was written stays.
pub(super) fn leading_here<'c>(
    parent: &ParentResolution,
    conditions: impl Iterator<Item = &'c Condition>,
    context: &Context<'_>,
) -> Option<Vec<Hostname>> {
    let served_by = [
        ConditionType::Accepted,
        ConditionType::ResolvedRefs,
        ConditionType::Programmed,
    ];
    let decisive: Vec<&Condition> = conditions
        .filter(|it| served_by.contains(&it.kind))
        .collect();
    if decisive.iter().any(|it| is_refusal(it)) {
        return Some(Vec::new());
    }
    if decisive.iter().any(|it| it.truth != Truth::True) {
        return None;
    }
    let edge = context.edge(&parent.gateway);
    let mut leading = Vec::new();
    for hostname in parent.hostnames.iter().filter(|name| !name.is_wildcard()) {
        let verdict = dns::of_hostname(hostname, &parent.gateway, &edge);
        match (verdict.truth, verdict.reason) {
            (Truth::True, _) | (_, Reason::NotManaged) => leading.push(hostname.clone()),
            (Truth::False, _) => {}
            (Truth::Unknown, Reason::ZoneNotServed) => leading.push(hostname.clone()),
            (Truth::Unknown, _) => return None,
        }
    }
    Some(leading)
}

/// Whether a condition says for certain that nothing leads here.
fn is_refusal(condition: &Condition) -> bool {
    let may_pass = [
        Reason::Pending,
        Reason::NoResources,
        Reason::EdgeUnavailable,
        Reason::BrokerUnavailable,
    ];
    condition.truth == Truth::False && !may_pass.contains(&condition.reason)
}
