//! XBackends, and which hosts outside of the cluster parameters permit.

use adapter_gateway_api::Object;
use domain::gateway::{AppProtocol, ExternalBackend, SubjectName, TrustSource};
use domain::{AllowedHostnames, Hostname};

use crate::parameters::parameters;
use crate::{object, summary};

fn backend(spec: &str) -> ExternalBackend {
    let yaml = format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackend\nmetadata: {{name: b, namespace: apps}}\n\
         spec: {{{spec}}}"
    );
    match object(&yaml) {
        Object::ExternalBackend(backend) => backend,
        other => panic!("{other:?}"),
    }
}

const HOST: &str =
    "type: ExternalHostname, port: {number: 443}, externalHostname: {hostname: api.example.com}";
const TLS: &str = "tls: {mode: ServerOnly, validation: {wellKnownCACertificates: System, hostname: api.example.com}}";

#[test]
fn a_host_is_read_with_its_port_and_what_is_spoken_there() {
    for (written, protocol, has_tls) in [
        (String::new(), AppProtocol::Http1, false),
        ("tls: {mode: None}".to_owned(), AppProtocol::Http1, false),
        (TLS.to_owned(), AppProtocol::Http1, true),
        (format!("protocol: HTTP, {TLS}"), AppProtocol::Http1, true),
        ("protocol: HTTP11".to_owned(), AppProtocol::WebSocket, false),
        (format!("protocol: HTTP2, {TLS}"), AppProtocol::Grpcs, true),
        ("protocol: H2C".to_owned(), AppProtocol::H2c, false),
        ("protocol: GRPC".to_owned(), AppProtocol::H2c, false),
        (format!("protocol: GRPC, {TLS}"), AppProtocol::H2c, true),
        (format!("protocol: WSS, {TLS}"), AppProtocol::Wss, true),
    ] {
        let backend = backend(&format!("{HOST}, {written}"));
        assert_eq!(backend.field_errors, [], "{written}");
        assert_eq!(backend.hostname, Hostname::parse("api.example.com").ok());
        let ports: Vec<_> = backend
            .ports
            .iter()
            .map(|port| (port.port, &port.protocol))
            .collect();
        assert_eq!(ports, [(443, &protocol)], "{written}");
        assert_eq!(backend.tls.is_some(), has_tls, "{written}");
    }
    let names = "subjectAltNames: [{type: URI, uri: 'spiffe://a/b'}]";
    let written = format!(
        "{HOST}, {}",
        TLS.replace("hostname: api", &format!("{names}, hostname: api"))
    );
    let tls = backend(&written).tls.unwrap();
    assert_eq!(tls.names, [SubjectName::Uri("spiffe://a/b".to_owned())]);
    assert_eq!(tls.trust, TrustSource::System);
    assert!(tls.is_inline);
}

#[test]
fn what_is_wrong_in_an_external_backend_is_told_by_its_field() {
    let with = |more: &str| format!("{HOST}, {more}");
    for (spec, expected) in [
        (
            "type: EndpointSelector, port: {number: 80}, endpointSelector: {matchLabels: {a: b}}".to_owned(),
            "unsupported spec.type",
        ),
        (
            "type: Other, port: {number: 80}".to_owned(),
            "invalid spec.type",
        ),
        (
            "type: ExternalHostname, externalHostname: {hostname: a.example.com}, port: {number: 70000}".to_owned(),
            "invalid spec.port.number",
        ),
        (
            "type: ExternalHostname, externalHostname: {hostname: a.example.com}, port: {}".to_owned(),
            "invalid spec.port.number",
        ),
        (
            "type: ExternalHostname, port: {number: 80}".to_owned(),
            "invalid spec.externalHostname.hostname",
        ),
        (
            "type: ExternalHostname, port: {number: 80}, externalHostname: {hostname: 'a b'}".to_owned(),
            "invalid spec.externalHostname.hostname",
        ),
        (with("protocol: MCP"), "unsupported spec.protocol"),
        (with("protocol: TCP"), "unsupported spec.protocol"),
        (with("protocol: HTTP2"), "invalid spec.protocol"),
        (with("protocol: WSS"), "invalid spec.protocol"),
        (with(&format!("protocol: H2C, {TLS}")), "invalid spec.protocol"),
        (with("tls: {mode: ServerOnly}"), "invalid spec.tls.validation"),
        (
            with("tls: {mode: None, validation: {hostname: a.example.com}}"),
            "invalid spec.tls.validation",
        ),
        (
            with("tls: {mode: ServerOnly, validation: {wellKnownCACertificates: System, hostname: '*.example.com'}}"),
            "invalid spec.tls.validation.hostname",
        ),
        (with("sessionPersistence: {}"), "invalid spec.sessionPersistence"),
        (with("circuitBreaker: {}"), "unsupported spec.circuitBreaker"),
    ] {
        let mut found = summary(&backend(&spec).field_errors);
        found.dedup();
        assert_eq!(found, [expected], "{spec}");
    }
    let mutual = with(&format!(
        "{}, ",
        TLS.replace(
            "ServerOnly",
            "ClientAndServer, clientCertificateRef: {name: cert}"
        )
    ));
    let found = summary(&backend(mutual.trim_end_matches(", ")).field_errors);
    assert_eq!(
        found,
        [
            "unsupported spec.tls.clientCertificateRef",
            "unsupported spec.tls.mode",
        ]
    );
}

#[test]
fn parameters_list_hosts_by_namespaces() {
    let read = parameters(
        "  externalHosts: [{hostnames: ['*.example.com'], namespaceSelector: {matchLabels: {team: shop}}}, {}]\n",
    );
    assert_eq!(summary(&read.field_errors), Vec::<String>::new());
    let [listed, any] = &read.external_hosts.unwrap()[..] else {
        panic!("two entries");
    };
    assert_eq!(listed.namespaces.rules.len(), 1);
    assert!(
        listed
            .hostnames
            .allows(&Hostname::parse("a.example.com").unwrap())
    );
    assert!(
        !listed
            .hostnames
            .allows(&Hostname::parse("a.example.org").unwrap())
    );
    assert_eq!(any.hostnames, AllowedHostnames::Any);
    assert!(any.namespaces.rules.is_empty());
    let read = parameters("  externalHosts: [{hostnames: ['a.*.com']}]\n");
    assert_eq!(
        summary(&read.field_errors),
        ["invalid spec.externalHosts[0].hostnames[0]"]
    );
}
