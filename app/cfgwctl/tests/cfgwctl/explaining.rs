//! `explain`: one request through a cluster in which one thing after another is broken.

use std::path::Path;

use cfgwctl::explain::question::Question;
use cfgwctl::explain::reading::{of_cluster, of_files};
use cfgwctl::explain::way::{Knowledge, explain};
use cfgwctl::failure::Failure;
use cfgwctl::screen::Screen;
use serde_json::{Value, json};

use crate::{cluster, golden, seen, status};

/// Plural and object.
pub(crate) type Objects = Vec<(&'static str, Value)>;

/// What makes `https://app.example.com/cart` reach two pods.
pub(crate) fn objects() -> Objects {
    let gateway_api = "gateway.networking.k8s.io/v1";
    let named = |name: &str| json!({ "namespace": "default", "name": name });
    vec![
        (
            "namespaces",
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } }),
        ),
        (
            "gatewayclasses",
            json!({
                "apiVersion": gateway_api, "kind": "GatewayClass",
                "metadata": { "name": "cloudflare" },
                "spec": {
                    "controllerName": "cloudflare-gateway-controller.io/controller",
                    "parametersRef": {
                        "group": "", "kind": "Secret", "namespace": "default", "name": "credentials",
                    },
                },
            }),
        ),
        (
            "gateways",
            json!({
                "apiVersion": gateway_api, "kind": "Gateway", "metadata": named("web"),
                "spec": {
                    "gatewayClassName": "cloudflare",
                    "listeners": [{ "name": "https", "port": 443, "protocol": "HTTPS" }],
                },
            }),
        ),
        (
            "httproutes",
            json!({
                "apiVersion": gateway_api, "kind": "HTTPRoute", "metadata": named("app"),
                "spec": {
                    "parentRefs": [{ "name": "web" }],
                    "hostnames": ["app.example.com"],
                    "rules": [
                        {
                            "matches": [{ "path": { "type": "Exact", "value": "/old" } }],
                            "filters": [{
                                "type": "RequestRedirect",
                                "requestRedirect": { "hostname": "new.example.com", "statusCode": 301 },
                            }],
                        },
                        {
                            "matches": [{ "path": { "type": "PathPrefix", "value": "/cart" } }],
                            "filters": [{
                                "type": "RequestHeaderModifier",
                                "requestHeaderModifier": { "set": [{ "name": "x-from", "value": "edge" }] },
                            }],
                            "backendRefs": [
                                { "name": "cart", "port": 80, "weight": 9 },
                                { "name": "next", "port": 80, "weight": 1 },
                            ],
                        },
                    ],
                },
            }),
        ),
        ("services", service("cart")),
        ("services", service("next")),
        ("endpointslices", slice("cart", "10.1.2.3", "cart-5d4f-x1")),
        ("endpointslices", slice("next", "10.1.2.4", "next-77b9-q8")),
    ]
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "default", "name": name },
        "spec": { "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

fn slice(service: &str, address: &str, pod: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default", "name": service,
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
        "endpoints": [{
            "addresses": [address], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": "default", "name": pod },
        }],
    })
}

/// What the controller tells of the Gateway.
pub(crate) fn told() -> Value {
    status(&json!({
        "conditions": [{ "type": "Programmed", "status": "True", "reason": "Programmed", "message": "" }],
        "tunnel": { "id": "4f23cf4b-a04f-4810-a7e5-7c6825739ea9", "name": "n" },
        "readyReplicas": 2,
        "dns": { "management": "Enabled", "hostnames": 1, "applied": 1, "notListed": 0 },
        "hostnames": [{
            "name": "app.example.com", "status": "True", "reason": "Applied", "zone": "example.com",
            "record": "CNAME 4f23cf4b-a04f-4810-a7e5-7c6825739ea9.cfargotunnel.com",
        }],
    }))
}

/// The Secret that the class names.
pub(crate) fn credentials() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "namespace": "default", "name": "credentials" },
        "data": { "CLOUDFLARE_API_TOKEN": "Q0FOQVJZ", "CLOUDFLARE_ACCOUNT_ID": "YQ==" },
    })
}

pub(crate) async fn answered(request: &str, known: &Knowledge) -> String {
    let answer = async |screen: &mut Screen<'_>| {
        let explanation = explain(&Question::parse(request, "GET", &[])?, known);
        screen.text(explanation.text(screen));
        match explanation.obstacle {
            Some(obstacle) => Err(Failure::new(obstacle, "")),
            None => Ok(()),
        }
    };
    seen(answer).await
}

fn written(objects: &Objects) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (index, (_, object)) in objects.iter().enumerate() {
        let file = folder.path().join(format!("{index}.yaml"));
        std::fs::write(file, object.to_string()).expect("a file");
    }
    folder
}

pub(crate) fn of<'o>(objects: &'o mut Objects, plural: &str) -> &'o mut Value {
    let mut found = objects.iter_mut().filter(|(known, _)| *known == plural);
    &mut found.next().expect("an object").1
}

pub(crate) const CART: &str = "app.example.com/cart";

pub(crate) type Break = fn(&mut Objects);

/// What is broken, the request, and how.
pub(crate) const FAULTS: &[(&str, &str, Break)] = &[
    ("nothing is broken", CART, |_| {}),
    ("a rule that redirects", "app.example.com/old", |_| {}),
    ("no route has the hostname", "shop.example.com", |_| {}),
    ("no rule has the path", "app.example.com/other", |_| {}),
    (
        "no listener has the scheme",
        "http://app.example.com/cart",
        |_| {},
    ),
    ("the Gateway is not there", CART, |objects| {
        objects.retain(|(plural, _)| *plural != "gateways");
    }),
    ("the GatewayClass is not there", CART, |objects| {
        objects.retain(|(plural, _)| *plural != "gatewayclasses");
    }),
    (
        "the GatewayClass is another controller's",
        CART,
        |objects| {
            of(objects, "gatewayclasses")["spec"]["controllerName"] = "example.com/other".into();
        },
    ),
    (
        "the GatewayClass names no namespace of its Secret",
        CART,
        |objects| {
            let class = of(objects, "gatewayclasses");
            class["spec"]["parametersRef"] =
                json!({ "group": "", "kind": "Secret", "name": "credentials" });
        },
    ),
    (
        "the listener has a protocol that is not served",
        CART,
        |objects| {
            of(objects, "gateways")["spec"]["listeners"][0]["protocol"] = "TCP".into();
        },
    ),
    ("the listener has another hostname", CART, |objects| {
        of(objects, "gateways")["spec"]["listeners"][0]["hostname"] = "*.example.org".into();
    }),
    (
        "the listener takes another kind of route",
        CART,
        |objects| {
            let listener = &mut of(objects, "gateways")["spec"]["listeners"][0];
            listener["allowedRoutes"] = json!({ "kinds": [{ "kind": "GRPCRoute" }] });
        },
    ),
    (
        "the route is in a namespace that the listener does not take",
        CART,
        |objects| {
            let route = of(objects, "httproutes");
            route["metadata"]["namespace"] = "shop".into();
            route["spec"]["parentRefs"][0]["namespace"] = "default".into();
        },
    ),
    (
        "the route names a listener that is not there",
        CART,
        |objects| {
            of(objects, "httproutes")["spec"]["parentRefs"][0]["sectionName"] = "http".into();
        },
    ),
    (
        "the route has a filter that is not served",
        CART,
        |objects| {
            let filters = &mut of(objects, "httproutes")["spec"]["rules"][1]["filters"];
            let external = json!({ "group": "example.com", "kind": "Own", "name": "own" });
            *filters = json!([{ "type": "ExtensionRef", "extensionRef": external }]);
        },
    ),
    ("both Services are not there", CART, |objects| {
        objects.retain(|(plural, _)| *plural != "services");
    }),
    ("one Service is not there", CART, |objects| {
        objects.retain(|(_, object)| {
            object["kind"] != "Service" || object["metadata"]["name"] != "next"
        });
    }),
    ("the backend has another port", CART, |objects| {
        let backends = &mut of(objects, "httproutes")["spec"]["rules"][1]["backendRefs"];
        *backends = json!([{ "name": "cart", "port": 8080 }]);
    }),
    ("the backend has no weight", CART, |objects| {
        let backends = &mut of(objects, "httproutes")["spec"]["rules"][1]["backendRefs"];
        *backends = json!([{ "name": "cart", "port": 80, "weight": 0 }]);
    }),
    (
        "the backend is in another namespace without a grant",
        CART,
        |objects| {
            let backends = &mut of(objects, "httproutes")["spec"]["rules"][1]["backendRefs"];
            *backends = json!([{ "name": "cart", "namespace": "shop", "port": 80 }]);
        },
    ),
    ("no endpoint is ready", CART, |objects| {
        for (_, object) in objects
            .iter_mut()
            .filter(|(plural, _)| *plural == "endpointslices")
        {
            object["endpoints"][0]["conditions"] = json!({ "ready": false });
        }
    }),
    (
        "an endpoint is where no request may be sent",
        CART,
        |objects| {
            for (_, object) in objects
                .iter_mut()
                .filter(|(plural, _)| *plural == "endpointslices")
            {
                object["endpoints"][0]["addresses"] = json!(["169.254.169.254"]);
            }
        },
    ),
    ("the files have no endpoints", CART, |objects| {
        objects.retain(|(plural, _)| *plural != "endpointslices");
    }),
    ("a file cannot be read", CART, |objects| {
        objects.push(("gateways", json!("just a text")));
    }),
];

#[tokio::test]
async fn the_first_thing_in_the_way_is_named_from_files() {
    let mut text = String::new();
    for (given, request, broken) in FAULTS {
        let mut objects = objects();
        broken(&mut objects);
        let folder = written(&objects);
        let known = of_files(folder.path()).expect("a folder");
        let answer = answered(request, &known).await;
        text.push_str(&format!(
            "# {given}\n$ cfgwctl explain {request} -f .\n{answer}\n"
        ));
    }
    golden::check("explain_files", &text);
}

#[tokio::test]
async fn the_way_of_a_request_is_shown_from_the_cluster() {
    let mut text = String::new();
    let no_record = {
        let mut told = told();
        told["status"]["hostnames"][0] = json!({
            "name": "app.example.com", "status": "False", "reason": "NoZone",
            "message": "no zone of the account covers app.example.com; add the zone to the account",
        });
        told
    };
    let not_programmed = {
        let mut told = told();
        told["status"]["conditions"][0] = json!({
            "type": "Programmed", "status": "False", "reason": "Pending",
            "message": "Deployment default/gateway-web: no replica is ready",
        });
        told
    };
    for (given, told, refused) in [
        ("all can be read", Some(told()), None),
        ("Secrets may not be read", Some(told()), Some("secrets")),
        ("Services may not be read", Some(told()), Some("services")),
        ("Gateways may not be read", Some(told()), Some("gateways")),
        ("the controller tells nothing yet", None, None),
        ("there is no record", Some(no_record), None),
        ("the Gateway has no proxy", Some(not_programmed), None),
    ] {
        let (server, cluster) = cluster().await;
        for (plural, object) in objects() {
            server.put(plural, object);
        }
        server.put("secrets", credentials());
        if let Some(told) = told {
            server.put("cloudflaregatewaystatuses", told);
        }
        if let Some(plural) = refused {
            server.refuse(plural, 403);
        }
        let answer = match of_cluster(&cluster).await {
            Ok(known) => answered(CART, &known).await,
            Err(failure) => format!("{failure} (exit {})\n", failure.exit as u8),
        };
        text.push_str(&format!("# {given}\n$ cfgwctl explain {CART}\n{answer}\n"));
        assert!(
            server
                .take_calls()
                .iter()
                .all(|call| call.starts_with("GET")),
            "{given}"
        );
    }
    assert!(!text.contains("CANARY"), "{text}");
    golden::check("explain_cluster", &text);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let failure = of_files(Path::new("/nonexistent")).expect_err("no folder");
    assert!(
        failure
            .to_string()
            .starts_with("error: manifests folder /nonexistent: "),
        "{failure}"
    );
}
