//! Service, ServiceImport, EndpointSlice and Namespace. None of them has a status of ours to report on, so what is
//! wrong in them is an error that names the field.

use std::collections::BTreeMap;
use std::net::IpAddr;

use domain::gateway::{
    AppProtocol, Endpoint, EndpointHost, EndpointSlice, Namespace, Service, ServiceImport,
    ServicePort,
};

use super::exposure;
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{self, EndpointPort, ServiceImportSpec, ServiceSpec};

/// Label that names the Service of an EndpointSlice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Label that names the ServiceImport of an EndpointSlice (KEP-1645).
const IMPORT_NAME: &str = "multicluster.kubernetes.io/service-name";

/// Label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Reads a Service. Ports of other protocols than TCP are left out.
pub(crate) fn service(header: &Header, fields: &Fields) -> Result<Service, ReadError> {
    let spec: ServiceSpec = fields.read("spec")?;
    let others = spec.ports.iter();
    let others = others.filter(|port| !is_tcp(port.protocol.as_deref()));
    let others = others.map(|port| port.name.clone().unwrap_or_default());
    let other_ports = others.collect();
    let ports = ports(fields, &spec.ports)?;
    let is_external = spec.r#type.as_deref() == Some("ExternalName");
    let exposure = exposure::read(header, fields, &spec, &ports)?;
    Ok(Service {
        key: header.key(),
        ports,
        other_ports,
        exposure: exposure.map(Box::new),
        cluster_ip: address(spec.cluster_ip.as_ref()).filter(|_| !is_external),
        external_name: spec.external_name.filter(|_| is_external),
    })
}

/// Reads a ServiceImport, alike. The addresses of one that is headless mean nothing.
pub(crate) fn service_import(header: &Header, fields: &Fields) -> Result<ServiceImport, ReadError> {
    let spec: ServiceImportSpec = fields.read("spec")?;
    let is_headless = spec.r#type.as_deref() == Some("Headless");
    Ok(ServiceImport {
        key: header.key(),
        ports: ports(fields, &spec.ports)?,
        cluster_ip: address(spec.ips.first()).filter(|_| !is_headless),
    })
}

fn ports(fields: &Fields, written: &[types::ServicePort]) -> Result<Vec<ServicePort>, ReadError> {
    let ports = written.iter().enumerate();
    let ports = ports
        .filter(|(_, port)| is_tcp(port.protocol.as_deref()))
        .map(|(index, port)| {
            Ok(ServicePort {
                name: port.name.clone().unwrap_or_default(),
                port: tcp_port(fields, &format!("spec.ports[{index}].port"), port.port)?,
                protocol: app_protocol(port.app_protocol.as_deref()),
            })
        });
    ports.collect()
}

/// A cluster IP; a headless Service says `None` in its place.
fn address(written: Option<&String>) -> Option<IpAddr> {
    written?.parse().ok()
}

/// Reads an EndpointSlice. Ports without a number or of other protocols than TCP are left out; of an
/// endpoint's addresses the first counts, because Kubernetes gives the others no meaning.
pub(crate) fn endpoint_slice(header: &Header, fields: &Fields) -> Result<EndpointSlice, ReadError> {
    let address_type: String = fields.read("addressType")?;
    let written: Vec<types::Endpoint> = fields.read("endpoints")?;
    let mut endpoints = Vec::with_capacity(written.len());
    for (index, endpoint) in written.iter().enumerate() {
        let field = format!("endpoints[{index}].addresses[0]");
        let ready = endpoint.conditions.ready.unwrap_or(true);
        endpoints.push(Endpoint {
            host: endpoint_host(fields, &field, &address_type, endpoint)?,
            ready,
            serving: endpoint.conditions.serving.unwrap_or(ready),
        });
    }
    let mut labels = header.labels();
    Ok(EndpointSlice {
        key: header.key(),
        service: labels.remove(SERVICE_NAME).unwrap_or_default(),
        import: labels.remove(IMPORT_NAME).filter(|name| !name.is_empty()),
        ports: slice_ports(fields)?,
        endpoints,
    })
}

fn slice_ports(fields: &Fields) -> Result<BTreeMap<String, u16>, ReadError> {
    let written: Vec<EndpointPort> = fields.read("ports")?;
    let mut ports = BTreeMap::new();
    for (index, port) in written.into_iter().enumerate() {
        if let (Some(number), true) = (port.port, is_tcp(port.protocol.as_deref())) {
            let number = tcp_port(fields, &format!("ports[{index}].port"), number)?;
            ports.insert(port.name.unwrap_or_default(), number);
        }
    }
    Ok(ports)
}

pub(crate) fn namespace(header: &Header) -> Namespace {
    let name = header.metadata.name.clone();
    let mut labels = header.labels();
    labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
    let deleting = header.is_deleting();
    Namespace {
        name,
        deleting,
        labels,
    }
}

fn endpoint_host(
    fields: &Fields,
    field: &str,
    address_type: &str,
    endpoint: &types::Endpoint,
) -> Result<EndpointHost, ReadError> {
    let Some(address) = endpoint.addresses.first() else {
        let message = "it is missing; write the address of the endpoint";
        return Err(fields.error(field, message.to_owned()));
    };
    match (address_type, address.parse()) {
        // What reads as an address is one, and is judged as one.
        ("FQDN", Ok(address)) => Ok(EndpointHost::Address(address)),
        ("FQDN", Err(_)) => Ok(EndpointHost::Name(address.clone())),
        ("IPv4", Ok(address @ IpAddr::V4(_))) | ("IPv6", Ok(address @ IpAddr::V6(_))) => {
            Ok(EndpointHost::Address(address))
        }
        ("IPv4" | "IPv6", _) => {
            let message =
                format!("Invalid value: {address:?}: must be an address of type {address_type}");
            Err(fields.error(field, message))
        }
        (other, _) => {
            let message = format!("Unsupported value: {other:?}: write IPv4, IPv6 or FQDN");
            Err(fields.error("addressType", message))
        }
    }
}

/// TCP where nothing is written.
fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP" | ""))
}

/// Names of KEP-3726, IANA's `http` and `https` (in any case, RFC 6335), and what operators write for HTTP/2.
fn app_protocol(written: Option<&str>) -> AppProtocol {
    match written {
        None | Some("") => AppProtocol::Http1,
        Some(name) if name.eq_ignore_ascii_case("http") => AppProtocol::Http1,
        Some(name) if name.eq_ignore_ascii_case("https") => AppProtocol::Https,
        Some("kubernetes.io/h2c" | "h2c" | "http2" | "grpc") => AppProtocol::H2c,
        Some("kubernetes.io/ws" | "ws") => AppProtocol::WebSocket,
        Some("kubernetes.io/wss" | "wss") => AppProtocol::Wss,
        Some("grpcs") => AppProtocol::Grpcs,
        Some(other) => AppProtocol::Other(other.to_owned()),
    }
}

fn tcp_port(fields: &Fields, field: &str, port: i64) -> Result<u16, ReadError> {
    let valid = u16::try_from(port).ok().filter(|port| *port > 0);
    valid.ok_or_else(|| {
        let message = format!("Invalid value: {port}: must be between 1 and 65535");
        fields.error(field, message)
    })
}
