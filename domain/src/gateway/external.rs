//! Hosts outside of the cluster: XBackends (GEP-4894), and which of them an operator permits.

use super::{BackendTlsPolicy, FieldError, LabelSelector, ServicePort};
use crate::names::{AllowedHostnames, Hostname, ObjectKey, Timestamp};

/// Kind of a backend by the name of its host, in group [`EXPERIMENTAL_GROUP`](super::EXPERIMENTAL_GROUP).
pub const EXTERNAL_BACKEND_KIND: &str = "XBackend";

/// An XBackend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalBackend {
    pub key: ObjectKey,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none.
    pub created: Timestamp,
    /// `spec.externalHostname.hostname`; `None` where it is of another type, or a field error.
    pub hostname: Option<Hostname>,
    /// `spec.port` with what is spoken there; empty where that is a field error.
    pub ports: Vec<ServicePort>,
    /// `spec.tls`; `None` for clear text. It is for this object alone.
    pub tls: Option<Box<BackendTlsPolicy>>,
    /// What cannot be acted upon.
    pub field_errors: Vec<FieldError>,
}

/// An entry of `spec.externalHosts` of the CloudflareGatewayParameters that a GatewayClass names: some namespaces, and the
/// hosts outside of the cluster that backends in them may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalHosts {
    /// `namespaceSelector`. Without rules it selects every namespace.
    pub namespaces: LabelSelector,
    /// `hostnames`.
    pub hostnames: AllowedHostnames,
}

/// Why a name is none of a host outside of the cluster, whatever an operator permits. What it leads to is looked at when it
/// is resolved.
pub fn not_external(hostname: &Hostname) -> Option<&'static str> {
    let name = hostname.as_str();
    let last = name.rsplit('.').next().unwrap_or(name);
    if hostname.is_wildcard() {
        return Some("it must be one name, no wildcard");
    }
    if !name.contains('.') || matches!(last, "local" | "localhost" | "svc") {
        return Some(
            "it must be a name of the internet, such as api.example.com, none of the cluster or its network",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_cluster_or_its_network_is_no_host_outside() {
        for (name, is_one) in [
            ("api.example.com", true),
            ("a.b.c.example.org", true),
            ("local.example.com", true),
            ("*.example.com", false),
            ("localhost", false),
            ("app.localhost", false),
            ("printer.local", false),
            ("store.shop.svc.cluster.local", false),
            ("store.shop.svc", false),
            ("store", false),
        ] {
            let name = Hostname::parse(name).unwrap();
            assert_eq!(not_external(&name).is_none(), is_one, "{name}");
        }
    }
}
