//! Statuses of routes.

use std::collections::{BTreeMap, BTreeSet};

use super::edge_view::Known;
use super::{Context, Verdict, dns, headers, ready, service};
use crate::attachment::{
    BackendTlsEffect, GatewayResolution, ParentResolution, Refusal, RouteResolution, listed,
};
use crate::edge::HostnameOutcome;
use crate::gateway::{BACKEND_TLS_POLICY_KIND, BackendKind, Route, RouteSource};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::ObjectKind;
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

/// How many routes each listener has, by Gateway and listener name.
pub(super) type Attached<'a> = BTreeMap<(&'a ObjectKey, &'a str), u32>;

/// Counts the routes with Accepted=True on each listener, each route once. Those that lost all hostnames
/// to other Gateways are not among them.
pub(super) fn attached<'a>(context: &Context<'a>) -> Attached<'a> {
    let mut counts = Attached::new();
    for route in &context.resolution.routes {
        let accepted = route
            .parents
            .iter()
            .filter(|parent| refusal(&route.route, parent, context).is_none());
        let listeners: BTreeSet<(&ObjectKey, &str)> = accepted
            .flat_map(|parent| {
                let gateway = &parent.gateway;
                parent.listeners.iter().map(move |l| (gateway, l.as_str()))
            })
            .collect();
        for listener in listeners {
            *counts.entry(listener).or_default() += 1;
        }
    }
    counts
}

/// One entry for each parent of ours. `programmed` is that condition of a Gateway.
pub(super) fn status<'s>(
    route: &RouteResolution,
    context: &Context<'_>,
    programmed: impl Fn(&ObjectKey) -> Option<&'s Condition>,
) -> StatusUpdate {
    let mut parts = Vec::with_capacity(route.parents.len());
    for parent in &route.parents {
        let mut conditions = conditions(route, parent, context);
        let programmed = programmed(&parent.gateway);
        if is_load_balancer(&route.route) {
            let conditions = conditions.iter().chain(programmed);
            let hostnames = service::leading_here(parent, conditions, context);
            parts.extend(hostnames.map(|it| service::load_balancer(it, Some(&parent.gateway))));
        }
        let subject = format!("{} on Gateway {}", route.route, parent.gateway);
        let ready = ready::verdict(&subject, conditions.iter().chain(programmed));
        conditions.push(ready.condition(ConditionType::Ready, route.route.generation));
        parts.push(StatusPart {
            part: Part::Parent(parent.parent.clone()),
            gateway: Some(parent.gateway.clone()),
            conditions,
        });
    }
    StatusUpdate {
        object: route.route.object(),
        addresses: Vec::new(),
        details: None,
        parts,
    }
}

fn is_load_balancer(route: &Route) -> bool {
    route.source
        == RouteSource::Service {
            is_load_balancer: true,
        }
}

fn conditions(
    route: &RouteResolution,
    parent: &ParentResolution,
    context: &Context<'_>,
) -> Vec<Condition> {
    let generation = route.route.generation;
    let refusal = refusal(&route.route, parent, context);
    let gateway = context.resolution.gateways.get(&parent.gateway);
    let accepted = Verdict::of(refusal.as_ref(), || accepted(parent, gateway));
    let resolved = Verdict::of(parent.unresolved.as_ref(), || resolved(route, context));
    let mut conditions = vec![
        accepted.condition(ConditionType::Accepted, generation),
        resolved.condition(ConditionType::ResolvedRefs, generation),
    ];
    if refusal.is_none()
        && let Some(partly) = &parent.without_rules
    {
        let verdict = Verdict::new(Truth::True, partly.reason, partly.message.clone());
        conditions.push(verdict.condition(ConditionType::PartiallyInvalid, generation));
    }
    if let Some(effect) = &parent.backend_tls {
        let verdict = affected(effect);
        conditions.push(verdict.condition(ConditionType::BackendTlsAffected, generation));
    }
    if let Some(why) = &parent.lost_sessions {
        let verdict = Verdict::new(Truth::False, Reason::UnsupportedValue, why.clone());
        conditions.push(verdict.condition(ConditionType::Sessions, generation));
    }
    if parent.refusal.is_none()
        && let Some(gateway) = gateway
    {
        let dns = hostnames_resolve(parent, gateway, context);
        let dns = match &parent.without_names {
            Some(names) => without(names, &dns),
            None => dns,
        };
        conditions.push(dns.condition(ConditionType::Dns, generation));
        let underscored = gateway.parameters.underscored_headers;
        let headers = headers::verdict(&route.route, underscored);
        conditions.extend(headers.map(|v| v.condition(ConditionType::Headers, generation)));
    }
    conditions
}

/// Why a parent is refused; also where other Gateways hold every hostname that the route would have there.
fn refusal(route: &Route, parent: &ParentResolution, context: &Context<'_>) -> Option<Refusal> {
    if parent.refusal.is_some() || parent.hostnames.is_empty() {
        return parent.refusal.clone();
    }
    let gateway = &parent.gateway;
    let edge = context.edge(gateway);
    let mut claims = Vec::new();
    for hostname in &parent.hostnames {
        match edge.outcome(hostname) {
            Known::Now(HostnameOutcome::Claimed { by })
            | Known::Earlier(HostnameOutcome::Claimed { by }, _) => {
                claims.push(format!("{hostname} is held by Gateway {by}"));
            }
            _ => return None,
        }
    }
    let message = format!(
        "Gateway {gateway}: {}: an older claim of another Gateway holds every hostname: {}; use another hostname or remove it there",
        route.hostnames_field(),
        listed(claims)
    );
    Some(Refusal::new(Reason::ClaimedByOther, message))
}

fn accepted(parent: &ParentResolution, gateway: Option<&GatewayResolution>) -> Verdict {
    let key = &parent.gateway;
    let listeners = parent.listeners.join(", ");
    let mut message = format!("attached to Gateway {key}, listeners {listeners}");
    if !gateway.is_some_and(|gateway| is_served(parent, gateway)) {
        message.push_str("; none of them serves yet, see the Gateway's status");
    }
    Verdict::new(Truth::True, Reason::Accepted, message)
}

fn is_served(parent: &ParentResolution, gateway: &GatewayResolution) -> bool {
    let mut tables = gateway.table.listeners.iter();
    gateway.is_served() && tables.any(|listener| parent.listeners.contains(&listener.name))
}

fn resolved(route: &RouteResolution, context: &Context<'_>) -> Verdict {
    let route = &route.route;
    let mut depends_on = kinds_of(|| route.references());
    if route
        .references()
        .any(|target| target.key.namespace != route.key.namespace)
    {
        depends_on.push(ObjectKind::ReferenceGrant);
    }
    context.undecided(&depends_on).unwrap_or_else(|| {
        let message = "every reference of the route resolves";
        Verdict::new(Truth::True, Reason::ResolvedRefs, message)
    })
}

/// The kinds of backends that references name.
pub(super) fn kinds_of<'r, I>(references: impl Fn() -> I) -> Vec<ObjectKind>
where
    I: Iterator<Item = &'r ObjectRef>,
{
    let kinds = [
        (BackendKind::Service, ObjectKind::Service),
        (BackendKind::ServiceImport, ObjectKind::ServiceImport),
        (BackendKind::External, ObjectKind::ExternalBackend),
    ];
    let named = kinds
        .into_iter()
        .filter(|(kind, _)| references().any(|target| BackendKind::of(target) == Some(*kind)));
    named.map(|(_, object)| object).collect()
}

/// Which policies hold for the backends, or why some of these cannot be spoken to as a policy asks.
fn affected(effect: &BackendTlsEffect) -> Verdict {
    match &effect.unusable {
        Some(why) => Verdict::new(Truth::True, Reason::Invalid, why.clone()),
        None => {
            let policies = listed(effect.policies.iter().map(ToString::to_string));
            let message = format!("{BACKEND_TLS_POLICY_KIND} {policies}: TLS to backends");
            Verdict::new(Truth::True, Reason::Accepted, message)
        }
    }
}

/// The same of a route that may not have some of its hostnames: no record is made for these.
fn without(names: &Refusal, dns: &Verdict) -> Verdict {
    let mut message = names.message.clone();
    if dns.truth != Truth::True {
        message.push_str("; ");
        message.push_str(&dns.message);
    }
    Verdict::new(Truth::False, names.reason, message)
}

fn hostnames_resolve(
    parent: &ParentResolution,
    gateway: &GatewayResolution,
    context: &Context<'_>,
) -> Verdict {
    let key = &gateway.gateway.key;
    if !is_served(parent, gateway) {
        let message = format!("Gateway {key} serves none of the route's listeners yet");
        return Verdict::new(Truth::Unknown, Reason::Pending, message);
    }
    if parent.hostnames.is_empty() {
        let message = format!(
            "neither the route nor the listener names a hostname, so it is reachable only by the address of Gateway {key}; set spec.hostnames"
        );
        return Verdict::new(Truth::False, Reason::NoHostname, message);
    }
    dns::verdict(&parent.hostnames, key, &context.edge(key))
}
