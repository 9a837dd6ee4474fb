//! Statuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use adapter_kubernetes::Statuses;
use domain::gateway::{GATEWAY_GROUP, GATEWAY_STATUS_KIND, OWN_GROUP, ParentRef};
use domain::ports::{ClusterSource, Events, Leadership, PortErrorKind, StatusSink};
use domain::status::{
    Condition, ConditionType, EventReason, GatewayDetails, GatewayEvent, Part, Reason, StatusPart,
    StatusUpdate, Truth,
};
use domain::workload::ConnectedReplica;
use domain::{ObjectKey, ObjectRef};
use serde_json::{Value, json};

use crate::server::{ApiServer, nested};
use crate::{class, gateway, route, until, watched};

fn accepted(truth: Truth) -> Vec<Condition> {
    vec![Condition {
        kind: ConditionType::Accepted,
        truth,
        reason: Reason::Accepted,
        message: "because".to_owned(),
        generation: 1,
    }]
}

fn object(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        key: ObjectKey::new(namespace, name),
    }
}

fn of_route(parents: &[&str]) -> StatusUpdate {
    let parents = parents.iter().map(|name| StatusPart {
        part: Part::Parent(ParentRef {
            target: object("Gateway", "default", name),
            namespace_written: false,
            section: None,
            port: None,
        }),
        gateway: Some(ObjectKey::new("default", *name)),
        conditions: accepted(Truth::True),
    });
    StatusUpdate {
        object: object("HTTPRoute", "default", "app"),
        addresses: Vec::new(),
        details: None,
        parts: parents.collect(),
    }
}

fn of_whole(object: ObjectRef, truth: Truth) -> StatusUpdate {
    StatusUpdate {
        object,
        addresses: Vec::new(),
        details: None,
        parts: vec![StatusPart {
            part: Part::Object,
            gateway: None,
            conditions: accepted(truth),
        }],
    }
}

fn of_gateway(truth: Truth) -> StatusUpdate {
    StatusUpdate {
        addresses: vec!["1.cfargotunnel.com".to_owned()],
        ..of_whole(object("Gateway", "default", "web"), truth)
    }
}

fn of_details(ready_replicas: u32) -> StatusUpdate {
    let object = ObjectRef {
        group: OWN_GROUP.to_owned(),
        ..object(GATEWAY_STATUS_KIND, "default", "web")
    };
    StatusUpdate {
        details: Some(Box::new(GatewayDetails {
            ready_replicas,
            ..GatewayDetails::default()
        })),
        ..of_whole(object, Truth::True)
    }
}

fn of_others() -> Value {
    json!({
        "controllerName": "example.com/other",
        "parentRef": { "name": "theirs" },
        "conditions": [],
    })
}

fn parents(server: &ApiServer) -> Vec<String> {
    let route = server
        .get("httproutes", "default", "app")
        .expect("the route");
    let parents = route["status"]["parents"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let name = |parent: &Value| {
        parent["parentRef"]["name"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    parents.iter().map(name).collect()
}

async fn stage() -> (ApiServer, Statuses) {
    let server = ApiServer::start().await;
    let mut app = route("app");
    app["status"] = json!({ "parents": [of_others()] });
    server.put("httproutes", app);
    server.put("gateways", gateway("web"));
    server.put("gatewayclasses", class());
    let cluster = watched(&server);
    cluster.snapshot().await;
    server.take_calls();
    let leads = Arc::new(LeadsFor(AtomicUsize::new(usize::MAX)));
    (
        server.clone(),
        Statuses::new(server.client(), cluster, leads),
    )
}

fn writes(server: &ApiServer) -> Vec<String> {
    let calls = server.take_calls().into_iter();
    calls.filter(|call| call.starts_with("PATCH")).collect()
}

#[tokio::test]
async fn entries_of_other_controllers_stay_and_stale_ones_of_ours_go() {
    let (server, statuses) = stage().await;
    for (wanted, shown) in [
        (&["web", "second"][..], &["theirs", "web", "second"][..]),
        (&["second"], &["theirs", "second"]),
        (&[], &["theirs"]),
    ] {
        assert_eq!(statuses.write(&[of_route(wanted)]).await, Ok(()));
        assert_eq!(parents(&server), shown);
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_written_again() {
    let (server, statuses) = stage().await;
    let class = of_whole(object("GatewayClass", "", "cloudflare"), Truth::True);
    let all = [class, of_gateway(Truth::True), of_route(&["web"])];
    assert_eq!(statuses.write(&all).await, Ok(()));
    assert_eq!(writes(&server).len(), 3);
    for _ in 0..3 {
        assert_eq!(statuses.write(&all).await, Ok(()));
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    assert_eq!(writes(&server), Vec::<String>::new());
    assert_eq!(statuses.write(&[]).await, Ok(()), "what is left out stays");
    assert_eq!(parents(&server), ["theirs", "web"]);
    let class = server
        .get("gatewayclasses", "", "cloudflare")
        .expect("the class");
    assert!(class["status"]["supportedFeatures"].is_array(), "{class}");
}

#[tokio::test]
async fn a_listener_set_gets_a_status_and_its_gateway_the_number_of_those_attached() {
    let (server, statuses) = stage().await;
    let spec = json!({ "parentRef": { "name": "web" }, "listeners": [] });
    server.put(
        "listenersets",
        crate::object(crate::GATEWAY_API, "ListenerSet", "own", &spec),
    );
    let of_set = StatusUpdate {
        parts: vec![
            of_whole(object("", "", ""), Truth::True).parts.remove(0),
            StatusPart {
                part: Part::Listener {
                    name: "app".to_owned(),
                    supported_kinds: Vec::new(),
                    attached_routes: 3,
                },
                gateway: None,
                conditions: accepted(Truth::True),
            },
        ],
        ..of_whole(object("ListenerSet", "default", "own"), Truth::True)
    };
    let with_sets = |attached| {
        let mut update = of_gateway(Truth::True);
        update.parts.push(StatusPart {
            part: Part::ListenerSets { attached },
            gateway: None,
            conditions: Vec::new(),
        });
        update
    };
    for attached in [0, 2] {
        let updates = [with_sets(attached), of_set.clone()];
        until("both are written", async || {
            let set = server.get("listenersets", "default", "own");
            statuses.write(&updates).await.is_ok()
                && set.is_some_and(|set| set["status"]["conditions"].is_array())
        })
        .await;
        let web = server.get("gateways", "default", "web").expect("there");
        assert_eq!(web["status"]["attachedListenerSets"], attached);
    }
    let set = server.get("listenersets", "default", "own").expect("there");
    let status = &set["status"];
    assert_eq!(status["listeners"][0]["attachedRoutes"], 3);
    assert!(status.get("addresses").is_none(), "{status}");
}

#[tokio::test]
async fn the_status_object_of_a_gateway_is_made_and_made_again_and_goes_with_the_gateway() {
    let (server, statuses) = stage().await;
    let shown = || server.get("cloudflaregatewaystatuses", "default", "web");
    assert_eq!(statuses.write(&[of_details(1)]).await, Ok(()));
    let made = shown().expect("it is made");
    assert_eq!(made["status"]["readyReplicas"], 1);
    assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "uid-web");
    assert!(made["metadata"]["finalizers"].is_null(), "{made}");
    assert_eq!(writes(&server).len(), 2);
    until(
        "the watch has brought it, and nothing is written",
        async || statuses.write(&[of_details(1)]).await.is_ok() && writes(&server).is_empty(),
    )
    .await;
    assert_eq!(statuses.write(&[of_details(2)]).await, Ok(()));
    assert_eq!(shown().unwrap()["status"]["readyReplicas"], 2);
    server.delete("cloudflaregatewaystatuses", "default", "web");
    until("it is made again", async || {
        statuses.write(&[of_details(2)]).await.is_ok() && shown().is_some()
    })
    .await;
    server.delete("gateways", "default", "web");
    server.delete("cloudflaregatewaystatuses", "default", "web");
    until("it is not made without its Gateway", async || {
        server.delete("cloudflaregatewaystatuses", "default", "web");
        statuses.write(&[of_details(2)]).await.is_ok() && shown().is_none()
    })
    .await;
}

#[tokio::test]
async fn lists_that_are_not_known_stay_as_they_were_written() {
    let (server, statuses) = stage().await;
    let replica = |name: &str| ConnectedReplica {
        name: name.to_owned(),
        http2: 0,
        quic: 4,
    };
    let listing = |connectors: Option<&[&str]>| {
        let mut update = of_details(2);
        let details = update.details.as_mut().expect("details");
        details.connectors = connectors.map(|all| all.iter().map(|one| replica(one)).collect());
        update
    };
    for (told, shown) in [
        (None, &[][..]),
        (Some(&["a", "b"][..]), &["a", "b"]),
        (None, &["a", "b"]),
        (Some(&["b"]), &["b"]),
        (Some(&[]), &[]),
    ] {
        assert_eq!(statuses.write(&[listing(told)]).await, Ok(()));
        let found = server.get("cloudflaregatewaystatuses", "default", "web");
        let found = found.expect("made")["status"]["connectors"].clone();
        let names = found.as_array().into_iter().flatten();
        let names: Vec<_> = names.map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, shown, "{told:?}");
    }
}

#[tokio::test]
async fn without_the_kind_no_status_object_is_made() {
    let server = ApiServer::start().await;
    server.put("gateways", gateway("web"));
    server.set_absent("cloudflaregatewaystatuses", true);
    let cluster = watched(&server);
    cluster.snapshot().await;
    server.take_calls();
    let leads = Arc::new(LeadsFor(AtomicUsize::new(usize::MAX)));
    let statuses = Statuses::new(server.client(), cluster, leads);
    assert_eq!(statuses.write(&[of_details(1)]).await, Ok(()));
    assert_eq!(writes(&server), Vec::<String>::new());
}

#[tokio::test]
async fn another_writer_is_not_overwritten() {
    let (server, statuses) = stage().await;
    let mut app = route("app");
    let mut second = of_others();
    second["parentRef"]["name"] = "late".into();
    app["status"] = json!({ "parents": [of_others(), second] });
    server.meddle("httproutes", app);
    assert_eq!(statuses.write(&[of_route(&["web"])]).await, Ok(()));
    assert_eq!(parents(&server), ["theirs", "late", "web"]);
}

/// Of BackendTLSPolicy `default/tls`, for these Gateways.
fn of_policy(ancestors: &[&str]) -> StatusUpdate {
    let mut update = of_route(ancestors);
    update.object = object("BackendTLSPolicy", "default", "tls");
    update
}

#[tokio::test]
async fn a_policy_gets_an_entry_for_each_gateway_of_ours_and_those_of_others_stay() {
    let (server, statuses) = stage().await;
    let policy = |ancestors: &[Value]| {
        let spec = json!({
            "targetRefs": [{ "group": "", "kind": "Service", "name": "app" }],
            "validation": { "hostname": "a.b", "wellKnownCACertificates": "System" },
        });
        let mut policy = crate::object(crate::GATEWAY_API, "BackendTLSPolicy", "tls", &spec);
        policy["status"] = json!({ "ancestors": ancestors });
        policy
    };
    let theirs = |name: &str| {
        json!({
            "ancestorRef": { "name": name },
            "controllerName": "example.com/other",
            "conditions": [],
        })
    };
    server.put("backendtlspolicies", policy(&[theirs("theirs")]));
    let entries = || {
        let policy = server.get("backendtlspolicies", "default", "tls");
        let policy = policy.expect("the policy");
        let entries = policy["status"]["ancestors"].as_array().cloned();
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let entry = |entry: &Value| {
            let controller = text(&entry["controllerName"]);
            let kinds = entry["conditions"].as_array().map_or(0, Vec::len);
            (text(&entry["ancestorRef"]["name"]), controller, kinds)
        };
        entries
            .unwrap_or_default()
            .iter()
            .map(entry)
            .collect::<Vec<_>>()
    };
    let ours = |name: &str| {
        let controller = "cloudflare-gateway-controller.io/controller";
        (name.to_owned(), controller.to_owned(), 1)
    };
    let other = |name: &str| (name.to_owned(), "example.com/other".to_owned(), 0);
    until("it is seen", async || {
        drop(statuses.write(&[of_policy(&["web"])]).await);
        entries() == [other("theirs"), ours("web")]
    })
    .await;
    // Somebody else writes in between: what they wrote is read before it is written again.
    let web = server.get("backendtlspolicies", "default", "tls").unwrap();
    let web = web["status"]["ancestors"][1].clone();
    server.meddle(
        "backendtlspolicies",
        policy(&[theirs("theirs"), web, theirs("late")]),
    );
    for (wanted, shown) in [(&["second"][..], &[ours("second")][..]), (&[], &[])] {
        assert_eq!(statuses.write(&[of_policy(wanted)]).await, Ok(()));
        let mut expected = vec![other("theirs"), other("late")];
        expected.extend_from_slice(shown);
        assert_eq!(entries(), expected);
    }
}

/// Leads for as many questions.
struct LeadsFor(AtomicUsize);

impl Leadership for LeadsFor {
    fn term(&self) -> Option<u64> {
        let left = self
            .0
            .fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1)));
        (left != Ok(0)).then_some(1)
    }
}

#[tokio::test]
async fn whoever_loses_the_lead_writes_nothing_more() {
    let (server, _) = stage().await;
    let cluster = watched(&server);
    cluster.snapshot().await;
    // Somebody else wrote in between, so that the first attempt fails; before the second one the lead is lost.
    let mut app = route("app");
    app["status"] = json!({ "parents": [of_others()] });
    server.meddle("httproutes", app);
    let statuses = Statuses::new(
        server.client(),
        cluster,
        Arc::new(LeadsFor(AtomicUsize::new(2))),
    );
    let written = statuses.write(&[of_route(&["web"])]).await;
    assert!(
        written.is_err_and(|error| error.message.contains("the lead was lost")),
        "the write is to be tried again by whoever leads"
    );
    assert_eq!(parents(&server), ["theirs"]);
}

#[tokio::test]
async fn a_condition_that_stands_keeps_its_time_and_a_flip_is_an_event() {
    let (server, statuses) = stage().await;
    let shown = |server: &ApiServer| {
        let web = server
            .get("gateways", "default", "web")
            .expect("the Gateway");
        web["status"]["conditions"][0].clone()
    };
    let mut web = gateway("web");
    let long_ago = "2020-01-01T00:00:00Z";
    web["status"] = json!({ "conditions": [{
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "before",
        "observedGeneration": 0, "lastTransitionTime": long_ago,
    }]});
    server.put("gateways", web);
    until("the status is written", async || {
        statuses.write(&[of_gateway(Truth::True)]).await.is_ok()
            && shown(&server)["message"] == "because"
    })
    .await;
    assert_eq!(shown(&server)["lastTransitionTime"], long_ago);
    assert_eq!(shown(&server)["observedGeneration"], 1);
    assert_eq!(statuses.write(&[of_gateway(Truth::False)]).await, Ok(()));
    assert_ne!(shown(&server)["lastTransitionTime"], long_ago);
    until("an Event tells of it", async || {
        let events = server.all("events");
        events
            .iter()
            .any(|event| event["type"] == "Warning" && event["regarding"]["uid"] == "uid-web")
    })
    .await;
}

#[tokio::test]
async fn an_object_that_is_gone_is_passed_over_and_a_refusal_is_told() {
    let (server, statuses) = stage().await;
    server.delete("gateways", "default", "web");
    assert_eq!(statuses.write(&[of_gateway(Truth::True)]).await, Ok(()));
    server.refuse("httproutes", 403);
    let error = statuses
        .write(&[of_route(&["web"])])
        .await
        .expect_err("refused");
    assert!(error.message.contains("HTTPRoute default/app"), "{error}");
    assert_eq!(error.kind, PortErrorKind::Forbidden);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_gets_one_event() {
    let (server, statuses) = stage().await;
    let mut deep = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "deep", "namespace": "shop" },
    });
    deep["spec"] = nested(9_000);
    server.put("services", deep);
    let events = || -> Vec<Value> {
        let events = server.all("events").into_iter();
        events
            .filter(|event| event["reason"] == "Unreadable")
            .collect()
    };
    until("an Event tells of it", async || {
        assert_eq!(statuses.write(&[]).await, Ok(()));
        !events().is_empty()
    })
    .await;
    assert_eq!(statuses.write(&[]).await, Ok(()));
    let [event] = &events()[..] else {
        panic!("{:?}", events());
    };
    let regarding = &event["regarding"];
    assert_eq!(regarding["kind"], "Service");
    assert_eq!(regarding["namespace"], "shop");
    assert_eq!(regarding["uid"], "uid-deep");
    let note = event["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("spec: it is nested"), "{note}");
}

#[tokio::test]
async fn an_event_of_a_gateway_is_about_the_object_that_is_there_and_of_no_other() {
    let (server, statuses) = stage().await;
    for name in ["gone", "web"] {
        let event = GatewayEvent {
            reason: EventReason::Orphaned,
            message: "it left a tunnel".to_owned(),
        };
        statuses.tell(&ObjectKey::new("default", name), &event);
    }
    until("an Event tells of it", async || {
        !server.all("events").is_empty()
    })
    .await;
    let [event] = &server.all("events")[..] else {
        panic!("{:?}", server.all("events"));
    };
    assert_eq!(event["regarding"]["uid"], "uid-web");
    assert_eq!(event["reason"], "Orphaned");
    assert_eq!(event["note"], "it left a tunnel");
}

#[tokio::test]
async fn events_of_one_reason_keep_their_notes_and_equal_ones_are_counted() {
    let (server, statuses) = stage().await;
    for message in ["made tunnel a", "made record b", "made tunnel a"] {
        let event = GatewayEvent {
            reason: EventReason::EdgeChanged,
            message: message.to_owned(),
        };
        statuses.tell(&ObjectKey::new("default", "web"), &event);
    }
    let told = || {
        let events = server.all("events").into_iter();
        let mut told: Vec<_> = events
            .map(|event| (event["note"].clone(), event["series"]["count"].clone()))
            .collect();
        told.sort_by_key(|(note, _)| note.to_string());
        told
    };
    until("an Event is counted", async || {
        told().iter().any(|(_, count)| count == 2)
    })
    .await;
    assert_eq!(
        told(),
        [
            (json!("made record b"), Value::Null),
            (json!("made tunnel a"), json!(2)),
        ]
    );
}

#[tokio::test]
async fn an_entry_without_conditions_stays_as_it_was_and_none_is_made() {
    let (server, statuses) = stage().await;
    assert_eq!(statuses.write(&[of_route(&["web"])]).await, Ok(()));
    let of_web = |server: &ApiServer| {
        let route = server
            .get("httproutes", "default", "app")
            .expect("the route");
        route["status"]["parents"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let before = of_web(&server);
    let mut kept = of_route(&["web", "new", "other"]);
    kept.parts[0].conditions.clear();
    kept.parts[1].conditions.clear();
    assert_eq!(statuses.write(&[kept]).await, Ok(()));
    let after = of_web(&server);
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    assert_eq!(after[before.len()]["parentRef"]["name"], "other");
}

/// Of Service `app`, accepted or not, and what its load balancer tells.
fn of_service(truth: Truth, hostnames: Option<&[&str]>) -> StatusUpdate {
    let mut update = of_route(&["web"]);
    update.object = ObjectRef {
        group: String::new(),
        ..object("Service", "default", "app")
    };
    update.parts[0].conditions = accepted(truth);
    update.parts.extend(hostnames.map(|hostnames| {
        StatusPart {
            part: Part::LoadBalancer {
                hostnames: hostnames
                    .iter()
                    .map(|name| name.parse().expect("a hostname"))
                    .collect(),
            },
            gateway: None,
            conditions: Vec::new(),
        }
    }));
    update
}

#[tokio::test]
async fn a_service_that_asks_is_told_of_in_events_and_only_our_load_balancer_is_written() {
    let (server, statuses) = stage().await;
    let asking = |name: &str, annotation: Value| {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": "default", "annotations": annotation },
            "spec": { "ports": [{ "port": 80 }] },
        });
        service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } });
        service
    };
    let name = json!({ "cloudflare-gateway-controller.io/hostname": "app.example.com" });
    server.put("services", asking("app", name));
    server.put("services", asking("silent", Value::Null));
    let shown = || server.get("services", "default", "app").unwrap()["status"].clone();
    let there = shown();
    let tells = async |update: StatusUpdate, reason: &str| {
        until(reason, async || {
            assert_eq!(statuses.write(std::slice::from_ref(&update)).await, Ok(()));
            let calls = server.take_calls();
            let is_told = calls
                .iter()
                .any(|call| call.starts_with("POST") && call.contains("events"));
            assert!(
                !calls.iter().any(|call| call.contains("silent")),
                "{calls:?}"
            );
            is_told
        })
        .await;
    };
    tells(of_service(Truth::True, None), "Accepted").await;
    assert_eq!(shown(), there, "another's load balancer stays");
    tells(of_service(Truth::False, None), "no longer accepted").await;

    let ingress = json!({ "ingress": [{ "hostname": "app.example.com" }] });
    let update = of_service(Truth::True, Some(&["app.example.com"]));
    assert_eq!(statuses.write(std::slice::from_ref(&update)).await, Ok(()));
    assert_eq!(shown()["loadBalancer"], ingress);
    server.take_calls();
    assert_eq!(statuses.write(&[update]).await, Ok(()));
    assert_eq!(writes(&server), Vec::<String>::new());
    assert_eq!(
        statuses.write(&[of_service(Truth::True, None)]).await,
        Ok(())
    );
    assert_eq!(shown()["loadBalancer"], ingress, "what is not known stays");
    let update = of_service(Truth::False, Some(&[]));
    assert_eq!(statuses.write(&[update]).await, Ok(()));
    assert_eq!(shown()["loadBalancer"], json!({ "ingress": [] }));
}

#[tokio::test]
async fn a_class_claims_cluster_trust_bundles_only_where_the_cluster_has_them() {
    for absent in [false, true] {
        let server = ApiServer::start().await;
        server.set_absent("clustertrustbundles", absent);
        server.put("gatewayclasses", class());
        let cluster = watched(&server);
        cluster.snapshot().await;
        let leads = Arc::new(LeadsFor(AtomicUsize::new(usize::MAX)));
        let statuses = Statuses::new(server.client(), cluster, leads);
        let update = of_whole(object("GatewayClass", "", "cloudflare"), Truth::True);
        assert_eq!(statuses.write(&[update]).await, Ok(()));
        let written = server.get("gatewayclasses", "", "cloudflare");
        let status = &written.expect("the class")["status"];
        let claimed = status["supportedFeatures"].as_array().expect("a list");
        let name = json!({ "name": "ClusterTrustBundle" });
        assert_eq!(claimed.contains(&name), !absent);
    }
}
