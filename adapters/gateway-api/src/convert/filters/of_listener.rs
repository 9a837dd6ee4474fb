//! Filters of listeners (GEP-5224).

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::ExternalAuth;

use super::{external_auth, required};
use crate::fields::Fields;
use crate::types::ListenerFilter;

/// `filters.requests` of the listener at `listener`. One that is not served is reported, so that the listener is refused and
/// none is skipped.
pub(crate) fn of_listener(
    fields: &Fields,
    listener: &str,
    written: &[ListenerFilter],
    own: &ObjectKey,
) -> Vec<ExternalAuth> {
    let filters = written.iter().enumerate();
    let filters = filters.filter_map(|(index, filter)| {
        let field = format!("{listener}.filters.requests[{index}]");
        forbid_other(fields, &field, filter);
        match filter.r#type.as_str() {
            "ExternalAuth" => {
                let auth = filter.external_auth.as_ref();
                let auth = required(fields, &field, "externalAuth", auth)?;
                external_auth(fields, &field, auth, own)
            }
            "ExtensionRef" => {
                fields.unsupported(&field, Feature::ExtensionRef.refusal());
                None
            }
            other => {
                fields.invalid(
                    format!("{field}.type"),
                    format!("Unsupported value: {other:?}: write ExternalAuth"),
                );
                None
            }
        }
    });
    filters.collect()
}

fn forbid_other(fields: &Fields, field: &str, filter: &ListenerFilter) {
    for (member, is_written, kind) in [
        (
            "externalAuth",
            filter.external_auth.is_some(),
            "ExternalAuth",
        ),
        (
            "extensionRef",
            filter.extension_ref.is_some(),
            "ExtensionRef",
        ),
    ] {
        if is_written && filter.r#type != kind {
            fields.invalid(
                format!("{field}.{member}"),
                format!(
                    "Forbidden: the filter has the type {:?}; remove it",
                    filter.r#type
                ),
            );
        }
    }
}
