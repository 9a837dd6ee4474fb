//! One object, whatever its kind.

use std::sync::Arc;

use domain::gateway::{
    ApiKind, BackendTlsPolicy, BackendTrafficPolicy, ClusterTrustBundle, EndpointSlice,
    ExternalBackend, GATEWAY_GROUP, Gateway, GatewayClass, GatewayParameters, ListenerSet,
    Namespace, ReferenceGrant, Route, Service, ServiceImport,
};
use domain::{ObjectKey, ObjectRef};
use serde_json::Value;

use crate::config_map::{self, ConfigMap};
use crate::convert::{
    backend_tls, backend_traffic, external, gateway, gateway_class, kubernetes, listener_set,
    parameters, reference_grant, route,
};
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
    ListenerSet(ListenerSet),
    Parameters(GatewayParameters),
    Route(Arc<Route>),
    ReferenceGrant(ReferenceGrant),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Namespace(Namespace),
    Secret(Secret),
    ConfigMap(ConfigMap),
    BackendTlsPolicy(BackendTlsPolicy),
    ClusterTrustBundle(ClusterTrustBundle),
    BackendTrafficPolicy(BackendTrafficPolicy),
    ServiceImport(ServiceImport),
    ExternalBackend(ExternalBackend),
    ApiKind(ApiKind),
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
            Self::ListenerSet(set) => (Kind::ListenerSet, set.key.clone()),
            Self::Parameters(parameters) => (Kind::GatewayParameters, parameters.key.clone()),
            Self::Route(route) => (route.kind.into(), route.key.clone()),
            Self::ReferenceGrant(grant) => (Kind::ReferenceGrant, grant.key.clone()),
            Self::Service(service) => (Kind::Service, service.key.clone()),
            Self::EndpointSlice(slice) => (Kind::EndpointSlice, slice.key.clone()),
            Self::Namespace(namespace) => (Kind::Namespace, ObjectKey::new("", &namespace.name)),
            Self::Secret(secret) => (Kind::Secret, secret.key.clone()),
            Self::ConfigMap(config) => (Kind::ConfigMap, config.key.clone()),
            Self::BackendTlsPolicy(policy) => (Kind::BackendTlsPolicy, policy.key.clone()),
            Self::ClusterTrustBundle(bundle) => {
                (Kind::ClusterTrustBundle, ObjectKey::new("", &bundle.name))
            }
            Self::BackendTrafficPolicy(policy) => (Kind::BackendTrafficPolicy, policy.key.clone()),
            Self::ServiceImport(import) => (Kind::ServiceImport, import.key.clone()),
            Self::ExternalBackend(backend) => (Kind::ExternalBackend, backend.key.clone()),
            Self::ApiKind(found) => {
                let key = ObjectKey::new("", &found.name);
                (Kind::CustomResourceDefinition, key)
            }
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
        Kind::ListenerSet => Object::ListenerSet(listener_set::read(&header, &fields)?),
        Kind::GatewayParameters => Object::Parameters(parameters::read(&header, &fields)?),
        Kind::HttpRoute => Object::Route(Arc::new(route::read::<HTTPRouteRule>(&header, &fields)?)),
        Kind::GrpcRoute => Object::Route(Arc::new(route::read::<GRPCRouteRule>(&header, &fields)?)),
        Kind::ReferenceGrant => Object::ReferenceGrant(reference_grant::read(&header, &fields)?),
        Kind::Service => Object::Service(kubernetes::service(&header, &fields)?),
        Kind::EndpointSlice => Object::EndpointSlice(kubernetes::endpoint_slice(&header, &fields)?),
        Kind::Namespace => Object::Namespace(kubernetes::namespace(&header)),
        Kind::Secret => Object::Secret(secret::read(&header, &fields)?),
        Kind::ConfigMap => Object::ConfigMap(config_map::read(&header, &fields)),
        Kind::BackendTlsPolicy => Object::BackendTlsPolicy(backend_tls::read(&header, &fields)?),
        Kind::ClusterTrustBundle => {
            Object::ClusterTrustBundle(config_map::trust_bundle(&header, &fields)?)
        }
        Kind::BackendTrafficPolicy => {
            Object::BackendTrafficPolicy(backend_traffic::read(&header, &fields)?)
        }
        Kind::ExternalBackend => Object::ExternalBackend(external::read(&header, &fields)?),
        Kind::ServiceImport => Object::ServiceImport(kubernetes::service_import(&header, &fields)?),
        Kind::CustomResourceDefinition if is_of_the_api(&header.metadata.name) => {
            Object::ApiKind(ApiKind {
                release: header.annotations().remove(BUNDLE_VERSION),
                name: header.metadata.name,
            })
        }
        // The first is written for people, the other is of somebody else: nothing that they say is read.
        Kind::GatewayStatus | Kind::CustomResourceDefinition => Object::Unknown {
            key: header.key(),
            api_version: header.api_version,
            kind: header.kind,
        },
    })
}

/// Annotation of the Gateway API's CRDs with the release that they are from.
const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// Whether a CustomResourceDefinition is one of the Gateway API's.
fn is_of_the_api(name: &str) -> bool {
    let group = name.split_once('.').map(|(_, group)| group);
    group == Some(GATEWAY_GROUP)
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
