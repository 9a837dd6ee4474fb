//! Services that ask to be exposed, and the parameters that say which may.

use adapter_gateway_api::Object;
use domain::gateway::{Exposure, LabelSelector, SelectorRule};
use domain::{ObjectKey, Timestamp};
use serde_json::json;

use super::parameters::parameters;
use super::{object, summary};

const HOSTNAME: &str = "metadata.annotations[cloudflare-gateway-controller.io/hostname]";
const PORT: &str = "metadata.annotations[cloudflare-gateway-controller.io/port]";

fn asking(hostname: Option<&str>, port: Option<&str>, ports: &str, spec: &str) -> Option<Exposure> {
    let annotations = json!({
        "cloudflare-gateway-controller.io/hostname": hostname,
        "cloudflare-gateway-controller.io/port": port,
    });
    let yaml = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: app, creationTimestamp: 2026-01-31T12:00:00Z, annotations: {annotations}}}
spec: {{ports: {ports}, {spec}}}"
    );
    match object(&yaml) {
        Object::Service(service) => service.exposure.map(|exposure| *exposure),
        other => panic!("{other:?}"),
    }
}

const ONE: &str = "[{port: 80}]";
const SEVERAL: &str = "[{port: 80, name: web}, {port: 90, name: admin}, {port: 53, protocol: UDP}]";
const OURS: &str = "type: LoadBalancer, loadBalancerClass: cloudflare-gateway-controller.io/tunnel";

#[test]
fn a_service_asks_by_an_annotation_or_by_its_class() {
    let name = Some("app.example.com");
    for (given, hostname, spec, expected) in [
        ("nothing", None, "", None),
        ("the annotation", name, "", Some(false)),
        ("the class", None, OURS, Some(true)),
        ("both", name, OURS, Some(true)),
        (
            "another class",
            None,
            "type: LoadBalancer, loadBalancerClass: example.com/lb",
            None,
        ),
        ("no class", name, "type: LoadBalancer", Some(false)),
        (
            "the class of another type",
            None,
            "type: ClusterIP, loadBalancerClass: cloudflare-gateway-controller.io/tunnel",
            None,
        ),
    ] {
        let found = asking(hostname, None, ONE, spec);
        assert_eq!(found.map(|it| it.is_load_balancer), expected, "{given}");
    }
    let found = asking(name, None, ONE, "").unwrap();
    assert_eq!(found.created, Timestamp(1_769_860_800));
    assert_eq!((found.port, found.field_errors.len()), (Some(80), 0));
}

#[test]
fn hostnames_are_separated_by_commas() {
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("n{n}.example.com")).collect();
        names.join(",")
    };
    let long = format!("{}.example.com", "a.".repeat(130));
    for (written, hostnames, wrong) in [
        ("app.example.com", 1, vec![]),
        (
            " A.example.com , *.b.example.com,, a.example.com",
            2,
            vec![],
        ),
        (&many(16), 16, vec![]),
        (&many(17), 16, vec![HOSTNAME]),
        ("", 0, vec![HOSTNAME]),
        (" , ", 0, vec![HOSTNAME]),
        ("app.example.com, not a name", 1, vec![HOSTNAME]),
        ("10.0.0.1", 0, vec![HOSTNAME]),
        (&long, 0, vec![HOSTNAME]),
        (&",".repeat(10_000), 0, vec![HOSTNAME]),
    ] {
        let found = asking(Some(written), None, ONE, "").expect("it asks");
        assert_eq!(found.hostnames.len(), hostnames, "{written}");
        let fields: Vec<&str> = found
            .field_errors
            .iter()
            .map(|it| it.field.as_str())
            .collect();
        assert_eq!(fields, wrong, "{written}");
        for error in found.field_errors {
            assert!(error.message.len() < 500, "{error:?}");
            assert!(!error.message.contains(char::is_control), "{error:?}");
        }
    }
    let hidden = asking(Some("a\u{1b}[31m.example.com"), None, ONE, "").unwrap();
    let message = &hidden.field_errors[0].message;
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[test]
fn the_port_is_the_only_one_or_the_one_that_is_named() {
    let long = "é".repeat(100_000);
    for (written, ports, port) in [
        (None, ONE, Some(80)),
        (None, SEVERAL, None),
        (None, "[]", None),
        (Some("80"), SEVERAL, Some(80)),
        (Some("admin"), SEVERAL, Some(90)),
        (Some("53"), SEVERAL, None),
        (Some(""), ONE, None),
        (Some("070"), ONE, None),
        (Some(long.as_str()), SEVERAL, None),
    ] {
        let found = asking(Some("app.example.com"), written, ports, "").expect("it asks");
        let given = format!("{:?} {ports}", written.map(str::len));
        assert_eq!(found.port, port, "{given}");
        match (port, found.field_errors.as_slice()) {
            (Some(_), []) => {}
            (None, [error]) => {
                assert_eq!(error.field, PORT, "{given}");
                assert!(error.message.len() < 500, "{given}");
            }
            other => panic!("{given}: {other:?}"),
        }
    }
}

#[test]
fn parameters_say_which_services_are_exposed_and_where() {
    let read = parameters("  services: {gateway: {name: edge}}");
    assert_eq!(read.field_errors, []);
    let services = read.services.unwrap();
    assert_eq!(services.gateway, ObjectKey::new("apps", "edge"));
    assert_eq!(services.namespaces, None);

    let selector = "{matchLabels: {team: shop}}";
    let read = parameters(&format!(
        "  services: {{gateway: {{namespace: infra, name: edge}}, namespaceSelector: {selector}}}"
    ));
    let services = read.services.unwrap();
    assert_eq!(services.gateway, ObjectKey::new("infra", "edge"));
    let rule = SelectorRule::In("team".to_owned(), vec!["shop".to_owned()]);
    let selecting = |rules| Some(LabelSelector { rules });
    assert_eq!(services.namespaces, selecting(vec![rule]));
    let read = parameters("  services: {gateway: {name: edge}, namespaceSelector: {}}");
    assert_eq!(read.services.unwrap().namespaces, selecting(vec![]));

    for (services, wrong) in [
        ("{}", "invalid spec.services.gateway.name"),
        (
            "{gateway: {name: edge, port: 1}}",
            "unsupported spec.services.gateway.port",
        ),
        (
            "{gateway: {name: edge}, namespaceSelector: {matchExpressions: [{key: a, operator: Has}]}}",
            "invalid spec.services.namespaceSelector.matchExpressions[0].operator",
        ),
    ] {
        let read = parameters(&format!("  services: {services}"));
        assert_eq!(summary(&read.field_errors), [wrong], "{services}");
    }
}
