//! The domain's view of the objects in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adapter_gateway_api::Object;
use domain::ObjectRef;
use domain::gateway::Namespace;
use domain::snapshot::{ClusterSnapshot, Reading, SecretFacts};

use crate::inventory::InForce;

/// Label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Makes the snapshot, with facts of those Secrets that are followed.
pub(crate) fn snapshot(in_force: &InForce, followed: &BTreeSet<ObjectRef>) -> ClusterSnapshot {
    let (mut classes, mut gateways, mut routes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut grants, mut services, mut slices) = (Vec::new(), Vec::new(), Vec::new());
    for object in in_force.objects.values() {
        match &**object {
            Object::GatewayClass(class) => classes.push(class.clone()),
            Object::Gateway(gateway) => gateways.push(gateway.clone()),
            Object::Route(route) => routes.push(route.clone()),
            Object::ReferenceGrant(grant) => grants.push(grant.clone()),
            Object::Service(service) => services.push(service.clone()),
            Object::EndpointSlice(slice) => slices.push(slice.clone()),
            Object::Namespace(_) | Object::Secret(_) | Object::Unknown { .. } => {}
        }
    }
    ClusterSnapshot {
        classes: Reading::Known(classes),
        gateways: Reading::Known(gateways),
        routes: Reading::Known(routes),
        grants: Reading::Known(grants),
        services: Reading::Known(services),
        endpoint_slices: Reading::Known(slices),
        namespaces: Reading::Known(namespaces(in_force)),
        secrets: secrets(in_force, followed),
        external_names: true,
        incomplete: in_force.incomplete.clone(),
    }
}

/// Namespaces written, and those that an object is in: whoever writes an object means its namespace.
fn namespaces(in_force: &InForce) -> Vec<Namespace> {
    let mut namespaces: BTreeMap<&str, Namespace> = BTreeMap::new();
    for (reference, object) in &in_force.objects {
        let implied = reference.key.namespace.as_str();
        if let Object::Namespace(written) = &**object {
            namespaces.insert(&written.name, written.clone());
        } else if !implied.is_empty() {
            namespaces.entry(implied).or_insert_with(|| Namespace {
                name: implied.to_owned(),
                labels: BTreeMap::from([(NAMESPACE_NAME.to_owned(), implied.to_owned())]),
            });
        }
    }
    namespaces.into_values().collect()
}

fn secrets(
    in_force: &InForce,
    followed: &BTreeSet<ObjectRef>,
) -> BTreeMap<ObjectRef, Reading<SecretFacts>> {
    let fact = |reference: &ObjectRef| {
        let object = in_force.objects.get(reference).map(Arc::as_ref);
        let reading = match (object, &in_force.incomplete) {
            (Some(Object::Secret(secret)), _) => Reading::Known(SecretFacts {
                keys: secret.keys().map(str::to_owned).collect(),
            }),
            (_, Some(reason)) => Reading::Unknown(reason.clone()),
            (_, None) => Reading::Absent,
        };
        (reference.clone(), reading)
    };
    let is_secret =
        |reference: &&ObjectRef| reference.group.is_empty() && reference.kind == "Secret";
    followed.iter().filter(is_secret).map(fact).collect()
}
