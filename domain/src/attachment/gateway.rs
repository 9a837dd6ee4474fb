//! Gateways as a whole.

use super::parameters::is_ours;
use super::view::kind_text;
use super::{ClassResolution, ListenerResolution, Refusal};
use crate::gateway::{Gateway, GatewayPart, OWN_GROUP, PARAMETERS_KIND, Reconciling};
use crate::status::Reason;

const PARAMETERS_FIELD: &str = "spec.infrastructure.parametersRef";

/// Why a Gateway is not accepted. While one listener is, bad ones do not refuse it
/// (Gateway API, `Gateway.spec.listeners`).
pub(super) fn refusal(
    gateway: &Gateway,
    class: Option<&ClassResolution>,
    not_permitted: Option<Refusal>,
    parameters: Option<Refusal>,
    listeners: &[ListenerResolution],
) -> Option<Refusal> {
    let refused = class
        .and_then(|class| class.refusal.as_ref())
        .map(|refusal| class_refused(gateway, refusal));
    refused
        .or(not_permitted)
        .or_else(|| unserved_fields(gateway))
        .or(parameters)
        .or_else(|| no_listener(gateway, listeners))
}

fn class_refused(gateway: &Gateway, refusal: &Refusal) -> Refusal {
    let reason = match refusal.reason {
        Reason::InvalidParameters => Reason::InvalidParameters,
        _ => Reason::Pending,
    };
    let message = format!(
        "Gateway {}: spec.gatewayClassName: GatewayClass {} is not accepted: {}",
        gateway.key, gateway.class, refusal.message
    );
    Refusal::new(reason, message)
}

fn unserved_fields(gateway: &Gateway) -> Option<Refusal> {
    let key = &gateway.key;
    let mut refusals: Vec<Refusal> = gateway
        .field_errors
        .iter()
        .map(|(part, field_error)| {
            Refusal::new(reason_of(*part), format!("Gateway {key}: {field_error}"))
        })
        .collect();
    let (_, field_error) = Reconciling::read(&gateway.annotations);
    refusals.extend(field_error.map(|field_error| {
        Refusal::new(
            Reason::InvalidParameters,
            format!("Gateway {key}: {field_error}"),
        )
    }));
    if let Some(target) = &gateway.parameters
        && !is_ours(target)
    {
        let message = format!(
            "Gateway {key}: {PARAMETERS_FIELD}: {} is not served; name a {OWN_GROUP}/{PARAMETERS_KIND}",
            kind_text(target)
        );
        refusals.push(Refusal::new(Reason::InvalidParameters, message));
    }
    let order = [
        Reason::UnsupportedAddress,
        Reason::InvalidParameters,
        Reason::Invalid,
    ];
    Refusal::first_of(refusals, &order)
}

fn reason_of(part: GatewayPart) -> Reason {
    match part {
        GatewayPart::Addresses => Reason::UnsupportedAddress,
        GatewayPart::ParametersRef => Reason::InvalidParameters,
        GatewayPart::ListenerHostname | GatewayPart::ListenerFilters | GatewayPart::Other => {
            Reason::Invalid
        }
    }
}

fn no_listener(gateway: &Gateway, listeners: &[ListenerResolution]) -> Option<Refusal> {
    if listeners.iter().any(|l| l.refusal.is_none()) {
        return None;
    }
    let message = match refused_listeners(listeners) {
        None => format!(
            "Gateway {}: spec.listeners is empty; add an HTTPS listener on port 443",
            gateway.key
        ),
        Some(refused) => format!(
            "Gateway {}: spec.listeners: none is accepted: {refused}",
            gateway.key
        ),
    };
    Some(Refusal::new(Reason::ListenersNotValid, message))
}

/// The listeners that are not accepted, with their reasons; `None` where all are.
pub(crate) fn refused_listeners(listeners: &[ListenerResolution]) -> Option<String> {
    named(listeners, |listener| listener.refusal.as_ref())
}

/// The listeners that take no traffic, with their reasons; `None` where all do.
pub(crate) fn unserved_listeners(listeners: &[ListenerResolution]) -> Option<String> {
    named(listeners, |listener| {
        let refusal = listener.refusal.as_ref().or(listener.unresolved.as_ref());
        refusal.filter(|_| !listener.is_served())
    })
}

fn named<'l>(
    listeners: &'l [ListenerResolution],
    problem: impl Fn(&'l ListenerResolution) -> Option<&'l Refusal>,
) -> Option<String> {
    let named: Vec<String> = listeners
        .iter()
        .filter_map(|listener| Some((&listener.listener.name, problem(listener)?)))
        .map(|(name, refusal)| format!("{name} ({})", refusal.reason.as_str()))
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}
