//! From a snapshot to everything that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backend::{Backends, resolve_backends};
use super::clash::{Seat, Seats};
use super::class::{JudgedClass, resolve_class};
use super::listener::resolve_listeners;
use super::parameters::{Circumstances, GatewayDefaults, Uploads, resolve_parameters};
use super::parent::{Candidate, candidates, gateway_of};
use super::patterns::PatternShares;
use super::tenancy::{Tenancies, Tenancy};
use super::unread::unread;
use super::view::{Secret, View, classes_of, gateways_of};
use super::{
    GatewayResolution, ListenerResolution, ParentResolution, Refusal, Resolution, RouteResolution,
    certificate, fault, gateway,
};
use crate::capabilities::DataPlaneKind;
use crate::gateway::{Gateway, ParentRef, Route};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::route_table::{CompileInput, ListenerInput, RouteInput, RouteTable, compile};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// Applies the Gateway API's rules to a snapshot. The order of objects in it does not matter.
pub fn resolve(
    snapshot: &ClusterSnapshot,
    controller: &str,
    defaults: &GatewayDefaults,
) -> Resolution {
    let view = View::new(snapshot);
    let classes: BTreeMap<&str, JudgedClass<'_>> = classes_of(snapshot, controller)
        .map(|class| (class.name.as_str(), resolve_class(class, &view)))
        .collect();
    let mut tenancies = Tenancies::new(&view, &classes);
    let mut over_limit = tenancies.over_limit(gateways_of(snapshot, controller));
    let mut gateways: BTreeMap<ObjectKey, GatewayResolution> = BTreeMap::new();
    for gateway in gateways_of(snapshot, controller) {
        let class = classes.get(gateway.class.as_str());
        let tenancy = tenancies.of(&gateway.class, &gateway.key.namespace);
        let over_limit = over_limit.remove(&gateway.key);
        let judged = judged(gateway, class, tenancy, over_limit, &view, defaults);
        gateways.insert(gateway.key.clone(), judged);
    }
    let mut routes: Vec<&Arc<Route>> = snapshot.routes.items().iter().collect();
    routes.sort_by_key(|route| (route.created, &route.key, route.kind));
    let mut assembly = Assembly::new(&gateways, &routes, tenancies, &view);
    let resolved = (0..routes.len()).map(|i| assembly.attach(i)).collect();
    let Assembly {
        backends, seats, ..
    } = assembly;
    for (key, gateway) in &mut gateways {
        let seats = seats.get(key).map_or(&[][..], Vec::as_slice);
        settle(gateway, seats, &routes, &backends, &view);
    }
    let classes = classes.into_iter();
    Resolution {
        classes: classes
            .map(|(name, class)| (name.to_owned(), class.resolution))
            .collect(),
        gateways: Arc::new(gateways),
        routes: resolved,
        unread: unread(snapshot, controller),
    }
}

/// A Gateway before any route.
fn judged(
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
        parameters,
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
struct Assembly<'a> {
    gateways: &'a BTreeMap<ObjectKey, GatewayResolution>,
    routes: &'a [&'a Arc<Route>],
    tenancies: Tenancies<'a>,
    view: &'a View<'a>,
    /// Backends of the routes that have a parent of ours, by position.
    backends: BTreeMap<usize, Backends>,
    /// For each Gateway, for each of its listeners.
    seats: BTreeMap<ObjectKey, Vec<Seats>>,
    patterns: BTreeMap<ObjectKey, PatternShares>,
}

impl<'a> Assembly<'a> {
    fn new(
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
                .map(|_| Seats::new(shared))
                .collect()
        };
        Self {
            gateways,
            routes,
            tenancies,
            view,
            backends: BTreeMap::new(),
            seats: gateways
                .iter()
                .map(|(key, gateway)| (key.clone(), empty(gateway)))
                .collect(),
            patterns: BTreeMap::new(),
        }
    }

    /// Attaches a route to all of its parents. Older routes must have been attached before.
    fn attach(&mut self, position: usize) -> RouteResolution {
        let route = self.routes[position];
        let ours: Vec<(&ParentRef, &'a GatewayResolution)> = route
            .parents
            .iter()
            .filter_map(|parent| Some((parent, self.gateways.get(gateway_of(parent)?)?)))
            .collect();
        let mut parents = Vec::with_capacity(ours.len());
        if !ours.is_empty() {
            let fault = fault::refusal(route, DataPlaneKind::Native);
            let backends = resolve_backends(route, self.view);
            let unresolved = backends.unresolved.clone();
            self.backends.insert(position, backends);
            parents.extend(ours.into_iter().map(|(parent, gateway)| {
                let seated = self.seat(position, parent, gateway, fault.as_ref());
                parent_resolution(parent, gateway, seated, unresolved.clone())
            }));
        }
        RouteResolution {
            route: Arc::clone(route),
            parents,
        }
    }

    fn seat(
        &mut self,
        position: usize,
        parent: &ParentRef,
        gateway: &'a GatewayResolution,
        fault: Option<&Refusal>,
    ) -> Result<Seated, Refusal> {
        let route = self.routes[position];
        let listeners = &gateway.listeners;
        let found = candidates(route, parent, &gateway.gateway, listeners, self.view)?;
        if let Some(fault) = fault {
            return Err(fault.clone());
        }
        let key = &gateway.gateway.key;
        let class = gateway.gateway.class.as_str();
        let tenancy = self.tenancies.of(class, &route.key.namespace);
        let (found, partly_refused) = tenancy.restrict(route, &gateway.gateway, found)?;
        let patterns = self.patterns.entry(key.clone()).or_default();
        if let Some(refusal) = patterns.refusal(position, route, key) {
            return Err(refusal);
        }
        let mut in_the_way = None;
        let mut seated = Seated {
            candidates: Vec::new(),
            partly_refused,
        };
        let Some(seats) = self.seats.get_mut(key) else {
            return Ok(seated);
        };
        for candidate in found {
            let seat = Seat {
                route: position,
                kind: route.kind,
                hostnames: candidate.hostnames.clone(),
            };
            match seats[candidate.listener].take(seat) {
                Ok(()) => seated.candidates.push(candidate),
                Err(other) => in_the_way = Some(self.routes[other]),
            }
        }
        match in_the_way {
            Some(other) if seated.candidates.is_empty() => Err(clashes(route, gateway, other)),
            _ => {
                patterns.take(position, route);
                Ok(seated)
            }
        }
    }
}

/// What a route has on the listeners of one Gateway.
#[derive(Default)]
struct Seated {
    candidates: Vec<Candidate>,
    /// Why some of its hostnames are left out.
    partly_refused: Option<Refusal>,
}

fn clashes(route: &Route, gateway: &GatewayResolution, other: &Route) -> Refusal {
    let message = format!(
        "{} {}: spec.hostnames: {} {} is older and has a hostname in common on the same listener of Gateway {}; use another hostname or another listener, or set sharedHostnames in the Gateway's CloudflareGatewayParameters",
        route.kind.as_str(),
        route.key,
        other.kind.as_str(),
        other.key,
        gateway.gateway.key
    );
    Refusal::new(Reason::HostnameConflict, message)
}

fn parent_resolution(
    parent: &ParentRef,
    gateway: &GatewayResolution,
    seated: Result<Seated, Refusal>,
    unresolved: Option<Refusal>,
) -> ParentResolution {
    let (seated, refusal) = match seated {
        Ok(seated) => (seated, None),
        Err(refusal) => (Seated::default(), Some(refusal)),
    };
    let Seated {
        candidates: seated,
        partly_refused,
    } = seated;
    let served =
        |listener: usize| gateway.refusal.is_none() && gateway.listeners[listener].is_served();
    let mut hostnames: Vec<Hostname> = seated
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
        listeners: seated
            .iter()
            .map(|c| gateway.listeners[c.listener].listener.name.clone())
            .collect(),
        hostnames,
    }
}

/// Fills in what follows from the routes on a Gateway's listeners.
fn settle(
    gateway: &mut GatewayResolution,
    seats: &[Seats],
    routes: &[&Arc<Route>],
    backends: &BTreeMap<usize, Backends>,
    view: &View<'_>,
) {
    for (listener, seats) in gateway.listeners.iter_mut().zip(seats) {
        listener.attached_routes = u32::try_from(seats.taken().len()).unwrap_or(u32::MAX);
    }
    gateway.hostnames = hostnames(gateway, seats, routes);
    if gateway.refusal.is_some() {
        return;
    }
    let listeners = gateway.listeners.iter().zip(seats);
    let listeners = listeners
        .filter(|(listener, _)| listener.is_served())
        .map(|(listener, seats)| ListenerInput {
            listener: &listener.listener,
            routes: seats
                .taken()
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
        gateway.certificates = certificate::wanted(gateway, seats, view);
    }
    gateway.table = Arc::new(compile(table, &view.backends));
}

/// The names of a Gateway, with the age of the oldest route that asks for each. Where it cannot be served for
/// now, those that it would have: it keeps its records meanwhile, so its claims on them must stand.
fn hostnames(
    gateway: &GatewayResolution,
    seats: &[Seats],
    routes: &[&Arc<Route>],
) -> BTreeMap<Hostname, Timestamp> {
    let mut listeners = gateway.listeners.iter();
    let serves = gateway.refusal.is_none() && listeners.any(ListenerResolution::is_served);
    let counts = |listener: &ListenerResolution| match serves {
        true => listener.is_served(),
        false => listener.refusal.is_none(),
    };
    let listeners = gateway.listeners.iter().zip(seats);
    let listeners = listeners.filter(|(listener, _)| counts(listener));
    let mut hostnames: BTreeMap<Hostname, Timestamp> = BTreeMap::new();
    for seat in listeners.flat_map(|(_, seats)| seats.taken()) {
        let created = routes[seat.route].created;
        for hostname in &seat.hostnames {
            let oldest = hostnames.entry(hostname.clone()).or_insert(created);
            *oldest = created.min(*oldest);
        }
    }
    hostnames
}

fn input<'a>(
    seat: &Seat,
    routes: &[&'a Arc<Route>],
    backends: &'a BTreeMap<usize, Backends>,
) -> RouteInput<'a> {
    let targets = backends.get(&seat.route);
    RouteInput {
        route: routes[seat.route],
        hostnames: seat.hostnames.clone(),
        targets: targets.map_or(&[], |backends| backends.targets.as_slice()),
    }
}
