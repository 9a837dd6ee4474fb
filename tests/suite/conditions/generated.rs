//! Clusters that follow from a seed: objects of every kind that is read, most of them right, some wrong in one field.

use serde_json::{Value, json};

use crate::simulation::dice::Dice;

const NAMESPACES: &[&str] = &["infra", "shop", "blog"];
const GATEWAYS: &[&str] = &["web", "internal", "edge"];
const LISTENERS: &[&str] = &["https", "http", "extra"];
const ROUTES: &[&str] = &["r1", "r2", "r3", "r4", "g1", "g2"];
const SERVICES: &[&str] = &["cart", "search", "legacy"];
const HOSTNAMES: &[&str] = &[
    "app.example.com",
    "*.example.com",
    "shop.example.com",
    "a.b.example.com",
    "app.example.org",
    "*.cfargotunnel.com",
    "bad_name.example.com",
];

/// Whether a word of a message is there by chance.
pub(super) fn is_name(word: &str) -> bool {
    let of = |names: &[&str]| names.contains(&word);
    let of_objects = of(NAMESPACES) || of(GATEWAYS) || of(SERVICES) || of(ROUTES) || of(LISTENERS);
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_field = word.starts_with("spec.");
    let is_hostname = !is_field && word.contains('.') && !word.ends_with('.');
    of_objects || is_number || is_hostname || word == "HTTPRoute" || word == "GRPCRoute"
}

/// The objects of one cluster.
pub(super) fn cluster(seed: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed);
    let dice = &mut dice;
    let mut objects = vec![class(dice)];
    objects.extend(NAMESPACES.iter().map(|name| namespace(name)));
    objects.extend(secrets(dice));
    objects.extend(dice.some(&[other_class()], 30));
    objects.extend(parameters(dice));
    for name in some(dice, GATEWAYS, 60) {
        objects.push(gateway(dice, name));
    }
    for name in some(dice, &ROUTES[..4], 60) {
        objects.push(http_route(dice, name));
    }
    for name in some(dice, &ROUTES[4..], 40) {
        objects.push(grpc_route(dice, name));
    }
    for name in SERVICES {
        objects.extend(service(dice, name));
    }
    if dice.chance(40) {
        objects.push(grant(dice));
    }
    objects
}

fn some(dice: &mut Dice, of: &[&'static str], percent: usize) -> Vec<&'static str> {
    dice.some(of, percent)
}

/// One of the right values most of the time, else one of the wrong ones.
fn mostly(dice: &mut Dice, right: &[Value], wrong: &[Value]) -> Value {
    match dice.chance(88) {
        true => dice.pick(right).clone(),
        false => dice.pick(wrong).clone(),
    }
}

/// Sets a field now and then.
fn maybe(dice: &mut Dice, percent: usize, object: &mut Value, field: &str, value: Value) {
    if dice.chance(percent) {
        object[field] = value;
    }
}

fn object(api: &str, kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api,
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": spec,
    })
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"team": name}},
    })
}

fn class(dice: &mut Dice) -> Value {
    let reference = |group: &str, kind: &str, name: &str| json!({"group": group, "kind": kind, "name": name, "namespace": "infra"});
    let own = "cloudflare-gateway-controller.io";
    let parameters = mostly(
        dice,
        &[
            reference("", "Secret", "credentials"),
            reference(own, "CloudflareGatewayParameters", "of-class"),
        ],
        &[
            reference("", "Secret", "missing"),
            reference("", "ConfigMap", "credentials"),
            reference(own, "CloudflareGatewayParameters", "missing"),
            json!({"group": "", "kind": "Secret", "name": "credentials"}),
        ],
    );
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "cloudflare", "generation": 1},
        "spec": {
            "controllerName": "cloudflare-gateway-controller.io/controller",
            "parametersRef": parameters,
        },
    })
}

fn other_class() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "other"},
        "spec": {"controllerName": "example.com/other"},
    })
}

fn secrets(dice: &mut Dice) -> Vec<Value> {
    let data = mostly(
        dice,
        &[
            json!({"CLOUDFLARE_API_TOKEN": "token", "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef"}),
        ],
        &[json!({"CLOUDFLARE_API_TOKEN": "token"}), json!({})],
    );
    let secret = |namespace: &str, name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name}, "stringData": data});
    vec![
        secret("infra", "credentials"),
        secret("shop", "credentials"),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"namespace": "infra", "name": "not-a-certificate"},
            "stringData": {"tls.crt": "none", "tls.key": "none"},
        }),
    ]
}

fn parameters(dice: &mut Dice) -> Vec<Value> {
    let mut of_class = json!({"secretRef": {"name": "credentials"}});
    let tenants = json!([
        {"namespaceSelector": {"matchLabels": {"team": "shop"}}, "hostnames": ["*.example.com"], "maxGateways": 1},
        {"namespaceSelector": {"matchLabels": {"team": "infra"}}, "hostnames": ["*.example.com", "app.example.org"]},
    ]);
    maybe(dice, 25, &mut of_class, "tenants", tenants);
    let mut own = json!({});
    let dns = mostly(
        dice,
        &[
            json!({"zones": [{"name": "example.com"}]}),
            json!({"zones": []}),
            json!({}),
        ],
        &[
            json!({"zones": [{"name": "bad_zone"}]}),
            json!({"zone": "example.com"}),
        ],
    );
    maybe(dice, 40, &mut own, "dns", dns);
    let replicas = mostly(
        dice,
        &[json!([{"name": "a"}, {"name": "b"}]), json!([])],
        &[
            json!([{"name": "a"}, {"name": "a"}]),
            json!([{"name": "A_"}]),
        ],
    );
    maybe(dice, 30, &mut own, "tunnel", json!({"replicas": replicas}));
    maybe(dice, 15, &mut own, "certificates", json!({"upload": true}));
    let api = "cloudflare-gateway-controller.io/v1";
    let kind = "CloudflareGatewayParameters";
    vec![
        object(api, kind, "infra", "of-class", &of_class),
        object(api, kind, "infra", "own", &own),
    ]
}

fn gateway(dice: &mut Dice, name: &str) -> Value {
    let namespace = *dice.pick(&["infra", "infra", "shop"]);
    let class = *dice.pick(&["cloudflare", "cloudflare", "cloudflare", "other", "none"]);
    let names = some(dice, LISTENERS, 60);
    let listeners: Vec<_> = names.iter().map(|name| listener(dice, name)).collect();
    let mut spec = json!({"gatewayClassName": class, "listeners": listeners});
    let own = json!({"group": "cloudflare-gateway-controller.io", "kind": "CloudflareGatewayParameters", "name": "own"});
    let missing = json!({"group": "cloudflare-gateway-controller.io", "kind": "CloudflareGatewayParameters", "name": "missing"});
    let named = mostly(dice, &[own], &[missing]);
    let mut infrastructure = json!({"parametersRef": named});
    let labels = mostly(
        dice,
        &[json!({"team": "web"})],
        &[
            json!({"bad key!": "x"}),
            json!({"app.kubernetes.io/name": "x"}),
        ],
    );
    maybe(dice, 20, &mut infrastructure, "labels", labels);
    maybe(dice, 40, &mut spec, "infrastructure", infrastructure);
    maybe(
        dice,
        6,
        &mut spec,
        "addresses",
        json!([{"type": "IPAddress", "value": "192.0.2.1"}]),
    );
    object(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        namespace,
        name,
        &spec,
    )
}

fn listener(dice: &mut Dice, name: &str) -> Value {
    let protocol = mostly(
        dice,
        &[json!("HTTPS"), json!("HTTPS"), json!("HTTP")],
        &[json!("TLS"), json!("TCP"), json!("example.com/own")],
    );
    let port = mostly(
        dice,
        &[json!(443), json!(80), json!(8443)],
        &[json!(0), json!(70000)],
    );
    let mut listener = json!({"name": name, "protocol": protocol, "port": port});
    let hostname = json!(dice.pick(HOSTNAMES));
    maybe(dice, 60, &mut listener, "hostname", hostname);
    let certificate = mostly(
        dice,
        &[json!({"name": "not-a-certificate"})],
        &[
            json!({"name": "missing"}),
            json!({"name": "credentials", "namespace": "shop"}),
            json!({"kind": "ConfigMap", "name": "c"}),
        ],
    );
    let tls = mostly(
        dice,
        &[json!({"certificateRefs": [certificate]}), json!({})],
        &[json!({"mode": "Passthrough"})],
    );
    maybe(dice, 25, &mut listener, "tls", tls);
    let allowed = mostly(
        dice,
        &[
            json!({"namespaces": {"from": "All"}}),
            json!({"namespaces": {"from": "Same"}}),
            json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}}}),
            json!({"kinds": [{"kind": "HTTPRoute"}], "namespaces": {"from": "All"}}),
        ],
        &[
            json!({"kinds": [{"kind": "TCPRoute"}]}),
            json!({"namespaces": {"from": "Selector"}}),
        ],
    );
    maybe(dice, 75, &mut listener, "allowedRoutes", allowed);
    listener
}

fn parents(dice: &mut Dice) -> Value {
    let gateways = some(dice, GATEWAYS, 50);
    let parents = gateways.into_iter().map(|gateway| {
        let mut parent = json!({"name": gateway});
        let namespace = dice.pick(&["infra", "infra", "shop"]);
        parent["namespace"] = json!(namespace);
        let section = json!(dice.pick(&["https", "http", "nothing"]));
        maybe(dice, 20, &mut parent, "sectionName", section);
        let port = json!(dice.pick(&[443, 80, 9]));
        maybe(dice, 10, &mut parent, "port", port);
        maybe(dice, 5, &mut parent, "kind", json!("Service"));
        parent
    });
    parents.collect()
}

fn backends(dice: &mut Dice) -> Value {
    let services = some(dice, SERVICES, 40);
    let backends = services.into_iter().map(|service| {
        let mut backend = json!({"name": service, "port": 80});
        let name = mostly(dice, &[json!(service)], &[json!("missing")]);
        backend["name"] = name;
        let port = json!(dice.pick(&[81, 8080]));
        maybe(dice, 10, &mut backend, "port", port);
        maybe(dice, 15, &mut backend, "namespace", json!("shop"));
        let weight = json!(dice.pick(&[0, 1, 7]));
        maybe(dice, 30, &mut backend, "weight", weight);
        maybe(dice, 6, &mut backend, "kind", json!("ServiceImport"));
        backend
    });
    backends.collect()
}

fn header_match(dice: &mut Dice) -> Value {
    mostly(
        dice,
        &[
            json!({"name": "x-version", "value": "2"}),
            json!({"name": "x-version", "type": "RegularExpression", "value": "v[0-9]+"}),
        ],
        &[
            json!({"name": "x-version", "type": "RegularExpression", "value": "("}),
            json!({"name": "x_version", "value": "2"}),
            json!({"name": "x version", "value": "2"}),
        ],
    )
}

fn http_match(dice: &mut Dice) -> Value {
    let path = mostly(
        dice,
        &[
            json!({"type": "PathPrefix", "value": "/"}),
            json!({"type": "Exact", "value": "/cart"}),
            json!({"type": "RegularExpression", "value": "/v[0-9]+/.*"}),
        ],
        &[
            json!({"type": "RegularExpression", "value": "("}),
            json!({"type": "RegularExpression", "value": "(a{1000}){1000}"}),
            json!({"type": "PathPrefix", "value": "cart"}),
            json!({"type": "Exact", "value": "/a/../b"}),
            json!({"type": "Own", "value": "/"}),
        ],
    );
    let mut matched = json!({"path": path});
    let header = header_match(dice);
    maybe(dice, 25, &mut matched, "headers", json!([header]));
    let query = mostly(
        dice,
        &[json!({"name": "q", "value": "1"})],
        &[json!({"name": "q", "type": "RegularExpression", "value": "["})],
    );
    maybe(dice, 15, &mut matched, "queryParams", json!([query]));
    let method = mostly(dice, &[json!("GET")], &[json!("BREW")]);
    maybe(dice, 15, &mut matched, "method", method);
    matched
}

fn http_filter(dice: &mut Dice) -> Value {
    mostly(
        dice,
        &[
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-a", "value": "1"}], "remove": ["x-b"]}}),
            json!({"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}),
        ],
        &[
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "host", "value": "x"}]}}),
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "x a", "value": "1"}]}}),
            json!({"type": "RequestHeaderModifier"}),
            json!({"type": "RequestRedirect", "requestRedirect": {"statusCode": 308}}),
            json!({"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}}}),
            json!({"type": "URLRewrite", "urlRewrite": {"hostname": "x.example.com"}}),
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "cart", "port": 80}}}),
            json!({"type": "CORS", "cors": {"allowOrigins": ["https://x.example.com"]}}),
            json!({"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Own", "name": "x"}}),
            json!({"type": "Own"}),
        ],
    )
}

fn http_route(dice: &mut Dice, name: &str) -> Value {
    let rules: Vec<_> = (0..=dice.below(2))
        .map(|_| {
            let mut rule = json!({"backendRefs": backends(dice)});
            let matched = http_match(dice);
            maybe(dice, 60, &mut rule, "matches", json!([matched]));
            let filter = http_filter(dice);
            maybe(dice, 30, &mut rule, "filters", json!([filter]));
            maybe(dice, 4, &mut rule, "retry", json!({"attempts": 2}));
            let session = json!({"sessionName": "s", "type": "Cookie"});
            maybe(dice, 4, &mut rule, "sessionPersistence", session);
            rule
        })
        .collect();
    route(dice, "HTTPRoute", name, &rules)
}

fn grpc_route(dice: &mut Dice, name: &str) -> Value {
    let rules: Vec<_> = (0..=dice.below(2))
        .map(|_| {
            let mut rule = json!({"backendRefs": backends(dice)});
            let method = mostly(
                dice,
                &[
                    json!({"service": "shop.Cart", "method": "Add"}),
                    json!({"service": "shop.Cart"}),
                    json!({"type": "RegularExpression", "service": "shop\\..*"}),
                ],
                &[
                    json!({"type": "RegularExpression", "service": "("}),
                    json!({"service": "/"}),
                    json!({}),
                ],
            );
            let mut matched = json!({"method": method});
            let header = header_match(dice);
            maybe(dice, 25, &mut matched, "headers", json!([header]));
            maybe(dice, 60, &mut rule, "matches", json!([matched]));
            let filter = http_filter(dice);
            maybe(dice, 20, &mut rule, "filters", json!([filter]));
            rule
        })
        .collect();
    route(dice, "GRPCRoute", name, &rules)
}

fn route(dice: &mut Dice, kind: &str, name: &str, rules: &[Value]) -> Value {
    let namespace = *dice.pick(NAMESPACES);
    let mut spec = json!({"parentRefs": parents(dice), "rules": rules});
    let hostnames = some(dice, HOSTNAMES, 25);
    maybe(dice, 70, &mut spec, "hostnames", json!(hostnames));
    object("gateway.networking.k8s.io/v1", kind, namespace, name, &spec)
}

fn service(dice: &mut Dice, name: &str) -> Vec<Value> {
    let namespace = *dice.pick(NAMESPACES);
    let mut spec = mostly(
        dice,
        &[
            json!({"ports": [{"name": "http", "port": 80}]}),
            json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}),
        ],
        &[
            json!({"type": "ExternalName", "externalName": "x.example.org", "ports": [{"name": "http", "port": 80}]}),
            json!({"ports": [{"name": "http", "port": 81}]}),
        ],
    );
    let protocol = mostly(
        dice,
        &[json!("kubernetes.io/h2c"), json!("http"), json!("grpc")],
        &[json!("https"), json!("mysql")],
    );
    if dice.chance(40) {
        spec["ports"][0]["appProtocol"] = protocol;
    }
    let address = mostly(
        dice,
        &[json!("10.0.0.1")],
        &[json!("127.0.0.1"), json!("169.254.169.254")],
    );
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": namespace, "name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address]}],
    });
    let mut objects = vec![object("v1", "Service", namespace, name, &spec)];
    if dice.chance(80) {
        objects.push(slice);
    }
    objects
}

fn grant(dice: &mut Dice) -> Value {
    let from = *dice.pick(NAMESPACES);
    let kind = *dice.pick(&["HTTPRoute", "GRPCRoute", "Gateway"]);
    let to = *dice.pick(&["Service", "Secret"]);
    let spec = json!({
        "from": [{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": from}],
        "to": [{"group": "", "kind": to}],
    });
    object(
        "gateway.networking.k8s.io/v1beta1",
        "ReferenceGrant",
        "shop",
        "grant",
        &spec,
    )
}
