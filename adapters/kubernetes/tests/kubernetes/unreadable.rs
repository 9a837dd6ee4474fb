//! Objects that cannot be read, and watches that fail: nobody else is concerned.

use std::collections::BTreeSet;

use adapter_kubernetes::Cluster;
use domain::gateway::{GATEWAY_GROUP, OWN_GROUP};
use domain::ports::ClusterSource;
use domain::snapshot::{ClusterSnapshot, Reading};
use domain::{ObjectKey, ObjectRef};
use serde_json::{Value, json};

use crate::server::{ApiServer, nested};
use crate::{GATEWAY_API, class, gateway, object, route, until, watched};

/// A kind that is watched.
struct Watched {
    plural: &'static str,
    group: &'static str,
    kind: &'static str,
    example: Value,
    /// Names of the objects that a view has.
    names: fn(&ClusterSnapshot) -> Vec<String>,
}

impl Watched {
    fn named(&self, name: &str) -> Value {
        let mut object = self.example.clone();
        object["metadata"]["name"] = name.into();
        object
    }

    /// One with a value that no parser reads.
    fn deep(&self, name: &str, levels: usize) -> Value {
        let mut object = self.named(name);
        object["data"] = nested(levels);
        object
    }

    fn reference(&self, name: &str) -> ObjectRef {
        let namespace = self.example["metadata"]["namespace"].as_str();
        ObjectRef {
            group: self.group.to_owned(),
            kind: self.kind.to_owned(),
            key: ObjectKey::new(namespace.unwrap_or_default(), name),
        }
    }

    async fn has(&self, cluster: &Cluster, expected: &[&str]) {
        let what = format!("{} are {expected:?}", self.plural);
        until(&what, async || {
            (self.names)(&*cluster.snapshot().await) == expected
        })
        .await;
    }
}

macro_rules! names {
    ($field:ident, $name:expr) => {
        |view| view.$field.items().iter().map($name).collect()
    };
}

fn kinds() -> Vec<Watched> {
    let cluster_scoped = |mut object: Value| {
        let metadata = object["metadata"].as_object_mut();
        metadata.expect("metadata").remove("namespace");
        object
    };
    let namespace = cluster_scoped(object("v1", "Namespace", "n", &Value::Null));
    let of = |plural, group, kind, example, names| Watched {
        plural,
        group,
        kind,
        example,
        names,
    };
    let gateway_api = GATEWAY_GROUP;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": "n", "namespace": "default" },
        "addressType": "IPv4", "endpoints": [], "ports": [],
    });
    let set_spec = json!({ "parentRef": { "name": "web" }, "listeners": [] });
    let grpc_spec = json!({ "parentRefs": [{ "name": "web" }] });
    let grant_spec = json!({
        "from": [{ "group": GATEWAY_GROUP, "kind": "HTTPRoute", "namespace": "a" }],
        "to": [{ "group": "", "kind": "Service" }],
    });
    vec![
        of(
            "gatewayclasses",
            gateway_api,
            "GatewayClass",
            class(),
            names!(classes, |it| it.name.clone()),
        ),
        of(
            "gateways",
            gateway_api,
            "Gateway",
            gateway("n"),
            names!(gateways, |it| it.key.name.clone()),
        ),
        of(
            "listenersets",
            gateway_api,
            "ListenerSet",
            object(GATEWAY_API, "ListenerSet", "n", &set_spec),
            names!(listener_sets, |it| it.key.name.clone()),
        ),
        of(
            "cloudflaregatewayparameters",
            OWN_GROUP,
            "CloudflareGatewayParameters",
            object(
                "cloudflare-gateway-controller.io/v1",
                "CloudflareGatewayParameters",
                "n",
                &json!({}),
            ),
            names!(parameters, |it| it.key.name.clone()),
        ),
        of(
            "httproutes",
            gateway_api,
            "HTTPRoute",
            route("n"),
            names!(routes, |it| it.key.name.clone()),
        ),
        of(
            "grpcroutes",
            gateway_api,
            "GRPCRoute",
            object(GATEWAY_API, "GRPCRoute", "n", &grpc_spec),
            names!(routes, |it| it.key.name.clone()),
        ),
        of(
            "referencegrants",
            gateway_api,
            "ReferenceGrant",
            object(GATEWAY_API, "ReferenceGrant", "n", &grant_spec),
            names!(grants, |it| it.key.name.clone()),
        ),
        of(
            "services",
            "",
            "Service",
            object("v1", "Service", "n", &json!({})),
            names!(services, |it| it.key.name.clone()),
        ),
        of(
            "endpointslices",
            "discovery.k8s.io",
            "EndpointSlice",
            slice,
            names!(endpoint_slices, |it| it.key.name.clone()),
        ),
        of(
            "namespaces",
            "",
            "Namespace",
            namespace,
            names!(namespaces, |it| it.name.clone()),
        ),
    ]
}

#[tokio::test]
async fn whatever_is_in_managed_fields_every_object_is_read() {
    for kind in kinds() {
        for levels in [200, 9_000] {
            let with_fields = |name: &str| {
                let mut object = kind.named(name);
                object["metadata"]["managedFields"] = json!([{ "fieldsV1": nested(levels) }]);
                object
            };
            let server = ApiServer::start().await;
            server.put(kind.plural, with_fields("a"));
            let cluster = watched(&server);
            kind.has(&cluster, &["a"]).await;
            server.put(kind.plural, with_fields("b"));
            server.put(kind.plural, kind.named("c"));
            kind.has(&cluster, &["a", "b", "c"]).await;
            assert_eq!(cluster.snapshot().await.unreadable.objects, [].into());
        }
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_named_and_stops_no_other() {
    for kind in kinds() {
        for levels in [200, 9_000] {
            let server = ApiServer::start().await;
            server.put(kind.plural, kind.deep("bad", levels));
            let cluster = watched(&server);
            kind.has(&cluster, &[]).await;
            server.put(kind.plural, kind.named("good"));
            kind.has(&cluster, &["good"]).await;
            server.put(kind.plural, kind.deep("late", levels));
            server.put(kind.plural, kind.named("other"));
            kind.has(&cluster, &["good", "other"]).await;

            let unreadable = cluster.snapshot().await.unreadable.clone();
            assert_eq!(unreadable.nameless, None);
            let expected = BTreeSet::from([kind.reference("bad"), kind.reference("late")]);
            let named: BTreeSet<_> = unreadable.objects.keys().cloned().collect();
            assert_eq!(named, expected);
            for found in unreadable.objects.values() {
                assert!(found.why.starts_with("data: it is nested"), "{}", found.why);
            }
            server.put(kind.plural, kind.named("bad"));
            kind.has(&cluster, &["bad", "good", "other"]).await;
            let bad = &kind.reference("bad");
            assert!(
                !cluster
                    .snapshot()
                    .await
                    .unreadable
                    .objects
                    .contains_key(bad)
            );
        }
    }
}

#[tokio::test]
async fn what_was_last_read_of_an_object_stays_until_it_is_gone() {
    for kind in kinds() {
        let server = ApiServer::start().await;
        server.put(kind.plural, kind.named("a"));
        let cluster = watched(&server);
        kind.has(&cluster, &["a"]).await;
        server.put(kind.plural, kind.deep("a", 200));
        until("it is unreadable", async || {
            let view = cluster.snapshot().await;
            view.unreadable.objects.contains_key(&kind.reference("a"))
        })
        .await;
        kind.has(&cluster, &["a"]).await;
        let namespace = kind.reference("a").key.namespace;
        server.delete(kind.plural, &namespace, "a");
        kind.has(&cluster, &[]).await;
        assert_eq!(cluster.snapshot().await.unreadable.objects, [].into());
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_told_by_its_field_alone() {
    let cases = [
        (
            "gateways",
            json!({ "spec": { "gatewayClassName": "cloudflare", "listeners": "CANARY" } }),
            "spec.listeners",
        ),
        (
            "httproutes",
            json!({ "spec": { "rules": "CANARY", "parentRefs": [
                { "name": "web" }, { "name": "all", "namespace": "infra" },
                { "name": "mesh", "kind": "Service", "group": "" },
                { "name": "own", "kind": "ListenerSet" },
            ] } }),
            "spec.rules",
        ),
        (
            "listenersets",
            json!({ "spec": { "listeners": "CANARY", "parentRef": { "name": "web" } } }),
            "spec.listeners",
        ),
        (
            "cloudflaregatewayparameters",
            json!({ "spec": { "tunnel": { "patches": [{ "value": nested(9_000) }] } } }),
            "spec",
        ),
    ];
    for (plural, fields, field) in cases {
        let kinds = kinds();
        let kind = kinds
            .iter()
            .find(|kind| kind.plural == plural)
            .expect("a kind");
        let mut bad = kind.named("bad");
        bad["spec"] = fields["spec"].clone();
        let server = ApiServer::start().await;
        server.put(plural, bad);
        let cluster = watched(&server);
        kind.has(&cluster, &[]).await;
        let view = cluster.snapshot().await;
        let found = &view.unreadable.objects[&kind.reference("bad")];
        assert!(
            found.why.starts_with(&format!("{field}: ")),
            "{}",
            found.why
        );
        assert!(!found.why.contains("CANARY"), "{}", found.why);
        let of = |kind: &str, namespace, name| ObjectRef {
            group: GATEWAY_GROUP.to_owned(),
            kind: kind.to_owned(),
            key: ObjectKey::new(namespace, name),
        };
        let web = of("Gateway", "default", "web");
        let all = of("Gateway", "infra", "all");
        let own = of("ListenerSet", "default", "own");
        let parents = match plural {
            "httproutes" => Some([web, all, own].into()),
            "listenersets" => Some([web].into()),
            _ => None,
        };
        assert_eq!(found.parents, parents, "{plural}");
    }
}

#[tokio::test]
async fn a_watch_that_fails_again_and_again_makes_its_kind_unknown() {
    let status = |code: u16| {
        let status = json!({ "kind": "Status", "code": code, "message": "CANARY" });
        format!("{}\n", json!({ "type": "ERROR", "object": status }))
    };
    let texts = [
        "",
        "no JSON\n",
        "{\"type\":\"ADDED\",\"object\":7}\n",
        "{\"type\":\"ADDED\"",
        &status(500),
        &status(410),
    ];
    for text in texts {
        let server = ApiServer::start().await;
        server.put("services", object("v1", "Service", "a", &json!({})));
        let cluster = watched(&server);
        cluster.snapshot().await;
        server.spoil_watches("services", text);
        until(&format!("Services are unknown: {text:?}"), async || {
            cluster.snapshot().await.services.is_unknown()
        })
        .await;
        for _ in 0..20 {
            let view = cluster.snapshot().await;
            let Reading::Unknown(why) = &view.services else {
                panic!("{text:?}: it is known and no watch works");
            };
            assert!(!why.contains("CANARY"), "{why}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        server.put("gateways", gateway("web"));
        until("other kinds go on", async || {
            cluster.snapshot().await.gateways.items().len() == 1
        })
        .await;
        server.put("services", object("v1", "Service", "b", &json!({})));
        server.mend();
        until("they are read again", async || {
            cluster.snapshot().await.services.items().len() == 2
        })
        .await;
    }
}
