//! Gateways before any route, routes on their way to listeners, and what follows for their Gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::address::resolve_addresses;
use super::backend::{Backends, Policies, resolve_backends};
use super::backend_tls::TlsVerdict;
use super::class::JudgedClass;
use super::client_certificate::{ClientCertificateResolution, resolve_client_certificate};
use super::conflict::{AttachedRoute, AttachedRoutes};
use super::external::{self, Users};
use super::frontend::resolve_frontend;
use super::listener::Judged;
use super::listener_set::{self, ListenerSets};
use super::parameters::{Circumstances, GatewayDefaults, Uploads, resolve_parameters};
use super::parent::{Candidate, candidates};
use super::patterns::PatternShares;
use super::policy::Ancestors;
use super::policy_ancestors::is_without_room;
use super::tenancy::{Tenancies, Tenancy};
use super::validation::{Validated, Validity};
use super::view::{Secret, View};
use super::{
    BackendTlsEffect, GatewayResolution, ListenerResolution, ParentResolution, Refusal,
    RouteResolution, certificate, gateway, listed, overlap, paths,
};
use crate::gateway::{
    BackendKind, BackendName, DashboardRules, Gateway, ListenerSet, PARAMETERS_KIND, ParentRef,
    Reconciling, Route, RoutingType,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::route_table::{
    CompileInput, FilterTargets, ListenerInput, RouteInput, RouteTable, Upstream, compile,
};
use crate::status::Reason;

/// A Gateway before any route, and what its listeners take from those of ListenerSets.
pub(super) struct JudgedGateway {
    pub(super) resolution: GatewayResolution,
    judged: Judged,
}

impl JudgedGateway {
    /// Adds the ListenerSets that name it. `tenancy` is that of a namespace.
    pub(super) fn add_sets<'s>(
        &mut self,
        sets: &[&'s ListenerSet],
        tenancy: impl FnMut(&'s str) -> Tenancy<'s>,
        view: &View<'_>,
    ) {
        let Self { resolution, judged } = self;
        resolution.listener_sets = listener_set::attach(resolution, sets, tenancy, view, judged);
        resolution.listeners = std::mem::take(&mut judged.listeners);
        overlap::mark(&mut resolution.listeners);
    }
}

/// A Gateway before any route and any ListenerSet.
pub(super) fn judged(
    gateway: &Gateway,
    class: Option<&JudgedClass<'_>>,
    tenancy: Tenancy<'_>,
    over_limit: Option<Refusal>,
    view: &View<'_>,
    defaults: &GatewayDefaults,
) -> JudgedGateway {
    let frontend = resolve_frontend(gateway, defaults.edge, view);
    let of_class = class.and_then(|class| class.parameters);
    let permitted = of_class.and_then(|it| it.external_hosts.as_deref());
    let permitted = permitted.unwrap_or_default();
    let judged = Judged::of(gateway, (&frontend, permitted), &tenancy, view);
    let circumstances = Circumstances {
        of_class,
        is_class_refused: class.is_none_or(|class| class.resolution.refusal.is_some()),
        tenancy,
    };
    let mut parameters = resolve_parameters(gateway, &circumstances, view, defaults);
    let addresses = resolve_addresses(gateway, &tenancy);
    let permitted = addresses.iter().filter(|it| it.refusal.is_none());
    let names = permitted.filter_map(|it| it.address.hostname().cloned());
    parameters.dns = parameters.dns.including(names);
    let class = class.map(|class| &class.resolution);
    let object = format!("Gateway {}", gateway.key);
    let not_permitted = tenancy.refusal(&object, &gateway.key.namespace);
    let of_class = || class.and_then(|class| class.credentials.as_ref());
    let credentials = parameters.credentials.as_ref().or_else(of_class);
    let resolution = GatewayResolution {
        refusal: gateway::refusal(
            gateway,
            class,
            not_permitted.or(over_limit),
            parameters.refusal.clone(),
            &judged.listeners,
        ),
        credentials: credentials.and_then(|secret| edition(secret, view)),
        credentials_namespace: credentials.map(|secret| secret.key.namespace.clone()),
        gateway: gateway.clone(),
        addresses,
        listeners: Vec::new(),
        listener_sets: Vec::new(),
        hostnames: BTreeMap::new(),
        paths: BTreeMap::new(),
        parameters,
        reconciling: Reconciling::read(&gateway.annotations).0,
        edge: view.edge,
        certificates: Some(BTreeSet::new()),
        client_certificate: resolve_client_certificate(gateway, view),
        frontend,
        awaits_trust: false,
        table: Arc::new(RouteTable {
            gateway: gateway.key.clone(),
            listeners: Vec::new(),
            upstreams: BTreeMap::new(),
            client_validation: Vec::new(),
        }),
    };
    JudgedGateway { resolution, judged }
}

fn edition(secret: &ObjectRef, view: &View<'_>) -> Option<u64> {
    match view.secret(&secret.key) {
        Secret::Present(facts) => Some(facts.edition),
        Secret::Missing | Secret::OutOfReach | Secret::Unknown => None,
    }
}

/// Routes on their way to listeners.
pub(super) struct Assembly<'a> {
    gateways: &'a BTreeMap<ObjectKey, GatewayResolution>,
    sets: &'a ListenerSets<'a>,
    routes: &'a [Validated],
    tenancies: Tenancies<'a>,
    view: &'a View<'a>,
    /// Backends of the routes that have a parent of ours, by position.
    pub(super) backends: BTreeMap<usize, Backends>,
    /// For each Gateway, for each of its listeners.
    pub(super) attached: BTreeMap<ObjectKey, Vec<AttachedRoutes>>,
    patterns: BTreeMap<ObjectKey, PatternShares>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(
        gateways: &'a BTreeMap<ObjectKey, GatewayResolution>,
        sets: &'a ListenerSets<'a>,
        routes: &'a [Validated],
        tenancies: Tenancies<'a>,
        view: &'a View<'a>,
    ) -> Self {
        let empty = |gateway: &GatewayResolution| {
            let shared = gateway.parameters.shared_hostnames;
            gateway
                .listeners
                .iter()
                .map(|_| AttachedRoutes::new(shared))
                .collect()
        };
        Self {
            gateways,
            sets,
            routes,
            tenancies,
            view,
            backends: BTreeMap::new(),
            attached: gateways
                .iter()
                .map(|(key, gateway)| (key.clone(), empty(gateway)))
                .collect(),
            patterns: BTreeMap::new(),
        }
    }

    /// Attaches a route to all of its parents. Older routes must have been attached before.
    pub(super) fn attach(&mut self, position: usize) -> RouteResolution {
        let Validated { route, verdict } = &self.routes[position];
        let ours: Vec<(&ParentRef, &'a GatewayResolution)> = route
            .parents
            .iter()
            .filter_map(|parent| {
                let gateway = self.sets.gateway_of(&parent.target)?;
                Some((parent, self.gateways.get(gateway)?))
            })
            .collect();
        let mut parents = Vec::with_capacity(ours.len());
        if !ours.is_empty() {
            let backends = resolve_backends(route, self.view);
            let told = Told {
                backend_tls: backends.tls_effect(self.view),
                sessions: backends.rules_with_sessions(route),
            };
            parents.extend(ours.into_iter().map(|(parent, gateway)| {
                let attachment = self.attach_to(position, parent, gateway, verdict);
                let permitted = &gateway.parameters.external_hosts;
                let unresolved = backends.unresolved(permitted, self.view);
                let resolution = parent_resolution(route, parent, gateway, attachment, &told);
                ParentResolution {
                    unresolved,
                    ..resolution
                }
            }));
            self.backends.insert(position, backends);
        }
        RouteResolution {
            route: Arc::clone(route),
            parents,
        }
    }

    /// The Gateways with a route or a listener that leads to a backend that a policy is for, by the policy's position among those of its kind.
    pub(super) fn ancestors(
        &self,
        resolved: &[RouteResolution],
        of_kind: fn(&Policies) -> &BTreeSet<usize>,
    ) -> Ancestors {
        let mut ancestors = Ancestors::new();
        for (position, backends) in &self.backends {
            let parents = resolved.get(*position).map(|route| &route.parents);
            let attached = parents.into_iter().flatten();
            let attached = attached.filter(|parent| parent.refusal.is_none());
            let gateways: BTreeSet<&ObjectKey> = attached.map(|parent| &parent.gateway).collect();
            for policy in of_kind(&backends.policies) {
                let of_policy = ancestors.entry(*policy).or_default();
                of_policy.extend(gateways.iter().map(|key| (*key).clone()));
            }
        }
        for (key, gateway) in self.gateways {
            let served = gateway.listeners.iter().filter(|it| it.is_served());
            for policy in served.flat_map(|listener| of_kind(&listener.policies)) {
                ancestors.entry(*policy).or_default().insert(key.clone());
            }
        }
        ancestors
    }

    /// For each XBackend, the Gateways with a route or a listener that names it, and why they send it no requests.
    pub(super) fn users_of_external(&self, resolved: &[RouteResolution]) -> Users {
        let mut users = Users::new();
        let mut add = |gateway: &GatewayResolution, name: BackendName<'_>| {
            let permitted = &gateway.parameters.external_hosts;
            let refusal = external::refused(permitted, name, self.view);
            let of_one = users.entry(name.key.clone()).or_default();
            of_one.insert(gateway.gateway.key.clone(), refusal);
        };
        let is_used = |name: &BackendName<'_>, own: &str| {
            name.kind == BackendKind::External && !external::is_elsewhere(*name, own)
        };
        for gateway in self.gateways.values() {
            for it in gateway.listeners.iter().filter(|it| it.refusal.is_none()) {
                let owner = it.set.as_ref().unwrap_or(&gateway.gateway.key);
                let named = it.listener.references().filter_map(BackendName::of);
                let used = named.filter(|name| is_used(name, &owner.namespace));
                used.for_each(|name| add(gateway, name));
            }
        }
        for it in resolved {
            let own = &it.route.key.namespace;
            let named = it.route.references().filter_map(BackendName::of);
            for name in named.filter(|name| is_used(name, own)) {
                let attached = it.parents.iter().filter(|it| it.refusal.is_none());
                let attached = attached.filter_map(|it| self.gateways.get(&it.gateway));
                attached.for_each(|gateway| add(gateway, name));
            }
        }
        users
    }

    fn attach_to(
        &mut self,
        position: usize,
        parent: &ParentRef,
        gateway: &'a GatewayResolution,
        verdict: &Validity,
    ) -> Result<Attachment, Refusal> {
        let route = &self.routes[position].route;
        let found = candidates(route, parent, gateway, self.view)?;
        let (without_rules, without_any) = match verdict {
            Validity::Whole => (None, None),
            Validity::WithoutRules(why) => (Some(why.clone()), None),
            Validity::WithoutAnyRule(why) => (None, Some(why.clone())),
            Validity::Refused(why) => return Err(why.clone()),
        };
        let key = &gateway.gateway.key;
        let class = gateway.gateway.class.as_str();
        let tenancy = self.tenancies.of(class, &route.key.namespace);
        let (found, without_names) = tenancy.restrict(route, &gateway.gateway, found)?;
        let patterns = self.patterns.entry(key.clone()).or_default();
        if let Some(refusal) = patterns.refusal(position, route, key) {
            return Err(refusal);
        }
        let mut conflicting = None;
        let mut attachment = Attachment {
            candidates: Vec::new(),
            without_rules,
            without_names,
        };
        let Some(attached) = self.attached.get_mut(key) else {
            return Ok(attachment);
        };
        for candidate in found {
            let entry = AttachedRoute {
                position,
                kind: route.kind,
                hostnames: candidate.hostnames.clone(),
            };
            if without_any.is_some() {
                attached[candidate.listener].add_failing(entry);
                continue;
            }
            match attached[candidate.listener].attach(entry) {
                Ok(()) => attachment.candidates.push(candidate),
                Err(other) => conflicting = Some(&self.routes[other].route),
            }
        }
        match conflicting {
            Some(other) if attachment.candidates.is_empty() => Err(conflict(route, gateway, other)),
            _ => {
                patterns.take(position, route);
                without_any.map_or(Ok(attachment), Err)
            }
        }
    }
}

/// What a route has on the listeners of one Gateway.
#[derive(Default)]
struct Attachment {
    candidates: Vec<Candidate>,
    /// Why some of its rules are left out.
    without_rules: Option<Refusal>,
    /// Why some of its hostnames are left out.
    without_names: Option<Refusal>,
}

/// What is wrong with the backends of a route, whichever its parent.
struct Told {
    backend_tls: Option<BackendTlsEffect>,
    /// Positions of its rules that ask for sessions, or whose backends do.
    sessions: Vec<usize>,
}

fn conflict(route: &Route, gateway: &GatewayResolution, other: &Route) -> Refusal {
    let message = format!(
        "{route}: {}: {other} is older and has a hostname in common on the same listener of Gateway {}; use another hostname or another listener, or set sharedHostnames in the Gateway's CloudflareGatewayParameters",
        route.hostnames_field(),
        gateway.gateway.key
    );
    Refusal::new(Reason::HostnameConflict, message)
}

fn parent_resolution(
    route: &Route,
    parent: &ParentRef,
    gateway: &GatewayResolution,
    attachment: Result<Attachment, Refusal>,
    told: &Told,
) -> ParentResolution {
    let (attachment, refusal) = match attachment {
        Ok(attachment) => (attachment, None),
        Err(refusal) => (Attachment::default(), Some(refusal)),
    };
    let Attachment {
        candidates,
        without_rules,
        without_names,
    } = attachment;
    let served =
        |listener: usize| gateway.refusal.is_none() && gateway.listeners[listener].is_served();
    let mut hostnames: Vec<Hostname> = candidates
        .iter()
        .filter(|candidate| served(candidate.listener))
        .flat_map(|candidate| candidate.hostnames.iter().cloned())
        .collect();
    hostnames.sort();
    hostnames.dedup();
    hostnames.shrink_to_fit();
    ParentResolution {
        parent: parent.clone(),
        gateway: gateway.gateway.key.clone(),
        refusal,
        without_rules,
        without_names,
        unresolved: None,
        backend_tls: told.backend_tls.clone(),
        lost_sessions: lost_sessions(route, gateway, &told.sessions),
        listeners: candidates
            .iter()
            .map(|c| gateway.listeners[c.listener].id())
            .collect(),
        hostnames,
    }
}

/// Why rules keep no session: requests go to an address that stands for all endpoints.
fn lost_sessions(route: &Route, gateway: &GatewayResolution, rules: &[usize]) -> Option<String> {
    if rules.is_empty() || gateway.parameters.routing_type == RoutingType::Endpoint {
        return None;
    }
    let rules = rules.iter().map(|rule| format!("spec.rules[{rule}]"));
    Some(format!(
        "{route}: {}: no session is kept, because the {PARAMETERS_KIND} of Gateway {} send requests to cluster IPs: set spec.routingType to Endpoint there, or remove sessionPersistence",
        listed(rules),
        gateway.gateway.key
    ))
}

/// Fills in what follows from the routes on a Gateway's listeners.
pub(super) fn settle(
    gateway: &mut GatewayResolution,
    attached: &[AttachedRoutes],
    routes: &[&Arc<Route>],
    backends: &BTreeMap<usize, Backends>,
    without_room: &Ancestors,
    view: &View<'_>,
) {
    gateway.hostnames = hostnames(gateway, attached, routes);
    if gateway.refusal.is_some() {
        return;
    }
    let listeners = gateway.listeners.iter().zip(attached);
    let listeners = listeners
        .filter(|(listener, _)| listener.is_served())
        .map(|(listener, attached)| ListenerInput {
            name: listener.id(),
            listener: &listener.listener,
            filters: &listener.filters,
            routes: attached
                .taking_requests()
                .into_iter()
                .map(|s| input(s, routes, backends))
                .collect(),
        })
        .collect();
    let routing = gateway.parameters.routing_type;
    let session_key = gateway.parameters.session_key.as_ref();
    let table = CompileInput {
        gateway: gateway.gateway.key.clone(),
        listeners,
        client_validation: gateway
            .frontend
            .for_table(&gateway.gateway, &gateway.listeners),
        session_key: session_key.filter(|_| routing == RoutingType::Endpoint),
    };
    if gateway.parameters.uploads != Uploads::None {
        gateway.certificates = certificate::wanted(gateway, attached, view);
    }
    let permitted = &gateway.parameters.external_hosts;
    gateway.table = Arc::new(compile(table, |key, has_draining| {
        if external::refused(permitted, key.backend(), view).is_some() {
            return None;
        }
        let upstream = match is_without_room(without_room, &gateway.gateway.key, key, view) {
            true => Upstream::default(),
            false => view.upstream(key, has_draining, routing),
        };
        Some(match &gateway.client_certificate {
            Some(certificate) => certificate.shown_to(upstream),
            None => upstream,
        })
    }));
    let outside = gateway.table.upstreams.values();
    let outside = outside.filter(|upstream| upstream.outside.is_some());
    let ports = outside.flat_map(|upstream| upstream.endpoints.iter().map(|it| it.port));
    gateway.parameters.workload.outside_ports = ports.collect();
    let upstreams = &gateway.table.upstreams;
    let certificate = gateway.client_certificate.as_ref();
    let is_awaited = certificate.is_some_and(ClientCertificateResolution::is_awaited)
        && upstreams.values().any(|upstream| upstream.tls.is_some());
    gateway.awaits_trust = is_awaited
        || gateway.frontend.is_awaited()
        || upstreams
            .keys()
            .any(|key| view.tls_of(key.backend(), key.port) == TlsVerdict::Awaited);
    if gateway.parameters.dashboard_rules == DashboardRules::HostnamesAndPaths {
        gateway.paths = paths::of(&gateway.table);
    }
}

/// The names of a Gateway, with the age of the oldest that asks for each: a route, or the Gateway itself for its address. Where it cannot be served for
/// now, those that it would have: it keeps its records meanwhile, so its claims on them must stand.
fn hostnames(
    gateway: &GatewayResolution,
    attached: &[AttachedRoutes],
    routes: &[&Arc<Route>],
) -> BTreeMap<Hostname, Timestamp> {
    let mut listeners = gateway.listeners.iter();
    let serves = gateway.refusal.is_none() && listeners.any(ListenerResolution::is_served);
    let counts = |listener: &ListenerResolution| match serves {
        true => listener.is_served(),
        false => listener.refusal.is_none(),
    };
    let listeners = gateway.listeners.iter().zip(attached);
    let listeners = listeners.filter(|(listener, _)| counts(listener));
    let mut hostnames: BTreeMap<Hostname, Timestamp> = BTreeMap::new();
    for entry in listeners.flat_map(|(_, attached)| attached.routes()) {
        let created = routes[entry.position].created;
        for hostname in &entry.hostnames {
            let oldest = hostnames.entry(hostname.clone()).or_insert(created);
            *oldest = created.min(*oldest);
        }
    }
    let addresses = gateway.addresses.iter();
    let permitted = addresses.filter(|address| address.refusal.is_none());
    for hostname in permitted.filter_map(|address| address.address.hostname()) {
        let created = gateway.gateway.created;
        let oldest = hostnames.entry(hostname.clone()).or_insert(created);
        *oldest = created.min(*oldest);
    }
    hostnames
}

fn input<'a>(
    entry: &AttachedRoute,
    routes: &[&'a Arc<Route>],
    backends: &'a BTreeMap<usize, Backends>,
) -> RouteInput<'a> {
    static NONE: FilterTargets = FilterTargets::new();
    let targets = backends.get(&entry.position);
    RouteInput {
        route: routes[entry.position],
        hostnames: entry.hostnames.clone(),
        targets: targets.map_or(&[], |backends| backends.targets.as_slice()),
        filters: targets.map_or(&NONE, |backends| &backends.filters),
        sessions: targets.map_or(&[], |backends| backends.sessions.as_slice()),
    }
}
