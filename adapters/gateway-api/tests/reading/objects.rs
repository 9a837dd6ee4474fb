use adapter_gateway_api::{Object, ReadError, read};
use domain::gateway::{AppProtocol, EndpointHost};
use domain::{ObjectKey, Timestamp};

use crate::{object, reference, value};

#[test]
fn metadata_gives_key_age_and_generation() {
    let Object::Route(route) = object(
        "
apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata:
  name: r
  generation: 7
  creationTimestamp: 2026-01-31T12:00:00Z
  labels: null
  managedFields: [{manager: kubectl}]
status: {parents: []}
",
    ) else {
        panic!("a route was expected");
    };
    assert_eq!(route.key, ObjectKey::new("default", "r"));
    assert_eq!(route.generation, 7);
    assert_eq!(route.created, Timestamp(1_769_860_800));
    assert_eq!(route.field_errors, []);
    assert_eq!(
        route.rules.len(),
        1,
        "no rules stand for one that takes all"
    );
}

#[test]
fn services_slices_and_namespaces_are_read() {
    let Object::Service(service) = object(
        "
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  clusterIP: None
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: h2, port: 81, appProtocol: kubernetes.io/h2c}
  - {name: ws, port: 82, appProtocol: kubernetes.io/ws}
  - {name: odd, port: 83, appProtocol: example.com/odd}
  - {name: grpc, port: 84, appProtocol: grpc}
  - {name: http2, port: 85, appProtocol: http2}
  - {name: short, port: 86, appProtocol: h2c}
  - {name: https, port: 87, appProtocol: HTTPS}
  - {name: wss, port: 88, appProtocol: kubernetes.io/wss}
  - {name: grpcs, port: 89, appProtocol: grpcs}
  - {name: dns, port: 53, protocol: UDP}
  externalName: ignored.example.com
",
    ) else {
        panic!("a Service was expected");
    };
    let protocols: Vec<(u16, AppProtocol)> = service
        .ports
        .into_iter()
        .map(|port| (port.port, port.protocol))
        .collect();
    assert_eq!(
        protocols,
        [
            (80, AppProtocol::Http1),
            (81, AppProtocol::H2c),
            (82, AppProtocol::WebSocket),
            (83, AppProtocol::Other("example.com/odd".to_owned())),
            (84, AppProtocol::H2c),
            (85, AppProtocol::H2c),
            (86, AppProtocol::H2c),
            (87, AppProtocol::Https),
            (88, AppProtocol::Wss),
            (89, AppProtocol::Grpcs),
        ]
    );
    assert_eq!(service.external_name, None, "its type is not ExternalName");

    let Object::EndpointSlice(slice) = object(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-1, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
ports: [{name: http, port: 8080}, {port: 9090}, {name: every}, {name: dns, port: 53, protocol: UDP}]
endpoints:
- {addresses: [127.0.0.1, 127.0.0.2]}
- {addresses: [127.0.0.3], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [127.0.0.4], conditions: {ready: false}}
",
    ) else {
        panic!("an EndpointSlice was expected");
    };
    assert_eq!(slice.service, "app");
    let ports: Vec<(&str, u16)> = slice.ports.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    assert_eq!(ports, [("", 9090), ("http", 8080)]);
    let states: Vec<(bool, bool)> = slice
        .endpoints
        .iter()
        .map(|e| (e.ready, e.serving))
        .collect();
    assert_eq!(states, [(true, true), (false, true), (false, false)]);
    assert_eq!(
        slice.endpoints[0].host,
        EndpointHost::Address("127.0.0.1".parse().unwrap())
    );

    let Object::Namespace(namespace) =
        object("{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {a: b}}}")
    else {
        panic!("a Namespace was expected");
    };
    assert_eq!(namespace.labels["a"], "b");
    assert_eq!(namespace.labels["kubernetes.io/metadata.name"], "ns");
}

#[test]
fn services_and_service_imports_have_a_cluster_ip_unless_they_are_headless() {
    let service = |spec: &str| {
        let yaml =
            format!("{{apiVersion: v1, kind: Service, metadata: {{name: app}}, spec: {{{spec}}}}}");
        match object(&yaml) {
            Object::Service(service) => service.cluster_ip,
            other => panic!("{other:?}"),
        }
    };
    let import = |version: &str, spec: &str| {
        let yaml = format!(
            "{{apiVersion: multicluster.x-k8s.io/{version}, kind: ServiceImport, metadata: {{name: app}}, spec: {{{spec}}}}}"
        );
        match object(&yaml) {
            Object::ServiceImport(import) => import.cluster_ip,
            other => panic!("{other:?}"),
        }
    };
    for (found, expected) in [
        (service("clusterIP: 10.96.0.1"), Some("10.96.0.1")),
        (service("clusterIP: 'fd00::1'"), Some("fd00::1")),
        (service("clusterIP: None"), None),
        (service("clusterIP: ''"), None),
        (service("ports: []"), None),
        (
            service("type: ExternalName, externalName: a.b, clusterIP: 10.96.0.1"),
            None,
        ),
        (
            import(
                "v1alpha1",
                "type: ClusterSetIP, ips: [10.96.0.2, 'fd00::2']",
            ),
            Some("10.96.0.2"),
        ),
        (
            import("v1beta1", "type: ClusterSetIP, ips: ['fd00::2']"),
            Some("fd00::2"),
        ),
        (import("v1alpha1", "type: Headless, ips: [10.96.0.2]"), None),
        (import("v1alpha1", "type: ClusterSetIP"), None),
    ] {
        assert_eq!(found, expected.map(|address| address.parse().unwrap()));
    }
}

#[test]
fn an_endpoint_slice_may_be_of_a_service_and_of_a_service_import() {
    let of = |labels: &str| {
        let yaml = format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s, labels: {{{labels}}}}}, addressType: IPv4}}"
        );
        match object(&yaml) {
            Object::EndpointSlice(slice) => (slice.service, slice.import),
            other => panic!("{other:?}"),
        }
    };
    let service = "kubernetes.io/service-name: derived";
    let import = "multicluster.kubernetes.io/service-name: app";
    let app = || Some("app".to_owned());
    assert_eq!(of(service), ("derived".to_owned(), None));
    assert_eq!(of(import), (String::new(), app()));
    let both = of(&format!("{service}, {import}"));
    assert_eq!(both, ("derived".to_owned(), app()));
    assert_eq!(of(""), (String::new(), None));
}

#[test]
fn a_grant_is_read_whole_or_not_at_all() {
    let grant = |from: &str| {
        read(value(&format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: \
             g, namespace: ns}}\nspec: {{from: [{from}], to: [{{group: '', kind: Service}}]}}"
        )))
    };
    let group = "group: gateway.networking.k8s.io";
    let Ok(Object::ReferenceGrant(whole)) =
        grant(&format!("{{{group}, kind: HTTPRoute, namespace: apps}}"))
    else {
        panic!("a ReferenceGrant was expected");
    };
    let target = reference("", "Service", "ns", "any");
    assert!(whole.permits("gateway.networking.k8s.io", "HTTPRoute", "apps", &target));
    for (from, field) in [
        (
            format!("{{{group}, kind: HTTPRoute}}"),
            "spec.from[0].namespace",
        ),
        (
            format!("{{{group}, kind: HTTPRoute, namespace: a, selector: {{}}}}"),
            "spec.from[0].selector",
        ),
    ] {
        assert_eq!(grant(&from).unwrap_err().field, field);
    }
}

#[test]
fn a_secret_shows_its_keys_and_never_its_values() {
    use secrecy::ExposeSecret;
    let secret = object(
        "
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {A: aHVzaC1h, B: aHVzaC1i}
stringData: {B: hush-plain}
",
    );
    let shown = format!("{secret:?}");
    assert!(
        !shown.contains("hush") && !shown.contains("aHVza"),
        "{shown}"
    );
    let Object::Secret(secret) = secret else {
        panic!("a Secret was expected");
    };
    assert_eq!(secret.keys().collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(secret.value("A").unwrap().expose_secret(), b"hush-a");
    assert_eq!(secret.value("B").unwrap().expose_secret(), b"hush-plain");
    for (content, field) in [
        ("data: {A: 'hush!'}", "data.A"),
        ("data: hush", "data"),
        ("stringData: {A: [hush]}", "stringData.A"),
    ] {
        let yaml = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{content}");
        let error = read(value(&yaml)).unwrap_err();
        assert_eq!(error.field, field);
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn what_cannot_be_told_names_object_field_and_remedy() {
    let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: web}\n";
    for (yaml, object, field) in [
        ("[1, 2]", "object without a name", "document"),
        ("kind: Gateway", "Gateway without a name", "apiVersion"),
        ("apiVersion: v1\nmetadata: {name: a}", "object a", "kind"),
        ("apiVersion: v1\nkind: Service", "Service", "metadata.name"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: 5}",
            "Service without a name",
            "metadata.name",
        ),
        (head, "Gateway default/web", "spec.gatewayClassName"),
        (
            &format!("{head}spec: {{gatewayClassName: c, listeners: [{{name: a, port: '80'}}]}}"),
            "Gateway default/web",
            "spec.listeners[0].port",
        ),
        (&format!("{head}spec: yes"), "Gateway default/web", "spec"),
    ] {
        let error: ReadError = read(value(yaml)).unwrap_err();
        assert_eq!(
            (error.object.as_str(), error.field.as_str()),
            (object, field),
            "{yaml}"
        );
        assert!(error.to_string().contains(field));
    }
}

#[test]
fn an_unknown_kind_is_a_value() {
    for (yaml, kind, name) in [
        (
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}",
            "Deployment",
            "d",
        ),
        (
            "{apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization}",
            "Kustomization",
            "",
        ),
        (
            "{apiVersion: v2, kind: Service, metadata: {name: s}}",
            "Service",
            "s",
        ),
    ] {
        let Object::Unknown {
            kind: found, key, ..
        } = object(yaml)
        else {
            panic!("{yaml}");
        };
        assert_eq!((found.as_str(), key.name.as_str()), (kind, name));
    }
}

#[test]
fn of_crds_those_of_the_gateway_api_tell_their_release() {
    let crd = |name: &str, annotations: &str| {
        object(&format!(
            "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {name}, annotations: {annotations}}}
spec: {{group: any}}
"
        ))
    };
    let own = "gateways.gateway.networking.k8s.io";
    let version = "{gateway.networking.k8s.io/bundle-version: v1.7.0}";
    for (name, annotations, expected) in [
        (own, version, Some(Some("v1.7.0"))),
        (own, "{}", Some(None)),
        ("xmeshes.gateway.networking.x-k8s.io", version, None),
        ("gateways.example.com", version, None),
    ] {
        let found = match crd(name, annotations) {
            Object::ApiKind(kind) => Some(kind.release),
            _ => None,
        };
        let expected = expected.map(|release: Option<&str>| release.map(str::to_owned));
        assert_eq!(found, expected, "{name} {annotations}");
    }
}
