//! One object, whatever its kind.

use std::sync::Arc;

use domain::gateway::{
    EndpointSlice, GATEWAY_GROUP, Gateway, GatewayClass, GatewayParameters, Namespace, OWN_GROUP,
    PARAMETERS_KIND, ReferenceGrant, Route, RouteKind, Service,
};
use domain::{ObjectKey, ObjectRef};
use serde_json::Value;

use crate::convert::{
    gateway, gateway_class, grpc_route, http_route, kubernetes, parameters, reference_grant,
};
use crate::fields::Fields;
use crate::metadata::Header;
use crate::secret::{self, Secret};

/// An object that was read.
#[derive(Debug)]
pub enum Object {
    /// GatewayClass.
    GatewayClass(GatewayClass),
    /// Gateway.
    Gateway(Gateway),
    /// CloudflareGatewayParameters.
    Parameters(GatewayParameters),
    /// HTTPRoute or GRPCRoute.
    Route(Arc<Route>),
    /// ReferenceGrant.
    ReferenceGrant(ReferenceGrant),
    /// Service.
    Service(Service),
    /// EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// Namespace.
    Namespace(Namespace),
    /// Secret.
    Secret(Secret),
    /// A kind that is not served, or not in this version.
    Unknown {
        /// As written.
        api_version: String,
        /// As written.
        kind: String,
        /// The name may be empty.
        key: ObjectKey,
    },
}

impl Object {
    /// Group, kind and key. Objects that are not in a namespace have an empty one.
    pub fn reference(&self) -> ObjectRef {
        let of = |group: &str, kind: &str, key: ObjectKey| ObjectRef {
            group: group.to_owned(),
            kind: kind.to_owned(),
            key,
        };
        match self {
            Self::GatewayClass(class) => of(
                GATEWAY_GROUP,
                "GatewayClass",
                ObjectKey::new("", &class.name),
            ),
            Self::Gateway(gateway) => of(GATEWAY_GROUP, "Gateway", gateway.key.clone()),
            Self::Parameters(parameters) => of(OWN_GROUP, PARAMETERS_KIND, parameters.key.clone()),
            Self::Route(route) => of(GATEWAY_GROUP, route.kind.as_str(), route.key.clone()),
            Self::ReferenceGrant(grant) => of(GATEWAY_GROUP, "ReferenceGrant", grant.key.clone()),
            Self::Service(service) => of("", "Service", service.key.clone()),
            Self::EndpointSlice(slice) => of(DISCOVERY_GROUP, "EndpointSlice", slice.key.clone()),
            Self::Namespace(namespace) => of("", "Namespace", ObjectKey::new("", &namespace.name)),
            Self::Secret(secret) => of("", "Secret", secret.key.clone()),
            Self::Unknown {
                api_version,
                kind,
                key,
            } => {
                let group = api_version.split_once('/').map_or("", |(group, _)| group);
                of(group, kind, key.clone())
            }
        }
    }
}

impl Object {
    /// Whether both say the same, as far as they are read.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::GatewayClass(one), Self::GatewayClass(other)) => one == other,
            (Self::Gateway(one), Self::Gateway(other)) => one == other,
            (Self::Route(one), Self::Route(other)) => one == other,
            (Self::ReferenceGrant(one), Self::ReferenceGrant(other)) => one == other,
            (Self::Service(one), Self::Service(other)) => one == other,
            (Self::EndpointSlice(one), Self::EndpointSlice(other)) => one == other,
            (Self::Namespace(one), Self::Namespace(other)) => one == other,
            (Self::Parameters(one), Self::Parameters(other)) => one == other,
            (Self::Secret(one), Self::Secret(other)) => one.is_same(other),
            _ => false,
        }
    }
}

/// API group of EndpointSlice.
pub(crate) const DISCOVERY_GROUP: &str = "discovery.k8s.io";

/// Why an object cannot be told at all. Holds no value of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {message}")]
pub struct ReadError {
    /// Which object, where that much could be read.
    pub reference: Option<Box<ObjectRef>>,
    /// The object for people, e.g. `Gateway default/web`.
    pub object: String,
    /// Path of the field.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GatewayClass,
    Gateway,
    Parameters,
    Route(RouteKind),
    ReferenceGrant,
    Service,
    EndpointSlice,
    Namespace,
    Secret,
}

impl Kind {
    /// The kind of an `apiVersion` and `kind`. `v1beta1` differs from `v1` in nothing that is read.
    fn of(api_version: &str, kind: &str) -> Option<Self> {
        let gateway_api = matches!(
            api_version,
            "gateway.networking.k8s.io/v1" | "gateway.networking.k8s.io/v1beta1"
        );
        Some(match kind {
            "GatewayClass" if gateway_api => Self::GatewayClass,
            "Gateway" if gateway_api => Self::Gateway,
            PARAMETERS_KIND if api_version == "cloudflare-gateway-controller.io/v1" => {
                Self::Parameters
            }
            "HTTPRoute" if gateway_api => Self::Route(RouteKind::Http),
            "GRPCRoute" if gateway_api => Self::Route(RouteKind::Grpc),
            "ReferenceGrant" if gateway_api => Self::ReferenceGrant,
            "EndpointSlice" if api_version == "discovery.k8s.io/v1" => Self::EndpointSlice,
            "Service" if api_version == "v1" => Self::Service,
            "Namespace" if api_version == "v1" => Self::Namespace,
            "Secret" if api_version == "v1" => Self::Secret,
            _ => return None,
        })
    }

    fn is_cluster_scoped(self) -> bool {
        matches!(self, Self::GatewayClass | Self::Namespace)
    }
}

/// Reads one object as its user wrote it.
///
/// # Errors
/// The object has no kind or name, or a field has a type that leaves nothing to report on.
pub fn read(mut value: Value) -> Result<Object, ReadError> {
    remove_nulls(&mut value);
    let header = header(&value)?;
    let kind = Kind::of(&header.api_version, &header.kind);
    let mut key = header.key();
    if kind.is_some_and(Kind::is_cluster_scoped) {
        key.namespace.clear();
    }
    let Some(kind) = kind else {
        return Ok(Object::Unknown {
            api_version: header.api_version,
            kind: header.kind,
            key,
        });
    };
    let reference = ObjectRef {
        group: header.group().to_owned(),
        kind: header.kind.clone(),
        key,
    };
    if header.metadata.name.is_empty() {
        return Err(ReadError {
            reference: None,
            object: header.kind,
            field: "metadata.name".to_owned(),
            message: "it is missing; give the object a name".to_owned(),
        });
    }
    let fields = Fields::new(reference, value);
    Ok(match kind {
        Kind::GatewayClass => Object::GatewayClass(gateway_class::read(&header, &fields)?),
        Kind::Gateway => Object::Gateway(gateway::read(&header, &fields)?),
        Kind::Parameters => Object::Parameters(parameters::read(&header, &fields)?),
        Kind::Route(RouteKind::Http) => {
            Object::Route(Arc::new(http_route::read(&header, &fields)?))
        }
        Kind::Route(RouteKind::Grpc) => {
            Object::Route(Arc::new(grpc_route::read(&header, &fields)?))
        }
        Kind::ReferenceGrant => Object::ReferenceGrant(reference_grant::read(&header, &fields)?),
        Kind::Service => Object::Service(kubernetes::service(&header, &fields)?),
        Kind::EndpointSlice => Object::EndpointSlice(kubernetes::endpoint_slice(&header, &fields)?),
        Kind::Namespace => Object::Namespace(kubernetes::namespace(&header)),
        Kind::Secret => Object::Secret(secret::read(&header, &fields)?),
    })
}

/// Takes fields without a value away: to the API they are absent.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Reads what every object has.
fn header(value: &Value) -> Result<Header, ReadError> {
    let error = |field: &str, message: String| ReadError {
        reference: None,
        object: described(value),
        field: field.to_owned(),
        message,
    };
    if !value.is_object() {
        let message = "this is no Kubernetes object; write one with apiVersion, kind and metadata";
        return Err(error("document", message.to_owned()));
    }
    let header: Header = serde_path_to_error::deserialize(value)
        .map_err(|e| error(&e.path().to_string(), wrong_type(e.inner())))?;
    for (field, text) in [("apiVersion", &header.api_version), ("kind", &header.kind)] {
        if text.is_empty() {
            let message = "it is missing; every Kubernetes object needs it";
            return Err(error(field, message.to_owned()));
        }
    }
    Ok(header)
}

/// Kind and name as far as they are there.
fn described(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or("object");
    match value["metadata"]["name"].as_str() {
        Some(name) => format!("{kind} {name}"),
        None => format!("{kind} without a name"),
    }
}

/// The message of a type error, for objects that hold no secret.
pub(crate) fn wrong_type(error: &serde_json::Error) -> String {
    format!("{error}; write a value of the type that the API gives this field")
}
