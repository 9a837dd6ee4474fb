//! One object, whatever its kind.

use std::sync::Arc;

use domain::gateway::{
    EndpointSlice, Gateway, GatewayClass, GatewayParameters, Namespace, ReferenceGrant, Route,
    Service,
};
use domain::{ObjectKey, ObjectRef};
use serde_json::Value;

use crate::convert::{gateway, gateway_class, kubernetes, parameters, reference_grant, route};
use crate::error::{ReadError, wrong_type};
use crate::fields::Fields;
use crate::kind::{Kind, Scope};
use crate::metadata::{Header, group};
use crate::secret::{self, Secret};
use crate::types::{GRPCRouteRule, HTTPRouteRule};

/// An object that was read.
#[derive(Debug, PartialEq)]
pub enum Object {
    GatewayClass(GatewayClass),
    Gateway(Gateway),
    Parameters(GatewayParameters),
    Route(Arc<Route>),
    ReferenceGrant(ReferenceGrant),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Namespace(Namespace),
    Secret(Secret),
    /// A kind that is not read, or not in this version.
    Unknown {
        api_version: String,
        kind: String,
        /// The name may be empty.
        key: ObjectKey,
    },
}

impl Object {
    /// Group, kind and key. Objects that are not in a namespace have an empty one.
    pub fn reference(&self) -> ObjectRef {
        let (kind, key) = match self {
            Self::GatewayClass(class) => (Kind::GatewayClass, ObjectKey::new("", &class.name)),
            Self::Gateway(gateway) => (Kind::Gateway, gateway.key.clone()),
            Self::Parameters(parameters) => (Kind::GatewayParameters, parameters.key.clone()),
            Self::Route(route) => (route.kind.into(), route.key.clone()),
            Self::ReferenceGrant(grant) => (Kind::ReferenceGrant, grant.key.clone()),
            Self::Service(service) => (Kind::Service, service.key.clone()),
            Self::EndpointSlice(slice) => (Kind::EndpointSlice, slice.key.clone()),
            Self::Namespace(namespace) => (Kind::Namespace, ObjectKey::new("", &namespace.name)),
            Self::Secret(secret) => (Kind::Secret, secret.key.clone()),
            Self::Unknown {
                api_version,
                kind,
                key,
            } => {
                return ObjectRef {
                    group: group(api_version).to_owned(),
                    kind: kind.clone(),
                    key: key.clone(),
                };
            }
        };
        kind.reference(key)
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
    let Some(kind) = kind else {
        return Ok(Object::Unknown {
            api_version: header.api_version,
            kind: header.kind,
            key,
        });
    };
    if kind.scope() == Scope::Cluster {
        key.namespace.clear();
    }
    if header.metadata.name.is_empty() {
        return Err(ReadError {
            reference: None,
            object: header.kind,
            field: "metadata.name".to_owned(),
            message: "it is missing; give the object a name".to_owned(),
        });
    }
    let fields = Fields::new(kind.reference(key), value);
    Ok(match kind {
        Kind::GatewayClass => Object::GatewayClass(gateway_class::read(&header, &fields)?),
        Kind::Gateway => Object::Gateway(gateway::read(&header, &fields)?),
        Kind::GatewayParameters => Object::Parameters(parameters::read(&header, &fields)?),
        Kind::HttpRoute => Object::Route(Arc::new(route::read::<HTTPRouteRule>(&header, &fields)?)),
        Kind::GrpcRoute => Object::Route(Arc::new(route::read::<GRPCRouteRule>(&header, &fields)?)),
        Kind::ReferenceGrant => Object::ReferenceGrant(reference_grant::read(&header, &fields)?),
        Kind::Service => Object::Service(kubernetes::service(&header, &fields)?),
        Kind::EndpointSlice => Object::EndpointSlice(kubernetes::endpoint_slice(&header, &fields)?),
        Kind::Namespace => Object::Namespace(kubernetes::namespace(&header)),
        Kind::Secret => Object::Secret(secret::read(&header, &fields)?),
        // It is written for people: nothing that it says is read.
        Kind::GatewayStatus => Object::Unknown {
            key: header.key(),
            api_version: header.api_version,
            kind: header.kind,
        },
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
        let message =
            "Invalid value: must be a Kubernetes object, with apiVersion, kind and metadata";
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
