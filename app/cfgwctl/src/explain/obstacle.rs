//! Why no Gateway takes a hostname, as the domain says it.

use domain::attachment::{GatewayResolution, ParentResolution, Resolution, RouteResolution};
use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP, LISTENER_SET_KIND, ParentRef, Route};
use domain::snapshot::ClusterSnapshot;
use domain::status::Reason;

/// Hostnames of routes that are named where none is the one that is asked about.
const SHOWN: usize = 5;

/// Why a Gateway does not serve.
pub(super) fn not_served(gateway: &GatewayResolution) -> Option<String> {
    if gateway.is_served() {
        return None;
    }
    let key = &gateway.gateway.key;
    if let Some(refusal) = &gateway.refusal {
        // What is wrong in a listener says more than that none is right.
        let of_listener = refusal_of_listener(gateway, |_| true);
        let is_summary = refusal.reason == Reason::ListenersNotValid;
        return of_listener
            .filter(|_| is_summary)
            .or_else(|| Some(refusal.message.clone()));
    }
    if gateway.gateway.deleting {
        return Some(format!(
            "Gateway {key}: metadata.deletionTimestamp: it is being deleted; make it again once it is gone"
        ));
    }
    refusal_of_listener(gateway, |_| true).or_else(|| {
        Some(format!(
            "Gateway {key}: spec.listeners: none serves; add one"
        ))
    })
}

/// The first refusal among some listeners.
fn refusal_of_listener(
    gateway: &GatewayResolution,
    is_meant: impl Fn(&str) -> bool,
) -> Option<String> {
    let listeners = gateway.listeners.iter();
    let mut meant = listeners.filter(|it| is_meant(&it.id()) && !it.is_served());
    meant.find_map(|it| {
        let refusal = it.refusal.as_ref().or(it.unresolved.as_ref())?;
        Some(refusal.message.clone())
    })
}

/// Why no Gateway has a hostname that covers the host.
pub(super) fn no_gateway(
    host: &str,
    snapshot: &ClusterSnapshot,
    resolution: &Resolution,
) -> String {
    let asks = |route: &&RouteResolution| {
        let hostnames = &route.route.hostnames;
        hostnames.iter().any(|hostname| hostname.covers_host(host))
    };
    let named = resolution.routes.iter().filter(asks);
    let takes_all = |route: &&RouteResolution| route.route.hostnames.is_empty();
    let unnamed = resolution.routes.iter().filter(takes_all);
    let mut routes = named.chain(unnamed);
    let why = routes.find_map(|route| of_route(route, host, snapshot, resolution));
    why.unwrap_or_else(|| nowhere(host, resolution))
}

/// What keeps a route from having the host.
fn of_route(
    route: &RouteResolution,
    host: &str,
    snapshot: &ClusterSnapshot,
    resolution: &Resolution,
) -> Option<String> {
    if route.parents.is_empty() {
        // One without hostnames may be meant for something else.
        let names_it = !route.route.hostnames.is_empty();
        return names_it.then(|| without_gateway(&route.route, snapshot));
    }
    let mut parents = route.parents.iter();
    parents.find_map(|parent| of_parent(parent, host, resolution))
}

fn of_parent(parent: &ParentResolution, host: &str, resolution: &Resolution) -> Option<String> {
    let gateway = resolution.gateways.get(&parent.gateway);
    let refusal = parent.refusal.as_ref();
    let told = refusal.map(|refusal| refusal.message.clone());
    let of_gateway = || gateway.and_then(not_served);
    let of_listener = || {
        let is_meant = |name: &str| parent.listeners.iter().any(|it| it == name);
        gateway.and_then(|gateway| refusal_of_listener(gateway, is_meant))
    };
    let left_out = || {
        let left_out = parent.without_names.as_ref()?;
        left_out
            .message
            .contains(host)
            .then(|| left_out.message.clone())
    };
    // A Gateway that serves nothing explains a listener that takes nothing.
    of_gateway().or(told).or_else(of_listener).or_else(left_out)
}

/// A route that names the hostname and leads to no Gateway of ours.
fn without_gateway(route: &Route, snapshot: &ClusterSnapshot) -> String {
    let object = route.to_string();
    let kinds = ["Gateway", LISTENER_SET_KIND];
    let parents = route.parents.iter().enumerate();
    let mut served = parents.filter(|(_, it)| {
        it.target.group == GATEWAY_GROUP && kinds.contains(&it.target.kind.as_str())
    });
    let Some((index, ParentRef { target, .. })) = served.next() else {
        return format!("{object}: spec.parentRefs: Required value: name a Gateway");
    };
    let mut field = format!("{object}: spec.parentRefs[{index}]");
    let mut key = &target.key;
    if target.kind == LISTENER_SET_KIND {
        let mut sets = snapshot.listener_sets.items().iter();
        let Some(gateway) = sets
            .find(|set| set.key == *key)
            .and_then(|set| set.gateway())
        else {
            return format!(
                "{field}: Not found: {LISTENER_SET_KIND} {key} of a Gateway: create it, or correct the reference"
            );
        };
        field = format!("{LISTENER_SET_KIND} {key}: spec.parentRef");
        key = gateway;
    }
    let mut known = snapshot.gateways.items().iter();
    let Some(gateway) = known.find(|gateway| gateway.key == *key) else {
        return format!("{field}: Not found: Gateway {key}: create it, or correct the reference");
    };
    let mut classes = snapshot.classes.items().iter();
    match classes.find(|class| class.name == gateway.class) {
        None => format!(
            "Gateway {key}: spec.gatewayClassName: Not found: GatewayClass {}: create it, or name another",
            gateway.class
        ),
        Some(_) => format!(
            "Gateway {key}: spec.gatewayClassName: Invalid value: {:?}: must be a GatewayClass of {CONTROLLER_NAME}; name such a class, or attach the route to another Gateway",
            gateway.class
        ),
    }
}

/// No route asks for the host.
fn nowhere(host: &str, resolution: &Resolution) -> String {
    let hostnames = resolution.gateways.values();
    let mut hostnames: Vec<&str> = hostnames
        .flat_map(|gateway| gateway.hostnames.keys())
        .map(domain::Hostname::as_str)
        .collect();
    hostnames.sort_unstable();
    hostnames.dedup();
    let shown = hostnames.iter().take(SHOWN).copied().collect::<Vec<_>>();
    let served = match (shown.is_empty(), hostnames.len().saturating_sub(SHOWN)) {
        (true, _) => "none is served".to_owned(),
        (false, 0) => format!("served are {}", shown.join(", ")),
        (false, more) => format!("served are {} and {more} more", shown.join(", ")),
    };
    format!(
        "no HTTPRoute or GRPCRoute has the hostname {host} ({served}); add it to spec.hostnames of one"
    )
}
