//! Statuses from resolutions and from what is known of the edge.

mod addresses;
mod api_kinds;
mod certificates;
mod details;
mod dns;
mod edge_view;
mod gateway;
mod headers;
mod listener_set;
mod parameters;
mod policy;
mod ready;
mod records;
mod route;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::edge_view::EdgeView;
use crate::attachment::{ClassResolution, Refusal, Resolution, listed};
use crate::edge::EdgeStatus;
use crate::error::PortError;
use crate::gateway::{ApiKind, GATEWAY_GROUP};
use crate::names::{ObjectKey, ObjectRef};
use crate::rotation::{Request, RotationFacts};
use crate::snapshot::{ObjectKind, Reading};
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};
use crate::workload::WorkloadStatus;

/// What is known of a Gateway outside the snapshot, for its statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayFacts {
    /// Last answer of the edge; `None` before the first.
    pub edge: Option<Result<EdgeStatus, PortError>>,
    /// Status of an earlier answer, for what is still true while the edge is away.
    pub last_known: Option<EdgeStatus>,
    /// How its proxy is doing.
    pub workload: WorkloadStatus,
    /// How its token is doing; `None` while nothing is known of it.
    pub rotation: Option<RotationFacts>,
    /// Why something of it is left, though it is to be removed.
    pub removal: Option<PortError>,
    /// The last comparison with the edge that somebody asked for and that was made
    /// ([`RECONCILE_REQUEST_ANNOTATION`](crate::gateway::RECONCILE_REQUEST_ANNOTATION)).
    pub handled: Option<Request>,
}

/// The statuses of every object of ours. A Gateway without facts is one that the edge has not answered
/// for yet.
///
/// What could not be read is not reported on: without classes, Gateways, ListenerSets or routes there are no statuses of
/// these three, and what depends on any other kind is Unknown.
pub fn report(
    resolution: &Resolution,
    facts: &BTreeMap<ObjectKey, GatewayFacts>,
) -> Vec<StatusUpdate> {
    let mut updates: Vec<StatusUpdate> = resolution
        .classes
        .iter()
        .map(|(name, class)| StatusUpdate {
            object: reference("GatewayClass", &ObjectKey::new("", name)),
            addresses: Vec::new(),
            details: None,
            parts: vec![StatusPart {
                part: Part::Object,
                gateway: None,
                conditions: class_conditions(name, class, &resolution.api_kinds),
            }],
        })
        .collect();
    let needed = [
        ObjectKind::GatewayClass,
        ObjectKind::Gateway,
        ObjectKind::ListenerSet,
        ObjectKind::Route,
    ];
    if needed
        .iter()
        .any(|kind| resolution.unread.contains_key(kind))
    {
        return updates;
    }
    let context = Context { resolution, facts };
    let attached = route::attached(&context);
    let gateways = resolution.gateways.iter();
    let gateways: BTreeMap<&ObjectKey, StatusUpdate> = gateways
        .map(|(key, gateway)| (key, gateway::status(gateway, &context, &attached)))
        .collect();
    let programmed = |key: &ObjectKey| {
        let conditions = gateways.get(key)?.conditions();
        let mut programmed = conditions.filter(|it| it.kind == ConditionType::Programmed);
        programmed.next()
    };
    let sets = resolution.gateways.iter().filter_map(|(key, gateway)| {
        let programmed = programmed(key)?;
        Some(listener_set::statuses(
            gateway, programmed, &context, &attached,
        ))
    });
    let sets: Vec<StatusUpdate> = sets.flatten().collect();
    let routes = resolution.routes.iter();
    let routes: Vec<StatusUpdate> = routes
        .map(|route| route::status(route, &context, programmed))
        .collect();
    let live = resolution.gateways.values();
    let live = live.filter(|gateway| !gateway.gateway.deleting);
    let details = live.filter_map(|gateway| {
        let status = gateways.get(&gateway.gateway.key)?;
        Some(details::status(gateway, status, &context))
    });
    updates.extend(details);
    updates.extend(gateways.into_values().chain(sets).chain(routes));
    // Which Gateways have a route to a target follows from all kinds.
    if resolution.is_complete() {
        let policies = resolution.backend_tls.iter();
        let policies = policies.chain(&resolution.backend_traffic);
        let policies = policies.chain(&resolution.external_backends);
        updates.extend(policies.map(policy::status));
    }
    updates.extend(resolution.refused_services.iter().map(service::refused));
    updates
}

/// An object of the Gateway API.
fn reference(kind: &str, key: &ObjectKey) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        key: key.clone(),
    }
}

/// What every status is made from.
struct Context<'a> {
    resolution: &'a Resolution,
    facts: &'a BTreeMap<ObjectKey, GatewayFacts>,
}

impl<'a> Context<'a> {
    /// What is known of a Gateway at the edge.
    fn edge(&self, gateway: &ObjectKey) -> EdgeView<'a> {
        EdgeView::new(self.facts.get(gateway))
    }

    /// Why references that these kinds decide on are unknown.
    fn undecided(&self, kinds: &[ObjectKind]) -> Option<Verdict> {
        let mut unread = kinds
            .iter()
            .filter_map(|kind| Some((kind, self.resolution.unread.get(kind)?)));
        unread.next().map(|(kind, why)| {
            let message = format!("{} could not be read: {why}", kind.plural());
            Verdict::new(Truth::Unknown, Reason::Pending, message)
        })
    }
}

/// A condition that lacks only its type and the generation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    truth: Truth,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            truth,
            reason,
            message: message.into(),
        }
    }

    /// False, or Unknown where nothing is decided yet.
    fn refused(refusal: &Refusal) -> Self {
        let truth = match refusal.reason {
            Reason::Pending => Truth::Unknown,
            _ => Truth::False,
        };
        Self::new(truth, refusal.reason, refusal.message.clone())
    }

    /// The refusal, or else this.
    fn of(refusal: Option<&Refusal>, otherwise: impl FnOnce() -> Self) -> Self {
        refusal.map_or_else(otherwise, Self::refused)
    }

    fn condition(self, kind: ConditionType, generation: i64) -> Condition {
        Condition {
            kind,
            truth: self.truth,
            reason: self.reason,
            message: self.message,
            generation,
        }
    }
}

fn class_conditions(
    name: &str,
    class: &ClassResolution,
    kinds: &Reading<Vec<ApiKind>>,
) -> Vec<Condition> {
    let accepted = class_accepted(name, class);
    // It makes no class less ready: of CRDs of any release what is known is served.
    let version = api_kinds::verdict(kinds);
    let version = version.condition(ConditionType::SupportedVersion, class.generation);
    let ready = ready::verdict(&format!("GatewayClass {name}"), [&accepted]);
    let ready = ready::conditions(ready, class.generation);
    [accepted, version].into_iter().chain(ready).collect()
}

fn class_accepted(name: &str, class: &ClassResolution) -> Condition {
    let accepted = || {
        let mut message = format!("GatewayClass {name} is served by this controller");
        if !class.without_effect.is_empty() {
            let without_effect = listed(class.without_effect.iter().cloned());
            message.push_str(&format!(
                "; without effect in its parameters: {without_effect}"
            ));
        }
        Verdict::new(Truth::True, Reason::Accepted, message)
    };
    Verdict::of(class.refusal.as_ref(), accepted)
        .condition(ConditionType::Accepted, class.generation)
}
