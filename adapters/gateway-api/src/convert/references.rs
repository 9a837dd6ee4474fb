//! References between objects.

use domain::gateway::{
    BackendRef, GATEWAY_GROUP, ParentRef, RouteKind, TRUST_BUNDLE_GROUP, TRUST_BUNDLE_KIND,
};
use domain::{Hostname, ObjectKey, ObjectRef};

use super::{filters, text};
use crate::fields::Fields;
use crate::types;

/// Largest weight of a backend (Gateway API, `BackendRef.weight`).
const MAX_WEIGHT: i64 = 1_000_000;

/// Fills in the defaults of a reference.
pub(crate) fn target(
    group: Option<&str>,
    kind: Option<&str>,
    (namespace, name): (Option<&str>, &str),
    default: (&str, &str),
    own_namespace: &str,
) -> ObjectRef {
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    ObjectRef {
        group: group.unwrap_or(default.0).to_owned(),
        kind: kind.unwrap_or(default.1).to_owned(),
        key: ObjectKey::new(namespace.unwrap_or(own_namespace), name),
    }
}

/// One of `caCertificateRefs`. A ClusterTrustBundle is in no namespace.
pub(super) fn authority(
    fields: &Fields,
    field: &str,
    written: &types::ObjectReference,
    own_namespace: &str,
) -> ObjectRef {
    let types::ObjectReference {
        group,
        kind,
        name,
        namespace,
    } = written;
    let written_namespace = namespace.as_deref().filter(|text| !text.is_empty());
    let is_bundle = group == TRUST_BUNDLE_GROUP && kind == TRUST_BUNDLE_KIND;
    let key = match (is_bundle, written_namespace) {
        (false, written) => ObjectKey::new(written.unwrap_or(own_namespace), name),
        (true, None) => ObjectKey::new("", name),
        (true, Some(_)) => {
            let message = "Forbidden: a ClusterTrustBundle is in no namespace; remove it";
            fields.invalid(format!("{field}.namespace"), message);
            ObjectKey::new("", name)
        }
    };
    ObjectRef {
        group: group.clone(),
        kind: kind.clone(),
        key,
    }
}

/// `spec.parentRefs` of a route.
pub(crate) fn parents(
    fields: &Fields,
    written: &[types::ParentReference],
    own: &ObjectKey,
) -> Vec<ParentRef> {
    let parent = |(index, parent): (usize, &types::ParentReference)| {
        let field = format!("spec.parentRefs[{index}]");
        fields.required(format!("{field}.name"), &parent.name);
        ParentRef {
            target: target(
                parent.group.as_deref(),
                parent.kind.as_deref(),
                (parent.namespace.as_deref(), &parent.name),
                (GATEWAY_GROUP, "Gateway"),
                &own.namespace,
            ),
            namespace_written: parent.namespace.is_some(),
            section: parent.section_name.clone(),
            port: parent
                .port
                .and_then(|port| fields.port(format!("{field}.port"), port)),
        }
    };
    written.iter().enumerate().map(parent).collect()
}

/// `spec.hostnames` of a route.
pub(crate) fn hostnames(fields: &Fields, written: &[String]) -> Vec<Hostname> {
    let hostname = |(index, written): (usize, &String)| {
        let field = format!("spec.hostnames[{index}]");
        fields.required(&*field, written);
        text::hostname(fields, field, Some(written))
    };
    let mut hostnames: Vec<_> = written.iter().enumerate().filter_map(hostname).collect();
    hostnames.shrink_to_fit();
    hostnames
}

/// `backendRefs` of a rule.
pub(crate) fn backends(
    fields: &Fields,
    rule: &str,
    written: &[types::BackendRef],
    kind: RouteKind,
    own: &ObjectKey,
) -> Vec<BackendRef> {
    let backend = |(index, backend): (usize, &types::BackendRef)| {
        let field = format!("{rule}.backendRefs[{index}]");
        fields.required(format!("{field}.name"), &backend.name);
        BackendRef {
            target: target(
                backend.group.as_deref(),
                backend.kind.as_deref(),
                (backend.namespace.as_deref(), &backend.name),
                ("", "Service"),
                &own.namespace,
            ),
            port: backend
                .port
                .and_then(|port| fields.port(format!("{field}.port"), port)),
            weight: weight(fields, format!("{field}.weight"), backend.weight),
            filters: filters::of_backend(fields, &field, &backend.filters, kind, own),
            field,
        }
    };
    written.iter().enumerate().map(backend).collect()
}

fn weight(fields: &Fields, field: String, written: Option<i64>) -> u32 {
    let weight = written.unwrap_or(1);
    if !(0..=MAX_WEIGHT).contains(&weight) {
        fields.invalid(
            field,
            format!("{weight} is out of range; write 0 to {MAX_WEIGHT}"),
        );
    }
    u32::try_from(weight.clamp(0, MAX_WEIGHT)).expect("the clamped weight fits")
}
