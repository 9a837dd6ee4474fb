//! Clusters that follow from a seed: objects of every kind that is read, most of them right, some wrong in one field.

use serde_json::{Value, json};

use crate::simulation::random::Random;

const NAMESPACES: &[&str] = &["infra", "shop", "blog"];
const GATEWAYS: &[&str] = &["web", "internal", "edge"];
const LISTENERS: &[&str] = &["https", "http", "extra"];
const SETS: &[&str] = &["s1", "s2"];
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
    let of_objects =
        of(NAMESPACES) || of(GATEWAYS) || of(SERVICES) || of(ROUTES) || of(LISTENERS) || of(SETS);
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_field = word.starts_with("spec.");
    let is_hostname = !is_field && word.contains('.') && !word.ends_with('.');
    of_objects || is_number || is_hostname || word == "HTTPRoute" || word == "GRPCRoute"
}

/// The objects of one cluster.
pub(super) fn cluster(seed: u64) -> Vec<Value> {
    let mut random = Random::new(seed);
    let random = &mut random;
    let mut objects = vec![class(random)];
    objects.extend(NAMESPACES.iter().map(|name| namespace(name)));
    objects.extend(secrets(random));
    objects.extend(random.some(&[other_class()], 30));
    objects.extend(parameters(random));
    for name in some(random, GATEWAYS, 60) {
        objects.push(gateway(random, name));
    }
    for name in some(random, &ROUTES[..4], 60) {
        objects.push(http_route(random, name));
    }
    for name in some(random, &ROUTES[4..], 40) {
        objects.push(grpc_route(random, name));
    }
    for name in SERVICES {
        objects.extend(service(random, name));
    }
    if random.chance(40) {
        objects.push(grant(random));
    }
    add_listener_sets(random, &mut objects);
    objects
}

/// Lets some Gateways take ListenerSets, makes some, and has some routes attach to them.
fn add_listener_sets(random: &mut Random, objects: &mut Vec<Value>) {
    for object in objects.iter_mut() {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if kind == "Gateway" && random.chance(50) {
            let namespaces = mostly(
                random,
                &[
                    json!({"from": "All"}),
                    json!({"from": "Same"}),
                    json!({"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}}),
                ],
                &[
                    json!({"from": "None"}),
                    json!({"from": "Friends"}),
                    json!({"from": "Selector"}),
                ],
            );
            object["spec"]["allowedListeners"] = json!({"namespaces": namespaces});
        }
        if kind.ends_with("Route") && random.chance(20) {
            let mut parent = json!({
                "kind": "ListenerSet",
                "namespace": random.pick(&["shop", "blog"]),
                "name": random.pick(SETS),
            });
            let section = json!(random.pick(&["https", "extra", "nothing"]));
            maybe(random, 30, &mut parent, "sectionName", section);
            if let Some(parents) = object["spec"]["parentRefs"].as_array_mut() {
                parents.push(parent);
            }
        }
    }
    for name in some(random, SETS, 30) {
        let parent = json!({"namespace": "infra", "name": random.pick(GATEWAYS)});
        let names = some(random, LISTENERS, 60);
        let listeners: Vec<_> = names.iter().map(|name| listener(random, name)).collect();
        let mut spec = json!({"parentRef": parent, "listeners": listeners});
        maybe(random, 5, &mut spec, "shape", json!("round"));
        let api = "gateway.networking.k8s.io/v1";
        let namespace = *random.pick(&["shop", "shop", "blog", "infra"]);
        objects.push(object(api, "ListenerSet", namespace, name, &spec));
    }
}

fn some(random: &mut Random, of: &[&'static str], percent: usize) -> Vec<&'static str> {
    random.some(of, percent)
}

/// One of the right values most of the time, else one of the wrong ones.
fn mostly(random: &mut Random, right: &[Value], wrong: &[Value]) -> Value {
    match random.chance(88) {
        true => random.pick(right).clone(),
        false => random.pick(wrong).clone(),
    }
}

/// Sets a field now and then.
fn maybe(random: &mut Random, percent: usize, object: &mut Value, field: &str, value: Value) {
    if random.chance(percent) {
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

fn class(random: &mut Random) -> Value {
    let reference = |group: &str, kind: &str, name: &str| json!({"group": group, "kind": kind, "name": name, "namespace": "infra"});
    let own = "cloudflare-gateway-controller.io";
    let parameters = mostly(
        random,
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

fn secrets(random: &mut Random) -> Vec<Value> {
    let data = mostly(
        random,
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

fn parameters(random: &mut Random) -> Vec<Value> {
    let mut of_class = json!({"secretRef": {"name": "credentials"}});
    let tenants = json!([
        {"namespaceSelector": {"matchLabels": {"team": "shop"}}, "hostnames": ["*.example.com"], "maxGateways": 1},
        {"namespaceSelector": {"matchLabels": {"team": "infra"}}, "hostnames": ["*.example.com", "app.example.org"]},
    ]);
    maybe(random, 25, &mut of_class, "tenants", tenants);
    let mut own = json!({});
    let dns = mostly(
        random,
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
    maybe(random, 40, &mut own, "dns", dns);
    let replicas = mostly(
        random,
        &[json!([{"name": "a"}, {"name": "b"}]), json!([])],
        &[
            json!([{"name": "a"}, {"name": "a"}]),
            json!([{"name": "A_"}]),
        ],
    );
    maybe(
        random,
        30,
        &mut own,
        "tunnel",
        json!({"replicas": replicas}),
    );
    maybe(
        random,
        15,
        &mut own,
        "certificates",
        json!({"upload": true}),
    );
    let api = "cloudflare-gateway-controller.io/v1";
    let kind = "CloudflareGatewayParameters";
    vec![
        object(api, kind, "infra", "of-class", &of_class),
        object(api, kind, "infra", "own", &own),
    ]
}

fn gateway(random: &mut Random, name: &str) -> Value {
    let namespace = *random.pick(&["infra", "infra", "shop"]);
    let class = *random.pick(&["cloudflare", "cloudflare", "cloudflare", "other", "none"]);
    let names = some(random, LISTENERS, 60);
    let listeners: Vec<_> = names.iter().map(|name| listener(random, name)).collect();
    let mut spec = json!({"gatewayClassName": class, "listeners": listeners});
    let own = json!({"group": "cloudflare-gateway-controller.io", "kind": "CloudflareGatewayParameters", "name": "own"});
    let missing = json!({"group": "cloudflare-gateway-controller.io", "kind": "CloudflareGatewayParameters", "name": "missing"});
    let named = mostly(random, &[own], &[missing]);
    let mut infrastructure = json!({"parametersRef": named});
    let labels = mostly(
        random,
        &[json!({"team": "web"})],
        &[
            json!({"bad key!": "x"}),
            json!({"app.kubernetes.io/name": "x"}),
        ],
    );
    maybe(random, 20, &mut infrastructure, "labels", labels);
    maybe(random, 40, &mut spec, "infrastructure", infrastructure);
    maybe(
        random,
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

fn listener(random: &mut Random, name: &str) -> Value {
    let protocol = mostly(
        random,
        &[json!("HTTPS"), json!("HTTPS"), json!("HTTP")],
        &[json!("TLS"), json!("TCP"), json!("example.com/own")],
    );
    let served = match protocol == "HTTP" {
        true => [json!(80), json!(80), json!(8080)],
        false => [json!(443), json!(443), json!(8443)],
    };
    let port = mostly(random, &served, &[json!(0), json!(70000), json!(8090)]);
    let mut listener = json!({"name": name, "protocol": protocol, "port": port});
    let hostname = json!(random.pick(HOSTNAMES));
    maybe(random, 60, &mut listener, "hostname", hostname);
    let certificate = mostly(
        random,
        &[json!({"name": "not-a-certificate"})],
        &[
            json!({"name": "missing"}),
            json!({"name": "credentials", "namespace": "shop"}),
            json!({"kind": "ConfigMap", "name": "c"}),
        ],
    );
    let tls = mostly(
        random,
        &[json!({"certificateRefs": [certificate]}), json!({})],
        &[json!({"mode": "Passthrough"})],
    );
    maybe(random, 25, &mut listener, "tls", tls);
    let allowed = mostly(
        random,
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
    maybe(random, 75, &mut listener, "allowedRoutes", allowed);
    listener
}

fn parents(random: &mut Random) -> Value {
    let gateways = some(random, GATEWAYS, 50);
    let parents = gateways.into_iter().map(|gateway| {
        let mut parent = json!({"name": gateway});
        let namespace = random.pick(&["infra", "infra", "shop"]);
        parent["namespace"] = json!(namespace);
        let section = json!(random.pick(&["https", "http", "nothing"]));
        maybe(random, 20, &mut parent, "sectionName", section);
        let port = json!(random.pick(&[443, 80, 9]));
        maybe(random, 10, &mut parent, "port", port);
        maybe(random, 5, &mut parent, "kind", json!("Service"));
        parent
    });
    parents.collect()
}

fn backends(random: &mut Random) -> Value {
    let services = some(random, SERVICES, 40);
    let backends = services.into_iter().map(|service| {
        let mut backend = json!({"name": service, "port": 80});
        let name = mostly(random, &[json!(service)], &[json!("missing")]);
        backend["name"] = name;
        let port = json!(random.pick(&[81, 8080]));
        maybe(random, 10, &mut backend, "port", port);
        maybe(random, 15, &mut backend, "namespace", json!("shop"));
        let weight = json!(random.pick(&[0, 1, 7]));
        maybe(random, 30, &mut backend, "weight", weight);
        maybe(random, 6, &mut backend, "kind", json!("ServiceImport"));
        backend
    });
    backends.collect()
}

fn header_match(random: &mut Random) -> Value {
    mostly(
        random,
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

fn http_match(random: &mut Random) -> Value {
    let path = mostly(
        random,
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
    let header = header_match(random);
    maybe(random, 25, &mut matched, "headers", json!([header]));
    let query = mostly(
        random,
        &[json!({"name": "q", "value": "1"})],
        &[json!({"name": "q", "type": "RegularExpression", "value": "["})],
    );
    maybe(random, 15, &mut matched, "queryParams", json!([query]));
    let method = mostly(random, &[json!("GET")], &[json!("BREW")]);
    maybe(random, 15, &mut matched, "method", method);
    matched
}

fn http_filter(random: &mut Random) -> Value {
    mostly(
        random,
        &[
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-a", "value": "1"}], "remove": ["x-b"]}}),
            json!({"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}),
            json!({"type": "URLRewrite", "urlRewrite": {"hostname": "x.example.com"}}),
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "cart", "port": 80}}}),
            json!({"type": "CORS", "cors": {"allowOrigins": ["https://x.example.com"]}}),
        ],
        &[
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "host", "value": "x"}]}}),
            json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "x a", "value": "1"}]}}),
            json!({"type": "RequestHeaderModifier"}),
            json!({"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}}}),
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "gone", "port": 80}}}),
            json!({"type": "CORS", "cors": {"allowOrigins": ["https://x.example.com:0"]}}),
            json!({"type": "URLRewrite"}),
            json!({"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Own", "name": "x"}}),
            json!({"type": "Own"}),
        ],
    )
}

fn http_route(random: &mut Random, name: &str) -> Value {
    let rules: Vec<_> = (0..=random.below(2))
        .map(|_| {
            let mut rule = json!({"backendRefs": backends(random)});
            let matched = http_match(random);
            maybe(random, 60, &mut rule, "matches", json!([matched]));
            let filter = http_filter(random);
            maybe(random, 30, &mut rule, "filters", json!([filter]));
            maybe(random, 4, &mut rule, "retry", json!({"attempts": 2}));
            let session = json!({"sessionName": "s", "type": "Cookie"});
            maybe(random, 4, &mut rule, "sessionPersistence", session);
            rule
        })
        .collect();
    route(random, "HTTPRoute", name, &rules)
}

fn grpc_route(random: &mut Random, name: &str) -> Value {
    let rules: Vec<_> = (0..=random.below(2))
        .map(|_| {
            let mut rule = json!({"backendRefs": backends(random)});
            let method = mostly(
                random,
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
            let header = header_match(random);
            maybe(random, 25, &mut matched, "headers", json!([header]));
            maybe(random, 60, &mut rule, "matches", json!([matched]));
            let filter = http_filter(random);
            maybe(random, 20, &mut rule, "filters", json!([filter]));
            rule
        })
        .collect();
    route(random, "GRPCRoute", name, &rules)
}

fn route(random: &mut Random, kind: &str, name: &str, rules: &[Value]) -> Value {
    let namespace = *random.pick(NAMESPACES);
    let mut spec = json!({"parentRefs": parents(random), "rules": rules});
    let hostnames = some(random, HOSTNAMES, 25);
    maybe(random, 70, &mut spec, "hostnames", json!(hostnames));
    object("gateway.networking.k8s.io/v1", kind, namespace, name, &spec)
}

fn service(random: &mut Random, name: &str) -> Vec<Value> {
    let namespace = *random.pick(NAMESPACES);
    let mut spec = mostly(
        random,
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
        random,
        &[json!("kubernetes.io/h2c"), json!("http"), json!("grpc")],
        &[json!("https"), json!("mysql")],
    );
    if random.chance(40) {
        spec["ports"][0]["appProtocol"] = protocol;
    }
    let address = mostly(
        random,
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
    if random.chance(80) {
        objects.push(slice);
    }
    objects
}

fn grant(random: &mut Random) -> Value {
    let from = *random.pick(NAMESPACES);
    let kind = *random.pick(&["HTTPRoute", "GRPCRoute", "Gateway"]);
    let to = *random.pick(&["Service", "Secret"]);
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
