//! Watches.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::ObjectKey;
use domain::ports::ClusterSource;
use domain::snapshot::{EndpointRules, Reading, Unreadable};
use serde_json::{Value, json};

use crate::server::ApiServer;
use crate::{class, gateway, object, route, until, watched, watched_only_in};

const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn the_first_view_has_every_kind_that_was_there() {
    let server = ApiServer::start().await;
    server.put("gatewayclasses", class());
    server.put("gateways", gateway("web"));
    server.put("httproutes", route("app"));
    server.set_absent("grpcroutes", true);
    let snapshot = watched(&server).snapshot().await;
    assert_eq!(snapshot.classes.items().len(), 1);
    assert_eq!(
        snapshot.gateways.items()[0].key,
        ObjectKey::new("default", "web")
    );
    assert_eq!(
        snapshot.routes.items().len(),
        1,
        "one of two kinds is absent"
    );
    assert_eq!(snapshot.services, Reading::Known(Vec::new()));
    assert_eq!(snapshot.unreadable, Unreadable::default());
    assert_eq!(snapshot.endpoint_rules, EndpointRules::default());
}

#[tokio::test]
async fn a_change_makes_a_new_view_and_a_status_alone_makes_none() {
    let server = ApiServer::start().await;
    let cluster = watched(&server);
    cluster.snapshot().await;
    server.put("gateways", gateway("web"));
    cluster.changed().await;
    until("the Gateway is seen", async || {
        cluster.snapshot().await.gateways.items().len() == 1
    })
    .await;
    let mut with_status = gateway("web");
    with_status["status"] = json!({ "addresses": [] });
    server.put("gateways", with_status);
    server.put("httproutes", route("app"));
    cluster.changed().await;
    let seen = cluster.snapshot().await;
    assert_eq!(
        seen.routes.items().len(),
        1,
        "the next view is that of the route"
    );
    server.delete("gateways", "default", "web");
    until("it is gone", async || {
        cluster.snapshot().await.gateways.items().is_empty()
    })
    .await;
}

/// A probe asks every two seconds; what it finds is nobody's news.
#[tokio::test]
async fn asking_whether_the_cluster_was_read_takes_no_change_from_whoever_waits_for_one() {
    let server = ApiServer::start().await;
    let cluster = watched(&server);
    assert!(!cluster.is_read(), "nothing can have been read yet");
    cluster.snapshot().await;
    server.put("gateways", gateway("web"));
    until("the view is there", async || {
        cluster.is_read() && tokio::time::timeout(SOON, cluster.changed()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_watch_whose_version_is_too_old_lists_again() {
    let server = ApiServer::start().await;
    let cluster = watched(&server);
    cluster.snapshot().await;
    server.compact();
    server.put("gateways", gateway("web"));
    until("the Gateway is seen", async || {
        cluster.snapshot().await.gateways.items().len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_kind_that_cannot_be_read_is_unknown_until_it_can() {
    for code in [403, 500] {
        let server = ApiServer::start().await;
        server.put("gateways", gateway("web"));
        server.refuse("services", code);
        let cluster = watched(&server);
        let seen = cluster.snapshot().await;
        assert!(seen.services.is_unknown(), "from the start: {code}");
        assert_eq!(seen.gateways.items().len(), 1);
        server.mend();
        until("it is read", async || {
            !cluster.snapshot().await.services.is_unknown()
        })
        .await;
        server.refuse("gateways", code);
        until("it is unknown", async || {
            cluster.snapshot().await.gateways.is_unknown()
        })
        .await;
        server.mend();
        until("it is back", async || {
            cluster.snapshot().await.gateways.items().len() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_kind_that_is_installed_later_is_found() {
    let server = ApiServer::start().await;
    server.set_absent("gateways", true);
    let cluster = watched(&server);
    assert_eq!(cluster.snapshot().await.gateways, Reading::Absent);
    server.set_absent("gateways", false);
    server.put("gateways", gateway("web"));
    until("it is found", async || {
        cluster.snapshot().await.gateways.items().len() == 1
    })
    .await;
}

#[tokio::test]
async fn only_the_namespaces_that_are_listed_are_watched() {
    let server = ApiServer::start().await;
    server.put("gatewayclasses", class());
    let of = |namespace: &str, mut object: Value| {
        object["metadata"]["namespace"] = namespace.into();
        object
    };
    for namespace in ["apps", "shop", "vault"] {
        server.put("gateways", of(namespace, gateway("web")));
    }
    server.put("httproutes", of("apps", route("app")));
    let cluster = watched_only_in(&server, &["apps", "shop"]);
    let seen = cluster.snapshot().await;
    let gateways = seen.gateways.items().iter();
    let gateways: BTreeSet<_> = gateways.map(|found| found.key.to_string()).collect();
    assert_eq!(gateways, ["apps/web", "shop/web"].map(str::to_owned).into());
    assert_eq!(seen.routes.items().len(), 1);
    assert_eq!(seen.classes.items().len(), 1, "what is in no namespace");
    let expected = ["apps", "shop"].map(str::to_owned);
    assert_eq!(seen.watched_namespaces, Some(expected.into()));
    server.put(
        "services",
        of("shop", object("v1", "Service", "s", &json!({}))),
    );
    server.put(
        "services",
        of("vault", object("v1", "Service", "s", &json!({}))),
    );
    until("the change is seen", async || {
        cluster.snapshot().await.services.items().len() == 1
    })
    .await;
    let calls = server.take_calls();
    let everywhere = calls.iter().filter(|call| !call.contains("/namespaces/"));
    let everywhere: BTreeSet<&str> = everywhere.map(String::as_str).collect();
    let expected = [
        "GET /api/v1/namespaces",
        "GET /api/v1/secrets",
        "GET /apis/certificates.k8s.io/v1/clustertrustbundles",
        "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "GET /apis/gateway.networking.k8s.io/v1/gatewayclasses",
    ];
    assert_eq!(everywhere, expected.into());
    server.refuse("gateways", 403);
    until("they are unknown", async || {
        cluster.snapshot().await.gateways.is_unknown()
    })
    .await;
}
