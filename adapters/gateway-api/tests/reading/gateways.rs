use domain::gateway::{
    AllowedKind, AllowedNamespaces, FieldError, FrontendMode, GatewayPart, Protocol,
    RequestedAddress, RouteKind, SelectorRule,
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
fn filters_of_listeners_are_read_in_their_order_and_none_is_passed_over() {
    let auth = |name: &str| {
        format!(
            "{{type: ExternalAuth, externalAuth: {{protocol: HTTP, backendRef: {{name: {name}, port: 80}}}}}}"
        )
    };
    let read = |requests: &str| {
        let gateway = gateway(&format!(
            "
  listeners:
  - name: web
    protocol: HTTPS
    port: 443
    filters: {{requests: [{requests}]}}
"
        ));
        assert_eq!(gateway.field_errors, []);
        let [listener] = <[_; 1]>::try_from(gateway.listeners).unwrap();
        let filters = listener
            .filters
            .iter()
            .map(|filter| filter.to.clone().unwrap());
        let filters: Vec<_> = filters.map(|to| (to.target.key.name, to.field)).collect();
        (filters, in_parts(&listener.field_errors))
    };
    let (filters, refused) = read(&format!("{}, {}", auth("b"), auth("a")));
    let field =
        |index| format!("spec.listeners[0].filters.requests[{index}].externalAuth.backendRef");
    assert_eq!(
        filters,
        [("b".to_owned(), field(0)), ("a".to_owned(), field(1))]
    );
    assert_eq!(refused, [""; 0]);
    let extension = "{type: ExtensionRef, extensionRef: {group: example.com, kind: Own, name: x}}";
    for (requests, refused) in [
        (
            extension,
            "unsupported spec.listeners[0].filters.requests[0]",
        ),
        (
            "{type: ExternalAuth}",
            "invalid spec.listeners[0].filters.requests[0].externalAuth",
        ),
        (
            "{type: CORS}",
            "invalid spec.listeners[0].filters.requests[0].type",
        ),
        (
            "{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a}}, extensionRef: {group: a, kind: b, name: c}}",
            "invalid spec.listeners[0].filters.requests[0].extensionRef",
        ),
        (
            "{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a}, forwardBody: {maxSize: 1000000}}}",
            "unsupported spec.listeners[0].filters.requests[0].externalAuth.forwardBody.maxSize",
        ),
    ] {
        let refused = format!("ListenerFilters: {refused}");
        assert_eq!(read(requests).1, [refused], "{requests}");
    }
}

#[test]
fn an_address_is_a_hostname_or_the_choice_is_ours() {
    let hostname = |name: &str| Some(RequestedAddress::Hostname(name.parse().unwrap()));
    for (written, read, refused) in [
        ("{}", Some(RequestedAddress::Any), None),
        ("{type: IPAddress}", Some(RequestedAddress::Any), None),
        ("{type: Hostname}", Some(RequestedAddress::Any), None),
        (
            "{type: Hostname, value: App.example.com}",
            hostname("app.example.com"),
            None,
        ),
        (
            "{type: Hostname, value: a..b}",
            None,
            Some("invalid spec.addresses[0].value"),
        ),
        (
            "{type: IPAddress, value: 192.0.2.1}",
            None,
            Some("unsupported spec.addresses[0].value"),
        ),
        (
            "{value: 192.0.2.1}",
            None,
            Some("unsupported spec.addresses[0].value"),
        ),
        (
            "{type: example.com/x, value: a}",
            None,
            Some("unsupported spec.addresses[0].type"),
        ),
        (
            "{routability: Cluster}",
            None,
            Some("unsupported spec.addresses[0].routability"),
        ),
    ] {
        let gateway = gateway(&format!(
            "\n  addresses: [{written}]\n  listeners: [{{name: web, protocol: HTTPS, port: 443}}]\n"
        ));
        assert_eq!(gateway.addresses, Vec::from_iter(read), "{written}");
        let refused: Vec<_> = refused
            .map(|it| format!("Addresses: {it}"))
            .into_iter()
            .collect();
        assert_eq!(in_parts(&gateway.field_errors), refused, "{written}");
    }
}

#[test]
fn field_errors_of_a_listener_are_its_own_and_the_rest_is_the_gateways() {
    let gateway = gateway(
        "
  addresses: [{type: IPAddress, value: 192.0.2.1}]
  tls: {frontend: {default: {validation: {mode: Lax, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}
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
            "Addresses: unsupported spec.addresses[0].value",
            "Other: invalid spec.tls.frontend.default.validation.mode",
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

#[test]
fn a_client_certificate_is_of_the_gateways_namespace_unless_another_is_written() {
    for (written, expected) in [
        ("{name: client}", reference("", "Secret", "apps", "client")),
        (
            "{group: '', kind: Secret, name: client, namespace: infra}",
            reference("", "Secret", "infra", "client"),
        ),
        (
            "{group: example.com, kind: Vault, name: client}",
            reference("example.com", "Vault", "apps", "client"),
        ),
    ] {
        let gateway = gateway(&format!(
            "  tls: {{backend: {{clientCertificateRef: {written}}}}}\n  listeners: [{{name: web, port: 80, protocol: HTTP}}]\n"
        ));
        assert_eq!(gateway.client_certificate, Some(expected), "{written}");
        assert_eq!(gateway.field_errors, [], "{written}");
    }
}

#[test]
fn what_is_asked_of_visitors_is_read_for_all_ports_and_for_some() {
    let gateway = gateway(
        "
  listeners: [{name: web, port: 443, protocol: HTTPS}]
  tls:
    frontend:
      default:
        validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}
      perPort:
      - port: 8443
        tls:
          validation:
            mode: AllowInsecureFallback
            caCertificateRefs: [{group: '', kind: Secret, name: ca, namespace: infra}]
      - {port: 2053, tls: {}}
",
    );
    assert_eq!(gateway.field_errors, []);
    let frontend = gateway.frontend.unwrap();
    let default = frontend.at(443).unwrap();
    assert_eq!(default.mode, FrontendMode::ValidOnly);
    assert_eq!(default.field, "spec.tls.frontend.default.validation");
    assert_eq!(
        default.authorities,
        [reference("", "ConfigMap", "apps", "ca")]
    );
    let other = frontend.at(8443).unwrap();
    assert_eq!(other.mode, FrontendMode::InsecureFallback);
    assert_eq!(other.field, "spec.tls.frontend.perPort[0].tls.validation");
    assert_eq!(other.authorities, [reference("", "Secret", "infra", "ca")]);
    assert_eq!(frontend.at(2053), None, "it overrides the default");
}

#[test]
fn a_cluster_trust_bundle_is_in_no_namespace() {
    for (written, refused) in [
        ("", None),
        (
            ", namespace: apps",
            Some("invalid spec.tls.frontend.default.validation.caCertificateRefs[0].namespace"),
        ),
    ] {
        let reference = format!(
            "{{group: certificates.k8s.io, kind: ClusterTrustBundle, name: corp{written}}}"
        );
        let gateway = gateway(&format!(
            "  tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{reference}]}}}}}}}}\n  listeners: [{{name: web, port: 443, protocol: HTTPS}}]\n"
        ));
        let errors: Vec<_> = gateway
            .field_errors
            .iter()
            .map(|(_, it)| it.clone())
            .collect();
        assert_eq!(
            summary(&errors),
            Vec::from_iter(refused.map(str::to_owned)),
            "{written}"
        );
        let default = gateway.frontend.unwrap().default.unwrap();
        assert_eq!(default.authorities[0].key.namespace, "");
    }
}
