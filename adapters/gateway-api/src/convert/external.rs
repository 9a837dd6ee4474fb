//! XBackend, of the experimental group: hosts outside of the cluster, with what is spoken to them. `spec.externalHosts` of
//! CloudflareGatewayParameters: which of them there may be.

use domain::gateway::{
    AppProtocol, BackendTlsPolicy, EXPERIMENTAL_GROUP, EXTERNAL_BACKEND_KIND, ExternalBackend,
    ExternalHosts, PolicyTarget, ServicePort,
};
use domain::{AllowedHostnames, Hostname, ObjectKey, ObjectRef};
use serde_json::Value;

use super::backend_tls::{self, BackendTLSPolicyValidation};
use super::gateway::label_selector;
use super::{tenants, text};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{ParametersExternalHosts, api_type};

/// Entries of `spec.externalHosts` that the CRD takes.
const MOST_ENTRIES: usize = 16;

api_type! {
    /// `XBackend.spec`.
    BackendSpec {
        r#type: String,
        port: BackendPort,
        external_hostname: Option<ExternalHostnameBackend>,
        endpoint_selector: Option<Value>,
        session_persistence: Option<Value>,
        protocol: Option<String>,
        tls: Option<BackendTLS>,
    }
}

api_type! {
    /// `spec.port`: `number` is of v1.7, `port` and `name` of v1.6.
    BackendPort {
        number: Option<i64>,
        port: Option<i64>,
        name: Option<String>,
    }
}

api_type! {
    /// `spec.externalHostname`.
    ExternalHostnameBackend {
        hostname: String,
    }
}

api_type! {
    /// `spec.tls`.
    BackendTLS {
        mode: String,
        client_certificate_ref: Option<Value>,
        validation: Option<BackendTLSPolicyValidation>,
    }
}

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<ExternalBackend, ReadError> {
    let key = header.key();
    let spec: BackendSpec = fields.read("spec")?;
    let (generation, created) = (header.metadata.generation, header.created(fields)?);
    let hostname = hostname(fields, &spec);
    let tls = spec.tls.as_ref().and_then(|tls| validation(fields, tls));
    let protocol = protocol(fields, spec.protocol.as_deref(), tls.is_some());
    let number = match (spec.port.number, spec.port.port) {
        (Some(number), None) => fields.port("spec.port.number", number),
        (None, Some(port)) => fields.port("spec.port.port", port),
        (Some(_), Some(_)) => {
            fields.invalid(
                "spec.port.port",
                "Forbidden: number is written too; remove one of the two",
            );
            None
        }
        (None, None) => {
            fields.invalid("spec.port.number", "Required value: write it");
            None
        }
    };
    let tls = tls.map(|validation| {
        let at = "spec.tls.validation";
        Box::new(BackendTlsPolicy {
            key: key.clone(),
            is_inline: true,
            generation,
            created,
            targets: vec![PolicyTarget {
                object: own(&key),
                section: None,
            }],
            ..backend_tls::validated(fields, at, validation, &key)
        })
    });
    let field_errors = fields.field_errors();
    Ok(ExternalBackend {
        generation,
        created,
        hostname,
        ports: number
            .map(|port| ServicePort {
                name: spec.port.name.clone().unwrap_or_default(),
                port,
                protocol,
            })
            .into_iter()
            .collect(),
        tls,
        field_errors,
        key,
    })
}

fn own(key: &ObjectKey) -> ObjectRef {
    ObjectRef {
        group: EXPERIMENTAL_GROUP.to_owned(),
        kind: EXTERNAL_BACKEND_KIND.to_owned(),
        key: key.clone(),
    }
}

fn hostname(fields: &Fields, spec: &BackendSpec) -> Option<Hostname> {
    match spec.r#type.as_str() {
        "ExternalHostname" => {}
        "EndpointSelector" => {
            let remedy = "Unsupported value: \"EndpointSelector\": name a Service with this selector in the route";
            fields.unsupported("spec.type", remedy);
            return None;
        }
        other => {
            let message = format!("Unsupported value: {other:?}: write ExternalHostname");
            fields.invalid("spec.type", message);
            return None;
        }
    }
    if spec.session_persistence.is_some() {
        let message = "Forbidden: one host has no endpoints to choose from; remove it";
        fields.invalid("spec.sessionPersistence", message);
    }
    if spec.endpoint_selector.is_some() {
        let message = "Forbidden: the type is ExternalHostname; remove it";
        fields.invalid("spec.endpointSelector", message);
    }
    let field = "spec.externalHostname.hostname";
    let written = spec.external_hostname.as_ref();
    let written = written.map_or("", |written| &written.hostname);
    fields.required(field, written);
    text::hostname(fields, field.to_owned(), Some(written))
}

/// What is spoken, in the words of a Service's port.
fn protocol(fields: &Fields, written: Option<&str>, has_tls: bool) -> AppProtocol {
    let field = "spec.protocol";
    let needs_tls = |protocol| {
        if !has_tls {
            let message = "Invalid value: it is spoken over TLS: write spec.tls, or H2C for HTTP/2 without TLS";
            fields.invalid(field, message);
        }
        protocol
    };
    match written.unwrap_or("HTTP") {
        "HTTP" => AppProtocol::Http1,
        "HTTP11" => AppProtocol::WebSocket,
        "GRPC" => AppProtocol::H2c,
        "HTTP2" => needs_tls(AppProtocol::Grpcs),
        "WSS" => needs_tls(AppProtocol::Wss),
        "H2C" => {
            if has_tls {
                let message = "Invalid value: \"H2C\": is spoken without TLS: write HTTP2, or remove spec.tls";
                fields.invalid(field, message);
            }
            AppProtocol::H2c
        }
        other => {
            let message = format!(
                "Unsupported value: {other:?}: write HTTP, HTTP11, HTTP2, H2C, GRPC or WSS"
            );
            fields.unsupported(field, message);
            AppProtocol::Http1
        }
    }
}

/// What is validated; `None` for clear text.
fn validation<'w>(fields: &Fields, tls: &'w BackendTLS) -> Option<&'w BackendTLSPolicyValidation> {
    if tls.client_certificate_ref.is_some() {
        let message = "a certificate is shown to every backend that asks for one: name it in spec.tls.backend.clientCertificateRef of the Gateway, and write ServerOnly here";
        fields.unsupported("spec.tls.clientCertificateRef", message);
    }
    match (tls.mode.as_str(), &tls.validation) {
        ("None", None) => None,
        ("None", Some(_)) => {
            let message = "Forbidden: the mode is None; remove it, or write ServerOnly";
            fields.invalid("spec.tls.validation", message);
            None
        }
        ("ServerOnly", Some(validation)) => Some(validation),
        ("ServerOnly", None) => {
            fields.invalid("spec.tls.validation", "Required value: write it");
            None
        }
        ("ClientAndServer", validation) => {
            let message = "Unsupported value: \"ClientAndServer\": write ServerOnly, and name the certificate in spec.tls.backend.clientCertificateRef of the Gateway";
            fields.unsupported("spec.tls.mode", message);
            validation.as_ref()
        }
        (other, _) => {
            let message = format!("Unsupported value: {other:?}: write None or ServerOnly");
            fields.invalid("spec.tls.mode", message);
            None
        }
    }
}

/// `spec.externalHosts`.
pub(super) fn parameters(
    fields: &Fields,
    written: &[ParametersExternalHosts],
) -> Vec<ExternalHosts> {
    let field = "spec.externalHosts";
    let written = tenants::limited(fields, field, written, MOST_ENTRIES);
    let entry = |(index, written): (usize, &ParametersExternalHosts)| {
        let field = format!("{field}[{index}]");
        let selector = written.namespace_selector.as_ref();
        ExternalHosts {
            namespaces: selector
                .and_then(|it| label_selector(fields, &format!("{field}.namespaceSelector"), it))
                .unwrap_or_default(),
            hostnames: match written.hostnames.as_deref() {
                None => AllowedHostnames::Any,
                Some(names) => tenants::hostnames(fields, &format!("{field}.hostnames"), names),
            },
        }
    };
    written.iter().enumerate().map(entry).collect()
}
