//! Whether everything that the parameters say has its effect, and everything that the Gateway says of what is made
//! for it. What is wrong with the parameters as they are written is told by Accepted.

use super::Verdict;
use super::edge_view::EdgeView;
use crate::attachment::{GatewayResolution, Refusal, listed};
use crate::gateway::{FieldError, FieldErrorKind, PARAMETERS_KIND};
use crate::status::{Reason, Truth};

/// `None` where there are no parameters and nothing is left out.
pub(super) fn verdict(gateway: &GatewayResolution, edge: &EdgeView<'_>) -> Option<Verdict> {
    let parameters = &gateway.parameters;
    let named = parameters.named.as_ref();
    let of_class =
        |refusal: &&Refusal| matches!(refusal.reason, Reason::InvalidParameters | Reason::Pending);
    let refusal = gateway.refusal.as_ref().filter(of_class);
    if let (Some(refusal), Some(_)) = (refusal.or(parameters.refusal.as_ref()), named) {
        return Some(Verdict::refused(refusal));
    }
    if let (Some(key), Some(why)) = (named, &parameters.unreadable) {
        let message = format!(
            "{PARAMETERS_KIND} {key} cannot be read ({why}); what was last read of it is in force"
        );
        return Some(Verdict::new(Truth::Unknown, Reason::Pending, message));
    }
    let carried_out = edge.workload().and_then(|told| told.parameters.as_deref());
    let of_proxies = carried_out.unwrap_or_default();
    let object = match named {
        Some(key) => format!("{PARAMETERS_KIND} {key}"),
        None => format!(
            "{PARAMETERS_KIND} of GatewayClass {}",
            gateway.gateway.class
        ),
    };
    let mut problems = Vec::new();
    let without_effect = parameters.without_effect.iter().filter(|_| named.is_some());
    let without_effect = told(without_effect.chain(of_proxies));
    if !without_effect.is_empty() {
        problems.push(format!("{object}: {without_effect}"));
    }
    let withheld = told(&parameters.withheld);
    if !withheld.is_empty() {
        problems.push(format!("Gateway {}: {withheld}", gateway.gateway.key));
    }
    if !problems.is_empty() {
        let is_wrong = of_proxies
            .iter()
            .any(|it| it.kind == FieldErrorKind::Invalid);
        let reason = match is_wrong {
            true => Reason::InvalidParameters,
            false => Reason::UnsupportedValue,
        };
        return Some(Verdict::new(Truth::False, reason, listed(problems)));
    }
    let key = named?;
    if gateway.is_served() && carried_out.is_none() && parameters.workload.needs_the_cluster() {
        let message = format!(
            "{PARAMETERS_KIND} {key}: spec.tunnel.patches and spec.tunnel.autoscaling are not carried out yet"
        );
        return Some(Verdict::new(Truth::Unknown, Reason::Pending, message));
    }
    let message = format!("{PARAMETERS_KIND} {key} is in force");
    Some(Verdict::new(Truth::True, Reason::Accepted, message))
}

fn told<'d>(field_errors: impl IntoIterator<Item = &'d FieldError>) -> String {
    listed(field_errors.into_iter().map(ToString::to_string))
}
