use domain::gateway::{
    AllowedKind, AllowedNamespaces, FieldError, GatewayPart, Protocol, RouteKind, SelectorRule,
};

use crate::{class, gateway, reference, summary};

#[test]
fn a_gateway_is_read_with_its_listeners() {
    let gateway = gateway(
        "
  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: p}
  listeners:
  - {name: https, protocol: HTTPS, port: 443}
  - name: http
    protocol: HTTP
    port: 80
    hostname: '*.example.com'
    allowedRoutes:
      kinds: [{kind: HTTPRoute}, {group: example.com, kind: FooRoute}]
      namespaces:
        from: Selector
        selector:
          matchLabels: {team: a}
          matchExpressions: [{key: env, operator: NotIn, values: [dev]}]
  - name: certified
    protocol: HTTPS
    port: 8443
    tls: {certificateRefs: [{name: cert}, {name: cert, namespace: other}]}
  - {name: raw, protocol: TCP, port: 9000, allowedRoutes: {namespaces: {from: All}}}
",
    );
    assert_eq!(gateway.field_errors, []);
    assert_eq!(gateway.class, "cloudflare");
    let parameters = reference(
        "cloudflare-gateway-controller.io",
        "CloudflareGatewayParameters",
        "apps",
        "p",
    );
    assert_eq!(gateway.parameters, Some(parameters));
    let [https, http, certified, raw] = gateway.listeners.as_slice() else {
        panic!("{:?}", gateway.listeners);
    };
    assert_eq!((https.port, &https.protocol), (443, &Protocol::Https));
    assert_eq!(https.namespaces, AllowedNamespaces::Same);
    assert_eq!((&https.tls, &https.hostname), (&None, &None));
    assert_eq!(http.hostname, Some("*.example.com".parse().unwrap()));
    assert_eq!(
        http.kinds,
        [
            AllowedKind::Route(RouteKind::Http),
            AllowedKind::Other("example.com/FooRoute".to_owned()),
        ]
    );
    let AllowedNamespaces::Selector(selector) = &http.namespaces else {
        panic!("{:?}", http.namespaces);
    };
    assert_eq!(
        selector.rules,
        [
            SelectorRule::In("team".to_owned(), vec!["a".to_owned()]),
            SelectorRule::NotIn("env".to_owned(), vec!["dev".to_owned()]),
        ]
    );
    let tls = certified.tls.as_ref().unwrap();
    assert!(tls.terminates);
    assert_eq!(tls.certificates[0], reference("", "Secret", "apps", "cert"));
    assert_eq!(
        tls.certificates[1],
        reference("", "Secret", "other", "cert")
    );
    assert_eq!(raw.protocol, Protocol::Other("TCP".to_owned()));
    assert_eq!(raw.namespaces, AllowedNamespaces::All);
    assert!(gateway.listeners.iter().all(|l| l.field_errors.is_empty()));
}

#[test]
fn field_errors_of_a_listener_are_its_own_and_the_rest_is_the_gateways() {
    let gateway = gateway(
        "
  addresses: [{type: IPAddress, value: 192.0.2.1}]
  tls: {frontend: {default: {}}}
  infrastructure: {labels: {a: b}, parametersRef: {group: g, name: p}}
  listeners:
  - {name: good, protocol: HTTPS, port: 443}
  - {name: port, protocol: HTTPS, port: 70000}
  - {name: host, protocol: HTTPS, port: 443, hostname: 'a.*.example.com'}
  - {name: tls, protocol: HTTPS, port: 443, tls: {mode: Passthrough, options: {a: b}}}
  - name: from
    protocol: HTTPS
    port: 443
    allowedRoutes: {namespaces: {from: Friends}}
  - name: selector
    protocol: HTTPS
    port: 443
    allowedRoutes:
      namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: Near}]}}
  - {}
",
    );
    assert_eq!(
        in_parts(&gateway.field_errors),
        [
            "Addresses: unsupported spec.addresses",
            "Other: unsupported spec.tls",
            "ParametersRef: invalid spec.infrastructure.parametersRef.kind",
        ]
    );
    let expected: [&[&str]; 7] = [
        &[],
        &["Other: invalid spec.listeners[1].port"],
        &["ListenerHostname: invalid spec.listeners[2].hostname"],
        &[
            "Other: unsupported spec.listeners[3].tls.mode",
            "Other: unsupported spec.listeners[3].tls.options",
        ],
        &["Other: invalid spec.listeners[4].allowedRoutes.namespaces.from"],
        &["Other: invalid \
             spec.listeners[5].allowedRoutes.namespaces.selector.matchExpressions[0].operator"],
        &[
            "Other: invalid spec.listeners[6].name",
            "Other: invalid spec.listeners[6].port",
            "Other: invalid spec.listeners[6].protocol",
        ],
    ];
    for (listener, expected) in gateway.listeners.iter().zip(expected) {
        assert_eq!(
            in_parts(&listener.field_errors),
            expected,
            "{}",
            listener.name
        );
    }
    let admits = |index: usize| &gateway.listeners[index].namespaces;
    assert_eq!(
        *admits(4),
        AllowedNamespaces::None,
        "what is not known admits nobody"
    );
    assert_eq!(
        *admits(5),
        AllowedNamespaces::None,
        "what is not known admits nobody"
    );
}

/// `part: kind field` of each field error, sorted.
fn in_parts(field_errors: &[(GatewayPart, FieldError)]) -> Vec<String> {
    let lines = field_errors.iter().map(|(part, field_error)| {
        let [line] = &summary(std::slice::from_ref(field_error))[..] else {
            panic!("one line for {field_error:?}");
        };
        format!("{part:?}: {line}")
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn a_class_needs_a_namespace_in_its_parameters() {
    let with = class("  parametersRef: {group: '', kind: Secret, name: s, namespace: ns}");
    assert_eq!(with.parameters, Some(reference("", "Secret", "ns", "s")));
    assert_eq!(with.field_errors, []);
    let without = class("  description: ours\n  parametersRef: {group: '', kind: Secret, name: s}");
    assert_eq!(without.parameters, None);
    assert_eq!(
        summary(&without.field_errors),
        ["invalid spec.parametersRef.namespace"]
    );
}
