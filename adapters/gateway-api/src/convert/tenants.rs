//! `spec.tenants` of CloudflareGatewayParameters. The rules of its CRD are checked again here: a folder of manifests
//! has no API server in front of it.

use domain::gateway::{AllowedKeys, KeyPattern, Tenant};
use domain::{AllowedHostnames, Hostname};

use super::gateway::label_selector;
use crate::fields::Fields;
use crate::types::{ParametersTenant, TenantInfrastructure};

const FIELD: &str = "spec.tenants";

/// Limits of the CRD.
const MOST_TENANTS: usize = 64;
const MOST_HOSTNAMES: usize = 256;
const MOST_KEYS: usize = 64;

/// What is noted as a field error keeps the object from being used, so what stands in its place here does not matter.
pub(super) fn read(fields: &Fields, written: &[ParametersTenant]) -> Vec<Tenant> {
    if written.is_empty() {
        let message = "Invalid value: []: must have at least 1 entry; remove the field to restrict nobody, or write an entry without namespaceSelector and with hostnames: [] to permit nothing to anybody";
        fields.invalid(FIELD, message);
    }
    let written = limited(fields, FIELD, written, MOST_TENANTS);
    let tenants = written.iter().enumerate();
    tenants
        .map(|(index, written)| tenant(fields, &format!("{FIELD}[{index}]"), written))
        .collect()
}

fn tenant(fields: &Fields, field: &str, written: &ParametersTenant) -> Tenant {
    let selector = written.namespace_selector.as_ref();
    let certificates = written.certificates.as_ref();
    let nothing = TenantInfrastructure::default();
    let infrastructure = written.infrastructure.as_ref().unwrap_or(&nothing);
    let keys = |name: &str, written: &Option<Vec<String>>| {
        let field = format!("{field}.infrastructure.{name}");
        written
            .as_deref()
            .map_or(AllowedKeys::Any, |keys| allowed_keys(fields, &field, keys))
    };
    Tenant {
        namespaces: selector
            .and_then(|it| label_selector(fields, &format!("{field}.namespaceSelector"), it))
            .unwrap_or_default(),
        hostnames: match written.hostnames.as_deref() {
            None => AllowedHostnames::Any,
            Some(written) => hostnames(fields, &format!("{field}.hostnames"), written),
        },
        may_upload_certificates: is_allowed(
            fields,
            &format!("{field}.certificates.upload"),
            certificates.and_then(|it| it.upload.as_deref()),
            false,
        ),
        max_gateways: written
            .max_gateways
            .and_then(|limit| max_gateways(fields, &format!("{field}.maxGateways"), limit)),
        labels: keys("labels", &infrastructure.labels),
        annotations: keys("annotations", &infrastructure.annotations),
        may_select_nodes: is_allowed(
            fields,
            &format!("{field}.infrastructure.nodeSelector"),
            infrastructure.node_selector.as_deref(),
            true,
        ),
        may_patch: is_allowed(
            fields,
            &format!("{field}.infrastructure.patches"),
            infrastructure.patches.as_deref(),
            false,
        ),
    }
}

pub(super) fn hostnames(fields: &Fields, field: &str, written: &[String]) -> AllowedHostnames {
    let written = limited(fields, field, written, MOST_HOSTNAMES).iter();
    let parsed = written.enumerate().filter_map(|(index, text)| {
        let parsed = Hostname::parse(text);
        parsed
            .map_err(|error| {
                let message = format!("Invalid value: {error}; write a name such as app.example.com, or *.example.com for every name below example.com");
                fields.invalid(format!("{field}[{index}]"), message);
            })
            .ok()
    });
    AllowedHostnames::listed(parsed)
}

fn allowed_keys(fields: &Fields, field: &str, written: &[String]) -> AllowedKeys {
    let written = limited(fields, field, written, MOST_KEYS).iter();
    let parsed = written.enumerate().filter_map(|(index, text)| {
        let pattern = KeyPattern::parse(text);
        if pattern.is_none() {
            let message = format!("Invalid value: {text:?}: must be a key such as team.example.com/name, or its beginning with * at the end");
            fields.invalid(format!("{field}[{index}]"), message);
        }
        pattern
    });
    AllowedKeys::Listed(parsed.collect())
}

pub(super) fn is_allowed(
    fields: &Fields,
    field: &str,
    written: Option<&str>,
    default: bool,
) -> bool {
    match written {
        None => default,
        Some("Allowed") => true,
        Some("Denied") => false,
        Some(other) => {
            let message = format!("Unsupported value: {other:?}: must be Allowed or Denied");
            fields.invalid(field, message);
            false
        }
    }
}

fn max_gateways(fields: &Fields, field: &str, written: i64) -> Option<u32> {
    let limit = u32::try_from(written).ok();
    let limit = limit.filter(|limit| i32::try_from(*limit).is_ok());
    if limit.is_none() {
        let message = format!("Invalid value: {written}: must be from 0 to {}", i32::MAX);
        fields.invalid(field, message);
    }
    limit
}

pub(super) fn limited<'w, T>(
    fields: &Fields,
    field: &str,
    written: &'w [T],
    most: usize,
) -> &'w [T] {
    if written.len() > most {
        let message = format!(
            "Too many: {}: must have at most {most} items",
            written.len()
        );
        fields.invalid(field, message);
    }
    &written[..written.len().min(most)]
}
