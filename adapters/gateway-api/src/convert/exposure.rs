//! What a Service asks for by its annotations, and which Services may, as CloudflareGatewayParameters say.

use domain::gateway::{
    Exposure, HOSTNAME_ANNOTATION, LOAD_BALANCER_CLASS, MOST_EXPOSED_HOSTNAMES, PORT_ANNOTATION,
    ServiceParameters, ServicePort,
};
use domain::{Hostname, ObjectKey};

use super::gateway::label_selector;
use super::text;
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{ParametersServices, ServiceSpec};

/// Longest text that a message repeats: that of a hostname.
const LONGEST_TEXT: usize = 253;

/// `None` where the Service asks for nothing.
pub(super) fn read(
    header: &Header,
    fields: &Fields,
    spec: &ServiceSpec,
    ports: &[ServicePort],
) -> Result<Option<Exposure>, ReadError> {
    let is_load_balancer = spec.r#type.as_deref() == Some("LoadBalancer")
        && spec.load_balancer_class.as_deref() == Some(LOAD_BALANCER_CLASS);
    let written = header.annotation(HOSTNAME_ANNOTATION);
    if written.is_none() && !is_load_balancer {
        return Ok(None);
    }
    Ok(Some(Exposure {
        generation: header.metadata.generation,
        created: header.created(fields)?,
        hostnames: hostnames(fields, written.unwrap_or_default()),
        port: port(fields, header.annotation(PORT_ANNOTATION), ports),
        is_load_balancer,
        // Not those of its spec: a Service has many fields that say nothing of routing.
        field_errors: fields.noted(),
    }))
}

fn hostnames(fields: &Fields, written: &str) -> Vec<Hostname> {
    let field = format!("metadata.annotations[{HOSTNAME_ANNOTATION}]");
    let texts = written.split(',').map(str::trim);
    let mut texts = texts.filter(|text| !text.is_empty());
    let mut hostnames = Vec::new();
    for text in texts.by_ref().take(MOST_EXPOSED_HOSTNAMES) {
        if text.len() > LONGEST_TEXT {
            let message = format!("Too long: must have at most {LONGEST_TEXT} characters");
            fields.invalid(&*field, message);
        } else {
            hostnames.extend(text::hostname(fields, field.clone(), Some(text)));
        }
    }
    let more = texts.count();
    if more > 0 {
        let message = format!(
            "Too many: {}: must have at most {MOST_EXPOSED_HOSTNAMES} hostnames; use an HTTPRoute, or several",
            MOST_EXPOSED_HOSTNAMES + more
        );
        fields.invalid(&*field, message);
    } else if hostnames.is_empty() && !fields.has_noted() {
        let message = "Required value: write the hostname under which the Service is to be reached, such as app.example.com";
        fields.invalid(field, message);
    }
    hostnames.sort();
    hostnames.dedup();
    hostnames
}

/// The port that is written, by its number or name, or else the only one.
fn port(fields: &Fields, written: Option<&str>, ports: &[ServicePort]) -> Option<u16> {
    let found = match written {
        None => match ports {
            [only] => Some(only.port),
            _ => None,
        },
        Some(written) => {
            let is_written = |port: &&ServicePort| {
                port.port.to_string() == written || (!port.name.is_empty() && port.name == written)
            };
            ports.iter().find(is_written).map(|port| port.port)
        }
    };
    if found.is_none() {
        let known: Vec<String> = ports.iter().take(LISTED_PORTS).map(shown).collect();
        let known = match known.as_slice() {
            [] => "the Service has no TCP port".to_owned(),
            known => format!("the Service has {}", known.join(", ")),
        };
        let written = written.map(|text| text.chars().take(LONGEST_PORT).collect::<String>());
        let message = match written {
            None => format!("Required value: write the number or name of a port; {known}"),
            Some(text) => format!("Invalid value: {text:?}: must be a port of it; {known}"),
        };
        fields.invalid(format!("metadata.annotations[{PORT_ANNOTATION}]"), message);
    }
    found
}

/// Ports that a message lists.
const LISTED_PORTS: usize = 8;

/// Longest name of a port (RFC 6335).
const LONGEST_PORT: usize = 15;

fn shown(port: &ServicePort) -> String {
    match port.name.as_str() {
        "" => port.port.to_string(),
        name => format!("{} ({name})", port.port),
    }
}

/// `spec.services` of CloudflareGatewayParameters.
pub(super) fn parameters(
    fields: &Fields,
    written: ParametersServices,
    own: &ObjectKey,
) -> ServiceParameters {
    let gateway = written.gateway;
    fields.required("spec.services.gateway.name", &gateway.name);
    let namespace = gateway.namespace.filter(|namespace| !namespace.is_empty());
    let selector = written.namespace_selector.as_ref();
    ServiceParameters {
        gateway: ObjectKey::new(
            namespace.unwrap_or_else(|| own.namespace.clone()),
            gateway.name,
        ),
        namespaces: selector
            .and_then(|it| label_selector(fields, "spec.services.namespaceSelector", it)),
    }
}
