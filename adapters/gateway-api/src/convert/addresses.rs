//! `Gateway.spec.addresses`.

use domain::gateway::RequestedAddress;

use super::text;
use crate::fields::Fields;
use crate::types::GatewaySpecAddress;

pub(super) const ADDRESSES: &str = "spec.addresses";

/// The addresses that can be served; each other one is noted as a field error.
pub(super) fn read(fields: &Fields, written: &[GatewaySpecAddress]) -> Vec<RequestedAddress> {
    let written = written.iter().enumerate();
    written
        .filter_map(|(index, written)| address(fields, &format!("{ADDRESSES}[{index}]"), written))
        .collect()
}

fn address(fields: &Fields, field: &str, written: &GatewaySpecAddress) -> Option<RequestedAddress> {
    if !written.routability.is_empty() {
        let message = format!(
            "Unsupported value: {:?}: must be empty, because a tunnel is reached through Cloudflare and in no other way; remove it",
            written.routability
        );
        fields.unsupported(format!("{field}.routability"), message);
        return None;
    }
    // The default of the API.
    let kind = written.kind.as_deref().unwrap_or("IPAddress");
    let value = written.value.as_str();
    match (kind, value) {
        ("IPAddress" | "Hostname", "") => Some(RequestedAddress::Any),
        ("Hostname", _) => text::hostname(fields, format!("{field}.value"), Some(value))
            .map(RequestedAddress::Hostname),
        ("IPAddress", _) => {
            let message = format!(
                "Unsupported value: {value:?}: must be empty, because Cloudflare's addresses are no Gateway's own; remove it, or write type Hostname and a name of one of your zones"
            );
            fields.unsupported(format!("{field}.value"), message);
            None
        }
        _ => {
            let message = format!(
                "Unsupported value: {kind:?}: must be Hostname or IPAddress; write one of these"
            );
            fields.unsupported(format!("{field}.type"), message);
            None
        }
    }
}
