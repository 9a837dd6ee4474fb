//! Manifests in, domain values and field errors out.

mod backend_tls;
mod backend_traffic;
mod certificates;
mod drift;
mod external;
mod filters;
mod gateways;
mod listener_sets;
mod objects;
mod parameters;
mod routes;
mod schema;
mod services;
mod sessions;

use adapter_gateway_api::{Object, read};
use domain::capabilities::DataPlaneKind;
use domain::gateway::{FieldError, FieldErrorKind, Gateway, GatewayClass, Route};
use domain::{ObjectKey, ObjectRef};
use serde_json::Value;

pub(crate) fn value(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).expect("the test's own YAML")
}

pub(crate) fn object(yaml: &str) -> Object {
    read(value(yaml)).expect("an object")
}

pub(crate) fn gateway(spec: &str) -> Gateway {
    let yaml = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: web, namespace: \
         apps}}\nspec:\n  gatewayClassName: cloudflare\n{spec}"
    );
    match object(&yaml) {
        Object::Gateway(gateway) => gateway,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn class(spec: &str) -> GatewayClass {
    let yaml = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: \
         cloudflare}}\nspec:\n  controllerName: example.com/controller\n{spec}"
    );
    match object(&yaml) {
        Object::GatewayClass(class) => class,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn route(kind: &str, spec: &str) -> Route {
    let yaml = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: \
         apps}}\nspec:\n{spec}"
    );
    match object(&yaml) {
        Object::Route(route) => route.as_ref().clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn http_route(spec: &str) -> Route {
    route("HTTPRoute", spec)
}

/// What of a route is refused by a Gateway of the native data plane.
pub(crate) fn refused(route: &Route) -> Vec<FieldError> {
    let unserved = route.unserved(DataPlaneKind::Native.serves());
    route.field_errors.iter().cloned().chain(unserved).collect()
}

/// `kind field` of each field error, in the order of their fields.
pub(crate) fn summary(field_errors: &[FieldError]) -> Vec<String> {
    let mut lines: Vec<String> = field_errors
        .iter()
        .map(|field_error| match field_error.kind {
            FieldErrorKind::Invalid => format!("invalid {}", field_error.field),
            FieldErrorKind::Unsupported => format!("unsupported {}", field_error.field),
        })
        .collect();
    lines.sort();
    lines
}

pub(crate) fn reference(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        key: ObjectKey::new(namespace, name),
    }
}
