//! Statuses of Gateways and their listeners.

use super::edge_view::{Answer, EdgeView, error_reason};
use super::route::Attached;
use super::{Context, Verdict, certificates, parameters, ready, records, reference};
use crate::attachment::{GatewayResolution, ListenerResolution, listed, refused_listeners};
use crate::edge::IngressOutcome;
use crate::error::PortErrorKind;
use crate::gateway::how_to_let_go;
use crate::snapshot::ObjectKind;
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

pub(super) fn status(
    gateway: &GatewayResolution,
    context: &Context<'_>,
    attached: &Attached<'_>,
) -> StatusUpdate {
    let key = &gateway.gateway.key;
    let edge = context.edge(key);
    let programmed = programmed(gateway, &edge);
    let of_part = |part, conditions| StatusPart {
        part,
        gateway: Some(key.clone()),
        conditions,
    };
    let listeners = gateway.listeners.iter().map(|listener| {
        let name = &listener.listener.name;
        let count = attached.get(&(key, name.as_str()));
        let part = Part::Listener {
            name: name.clone(),
            supported_kinds: listener.supported_kinds.clone(),
            attached_routes: count.copied().unwrap_or(0),
        };
        let conditions = listener_conditions(listener, gateway, &programmed, context);
        of_part(part, conditions)
    });
    let listeners: Vec<StatusPart> = listeners.collect();
    let mut whole = conditions(gateway, &programmed, &edge);
    let overdue = edge.workload().map_or(&[][..], |it| &it.overdue);
    let ready = readiness(gateway, &whole, &listeners, overdue);
    whole.extend(ready::conditions(ready, gateway.gateway.generation));
    let whole = of_part(Part::Object, whole);
    StatusUpdate {
        object: reference("Gateway", key),
        addresses: edge.addresses(),
        details: None,
        parts: std::iter::once(whole).chain(listeners).collect(),
    }
}

/// Ready of the Gateway: by what its owner answers for. Whether a hostname has its record is its route's to say: a route
/// of another namespace must not make the Gateway fail.
fn readiness(
    gateway: &GatewayResolution,
    whole: &[Condition],
    listeners: &[StatusPart],
    overdue: &[String],
) -> Verdict {
    let of_gateway = whole.iter().filter(|it| it.kind != ConditionType::Dns);
    let of_listeners = listeners.iter().flat_map(|listener| &listener.conditions);
    // It is that of the Gateway, with the listeners' own conditions.
    let of_listeners = of_listeners.filter(|it| it.kind != ConditionType::Programmed);
    let subject = format!("Gateway {}", gateway.gateway.key);
    let ready = ready::verdict(&subject, of_gateway.chain(of_listeners));
    if overdue.is_empty() || ready.truth == Truth::False || !gateway.is_served() {
        return ready;
    }
    let overdue = listed(overdue.iter().cloned());
    let message = format!("{overdue}; see the Gateway's Programmed condition");
    Verdict::new(Truth::False, Reason::ReconciliationFailed, message)
}

fn conditions(
    gateway: &GatewayResolution,
    programmed: &Verdict,
    edge: &EdgeView<'_>,
) -> Vec<Condition> {
    let mut verdicts = vec![
        (ConditionType::Accepted, Some(accepted(gateway))),
        (ConditionType::Programmed, Some(programmed.clone())),
    ];
    if gateway.is_served() {
        verdicts.extend([
            (ConditionType::Dns, Some(records::verdict(gateway, edge))),
            (
                ConditionType::Certificates,
                certificates::verdict(gateway, edge),
            ),
        ]);
    }
    verdicts.push((
        ConditionType::Parameters,
        parameters::verdict(gateway, edge),
    ));
    let generation = gateway.gateway.generation;
    let verdicts = verdicts.into_iter();
    verdicts
        .filter_map(|(kind, verdict)| Some(verdict?.condition(kind, generation)))
        .collect()
}

fn accepted(gateway: &GatewayResolution) -> Verdict {
    Verdict::of(gateway.refusal.as_ref(), || {
        let key = &gateway.gateway.key;
        match refused_listeners(&gateway.listeners) {
            None => {
                let message = format!("Gateway {key} and all of its listeners are accepted");
                Verdict::new(Truth::True, Reason::Accepted, message)
            }
            Some(refused) => {
                let message = format!(
                    "Gateway {key} is accepted without these listeners: {refused}; see their conditions"
                );
                Verdict::new(Truth::True, Reason::ListenersNotValid, message)
            }
        }
    })
}

/// True needs an address and a ready replica. While the edge is away the tunnel of an earlier answer
/// counts: what was there stays. What only the user can mend is said at once, even if traffic still flows.
fn programmed(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Verdict {
    if let Some(verdict) = going(gateway, edge).or_else(|| not_served(gateway)) {
        return verdict;
    }
    let mut note = String::new();
    if let Answer::Error(error) = edge.answer() {
        let reason = error_reason(error.kind);
        if edge.addresses().is_empty() || is_for_the_user(error.kind) {
            return Verdict::new(Truth::False, reason, error.message.clone());
        }
        note = format!(" (last known; nothing newer is known: {})", error.message);
    }
    let addresses = edge.addresses();
    if addresses.is_empty() {
        let message = "the tunnel is not made yet";
        return Verdict::new(Truth::False, Reason::Pending, message);
    }
    let (ready, problems) = edge
        .workload()
        .map_or((0, String::new()), |w| (w.ready, w.problems.join("; ")));
    let addresses = addresses.join(", ");
    if ready == 0 {
        let problems = match problems.as_str() {
            "" => "it is starting",
            problems => problems,
        };
        let message = format!("no proxy replica is ready for {addresses}{note}: {problems}");
        return Verdict::new(Truth::False, Reason::Pending, message);
    }
    let mut message = format!("{addresses} leads to {ready} ready proxy replicas{note}");
    if !problems.is_empty() {
        message.push_str("; others are not ready: ");
        message.push_str(&problems);
    }
    message.extend(unshown(edge));
    Verdict::new(Truth::True, Reason::Programmed, message)
}

/// Of one that is being deleted, whatever else is true of it.
fn going(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
    let key = &gateway.gateway.key;
    let message = match edge.removal() {
        _ if !gateway.gateway.deleting => return None,
        None => format!("Gateway {key} is being deleted"),
        Some(error) => format!(
            "Gateway {key} is being deleted, and not all that it has could be removed: {}; {}",
            error.message,
            how_to_let_go(key)
        ),
    };
    Some(Verdict::new(Truth::False, Reason::Pending, message))
}

fn not_served(gateway: &GatewayResolution) -> Option<Verdict> {
    let key = &gateway.gateway.key;
    if let Some(refusal) = &gateway.refusal {
        let (truth, reason) = match refusal.reason {
            Reason::Pending => (Truth::Unknown, Reason::Pending),
            Reason::InvalidParameters => (Truth::False, Reason::InvalidParameters),
            _ => (Truth::False, Reason::Invalid),
        };
        return Some(Verdict::new(truth, reason, refusal.message.clone()));
    }
    if !gateway.listeners.iter().any(ListenerResolution::is_served) {
        let message = format!("Gateway {key} has no listener that can serve; see their conditions");
        return Some(Verdict::new(Truth::False, Reason::Invalid, message));
    }
    None
}

/// Failures that stay until credentials or permissions are changed.
fn is_for_the_user(kind: PortErrorKind) -> bool {
    matches!(
        kind,
        PortErrorKind::Credentials
            | PortErrorKind::Unauthenticated
            | PortErrorKind::Forbidden
            | PortErrorKind::TooManyGateways
    )
}

/// What Cloudflare's dashboard does not show of the tunnel, though all of it is served.
fn unshown(edge: &EdgeView<'_>) -> Option<String> {
    match edge.status()?.ingress {
        IngressOutcome::CatchAll { hostnames } => Some(format!(
            "; Cloudflare's dashboard shows one rule for all {hostnames} hostnames, which are more than it takes rules"
        )),
        IngressOutcome::WithoutPaths => Some(
            "; Cloudflare's dashboard shows hostnames without paths, of which there are more than it takes rules"
                .to_owned(),
        ),
        IngressOutcome::Complete | IngressOutcome::Unknown { .. } => None,
    }
}

fn listener_conditions(
    listener: &ListenerResolution,
    gateway: &GatewayResolution,
    programmed: &Verdict,
    context: &Context<'_>,
) -> Vec<Condition> {
    let generation = gateway.gateway.generation;
    let name = &listener.listener.name;
    let accepted = Verdict::of(listener.refusal.as_ref(), || {
        let message = format!("listener {name} is accepted");
        Verdict::new(Truth::True, Reason::Accepted, message)
    });
    let resolved = Verdict::of(listener.unresolved.as_ref(), || {
        references_resolve(listener, gateway, context)
    });
    [
        (ConditionType::Accepted, accepted),
        (
            ConditionType::Programmed,
            listener_programmed(listener, programmed),
        ),
        (ConditionType::ResolvedRefs, resolved),
        (ConditionType::Conflicted, conflicted(listener)),
    ]
    .into_iter()
    .map(|(kind, verdict)| verdict.condition(kind, generation))
    .collect()
}

fn listener_programmed(listener: &ListenerResolution, gateway: &Verdict) -> Verdict {
    if listener.is_served() {
        return gateway.clone();
    }
    let cause = listener.refusal.as_ref().or(listener.unresolved.as_ref());
    let message = cause.map_or_else(String::new, |refusal| refusal.message.clone());
    Verdict::new(Truth::False, Reason::Invalid, message)
}

fn references_resolve(
    listener: &ListenerResolution,
    gateway: &GatewayResolution,
    context: &Context<'_>,
) -> Verdict {
    let namespace = &gateway.gateway.key.namespace;
    let across = listener
        .certificates
        .iter()
        .any(|secret| secret.key.namespace != *namespace);
    let undecided = across.then(|| context.undecided(&[ObjectKind::ReferenceGrant]));
    undecided.flatten().unwrap_or_else(|| {
        let message = "every reference of the listener resolves";
        Verdict::new(Truth::True, Reason::ResolvedRefs, message)
    })
}

/// The one condition of a listener whose True is bad news.
fn conflicted(listener: &ListenerResolution) -> Verdict {
    match &listener.conflict {
        Some(conflict) => Verdict::new(Truth::True, conflict.reason, conflict.message.clone()),
        None => {
            let message = "no other listener of the Gateway has the same port with the same hostname or another protocol";
            Verdict::new(Truth::False, Reason::NoConflicts, message)
        }
    }
}
