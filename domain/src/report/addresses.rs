//! Addresses of a Gateway: which of those that it asks for it has.

use super::edge_view::EdgeView;
use super::{Verdict, dns};
use crate::attachment::{AddressResolution, GatewayResolution, listed};
use crate::gateway::RequestedAddress;
use crate::names::ObjectKey;
use crate::status::{Reason, Truth};

/// Those that lead to it: the tunnel's where it asks for none, else exactly those that it asks for and has.
pub(super) fn had(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Vec<String> {
    let of_tunnel = edge.addresses();
    if gateway.addresses.is_empty() {
        return of_tunnel;
    }
    let key = &gateway.gateway.key;
    let mut had: Vec<String> = Vec::new();
    for requested in &gateway.addresses {
        let found = match &requested.address {
            RequestedAddress::Any => of_tunnel.clone(),
            RequestedAddress::Hostname(hostname) => {
                let lacks = of_tunnel.is_empty() || lacking(requested, key, edge).is_some();
                (!lacks).then(|| hostname.to_string()).into_iter().collect()
            }
        };
        had.extend(found);
    }
    let mut seen = std::collections::BTreeSet::new();
    had.retain(|address| seen.insert(address.clone()));
    had
}

/// What is wrong with the addresses that it asks for: first what its owner must mend, then what is not known yet.
pub(super) fn verdict(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
    let requested = gateway.addresses.iter();
    let lacking: Vec<Verdict> = requested
        .filter_map(|requested| lacking(requested, &gateway.gateway.key, edge))
        .collect();
    let worst = lacking
        .iter()
        .find(|verdict| verdict.reason == Reason::AddressNotUsable)
        .or(lacking.first())?
        .reason;
    let of_worst = lacking.into_iter().filter(|it| it.reason == worst);
    let message = listed(of_worst.map(|it| it.message));
    Some(Verdict::new(Truth::False, worst, message))
}

/// Why the Gateway does not have one.
fn lacking(
    requested: &AddressResolution,
    gateway: &ObjectKey,
    edge: &EdgeView<'_>,
) -> Option<Verdict> {
    let not_usable = |message| Verdict::new(Truth::False, Reason::AddressNotUsable, message);
    if let Some(refusal) = &requested.refusal {
        return Some(not_usable(refusal.clone()));
    }
    let hostname = requested.address.hostname()?;
    let found = dns::of_hostname(hostname, gateway, edge);
    let message = format!("Gateway {gateway}: spec.addresses: {}", found.message);
    match (found.truth, found.reason) {
        (Truth::True, _) | (Truth::Unknown, Reason::ZoneNotServed) => None,
        (Truth::False, _) | (Truth::Unknown, Reason::NotManaged) => Some(not_usable(message)),
        (Truth::Unknown, _) => Some(Verdict::new(Truth::False, Reason::Pending, message)),
    }
}
