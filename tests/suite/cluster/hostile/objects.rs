//! The objects of a hostile tenant, all in its own namespace.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tests::installation::CLASS;

const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";
const OWN: &str = "cloudflare-gateway-controller.io/v1";

/// Objects that attack one weakness.
pub(super) struct Attack {
    /// In a word or two, for messages.
    pub(super) name: &'static str,
    /// Whole objects, as text: some are nested deeper than a JSON library of ours would write.
    pub(super) objects: Vec<String>,
}

/// Where the API server takes an object of this kind.
pub(super) fn path(object: &str, namespace: &str) -> String {
    let field = |name: &str| {
        let from = object
            .split(&format!("\"{name}\":\""))
            .nth(1)
            .unwrap_or_default();
        from.split('"').next().unwrap_or_default().to_owned()
    };
    let (version, kind) = (field("apiVersion"), field("kind"));
    let plural = match kind.as_str() {
        same @ "CloudflareGatewayParameters" => same.to_lowercase(),
        other => format!("{}s", other.to_lowercase()),
    };
    let root = match version.as_str() {
        "v1" => "/api/v1".to_owned(),
        other => format!("/apis/{other}"),
    };
    format!("{root}/namespaces/{namespace}/{plural}")
}

/// Every attack, in the order of docs/security.md.
pub(super) fn attacks() -> Vec<Attack> {
    let attack = |name, objects| Attack { name, objects };
    vec![
        attack("objects nested 200 levels", nested("shallow", 200)),
        attack("objects nested 9,000 levels", nested("deep", 9_000)),
        attack(
            "4,096 certificate references",
            vec![many_references().to_string()],
        ),
        attack("endpoints that are not pods", endpoints()),
        attack(
            "a hostname like a certificate note",
            vec![note_like_route().to_string()],
        ),
        attack("a wildcard certificate of its own", wildcard_certificate()),
        attack("4,224 patterns", patterns()),
        attack(
            "somebody else's account with another token",
            borrowed_account(),
        ),
        attack(
            "labels and annotations for its pods",
            vec![annotated_gateway().to_string()],
        ),
    ]
}

fn gateway(name: &str, spec: &Value) -> Value {
    let mut all = json!({"gatewayClassName": CLASS,
        "listeners": [{"name": "https", "protocol": "HTTPS", "port": 443}]});
    let (all_fields, more) = (all.as_object_mut().expect("an object"), spec.as_object());
    all_fields.extend(more.cloned().unwrap_or_default());
    json!({"apiVersion": GATEWAY_API, "kind": "Gateway", "metadata": {"name": name}, "spec": all})
}

fn route(name: &str, gateway: &str, spec: &Value) -> Value {
    let mut all = json!({"parentRefs": [{"name": gateway}]});
    let (all_fields, more) = (all.as_object_mut().expect("an object"), spec.as_object());
    all_fields.extend(more.cloned().unwrap_or_default());
    json!({"apiVersion": GATEWAY_API, "kind": "HTTPRoute", "metadata": {"name": name}, "spec": all})
}

/// An object of every namespaced kind that the controller reads, with `metadata.managedFields` of this depth, and
/// parameters with a patch whose value is so deep.
fn nested(name: &str, levels: usize) -> Vec<String> {
    let deep = format!("{}{{}}{}", "{\"f:a\":".repeat(levels), "}".repeat(levels));
    let object = |version: &str, kind: &str, rest: &str| {
        format!(
            r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{{"name":"{name}","managedFields":[{{"manager":"m","operation":"Update","apiVersion":"{version}","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{deep}}}]}},{rest}}}"#
        )
    };
    let parents = r#""spec":{"parentRefs":[{"name":"none"}]}"#;
    let patch = format!(
        r#"{{"apiVersion":"{OWN}","kind":"CloudflareGatewayParameters","metadata":{{"name":"{name}-patch"}},"spec":{{"tunnel":{{"patches":[{{"op":"add","path":"/a","value":{deep}}}]}}}}}}"#
    );
    vec![
        object("v1", "Service", r#""spec":{"ports":[{"port":80}]}"#),
        object(
            "v1",
            "Secret",
            r#""stringData":{"tls.key":"CANARY-OF-A-TENANT"}"#,
        ),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            r#""addressType":"IPv4","endpoints":[]"#,
        ),
        object(
            GATEWAY_API,
            "Gateway",
            &format!(
                r#""spec":{{"gatewayClassName":"{CLASS}","listeners":[{{"name":"https","protocol":"HTTPS","port":443,"tls":{{"certificateRefs":[{{"name":"{name}"}}]}}}}]}}"#
            ),
        ),
        object(GATEWAY_API, "HTTPRoute", parents),
        object(GATEWAY_API, "GRPCRoute", parents),
        object(
            "gateway.networking.k8s.io/v1beta1",
            "ReferenceGrant",
            r#""spec":{"from":[{"group":"gateway.networking.k8s.io","kind":"HTTPRoute","namespace":"a"}],"to":[{"group":"","kind":"Service"}]}"#,
        ),
        object(OWN, "CloudflareGatewayParameters", r#""spec":{}"#),
        patch,
    ]
}

fn many_references() -> Value {
    let references = |listener: usize| -> Vec<Value> {
        (0..64)
            .map(|i| json!({"name": format!("secret-{listener}-{i}")}))
            .collect()
    };
    let listeners: Vec<Value> = (0..64)
        .map(|i| {
            json!({"name": format!("l{i}"), "protocol": "HTTPS", "port": 443,
                "hostname": format!("l{i}.evil.example.com"), "tls": {"certificateRefs": references(i)}})
        })
        .collect();
    gateway("references", &json!({"listeners": listeners}))
}

/// Services without a selector whose endpoints are the node's metadata service, the proxy itself, multicast.
fn endpoints() -> Vec<String> {
    let addresses = [
        ("FQDN", "169.254.169.254"),
        ("FQDN", "127.0.0.1"),
        ("FQDN", "localhost"),
        ("FQDN", "localtest.example.com"),
        ("IPv6", "::ffff:127.0.0.1"),
        ("IPv6", "64:ff9b::a9fe:a9fe"),
        ("IPv6", "fd00:ec2::254"),
        ("IPv4", "100.100.100.200"),
    ];
    let mut objects = vec![gateway("endpoints", &json!({})).to_string()];
    for (i, (kind, address)) in addresses.iter().enumerate() {
        let name = format!("endpoints-{i}");
        objects.push(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"ports": [{"port": 8081}]}})
            .to_string(),
        );
        objects.push(
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "addressType": kind, "ports": [{"port": 8081}], "endpoints": [{"addresses": [address]}]})
            .to_string(),
        );
        let spec = json!({"hostnames": [format!("{name}.evil.example.com")],
            "rules": [{"backendRefs": [{"name": name, "port": 8081}]}]});
        objects.push(route(&name, "endpoints", &spec).to_string());
    }
    objects
}

/// The form in which the controller notes the certificates that it uploaded.
fn note_like_route() -> Value {
    let (hash, id) = ("a".repeat(63), "b".repeat(32));
    let hostname = format!("{hash}.{id}.{id}.certificates.invalid");
    route("note", "endpoints", &json!({"hostnames": [hostname]}))
}

fn wildcard_certificate() -> Vec<String> {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["*.example.com".to_owned()]).expect("a name");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wildcard"},
        "type": "kubernetes.io/tls", "stringData": {"tls.crt": pem, "tls.key": key.serialize_pem()}});
    let parameters = json!({"apiVersion": OWN, "kind": "CloudflareGatewayParameters",
        "metadata": {"name": "uploads"}, "spec": {"certificates": {"upload": true}}});
    let listeners = json!([{"name": "https", "protocol": "HTTPS", "port": 443,
        "tls": {"certificateRefs": [{"name": "wildcard"}]}}]);
    let gateway = gateway(
        "wildcard",
        &json!({"listeners": listeners, "infrastructure": named("uploads")}),
    );
    vec![
        secret.to_string(),
        parameters.to_string(),
        gateway.to_string(),
    ]
}

fn named(parameters: &str) -> Value {
    json!({"parametersRef": {"group": "cloudflare-gateway-controller.io",
        "kind": "CloudflareGatewayParameters", "name": parameters}})
}

/// As many patterns as one HTTPRoute may hold.
fn patterns() -> Vec<String> {
    let named = |prefix: &str, count: usize| -> Vec<Value> {
        (0..count)
            .map(|i| json!({"type": "RegularExpression", "name": format!("{prefix}{i}"), "value": format!("\\w{{9}}{i}")}))
            .collect()
    };
    let matches: Vec<Value> = (0..64)
        .map(|i| {
            json!({"path": {"type": "RegularExpression", "value": format!("/\\w{{9}}{i}")},
                "headers": named("h", 16), "queryParams": named("q", 16)})
        })
        .collect();
    let rules: Vec<Value> = (0..2).map(|_| json!({"matches": matches})).collect();
    let spec = json!({"hostnames": ["patterns.evil.example.com"], "rules": rules});
    vec![
        gateway("patterns", &json!({})).to_string(),
        route("patterns", "patterns", &spec).to_string(),
    ]
}

/// The operator's account with a token that opens nothing.
fn borrowed_account() -> Vec<String> {
    let account = tests::world::ACCOUNT;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "borrowed"},
        "stringData": {"CLOUDFLARE_API_TOKEN": "opens-nothing", "CLOUDFLARE_ACCOUNT_ID": account}});
    let parameters = json!({"apiVersion": OWN, "kind": "CloudflareGatewayParameters",
        "metadata": {"name": "borrowed"}, "spec": {"secretRef": {"name": "borrowed"}}});
    let mut objects = vec![secret.to_string(), parameters.to_string()];
    for i in 0..40 {
        let spec = json!({"infrastructure": named("borrowed")});
        objects.push(gateway(&format!("borrowed-{i}"), &spec).to_string());
    }
    objects
}

fn annotated_gateway() -> Value {
    gateway(
        "annotated",
        &json!({"infrastructure": {
            "labels": {"sidecar.istio.io/inject": "true"},
            "annotations": {"sidecar.istio.io/proxyImage": "evil", "eks.amazonaws.com/role-arn": "evil"}}}),
    )
}
