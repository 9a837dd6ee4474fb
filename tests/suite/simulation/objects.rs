//! Objects as users write them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use domain::gateway::{
    Adoption, AllowedNamespaces, AppProtocol, BackendRef, DeletionPolicy, Endpoint, EndpointHost,
    EndpointSlice, FieldError, FieldErrorKind, GATEWAY_GROUP, Gateway, GatewayClass,
    GatewayParameters, GatewayPart, Infrastructure, Listener, OWN_GROUP, PARAMETERS_KIND,
    ParentRef, PathMatch, PatternRoom, Protocol, RecordParameters, RotationParameters, Route,
    RouteKind, RouteMatch, RouteSource, Rule, Service, ServicePort,
};
use domain::{Hostname, ObjectRef, Timestamp};

use super::cluster_model::key;

pub(crate) fn class(name: &str, controller: &str) -> GatewayClass {
    GatewayClass {
        name: name.to_owned(),
        generation: 1,
        controller: controller.to_owned(),
        parameters: None,
        field_errors: Vec::new(),
    }
}

/// A Gateway of our class.
pub(crate) fn gateway(name: &str, created: i64, listener: Listener) -> Gateway {
    Gateway {
        key: key(name),
        generation: 1,
        created: Timestamp(created),
        deleting: false,
        class: "ours".to_owned(),
        listeners: vec![listener],
        allowed_listeners: AllowedNamespaces::None,
        parameters: None,
        addresses: Vec::new(),
        infrastructure: Infrastructure::default(),
        client_certificate: None,
        frontend: None,
        annotations: BTreeMap::new(),
        field_errors: Vec::new(),
    }
}

/// A route without parents, hostnames and rules.
pub(crate) fn route(name: &str, created: i64) -> Route {
    Route {
        kind: RouteKind::Http,
        source: RouteSource::Route,
        key: key(name),
        generation: 1,
        created: Timestamp(created),
        parents: Vec::new(),
        hostnames: Vec::new(),
        rules: Vec::new(),
        pattern_room: PatternRoom::default(),
        uses: Vec::new(),
        field_errors: Vec::new(),
    }
}

pub(crate) fn parent(gateway: &str) -> ParentRef {
    ParentRef {
        target: ObjectRef {
            group: GATEWAY_GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            key: key(gateway),
        },
        namespace_written: false,
        section: None,
        port: None,
    }
}

/// The parameters of this name.
pub(crate) fn parameters_ref(name: &str) -> ObjectRef {
    ObjectRef {
        group: OWN_GROUP.to_owned(),
        kind: PARAMETERS_KIND.to_owned(),
        key: key(name),
    }
}

/// Parameters by which a Gateway leaves what it has.
pub(crate) fn orphaning() -> GatewayParameters {
    GatewayParameters {
        deletion_policy: Some(DeletionPolicy::Orphan),
        ..parameters("orphaning")
    }
}

pub(crate) const PARAMETERS_OF_CLASS: &str = "of-class";

/// Parameters of our class.
pub(crate) fn of_class(adopt: BTreeMap<Hostname, Adoption>) -> GatewayParameters {
    let mut parameters = parameters(PARAMETERS_OF_CLASS);
    parameters.records.adopt = Some(adopt);
    parameters
}

/// Parameters that say nothing.
fn parameters(name: &str) -> GatewayParameters {
    GatewayParameters {
        key: key(name),
        credentials: None,
        dns: None,
        records: RecordParameters::default(),
        upload_certificates: None,
        shared_hostnames: None,
        routing_type: None,
        dashboard_rules: None,
        deletion_policy: None,
        replicas: None,
        resources: None,
        min_ready_seconds: None,
        rotation: RotationParameters::default(),
        tunnel: Box::default(),
        tenants: None,
        external_hosts: None,
        services: None,
        field_errors: Vec::new(),
    }
}

pub(crate) fn unserved() -> (GatewayPart, FieldError) {
    let field_error = FieldError {
        field: "spec.addresses".to_owned(),
        kind: FieldErrorKind::Unsupported,
        message: "is not served".to_owned(),
    };
    (GatewayPart::Addresses, field_error)
}

pub(crate) fn listener(hostname: Option<Hostname>) -> Listener {
    Listener {
        name: "https".to_owned(),
        hostname,
        port: 443,
        protocol: Protocol::Https,
        tls: None,
        namespaces: AllowedNamespaces::Same,
        kinds: Vec::new(),
        filters: Vec::new(),
        field_errors: Vec::new(),
    }
}

/// A rule that sends every request to a Service.
pub(crate) fn rule(service: &str) -> Rule {
    let target = ObjectRef {
        group: String::new(),
        kind: "Service".to_owned(),
        key: key(service),
    };
    Rule {
        matches: vec![RouteMatch {
            path: PathMatch::Prefix("/".to_owned()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }],
        filters: Vec::new(),
        policy: Default::default(),
        backends: vec![BackendRef {
            target,
            port: Some(80),
            weight: 1,
            filters: Vec::new(),
            field: "spec.rules[0].backendRefs[0]".to_owned(),
        }],
    }
}

pub(crate) fn service(name: &str) -> Service {
    Service {
        key: key(name),
        ports: vec![ServicePort {
            name: String::new(),
            port: 80,
            protocol: AppProtocol::Http1,
        }],
        cluster_ip: None,
        other_ports: Vec::new(),
        external_name: None,
        exposure: None,
    }
}

pub(crate) fn slice(name: &str) -> EndpointSlice {
    EndpointSlice {
        key: key(name),
        service: name.to_owned(),
        import: None,
        ports: [(String::new(), 8080)].into(),
        endpoints: vec![Endpoint {
            host: EndpointHost::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            ready: true,
            serving: true,
        }],
    }
}
