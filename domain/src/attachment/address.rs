//! Addresses that a Gateway asks for.

use super::reserved;
use super::tenancy::Tenancy;
use crate::gateway::{Gateway, RequestedAddress};

/// One of `Gateway.spec.addresses` that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressResolution {
    pub address: RequestedAddress,
    /// Why the Gateway cannot have it, whatever the edge says.
    pub refusal: Option<String>,
}

pub(super) fn resolve_addresses(
    gateway: &Gateway,
    tenancy: &Tenancy<'_>,
) -> Vec<AddressResolution> {
    let requested = gateway.addresses.iter();
    requested
        .map(|address| {
            let problem = address
                .hostname()
                .and_then(|name| reserved(name).or_else(|| tenancy.forbids(name)));
            AddressResolution {
                address: address.clone(),
                refusal: problem
                    .map(|problem| format!("Gateway {}: spec.addresses: {problem}", gateway.key)),
            }
        })
        .collect()
}
