//! From objects to the snapshot that the domain gets.

use std::collections::{BTreeMap, BTreeSet};

use domain::ObjectRef;
use domain::snapshot::{ClusterSnapshot, Reading, UnreadableObject};

use crate::kind::Kind;
use crate::object::Object;

/// A snapshot in the making. Each kind is known, and empty, unless something else is said of it.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    snapshot: ClusterSnapshot,
    /// What was said of kinds.
    kinds: BTreeMap<Kind, Reading<()>>,
}

impl SnapshotBuilder {
    /// Adds an object. Secrets and ConfigMaps are left out, because a snapshot has only those that were asked for, and only what may
    /// be known of them; so are kinds that are not served.
    pub fn push(&mut self, object: &Object) {
        let snapshot = &mut self.snapshot;
        match object {
            Object::GatewayClass(class) => add(&mut snapshot.classes, class),
            Object::Gateway(gateway) => add(&mut snapshot.gateways, gateway),
            Object::ListenerSet(set) => add(&mut snapshot.listener_sets, set),
            Object::Parameters(parameters) => add(&mut snapshot.parameters, parameters),
            Object::Route(route) => add(&mut snapshot.routes, route),
            Object::ReferenceGrant(grant) => add(&mut snapshot.grants, grant),
            Object::Service(service) => add(&mut snapshot.services, service),
            Object::EndpointSlice(slice) => add(&mut snapshot.endpoint_slices, slice),
            Object::Namespace(namespace) => add(&mut snapshot.namespaces, namespace),
            Object::BackendTlsPolicy(policy) => add(&mut snapshot.backend_tls_policies, policy),
            Object::ClusterTrustBundle(bundle) => add(&mut snapshot.trust_bundles, bundle),
            Object::BackendTrafficPolicy(policy) => {
                add(&mut snapshot.backend_traffic_policies, policy);
            }
            Object::ServiceImport(import) => add(&mut snapshot.service_imports, import),
            Object::ExternalBackend(backend) => add(&mut snapshot.external_backends, backend),
            Object::ApiKind(kind) => add(&mut snapshot.api_kinds, kind),
            Object::Secret(_) | Object::ConfigMap(_) | Object::Unknown { .. } => {}
        }
    }

    /// Adds an object that could not be read.
    pub fn unreadable(&mut self, object: ObjectRef, found: UnreadableObject) {
        self.snapshot.unreadable.objects.insert(object, found);
    }

    /// A kind could not be read, for this reason.
    pub fn unknown(&mut self, kind: Kind, why: String) {
        self.kinds.insert(kind, Reading::Unknown(why));
    }

    /// A kind does not exist here. Where it is also said that it could not be read, as of another namespace, it is unknown.
    pub fn absent(&mut self, kind: Kind) {
        self.kinds.entry(kind).or_insert(Reading::Absent);
    }

    /// The snapshot. Secrets and the rules for endpoints are left to the caller.
    pub fn build(self) -> ClusterSnapshot {
        let Self {
            mut snapshot,
            kinds,
        } = self;
        delete_with_namespaces(&mut snapshot);
        let of = |of: &[Kind]| joined(of.iter().map(|kind| kinds.get(kind)));
        ClusterSnapshot {
            classes: either(of(&[Kind::GatewayClass]), snapshot.classes),
            gateways: either(of(&[Kind::Gateway]), snapshot.gateways),
            listener_sets: either(of(&[Kind::ListenerSet]), snapshot.listener_sets),
            parameters: either(of(&[Kind::GatewayParameters]), snapshot.parameters),
            routes: either(of(&[Kind::HttpRoute, Kind::GrpcRoute]), snapshot.routes),
            grants: either(of(&[Kind::ReferenceGrant]), snapshot.grants),
            backend_tls_policies: either(
                of(&[Kind::BackendTlsPolicy]),
                snapshot.backend_tls_policies,
            ),
            trust_bundles: either(of(&[Kind::ClusterTrustBundle]), snapshot.trust_bundles),
            backend_traffic_policies: either(
                of(&[Kind::BackendTrafficPolicy]),
                snapshot.backend_traffic_policies,
            ),
            services: either(of(&[Kind::Service]), snapshot.services),
            service_imports: either(of(&[Kind::ServiceImport]), snapshot.service_imports),
            external_backends: either(of(&[Kind::ExternalBackend]), snapshot.external_backends),
            endpoint_slices: either(of(&[Kind::EndpointSlice]), snapshot.endpoint_slices),
            namespaces: either(of(&[Kind::Namespace]), snapshot.namespaces),
            api_kinds: either(of(&[Kind::CustomResourceDefinition]), snapshot.api_kinds),
            ..snapshot
        }
    }
}

fn add<T: Clone>(reading: &mut Reading<Vec<T>>, item: &T) {
    if let Reading::Known(items) = reading {
        items.push(item.clone());
    }
}

/// Gateways go as soon as their namespace does. It may lose their routes before them, which would take the records of a
/// Gateway that leaves what it has.
fn delete_with_namespaces(snapshot: &mut ClusterSnapshot) {
    let namespaces = snapshot.namespaces.known().into_iter().flatten();
    let going = namespaces.filter(|namespace| namespace.deleting);
    let going: BTreeSet<&str> = going.map(|namespace| namespace.name.as_str()).collect();
    if let Reading::Known(gateways) = &mut snapshot.gateways {
        for gateway in gateways {
            gateway.deleting |= going.contains(gateway.key.namespace.as_str());
        }
    }
}

/// Kinds that are read as one: unknown where one is, absent where all are.
fn joined<'k>(kinds: impl Iterator<Item = Option<&'k Reading<()>>>) -> Reading<()> {
    let mut all = Reading::Absent;
    for kind in kinds {
        match kind {
            Some(Reading::Unknown(why)) => return Reading::Unknown(why.clone()),
            Some(Reading::Absent) => {}
            Some(Reading::Known(())) | None => all = Reading::Known(()),
        }
    }
    all
}

fn either<T>(kind: Reading<()>, items: Reading<Vec<T>>) -> Reading<Vec<T>> {
    match kind {
        Reading::Known(()) => items,
        Reading::Absent => Reading::Absent,
        Reading::Unknown(why) => Reading::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    #[test]
    fn a_gateway_is_deleted_with_its_namespace_or_by_itself() {
        let gateway = |namespace: &str, deleted: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: g, namespace: {namespace}{deleted}}}
spec: {{gatewayClassName: c, listeners: []}}"
            )
        };
        let namespace = |deleted: &str| {
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop{deleted}}}")
        };
        const DELETED: &str = ", deletionTimestamp: 2026-01-31T12:00:00Z";
        for (gateway, namespace, expected) in [
            (gateway("shop", ""), namespace(""), false),
            (gateway("shop", ""), namespace(DELETED), true),
            (gateway("shop", DELETED), namespace(""), true),
            (gateway("shop", DELETED), namespace(DELETED), true),
            (gateway("other", ""), namespace(DELETED), false),
        ] {
            let mut builder = SnapshotBuilder::default();
            for written in [&gateway, &namespace] {
                let value = serde_saphyr::from_str(written).expect("YAML");
                builder.push(&read(value).expect("an object"));
            }
            let gateways = builder.build().gateways;
            let gateways = gateways.known().expect("Gateways");
            assert_eq!(gateways[0].deleting, expected, "{gateway} {namespace}");
        }
    }

    #[test]
    fn a_kind_that_is_absent_in_one_namespace_and_unread_in_another_is_unknown() {
        let unread = Reading::Unknown("no answer".to_owned());
        for absent_first in [true, false] {
            let mut builder = SnapshotBuilder::default();
            if absent_first {
                builder.absent(Kind::GatewayParameters);
            }
            builder.unknown(Kind::GatewayParameters, "no answer".to_owned());
            builder.absent(Kind::GatewayParameters);
            assert_eq!(builder.build().parameters, unread);
        }
    }

    #[test]
    fn kinds_that_are_read_as_one_are_unknown_where_one_is_and_absent_where_all_are() {
        let unknown = || Reading::<()>::Unknown("no answer".to_owned());
        for (http, grpc, expected) in [
            (None, None, Reading::Known(Vec::new())),
            (None, Some(Reading::Absent), Reading::Known(Vec::new())),
            (
                Some(Reading::Absent),
                Some(Reading::Absent),
                Reading::Absent,
            ),
            (
                Some(Reading::Absent),
                Some(unknown()),
                Reading::Unknown("no answer".to_owned()),
            ),
            (
                Some(unknown()),
                None,
                Reading::Unknown("no answer".to_owned()),
            ),
        ] {
            let given = format!("{http:?}, {grpc:?}");
            let mut builder = SnapshotBuilder::default();
            for (kind, said) in [(Kind::HttpRoute, http), (Kind::GrpcRoute, grpc)] {
                match said {
                    Some(Reading::Unknown(why)) => builder.unknown(kind, why),
                    Some(_) => builder.absent(kind),
                    None => {}
                }
            }
            assert_eq!(builder.build().routes, expected, "{given}");
        }
    }
}
