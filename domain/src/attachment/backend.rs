//! Where the backends of a route lead.

use std::collections::BTreeSet;

use super::backend_tls::TlsVerdict;
use super::external::{self, ExternalUse};
use super::view::{Permission, Referrer, View, kind_text, not_granted, unreadable_grant};
use super::{BackendTlsEffect, Refusal, listed};
use crate::gateway::{
    AppProtocol, BackendKind, BackendName, EXPERIMENTAL_GROUP, EXTERNAL_BACKEND_KIND,
    ExternalHosts, MULTICLUSTER_GROUP, Route, RouteKind, Rule, SERVICE_IMPORT_KIND, Session,
};
use crate::names::{Hostname, ObjectRef};
use crate::route_table::{Backend, BackendTarget, FilterTargets, UpstreamKey, UpstreamProtocol};
use crate::snapshot::Reading;
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
    pub(super) filters: FilterTargets,
    /// For each rule, the sessions that its backends ask for.
    pub(super) sessions: Vec<Option<Session>>,
    /// The policies that are for one of its backends.
    pub(super) policies: Policies,
    /// Those that are hosts outside of the cluster.
    pub(super) external: Vec<ExternalUse>,
    /// Why some of its backends cannot be spoken to as a BackendTLSPolicy asks, as sentences.
    unusable_tls: Vec<String>,
    /// Why ResolvedRefs is False, whichever the parent.
    unresolved: Option<Refusal>,
}

/// Policies by their positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    /// BackendTLSPolicies, and what XBackends say themselves.
    pub(super) tls: BTreeSet<usize>,
    /// Those of them that hold.
    pub(super) holding: BTreeSet<usize>,
    /// XBackendTrafficPolicies.
    pub(super) traffic: BTreeSet<usize>,
}

impl Backends {
    /// What BackendTLSPolicies say of its backends.
    pub(super) fn tls_effect(&self, view: &View<'_>) -> Option<BackendTlsEffect> {
        let policies = self.policies.holding.iter();
        let policies = policies.filter_map(|index| view.tls.key(*index));
        let effect = BackendTlsEffect {
            policies: policies.cloned().collect(),
            unusable: (!self.unusable_tls.is_empty())
                .then(|| listed(self.unusable_tls.iter().cloned())),
        };
        let is_affected = !effect.policies.is_empty() || effect.unusable.is_some();
        is_affected.then_some(effect)
    }

    /// Why ResolvedRefs is False at a Gateway that permits these hosts outside of the cluster.
    pub(super) fn unresolved(
        &self,
        permitted: &[ExternalHosts],
        view: &View<'_>,
    ) -> Option<Refusal> {
        if self.external.is_empty() {
            return self.unresolved.clone();
        }
        let external = self.external.iter().filter_map(|used| {
            let name = used.upstream.backend();
            let refusal = external::refusal(permitted, name, &used.hostname, view)?;
            let message = format!("{}: {}", used.place, refusal.message);
            Some(Refusal::new(refusal.reason, message))
        });
        let refusals = self.unresolved.iter().cloned().chain(external).collect();
        Refusal::first_of(refusals, &ORDER)
    }

    /// Positions of the rules of its route that ask for sessions, or whose backends do.
    pub(super) fn rules_with_sessions(&self, route: &Route) -> Vec<usize> {
        let rules = route.rules.iter().zip(&self.sessions).enumerate();
        let with_sessions = rules.filter(|(_, (rule, of_backends))| {
            rule.policy.session.is_some() || of_backends.is_some()
        });
        with_sessions.map(|(position, _)| position).collect()
    }
}

/// Resolves every backend and every reference of a filter, accepted route or not. A backend that does not resolve stays in its rule as
/// [`BackendTarget::Invalid`]. Where Services or ReferenceGrants could not be read, a reference that
/// depends on them is invalid in the table, but no refusal: such a table is not published.
pub(super) fn resolve_backends(route: &Route, view: &View<'_>) -> Backends {
    let mut refusals = Vec::new();
    let (mut policies, mut unusable_tls) = (Policies::default(), Vec::new());
    let mut external = Vec::new();
    let from = Referrer {
        kind: route.kind.as_str(),
        namespace: &route.key.namespace,
    };
    let mut key_of = |field: &str, to: &ObjectRef, port, spoken| {
        let lead = lead(from, (to, port, spoken), view, &mut policies);
        if let Some(problem) = lead.problem {
            let text = message(route, field, &problem.text);
            // What an XBackend says itself is no policy.
            let is_policy = BackendKind::of(to) != Some(BackendKind::External);
            unusable_tls.extend((problem.is_of_tls && is_policy).then(|| text.clone()));
            refusals.push(Refusal::new(problem.reason, text));
        }
        let key = lead.key?;
        external.extend(lead.outside.map(|hostname| ExternalUse {
            upstream: key.clone(),
            hostname,
            place: format!("{route}: {field}"),
        }));
        Some(key)
    };
    let targets = route.rules.iter().map(|rule| {
        let backends = rule.backends.iter();
        let keys = backends.map(|b| key_of(&b.field, &b.target, b.port, route.kind));
        keys.map(|key| key.map_or(BackendTarget::Invalid, BackendTarget::Upstream))
            .collect()
    });
    let targets: Vec<Vec<BackendTarget>> = targets.collect();
    let filters = route.rules.iter().flat_map(Rule::filter_refs);
    let filters = filters.filter_map(|to| {
        let key = key_of(&to.field, &to.target, to.port, to.spoken)?;
        Some(((to.target.clone(), to.port, to.spoken), key))
    });
    let filters = filters.collect();
    Backends {
        sessions: sessions(route, &targets, view),
        targets,
        filters,
        policies,
        external,
        unusable_tls,
        unresolved: Refusal::first_of(refusals, &ORDER),
    }
}

/// For each rule, the sessions of the first backend that has some. They hold for all backends of the rule, so that its
/// visitors do not gather at the one that has them (GEP-1619, traffic splitting).
fn sessions(
    route: &Route,
    targets: &[Vec<BackendTarget>],
    view: &View<'_>,
) -> Vec<Option<Session>> {
    let rules = targets.iter().enumerate();
    let of_rule = rules.map(|(position, targets)| {
        let mut asked = targets.iter().filter_map(|target| match target {
            BackendTarget::Upstream(key) => view.traffic.of(key.backend())?.session.as_ref(),
            BackendTarget::Invalid => None,
        });
        let session = asked.next()?;
        Some(session.of_rule(route.kind, &route.key, position))
    });
    of_rule.collect()
}

/// Where a reference leads, and what is wrong with it. Where some endpoints of a backend are refused it leads to the others.
/// Neither, where what it depends on could not be read.
pub(super) struct Lead {
    pub(super) key: Option<UpstreamKey>,
    /// The host outside of the cluster that it stands for: not every Gateway sends requests there.
    pub(super) outside: Option<Hostname>,
    pub(super) problem: Option<LeadProblem>,
}

/// Why a reference does not resolve, as a sentence without object and field.
pub(super) struct LeadProblem {
    pub(super) reason: Reason,
    pub(super) text: String,
    /// Whether it cannot be spoken to over TLS as it should be.
    is_of_tls: bool,
}

/// Resolves a reference to a port of a backend that is spoken to as a route of a kind speaks to it. Adds the policies
/// that are for it.
pub(super) fn lead(
    from: Referrer<'_>,
    reference: (&ObjectRef, Option<u16>, RouteKind),
    view: &View<'_>,
    policies: &mut Policies,
) -> Lead {
    let problem = |reason, text, is_of_tls| {
        Some(LeadProblem {
            reason,
            text,
            is_of_tls,
        })
    };
    match target(from, reference, view, policies) {
        Ok((key, outside)) => {
            let refused = view.backends.refused(key.backend());
            let problem = match refused.is_empty() {
                true => None,
                false => problem(Reason::EndpointNotAllowed, listed(refused), false),
            };
            Lead {
                key: Some(key),
                outside,
                problem,
            }
        }
        Err(why) => Lead {
            key: None,
            outside: None,
            problem: match why {
                Problem::Refused(reason, text) => problem(reason, text, false),
                Problem::UnusableTls(why) => problem(unusable(why.reason), why.message, true),
                Problem::Undecided => None,
            },
        },
    }
}

/// Why a backend leads nowhere.
enum Problem {
    Refused(Reason, String),
    /// It cannot be spoken to over TLS, as it should be. That is told on the policy, and on the route by a condition of its
    /// own too.
    UnusableTls(Refusal),
    /// What it depends on could not be read.
    Undecided,
}

/// The reason of ResolvedRefs for that of a policy. The API has no word of its own for it: the backend cannot be spoken to
/// in the way that it asks for.
fn unusable(reason: Reason) -> Reason {
    match reason {
        Reason::Pending => Reason::Pending,
        _ => Reason::UnsupportedProtocol,
    }
}

fn message(route: &Route, field: &str, problem: &str) -> String {
    format!("{route}: {field}: {problem}")
}

fn target(
    from: Referrer<'_>,
    (to, port, spoken_as): (&ObjectRef, Option<u16>, RouteKind),
    view: &View<'_>,
    policies: &mut Policies,
) -> Result<(UpstreamKey, Option<Hostname>), Problem> {
    let name = BackendName::of(to).ok_or_else(|| {
        let problem = format!(
            "{} is not served; name a Service of the core group, a {SERVICE_IMPORT_KIND} of {MULTICLUSTER_GROUP}, or an {EXTERNAL_BACKEND_KIND} of {EXPERIMENTAL_GROUP}",
            kind_text(to)
        );
        Problem::Refused(Reason::InvalidKind, problem)
    })?;
    permitted(from, name, view)?;
    let backend = find(name, view)?;
    let not_found = |problem: String| Problem::Refused(Reason::BackendNotFound, problem);
    let hostname = match backend.external_name {
        Some(written) => external::host(name, written, view)
            .map_err(|refusal| Problem::Refused(refusal.reason, refusal.message))?,
        None => None,
    };
    policies.tls.extend(view.tls.astray(name));
    // An XBackend has one port, and its references need to name none.
    let own = backend.ports.first().map(|port| port.port);
    let port = port.or(own.filter(|_| name.kind == BackendKind::External));
    let port = port.ok_or_else(|| not_found(format!("a port of {name} is needed; set `port`")))?;
    let spoken = spoken(name, backend, port)?;
    let port_name = view.port_name(name, port);
    policies.tls.extend(view.tls.touching(name, port_name));
    policies.holding.extend(view.tls.holding(name, port_name));
    policies.traffic.extend(view.traffic.touching(name));
    let has_tls = match view.tls_of(name, port) {
        TlsVerdict::Unusable(why) => return Err(Problem::UnusableTls(why)),
        TlsVerdict::Tls(_) | TlsVerdict::Awaited => true,
        TlsVerdict::ClearText => false,
    };
    let protocol = protocol(spoken_as, spoken, has_tls)
        .map_err(|problem| format!("port {port} of {name} has appProtocol {problem}"))
        .map_err(|problem| Problem::Refused(Reason::UnsupportedProtocol, problem))?;
    let key = UpstreamKey {
        kind: name.kind,
        service: name.key.clone(),
        port,
        protocol,
    };
    Ok((key, hostname))
}

/// The object that a reference names.
fn find<'s>(name: BackendName<'_>, view: &View<'s>) -> Result<Backend<'s>, Problem> {
    let snapshot = view.snapshot;
    let is_absent = match name.kind {
        BackendKind::Service => false,
        BackendKind::ServiceImport => snapshot.service_imports == Reading::Absent,
        BackendKind::External => snapshot.external_backends == Reading::Absent,
    };
    if is_absent {
        let problem = format!(
            "{}/{} is not served: the cluster does not know this kind; install its CRD, or name a Service",
            name.kind.group(),
            name.kind.as_str()
        );
        return Err(Problem::Refused(Reason::InvalidKind, problem));
    }
    let is_unknown = match name.kind {
        BackendKind::Service => snapshot.services.is_unknown(),
        BackendKind::ServiceImport => snapshot.service_imports.is_unknown(),
        BackendKind::External => snapshot.external_backends.is_unknown(),
    };
    if is_unknown {
        return Err(Problem::Undecided);
    }
    let missing = || match snapshot.unreadable.objects.get(&name.reference()) {
        Some(found) => format!("{name} cannot be read: {}", found.why),
        None => format!("{name} does not exist; create it or correct the name"),
    };
    let found = view.backends.find(name);
    let found = found.ok_or_else(|| Problem::Refused(Reason::BackendNotFound, missing()))?;
    let mut external = snapshot.external_backends.items().iter();
    let invalid = match name.kind {
        BackendKind::External => external.find(|it| it.key == *name.key),
        BackendKind::Service | BackendKind::ServiceImport => None,
    };
    match invalid.and_then(external::invalid) {
        Some(refusal) => {
            let reason = Reason::UnsupportedProtocol;
            Err(Problem::Refused(reason, refusal.message))
        }
        None => Ok(found),
    }
}

/// The message is the same whether the object is there or not: a reference that is not permitted must
/// not reveal it (Gateway API, `BackendObjectReference`).
fn permitted(from: Referrer<'_>, name: BackendName<'_>, view: &View<'_>) -> Result<(), Problem> {
    let object = name.reference();
    if external::is_elsewhere(name, from.namespace) {
        let problem = format!(
            "{name} is in another namespace: an {EXTERNAL_BACKEND_KIND} is for the routes of its own, whatever a ReferenceGrant permits; make one in namespace {}",
            from.namespace
        );
        return Err(Problem::Refused(Reason::RefNotPermitted, problem));
    }
    match view.permission(from, &object) {
        Permission::Granted => Ok(()),
        Permission::Undecided => Err(Problem::Undecided),
        Permission::Unreadable(grant) => {
            let problem = unreadable_grant(&object, grant);
            Err(Problem::Refused(Reason::RefNotPermitted, problem))
        }
        Permission::Denied => {
            let problem = not_granted(&object, from);
            Err(Problem::Refused(Reason::RefNotPermitted, problem))
        }
    }
}

/// What an object says of its port. An `externalName` needs no declared port.
fn spoken<'s>(
    name: BackendName<'_>,
    backend: Backend<'s>,
    port: u16,
) -> Result<&'s AppProtocol, Problem> {
    let is_external = backend.external_name.is_some() && name.kind == BackendKind::Service;
    match backend.port(port) {
        Some(declared) => Ok(&declared.protocol),
        None if is_external => Ok(&AppProtocol::Http1),
        None => {
            let ports: Vec<String> = backend.ports.iter().map(|p| p.port.to_string()).collect();
            let problem = format!(
                "{name} has no port {port}; it has {}",
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

/// gRPC needs HTTP/2, so a backend of a GRPCRoute is spoken to in HTTP/2 whatever its port leaves unsaid. A port that needs
/// TLS is not spoken to without a BackendTLSPolicy: nobody said whose certificate it must have.
fn protocol(
    kind: RouteKind,
    spoken: &AppProtocol,
    has_tls: bool,
) -> Result<UpstreamProtocol, String> {
    let name = match spoken {
        AppProtocol::Https => "https",
        AppProtocol::Wss => "kubernetes.io/wss",
        AppProtocol::Grpcs => "grpcs",
        _ => "",
    };
    if spoken.needs_tls() && !has_tls {
        return Err(format!(
            "{name}, which needs TLS; add a BackendTLSPolicy for it"
        ));
    }
    match (kind, spoken) {
        (_, AppProtocol::H2c | AppProtocol::Grpcs)
        | (RouteKind::Grpc, AppProtocol::Http1 | AppProtocol::Https) => Ok(UpstreamProtocol::H2c),
        (RouteKind::Http, AppProtocol::Http1 | AppProtocol::Https) if has_tls => {
            Ok(UpstreamProtocol::Negotiated)
        }
        (RouteKind::Grpc, AppProtocol::WebSocket) => {
            Err("kubernetes.io/ws, which a GRPCRoute cannot use; use kubernetes.io/h2c".to_owned())
        }
        (RouteKind::Grpc, AppProtocol::Wss) => {
            Err("kubernetes.io/wss, which a GRPCRoute cannot use; use grpcs".to_owned())
        }
        (_, AppProtocol::Other(name)) => Err(format!(
            "{name}, which is not served; use kubernetes.io/h2c, kubernetes.io/ws, https, kubernetes.io/wss, grpcs or leave it out"
        )),
        (RouteKind::Http, _) => Ok(UpstreamProtocol::Http1),
    }
}
