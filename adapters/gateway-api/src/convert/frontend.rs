//! `Gateway.spec.tls.frontend`.

use std::collections::BTreeMap;

use domain::ObjectKey;
use domain::gateway::{FrontendMode, FrontendTls, FrontendValidation};

use super::references;
use crate::fields::Fields;
use crate::types::{FrontendTLSConfig, FrontendTLSValidation, TLSConfig};

const FRONTEND: &str = "spec.tls.frontend";

/// What a Gateway asks of visitors. A wrong value is noted as a field error, which refuses the Gateway.
pub(super) fn read(fields: &Fields, written: &FrontendTLSConfig, own: &ObjectKey) -> FrontendTls {
    let default = tls(
        fields,
        &format!("{FRONTEND}.default"),
        &written.default,
        own,
    );
    let mut per_port = BTreeMap::new();
    for (index, written) in written.per_port.iter().enumerate() {
        let field = format!("{FRONTEND}.perPort[{index}]");
        let read = tls(fields, &format!("{field}.tls"), &written.tls, own);
        let port = fields.port(format!("{field}.port"), written.port);
        if per_port.insert(port.unwrap_or(0), read).is_some() && port.is_some() {
            let message = format!(
                "Duplicate value: {}: must stand once: remove one of the two",
                written.port
            );
            fields.invalid(format!("{field}.port"), message);
        }
    }
    FrontendTls { default, per_port }
}

fn tls(
    fields: &Fields,
    field: &str,
    written: &TLSConfig,
    own: &ObjectKey,
) -> Option<FrontendValidation> {
    let written = written.validation.as_ref()?;
    let field = format!("{field}.validation");
    Some(FrontendValidation {
        mode: mode(fields, &field, written),
        authorities: written
            .ca_certificate_refs
            .iter()
            .enumerate()
            .map(|(index, reference)| {
                let field = format!("{field}.caCertificateRefs[{index}]");
                fields.required(format!("{field}.name"), &reference.name);
                references::authority(fields, &field, reference, &own.namespace)
            })
            .collect(),
        field,
    })
}

/// A mode that is not known is the strict one.
fn mode(fields: &Fields, field: &str, written: &FrontendTLSValidation) -> FrontendMode {
    match written.mode.as_deref() {
        None | Some("" | "AllowValidOnly") => FrontendMode::ValidOnly,
        Some("AllowInsecureFallback") => FrontendMode::InsecureFallback,
        Some(other) => {
            let message = format!(
                "Unsupported value: {other:?}: must be AllowValidOnly or AllowInsecureFallback: write one of these"
            );
            fields.invalid(format!("{field}.mode"), message);
            FrontendMode::ValidOnly
        }
    }
}
