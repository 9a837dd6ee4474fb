//! Gateways before any route, routes on their way to listeners, and what follows for their Gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backend::{Backends, resolve_backends};
use super::class::JudgedClass;
use super::conflict::{AttachedRoute, AttachedRoutes};
use super::listener::resolve_listeners;
use super::parameters::{Circumstances, GatewayDefaults, Uploads, resolve_parameters};
use super::parent::{Candidate, candidates, gateway_of};
use super::patterns::PatternShares;
use super::tenancy::{Tenancies, Tenancy};
use super::view::{Secret, View};
use super::{
    GatewayResolution, ListenerResolution, ParentResolution, Refusal, RouteResolution, certificate,
    gateway, paths, validation,
};
use crate::capabilities::DataPlaneKind;
use crate::gateway::{DashboardRules, Gateway, ParentRef, Reconciling, Route};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::route_table::{CompileInput, ListenerInput, RouteInput, RouteTable, compile};
use crate::status::Reason;

/// A Gateway before any route.
pub(super) fn judged(
    gateway: &Gateway,
    class: Option<&JudgedClass<'_>>,
    tenancy: Tenancy<'_>,
    over_limit: Option<Refusal>,
    view: &View<'_>,
    defaults: &GatewayDefaults,
) -> GatewayResolution {
    let listeners = resolve_listeners(gateway, &tenancy, view);
    let circumstances = Circumstances {
        of_class: class.and_then(|class| class.parameters),
        is_class_refused: class.is_none_or(|class| class.resolution.refusal.is_some()),
        tenancy,
    };
    let parameters = resolve_parameters(gateway, &circumstances, view, defaults);
    let class = class.map(|class| &class.resolution);
    let object = format!("Gateway {}", gateway.key);
    let not_permitted = tenancy.refusal(&object, &gateway.key.namespace);
    let of_class = || class.and_then(|class| class.credentials.as_ref());
    let credentials = parameters.credentials.as_ref().or_else(of_class);
    GatewayResolution {
        refusal: gateway::refusal(
            gateway,
            class,
            not_permitted.or(over_limit),
            parameters.refusal.clone(),
            &listeners,
        ),
        credentials: credentials.and_then(|secret| edition(secret, view)),
        credentials_namespace: credentials.map(|secret| secret.key.namespace.clone()),
        gateway: gateway.clone(),
        listeners,
        hostnames: BTreeMap::new(),
        paths: BTreeMap::new(),
        parameters,
        reconciling: Reconciling::read(&gateway.annotations).0,
        certificates: Some(BTreeSet::new()),
        table: Arc::new(RouteTable {
            gateway: gateway.key.clone(),
            listeners: Vec::new(),
            upstreams: BTreeMap::new(),
        }),
    }
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
    routes: &'a [&'a Arc<Route>],
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
        routes: &'a [&'a Arc<Route>],
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
        let route = self.routes[position];
        let ours: Vec<(&ParentRef, &'a GatewayResolution)> = route
            .parents
            .iter()
            .filter_map(|parent| Some((parent, self.gateways.get(gateway_of(parent)?)?)))
            .collect();
        let mut parents = Vec::with_capacity(ours.len());
        if !ours.is_empty() {
            let invalid = validation::refusal(route, DataPlaneKind::Native);
            let backends = resolve_backends(route, self.view);
            let unresolved = backends.unresolved.clone();
            self.backends.insert(position, backends);
            parents.extend(ours.into_iter().map(|(parent, gateway)| {
                let attachment = self.attach_to(position, parent, gateway, invalid.as_ref());
                parent_resolution(parent, gateway, attachment, unresolved.clone())
            }));
        }
        RouteResolution {
            route: Arc::clone(route),
            parents,
        }
    }

    fn attach_to(
        &mut self,
        position: usize,
        parent: &ParentRef,
        gateway: &'a GatewayResolution,
        invalid: Option<&Refusal>,
    ) -> Result<Attachment, Refusal> {
        let route = self.routes[position];
        let listeners = &gateway.listeners;
        let found = candidates(route, parent, &gateway.gateway, listeners, self.view)?;
        if let Some(invalid) = invalid {
            return Err(invalid.clone());
        }
        let key = &gateway.gateway.key;
        let class = gateway.gateway.class.as_str();
        let tenancy = self.tenancies.of(class, &route.key.namespace);
        let (found, partly_refused) = tenancy.restrict(route, &gateway.gateway, found)?;
        let patterns = self.patterns.entry(key.clone()).or_default();
        if let Some(refusal) = patterns.refusal(position, route, key) {
            return Err(refusal);
        }
        let mut conflicting = None;
        let mut attachment = Attachment {
            candidates: Vec::new(),
            partly_refused,
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
            match attached[candidate.listener].attach(entry) {
                Ok(()) => attachment.candidates.push(candidate),
                Err(other) => conflicting = Some(self.routes[other]),
            }
        }
        match conflicting {
            Some(other) if attachment.candidates.is_empty() => Err(conflict(route, gateway, other)),
            _ => {
                patterns.take(position, route);
                Ok(attachment)
            }
        }
    }
}

/// What a route has on the listeners of one Gateway.
#[derive(Default)]
struct Attachment {
    candidates: Vec<Candidate>,
    /// Why some of its hostnames are left out.
    partly_refused: Option<Refusal>,
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
    parent: &ParentRef,
    gateway: &GatewayResolution,
    attachment: Result<Attachment, Refusal>,
    unresolved: Option<Refusal>,
) -> ParentResolution {
    let (attachment, refusal) = match attachment {
        Ok(attachment) => (attachment, None),
        Err(refusal) => (Attachment::default(), Some(refusal)),
    };
    let Attachment {
        candidates,
        partly_refused,
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
        partly_refused,
        unresolved,
        listeners: candidates
            .iter()
            .map(|c| gateway.listeners[c.listener].listener.name.clone())
            .collect(),
        hostnames,
    }
}

/// Fills in what follows from the routes on a Gateway's listeners.
pub(super) fn settle(
    gateway: &mut GatewayResolution,
    attached: &[AttachedRoutes],
    routes: &[&Arc<Route>],
    backends: &BTreeMap<usize, Backends>,
    view: &View<'_>,
) {
    for (listener, attached) in gateway.listeners.iter_mut().zip(attached) {
        listener.attached_routes = u32::try_from(attached.routes().len()).unwrap_or(u32::MAX);
    }
    gateway.hostnames = hostnames(gateway, attached, routes);
    if gateway.refusal.is_some() {
        return;
    }
    let listeners = gateway.listeners.iter().zip(attached);
    let listeners = listeners
        .filter(|(listener, _)| listener.is_served())
        .map(|(listener, attached)| ListenerInput {
            listener: &listener.listener,
            routes: attached
                .routes()
                .iter()
                .map(|s| input(s, routes, backends))
                .collect(),
        })
        .collect();
    let table = CompileInput {
        gateway: gateway.gateway.key.clone(),
        listeners,
    };
    if gateway.parameters.uploads != Uploads::None {
        gateway.certificates = certificate::wanted(gateway, attached, view);
    }
    gateway.table = Arc::new(compile(table, &view.backends));
    if gateway.parameters.dashboard_rules == DashboardRules::HostnamesAndPaths {
        gateway.paths = paths::of(&gateway.table);
    }
}

/// The names of a Gateway, with the age of the oldest route that asks for each. Where it cannot be served for
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
    hostnames
}

fn input<'a>(
    entry: &AttachedRoute,
    routes: &[&'a Arc<Route>],
    backends: &'a BTreeMap<usize, Backends>,
) -> RouteInput<'a> {
    let targets = backends.get(&entry.position);
    RouteInput {
        route: routes[entry.position],
        hostnames: entry.hostnames.clone(),
        targets: targets.map_or(&[], |backends| backends.targets.as_slice()),
    }
}
