//! What of a Gateway and its parameters an entry of `spec.tenants` keeps from the pods. The parameters of a GatewayClass
//! are the operator's, so nothing is kept back of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::parameters::no_effect;
use crate::gateway::{
    AllowedKeys, FieldError, Gateway, GatewayParameters, Infrastructure, PodParameters, Tenant,
};

/// The labels and annotations of a Gateway that may reach what is made for it, and the others.
pub(super) fn infrastructure(
    gateway: &Gateway,
    tenant: Option<&Tenant>,
) -> (Infrastructure, Vec<FieldError>) {
    let mut permitted = gateway.infrastructure.clone();
    let mut withheld = Vec::new();
    if let Some(tenant) = tenant {
        let Infrastructure {
            labels,
            annotations,
        } = &mut permitted;
        for (name, keys, allowed) in [
            ("labels", labels, &tenant.labels),
            ("annotations", annotations, &tenant.annotations),
        ] {
            let field = format!("spec.infrastructure.{name}");
            withheld.extend(keep_allowed(&field, name, keys, allowed));
        }
    }
    (permitted, withheld)
}

/// The parameters of a Gateway without what its namespace may not have, and what that is.
pub(super) fn permitted<'p>(
    own: &'p GatewayParameters,
    tenant: Option<&Tenant>,
) -> (Cow<'p, GatewayParameters>, Vec<FieldError>) {
    let Some(tenant) = tenant else {
        return (Cow::Borrowed(own), Vec::new());
    };
    let mut own = own.clone();
    let mut forbidden = Vec::new();
    if !tenant.may_select_nodes {
        forbidden.extend(take_placement(&mut own));
    }
    if !tenant.may_patch {
        let patches = own.tunnel.patches.take();
        if patches.is_some_and(|patches| !patches.is_empty()) {
            forbidden.push(not_permitted("spec.tunnel.patches", "patches"));
        }
    }
    let pods = &mut own.tunnel.pods;
    for (field, name, keys, allowed) in [
        (
            "spec.tunnel.podLabels",
            "labels",
            &mut pods.labels,
            &tenant.labels,
        ),
        (
            "spec.tunnel.podAnnotations",
            "annotations",
            &mut pods.annotations,
            &tenant.annotations,
        ),
    ] {
        let keys = keys.iter_mut();
        forbidden.extend(keys.flat_map(|keys| keep_allowed(field, name, keys, allowed)));
    }
    (Cow::Owned(own), forbidden)
}

/// Removes the keys that are not allowed, and tells of each.
fn keep_allowed(
    field: &str,
    permission: &str,
    keys: &mut BTreeMap<String, String>,
    allowed: &AllowedKeys,
) -> Vec<FieldError> {
    let mut withheld = Vec::new();
    keys.retain(|key, _| {
        let is_allowed = allowed.allows(key);
        if !is_allowed {
            let message = format!(
                "Forbidden: {key}: the GatewayClass does not permit this key, so it is left out; remove it, or ask whoever runs the cluster to add it to spec.tenants[].infrastructure.{permission} of the GatewayClass's parameters"
            );
            withheld.push(no_effect(field, message));
        }
        is_allowed
    });
    withheld
}

/// Removes what decides on which nodes pods run and before which others. A zone stays: it gives no node that others
/// are kept from.
fn take_placement(own: &mut GatewayParameters) -> Vec<FieldError> {
    let mut fields = Vec::new();
    let replicas = own.replicas.iter_mut().flatten().enumerate();
    for (index, replica) in replicas {
        let field = |name: &str| format!("spec.tunnel.replicas[{index}].{name}");
        if !std::mem::take(&mut replica.node_selector).is_empty() {
            fields.push(field("nodeSelector"));
        }
        if replica.affinity.take().is_some() {
            fields.push(field("affinity"));
        }
    }
    let PodParameters {
        tolerations,
        priority_class,
        ..
    } = &mut own.tunnel.pods;
    if tolerations.take().is_some() {
        fields.push("spec.tunnel.tolerations".to_owned());
    }
    if priority_class.take().is_some() {
        fields.push("spec.tunnel.priorityClassName".to_owned());
    }
    let told = fields.iter();
    told.map(|field| not_permitted(field, "nodeSelector"))
        .collect()
}

fn not_permitted(field: &str, permission: &str) -> FieldError {
    let message = format!(
        "Forbidden: the GatewayClass does not permit it, so it is left out; remove it, or ask whoever runs the cluster to allow it in spec.tenants[].infrastructure.{permission} of the GatewayClass's parameters"
    );
    no_effect(field, message)
}
