//! How the records of a Gateway are treated.

use super::parameters::{Circumstances, GatewayDefaults, no_effect, said};
use crate::gateway::{
    CONFIRM_REMOVAL, FieldError, Gateway, GatewayParameters, LONGEST_CODE, RecordSettings,
};

/// What the Gateway's parameters and annotations say, and what of it has no effect.
///
/// Ids of zones and adoptions say where and what the API token may be used on, so they are up to whoever owns the token:
/// the Gateway where its parameters name credentials of its own, else the GatewayClass.
pub(super) fn settings(
    gateway: &Gateway,
    own: Option<&GatewayParameters>,
    circumstances: &Circumstances<'_>,
    defaults: &GatewayDefaults,
) -> (RecordSettings, Vec<FieldError>) {
    let of_class = circumstances.of_class;
    let owns_token = own.is_some_and(|own| own.credentials.is_some());
    let deciding = own.filter(|_| owns_token);
    let confirmed = gateway.annotations.get(CONFIRM_REMOVAL);
    let settings = RecordSettings {
        drift: said(own, of_class, |p| p.records.drift).unwrap_or_default(),
        zone_ids: said(deciding, of_class, |p| p.records.zone_ids.clone()).unwrap_or_default(),
        adopt: said(deciding, of_class, |p| p.records.adopt.clone()).unwrap_or_default(),
        confirmed_removal: confirmed.filter(|code| code.len() <= LONGEST_CODE).cloned(),
    };
    let is_class_object = own.is_some_and(|own| of_class.is_some_and(|class| class.key == own.key));
    let field_errors = match own {
        Some(own) if defaults.is_behind_broker => at_broker(own),
        Some(own) if !owns_token && !is_class_object => {
            let message = "Forbidden: the API token is the GatewayClass's; ask whoever runs the cluster to set it in the GatewayClass's parameters, or name credentials of your own in spec.secretRef";
            of_token(own)
                .map(|field| no_effect(field, message))
                .collect()
        }
        _ => Vec::new(),
    };
    (settings, field_errors)
}

/// Fields that say where and what the API token is used on.
fn of_token(parameters: &GatewayParameters) -> impl Iterator<Item = &'static str> {
    let records = &parameters.records;
    let zone_ids = records.zone_ids.is_some().then_some("spec.dns.zoneIDs");
    let adopt = records.adopt.is_some().then_some("spec.dns.adopt");
    zone_ids.into_iter().chain(adopt)
}

/// Fields about an API token, where a broker has it.
pub(super) fn at_broker(parameters: &GatewayParameters) -> Vec<FieldError> {
    let secret = parameters.credentials.is_some().then_some("spec.secretRef");
    let fields = secret.into_iter().chain(of_token(parameters));
    let message = "Forbidden: the broker uses a token of its own, and its owner decides on what; remove it here";
    fields.map(|field| no_effect(field, message)).collect()
}
