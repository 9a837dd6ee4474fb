//! Where the backends of a route lead.

use super::view::{Permission, Referrer, View, is_core, kind_text, not_granted, unreadable_grant};
use super::{Refusal, listed};
use crate::gateway::{AppProtocol, BackendRef, Route, RouteKind, Service};
use crate::names::ObjectRef;
use crate::route_table::{BackendTarget, UpstreamKey, UpstreamProtocol};
use crate::status::Reason;

/// Which reason ResolvedRefs gets when several apply.
const ORDER: [Reason; 5] = [
    Reason::InvalidKind,
    Reason::RefNotPermitted,
    Reason::BackendNotFound,
    Reason::UnsupportedProtocol,
    Reason::EndpointNotAllowed,
];

#[derive(Debug, Default)]
pub(super) struct Backends {
    /// For each rule, for each of its backends.
    pub(super) targets: Vec<Vec<BackendTarget>>,
    /// Why ResolvedRefs is False.
    pub(super) unresolved: Option<Refusal>,
}

/// Resolves every backend, accepted route or not. One that does not resolve stays in its rule as
/// [`BackendTarget::Invalid`]. Where Services or ReferenceGrants could not be read, a reference that
/// depends on them is invalid in the table, but no refusal: such a table is not published.
pub(super) fn resolve_backends(route: &Route, view: &View<'_>) -> Backends {
    let mut refusals = Vec::new();
    let mut target_of = |backend: &BackendRef| match target(route, backend, view) {
        Ok(key) => {
            let refused = view.backends.refused(&key.service);
            refusals.extend((!refused.is_empty()).then(|| {
                let text = message(route, backend, &listed(refused));
                Refusal::new(Reason::EndpointNotAllowed, text)
            }));
            BackendTarget::Upstream(key)
        }
        Err(problem) => {
            if let Problem::Refused(reason, text) = problem {
                refusals.push(Refusal::new(reason, message(route, backend, &text)));
            }
            BackendTarget::Invalid
        }
    };
    let targets = route.rules.iter();
    let targets = targets
        .map(|rule| rule.backends.iter().map(&mut target_of).collect())
        .collect();
    Backends {
        targets,
        unresolved: Refusal::first_of(refusals, &ORDER),
    }
}

/// Why a backend leads nowhere.
enum Problem {
    Refused(Reason, String),
    /// What it depends on could not be read.
    Undecided,
}

fn message(route: &Route, backend: &BackendRef, problem: &str) -> String {
    format!("{route}: {}: {problem}", backend.field)
}

fn target(route: &Route, backend: &BackendRef, view: &View<'_>) -> Result<UpstreamKey, Problem> {
    if !is_core(&backend.target, "Service") {
        let problem = format!(
            "{} is not served; name a Service of the core group",
            kind_text(&backend.target)
        );
        return Err(Problem::Refused(Reason::InvalidKind, problem));
    }
    permitted(route, &backend.target, view)?;
    if view.snapshot.services.is_unknown() {
        return Err(Problem::Undecided);
    }
    let not_found = |problem: String| Problem::Refused(Reason::BackendNotFound, problem);
    let key = &backend.target.key;
    let missing = || not_found(missing(&backend.target, view));
    let service = view.backends.service(key).ok_or_else(missing)?;
    let port = backend
        .port
        .ok_or_else(|| not_found(format!("a port of Service {key} is needed; set `port`")))?;
    let spoken = spoken(service, port, view)?;
    let protocol = protocol(route.kind, spoken)
        .map_err(|problem| format!("port {port} of Service {key} has appProtocol {problem}"))
        .map_err(|problem| Problem::Refused(Reason::UnsupportedProtocol, problem))?;
    Ok(UpstreamKey {
        service: key.clone(),
        port,
        protocol,
    })
}

/// Why no Service of that name was found.
fn missing(target: &ObjectRef, view: &View<'_>) -> String {
    let service = ObjectRef {
        group: String::new(),
        ..target.clone()
    };
    match view.snapshot.unreadable.objects.get(&service) {
        Some(found) => format!("{service} cannot be read: {}", found.why),
        None => format!("{service} does not exist; create it or correct the name"),
    }
}

/// The message is the same whether the Service is there or not: a reference that is not permitted must
/// not reveal it (Gateway API, `BackendObjectReference`).
fn permitted(route: &Route, target: &ObjectRef, view: &View<'_>) -> Result<(), Problem> {
    let from = Referrer {
        kind: route.kind.as_str(),
        namespace: &route.key.namespace,
    };
    let service = ObjectRef {
        group: String::new(),
        ..target.clone()
    };
    match view.permission(from, &service) {
        Permission::Granted => Ok(()),
        Permission::Undecided => Err(Problem::Undecided),
        Permission::Unreadable(grant) => {
            let problem = unreadable_grant(&service, grant);
            Err(Problem::Refused(Reason::RefNotPermitted, problem))
        }
        Permission::Denied => {
            let problem = not_granted(&service, from);
            Err(Problem::Refused(Reason::RefNotPermitted, problem))
        }
    }
}

/// What the Service says of its port. An `externalName` needs no declared port. Where one is not allowed
/// the reason is InvalidKind: such a Service is a kind of backend that is not served, and the API has no
/// closer word.
fn spoken<'s>(
    service: &'s Service,
    port: u16,
    view: &View<'_>,
) -> Result<&'s AppProtocol, Problem> {
    if service.external_name.is_some() && !view.backends.serves_names() {
        let problem = format!(
            "Service {} is of type ExternalName: names are not served here; use a Service with endpoints, or have the operator set endpoints.names",
            service.key
        );
        return Err(Problem::Refused(Reason::InvalidKind, problem));
    }
    let declared = service.ports.iter().find(|declared| declared.port == port);
    match declared {
        Some(declared) => Ok(&declared.protocol),
        None if service.external_name.is_some() => Ok(&AppProtocol::Http1),
        None => {
            let ports: Vec<String> = service.ports.iter().map(|p| p.port.to_string()).collect();
            let problem = format!(
                "Service {} has no port {port}; it has {}",
                service.key,
                if ports.is_empty() {
                    "none".to_owned()
                } else {
                    ports.join(", ")
                }
            );
            Err(Problem::Refused(Reason::BackendNotFound, problem))
        }
    }
}

/// gRPC needs HTTP/2, so a backend of a GRPCRoute is spoken to in h2c whatever its port leaves unsaid.
fn protocol(kind: RouteKind, spoken: &AppProtocol) -> Result<UpstreamProtocol, String> {
    match (kind, spoken) {
        (RouteKind::Grpc, AppProtocol::Http1 | AppProtocol::H2c)
        | (RouteKind::Http, AppProtocol::H2c) => Ok(UpstreamProtocol::H2c),
        (RouteKind::Http, AppProtocol::Http1 | AppProtocol::WebSocket) => {
            Ok(UpstreamProtocol::Http1)
        }
        (RouteKind::Grpc, AppProtocol::WebSocket) => {
            Err("kubernetes.io/ws, which a GRPCRoute cannot use; use kubernetes.io/h2c".to_owned())
        }
        (_, AppProtocol::Other(name)) => Err(format!(
            "{name}, which is not served; use kubernetes.io/h2c, kubernetes.io/ws or leave it out"
        )),
    }
}
