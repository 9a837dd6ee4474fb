//! From a snapshot to everything that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backend::{Backends, resolve_backends};
use super::clash::{Seat, Seats};
use super::class::resolve_class;
use super::listener::resolve_listeners;
use super::parameters::{GatewayDefaults, resolve_parameters};
use super::parent::{Candidate, candidates, is_gateway};
use super::unread::unread;
use super::view::{Secret, View, classes_of, gateways_of};
use super::{
    ClassResolution, GatewayResolution, ListenerResolution, ParentResolution, Refusal, Resolution,
    RouteResolution, certificate, fault, gateway,
};
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
    let classes: BTreeMap<String, ClassResolution> = classes_of(snapshot, controller)
        .map(|class| (class.name.clone(), resolve_class(class, &view)))
        .collect();
    let mut gateways: BTreeMap<ObjectKey, GatewayResolution> = gateways_of(snapshot, controller)
        .map(|gateway| {
            (
                gateway.key.clone(),
                judged(gateway, &classes, &view, defaults),
            )
        })
        .collect();
    let mut routes: Vec<&Arc<Route>> = snapshot.routes.items().iter().collect();
    routes.sort_by_key(|route| (route.created, &route.key, route.kind));
    let mut assembly = Assembly::new(&gateways, &routes, &view);
    let resolved = (0..routes.len()).map(|i| assembly.attach(i)).collect();
    let Assembly {
        backends, seats, ..
    } = assembly;
    for (key, gateway) in &mut gateways {
        let seats = seats.get(key).map_or(&[][..], Vec::as_slice);
        settle(gateway, seats, &routes, &backends, &view);
    }
    Resolution {
        classes,
        gateways: Arc::new(gateways),
        routes: resolved,
        unread: unread(snapshot, controller),
    }
}

/// A Gateway before any route.
fn judged(
    gateway: &Gateway,
    classes: &BTreeMap<String, ClassResolution>,
    view: &View<'_>,
    defaults: &GatewayDefaults,
) -> GatewayResolution {
    let listeners = resolve_listeners(gateway, view);
    let (parameters, unusable) = resolve_parameters(gateway, view, defaults);
    let class = classes.get(&gateway.class);
    let of_class = || class.and_then(|class| class.credentials.as_ref());
    let credentials = parameters.credentials.as_ref().or_else(of_class);
    GatewayResolution {
        refusal: gateway::refusal(gateway, class, unusable, &listeners),
        credentials: credentials.and_then(|secret| edition(secret, view)),
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
    /// Oldest first.
    routes: &'a [&'a Arc<Route>],
    view: &'a View<'a>,
    /// Backends of the routes that have a parent of ours, by position.
    backends: BTreeMap<usize, Backends>,
    /// For each Gateway, for each of its listeners.
    seats: BTreeMap<ObjectKey, Vec<Seats>>,
}

impl<'a> Assembly<'a> {
    fn new(
        gateways: &'a BTreeMap<ObjectKey, GatewayResolution>,
        routes: &'a [&'a Arc<Route>],
        view: &'a View<'a>,
    ) -> Self {
        let empty = |gateway: &GatewayResolution| {
            gateway.listeners.iter().map(|_| Seats::default()).collect()
        };
        Self {
            gateways,
            routes,
            view,
            backends: BTreeMap::new(),
            seats: gateways
                .iter()
                .map(|(key, gateway)| (key.clone(), empty(gateway)))
                .collect(),
        }
    }

    /// Attaches a route to all of its parents. Older routes must have been attached before.
    fn attach(&mut self, position: usize) -> RouteResolution {
        let route = self.routes[position];
        let ours: Vec<(&ParentRef, &'a GatewayResolution)> = route
            .parents
            .iter()
            .filter(|parent| is_gateway(parent))
            .filter_map(|parent| Some((parent, self.gateways.get(&parent.target.key)?)))
            .collect();
        let mut parents = Vec::with_capacity(ours.len());
        if !ours.is_empty() {
            let fault = fault::refusal(route);
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
    ) -> Result<Vec<Candidate>, Refusal> {
        let route = self.routes[position];
        let listeners = &gateway.listeners;
        let found = candidates(route, parent, &gateway.gateway, listeners, self.view)?;
        if let Some(fault) = fault {
            return Err(fault.clone());
        }
        let Some(seats) = self.seats.get_mut(&gateway.gateway.key) else {
            return Ok(Vec::new());
        };
        let mut in_the_way = None;
        let mut seated = Vec::new();
        for candidate in found {
            let seat = Seat {
                route: position,
                kind: route.kind,
                hostnames: candidate.hostnames.clone(),
            };
            match seats[candidate.listener].take(seat) {
                Ok(()) => seated.push(candidate),
                Err(other) => in_the_way = Some(self.routes[other]),
            }
        }
        match in_the_way {
            Some(other) if seated.is_empty() => Err(clashes(route, gateway, other)),
            _ => Ok(seated),
        }
    }
}

fn clashes(route: &Route, gateway: &GatewayResolution, other: &Route) -> Refusal {
    let message = format!(
        "{} {}: spec.hostnames: {} {} is older and has a hostname in common on the same listener of Gateway {}; use another hostname or another listener",
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
    seated: Result<Vec<Candidate>, Refusal>,
    unresolved: Option<Refusal>,
) -> ParentResolution {
    let (seated, refusal) = match seated {
        Ok(seated) => (seated, None),
        Err(refusal) => (Vec::new(), Some(refusal)),
    };
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
        refusal,
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
    if gateway.parameters.upload_certificates {
        gateway.certificates = certificate::wanted(gateway, view);
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
