//! Statuses of Gateways and their listeners.

use super::edge_view::{Answer, EdgeView, error_reason};
use super::route::{Attached, kinds_of};
use super::{
    Context, Verdict, addresses, certificates, listener_set, parameters, ready, records, reference,
};
use crate::attachment::{GatewayResolution, ListenerResolution, listed, refused_listeners};
use crate::capabilities::EdgeKind;
use crate::edge::IngressOutcome;
use crate::error::PortErrorKind;
use crate::gateway::{AllowedNamespaces, RouteKind, how_to_let_go};
use crate::names::ObjectKey;
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
    let generation = gateway.gateway.generation;
    let listeners = gateway.own_listeners().iter().map(|listener| {
        let part = listener_part(listener, gateway, attached);
        let conditions = listener_conditions(listener, (key, generation), &programmed, context);
        of_part(part, conditions)
    });
    let listeners: Vec<StatusPart> = listeners.collect();
    let mut whole = conditions(gateway, &programmed, &edge);
    let overdue = edge.workload().map_or(&[][..], |it| &it.overdue);
    let ready = readiness(gateway, &whole, &listeners, overdue);
    whole.extend(ready::conditions(ready, generation));
    fit(&mut whole);
    // What is for information alone is left out where there is no room.
    if whole.len() < MOST_CONDITIONS {
        let told = grpc(gateway);
        whole.extend(told.map(|verdict| verdict.condition(ConditionType::Grpc, generation)));
    }
    let whole = of_part(Part::Object, whole);
    // Only where it lets some in: earlier versions of the kind do not have the field.
    let lets_in = gateway.gateway.allowed_listeners != AllowedNamespaces::None;
    let sets = lets_in.then(|| StatusPart {
        part: Part::ListenerSets {
            attached: listener_set::attached(gateway),
        },
        gateway: None,
        conditions: Vec::new(),
    });
    StatusUpdate {
        object: reference("Gateway", key),
        addresses: addresses::had(gateway, &edge),
        details: None,
        parts: std::iter::once(whole)
            .chain(sets)
            .chain(listeners)
            .collect(),
    }
}

/// A listener of a Gateway or of a ListenerSet of its.
pub(super) fn listener_part(
    listener: &ListenerResolution,
    gateway: &GatewayResolution,
    attached: &Attached<'_>,
) -> Part {
    let id = listener.id();
    let count = attached.get(&(&gateway.gateway.key, id.as_str()));
    Part::Listener {
        name: listener.listener.name.clone(),
        supported_kinds: listener.supported_kinds.clone(),
        attached_routes: count.copied().unwrap_or(0),
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
        (ConditionType::ResolvedRefs, client_certificate(gateway)),
        (
            ConditionType::InsecureFrontendValidationMode,
            insecure(gateway),
        ),
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

/// Conditions that the API server takes (Gateway API, `GatewayStatus`).
const MOST_CONDITIONS: usize = 8;

/// Leaves out what is said elsewhere too, where there are more conditions than the API server takes: those of ours that are
/// as they should be, and Stalled, which repeats Ready.
fn fit(conditions: &mut Vec<Condition>) {
    let spare = [
        (ConditionType::Parameters, Some(Truth::True)),
        (ConditionType::Certificates, Some(Truth::True)),
        (ConditionType::Stalled, None),
    ];
    for (kind, truth) in spare {
        if conditions.len() > MOST_CONDITIONS {
            conditions.retain(|it| it.kind != kind || truth.is_some_and(|truth| it.truth != truth));
        }
    }
}

/// Only where it is so (Gateway API, `InsecureFrontendValidationMode`).
fn insecure(gateway: &GatewayResolution) -> Option<Verdict> {
    let frontend = gateway.gateway.frontend.as_ref()?;
    let fields = frontend.insecure().map(|it| format!("{}.mode", it.field));
    let fields = listed(fields);
    (!fields.is_empty()).then(|| {
        let message = format!(
            "{fields}: AllowInsecureFallback refuses no visitor: backends have to check each certificate; write AllowValidOnly"
        );
        Verdict::new(Truth::True, Reason::ConfigurationChanged, message)
    })
}

fn accepted(gateway: &GatewayResolution) -> Verdict {
    Verdict::of(gateway.refusal.as_ref(), || {
        let key = &gateway.gateway.key;
        match refused_listeners(gateway.own_listeners()) {
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

/// Of a Gateway with GRPCRoutes behind Cloudflare's edge: neither Cloudflare nor anybody else promises that gRPC gets through.
/// It says nothing of whether the Gateway is ready.
fn grpc(gateway: &GatewayResolution) -> Option<Verdict> {
    let routes = gateway.table.listeners.iter().flat_map(|it| &it.routes);
    let has_grpc = || routes.clone().any(|route| route.kind == RouteKind::Grpc);
    let is_told = gateway.edge == EdgeKind::Cloudflare && gateway.is_served() && has_grpc();
    is_told.then(|| {
        let message = "GRPCRoutes are attached: Cloudflare's documentation calls gRPC on public hostnames of a tunnel unsupported, and it was seen to work over HTTP/2; check that gRPC is on in the Network settings of the zone, that tunnel.protocol is auto or http2, and that a call is answered";
        Verdict::new(Truth::Unknown, Reason::NotGuaranteed, message)
    })
}

/// Whether the certificate that is shown to backends resolves; only where one is named.
fn client_certificate(gateway: &GatewayResolution) -> Option<Verdict> {
    let certificate = gateway.client_certificate.as_ref()?;
    Some(Verdict::of(
        certificate.refusal.as_ref(),
        || match certificate.shown {
            Some(_) => {
                let message = "every reference of the Gateway resolves";
                Verdict::new(Truth::True, Reason::ResolvedRefs, message)
            }
            None => {
                let message =
                    "the Secret of spec.tls.backend.clientCertificateRef was not read yet";
                Verdict::new(Truth::Unknown, Reason::Pending, message)
            }
        },
    ))
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
    if let Some(verdict) = addresses::verdict(gateway, edge) {
        return verdict;
    }
    let addresses = addresses::had(gateway, edge);
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

/// Conditions of a listener; `owner` is the object that it stands in, with its generation.
pub(super) fn listener_conditions(
    listener: &ListenerResolution,
    (owner, generation): (&ObjectKey, i64),
    programmed: &Verdict,
    context: &Context<'_>,
) -> Vec<Condition> {
    let name = &listener.listener.name;
    let accepted = Verdict::of(listener.refusal.as_ref(), || {
        let message = format!("listener {name} is accepted");
        Verdict::new(Truth::True, Reason::Accepted, message)
    });
    let resolved = Verdict::of(listener.unresolved.as_ref(), || {
        references_resolve(listener, owner, context)
    });
    let always = [
        (ConditionType::Accepted, accepted),
        (
            ConditionType::Programmed,
            listener_programmed(listener, programmed),
        ),
        (ConditionType::ResolvedRefs, resolved),
        (ConditionType::Conflicted, conflicted(listener)),
    ];
    let overlap = overlap(listener).map(|verdict| (ConditionType::OverlappingTlsConfig, verdict));
    let all = always.into_iter().chain(overlap);
    all.map(|(kind, verdict)| verdict.condition(kind, generation))
        .collect()
}

/// `programmed` is that of the object that the listener stands in.
fn listener_programmed(listener: &ListenerResolution, programmed: &Verdict) -> Verdict {
    if listener.is_served() {
        return programmed.clone();
    }
    let cause = listener.refusal.as_ref().or(listener.unresolved.as_ref());
    let message = cause.map_or_else(String::new, |refusal| refusal.message.clone());
    let reason = match (&listener.set, &listener.conflict) {
        // As the conformance suite has it for ListenerSets.
        (Some(_), Some(conflict)) => conflict.reason,
        _ => Reason::Invalid,
    };
    Verdict::new(Truth::False, reason, message)
}

fn references_resolve(
    listener: &ListenerResolution,
    owner: &ObjectKey,
    context: &Context<'_>,
) -> Verdict {
    let mut depends_on = kinds_of(|| listener.listener.references());
    let certificates = listener.certificates.iter();
    let mut targets = certificates.chain(listener.listener.references());
    if targets.any(|target| target.key.namespace != owner.namespace) {
        depends_on.push(ObjectKind::ReferenceGrant);
    }
    context.undecided(&depends_on).unwrap_or_else(|| {
        let message = "every reference of the listener resolves";
        Verdict::new(Truth::True, Reason::ResolvedRefs, message)
    })
}

/// Never False (Gateway API, `OverlappingTLSConfig`). Nothing is said of whose the other listener is: the author of a
/// ListenerSet may not see that one.
fn overlap(listener: &ListenerResolution) -> Option<Verdict> {
    listener.overlaps.then(|| {
        let message = format!(
            "the hostname overlaps that of another HTTPS listener of port {}: a client may send requests for names of both over one connection",
            listener.listener.port
        );
        Verdict::new(Truth::True, Reason::OverlappingHostnames, message)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_has_at_most_eight_conditions() {
        use ConditionType::{
            Accepted, Certificates, Dns, InsecureFrontendValidationMode, Parameters, Programmed,
            Ready, ResolvedRefs, Stalled,
        };
        let all = [
            Accepted,
            Programmed,
            ResolvedRefs,
            InsecureFrontendValidationMode,
            Dns,
            Certificates,
            Parameters,
            Ready,
            Stalled,
        ];
        for (given, kinds, bad, left_out) in [
            ("all are good", &all[..], &[][..], Some(Parameters)),
            ("one is bad", &all, &[Parameters], Some(Certificates)),
            ("two are", &all, &[Parameters, Certificates], Some(Stalled)),
            ("there is room", &all[..8], &[], None),
        ] {
            let condition = |kind: &ConditionType| {
                let truth = match bad.contains(kind) {
                    true => Truth::False,
                    false => Truth::True,
                };
                Verdict::new(truth, Reason::Accepted, "").condition(*kind, 1)
            };
            let mut conditions: Vec<Condition> = kinds.iter().map(condition).collect();
            fit(&mut conditions);
            let left: Vec<_> = conditions.iter().map(|it| it.kind).collect();
            let expected = kinds.iter().copied();
            let expected: Vec<_> = expected.filter(|it| Some(*it) != left_out).collect();
            assert_eq!(left, expected, "{given}");
        }
    }
}
