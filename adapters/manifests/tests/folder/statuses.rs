use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use adapter_manifests::{read_statuses, render};
use domain::ObjectKey;
use domain::gateway::RouteKind;
use domain::ports::{ClusterSource, StatusSink};
use domain::status::{
    Condition, ConditionType, GatewayStatus, ListenerStatus, Reason, RouteParentStatus,
    StatusUpdate, Truth,
};

use crate::{Folder, route, until};

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: \
                       web}\nspec: {gatewayClassName: c}\n";

fn condition(kind: ConditionType, truth: Truth, reason: Reason, message: &str) -> Condition {
    Condition {
        kind,
        truth,
        reason,
        message: message.to_owned(),
        generation: 0,
    }
}

fn gateway(truth: Truth, message: &str) -> StatusUpdate {
    let accepted = condition(ConditionType::Accepted, truth, Reason::Accepted, message);
    StatusUpdate::Gateway {
        key: ObjectKey::new("default", "web"),
        status: GatewayStatus {
            addresses: vec!["id.cfargotunnel.com".to_owned()],
            conditions: vec![accepted.clone()],
            listeners: vec![ListenerStatus {
                name: "https".to_owned(),
                supported_kinds: vec![RouteKind::Http],
                attached_routes: 0,
                conditions: vec![accepted],
            }],
        },
    }
}

async fn route_update(folder: &Folder) -> StatusUpdate {
    let source = folder.open();
    let snapshot = source.snapshot().await;
    let route = &snapshot.routes.items()[0];
    StatusUpdate::Route {
        kind: route.kind,
        key: route.key.clone(),
        parents: vec![RouteParentStatus {
            parent: route.parents[0].clone(),
            conditions: vec![condition(
                ConditionType::ResolvedRefs,
                Truth::False,
                Reason::BackendNotFound,
                "no such\nService",
            )],
        }],
    }
}

fn file(folder: &Folder, path: &str) -> PathBuf {
    folder.state().join(path)
}

/// When the first condition of the Gateway last flipped.
fn transition_time(folder: &Folder) -> Option<String> {
    let text = fs::read(file(folder, "gateway/default/web.json")).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let time = &value["status"]["conditions"][0]["lastTransitionTime"];
    time.as_str().map(str::to_owned)
}

#[tokio::test]
async fn statuses_are_written_read_and_shown_as_a_table() {
    let folder = Folder::with(&[("a.yaml", GATEWAY), ("b.yaml", &route("app"))]);
    let updates = [gateway(Truth::True, "fine"), route_update(&folder).await];
    folder.open().write(&updates).await.unwrap();
    let table = render(&read_statuses(folder.state()).unwrap());
    let expected = [
        "OBJECT                                         CONDITION     STATUS  REASON           MESSAGE",
        "Gateway default/web                            Accepted      True    Accepted         fine",
        "Gateway default/web, listener https            Accepted      True    Accepted         fine",
        "HTTPRoute default/app, at Gateway default/web  ResolvedRefs  False   BackendNotFound  no such Service",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_status_file_looks_as_kubernetes_shows_it() {
    let folder = Folder::with(&[("a.yaml", GATEWAY)]);
    let source = folder.open();
    source.write(&[gateway(Truth::True, "fine")]).await.unwrap();
    let text = fs::read(file(&folder, "gateway/default/web.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let time = value["status"]["conditions"][0]["lastTransitionTime"].take();
    let time = time.as_str().unwrap();
    assert_eq!(
        (time.len(), &time[19..]),
        (20, "Z"),
        "whole seconds: {time}"
    );
    assert_eq!(value["kind"], "Gateway");
    assert_eq!(value["metadata"]["namespace"], "default");
    assert_eq!(
        value["status"]["addresses"][0]["value"],
        "id.cfargotunnel.com"
    );
    assert_eq!(
        value["status"]["listeners"][0]["supportedKinds"][0]["kind"],
        "HTTPRoute"
    );
    assert_eq!(value["status"]["listeners"][0]["attachedRoutes"], 0);
    assert_eq!(value["status"]["conditions"][0]["observedGeneration"], 0);
}

#[tokio::test]
async fn an_unchanged_status_is_not_written_and_a_time_moves_only_with_the_truth() {
    let folder = Folder::with(&[("a.yaml", GATEWAY)]);
    let source = folder.open();
    source.write(&[gateway(Truth::True, "fine")]).await.unwrap();
    let path = file(&folder, "gateway/default/web.json");
    let (written, first) = (
        fs::metadata(&path).unwrap().modified().unwrap(),
        transition_time(&folder),
    );
    assert!(first.is_some());
    // Longer than the second in which times are written.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    source.write(&[gateway(Truth::True, "fine")]).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
    source
        .write(&[gateway(Truth::True, "still fine")])
        .await
        .unwrap();
    assert_eq!(transition_time(&folder), first);
    source
        .write(&[gateway(Truth::False, "no more")])
        .await
        .unwrap();
    assert_ne!(transition_time(&folder), first);
}

#[tokio::test]
async fn statuses_of_objects_that_are_gone_go_too() {
    let folder = Folder::with(&[("a.yaml", GATEWAY), ("b.yaml", &route("app"))]);
    let updates = [gateway(Truth::True, "fine"), route_update(&folder).await];
    let source = folder.open();
    source.write(&updates).await.unwrap();
    let (gateway_file, route_file) = (
        file(&folder, "gateway/default/web.json"),
        file(&folder, "httproute/default/app.json"),
    );
    assert!(gateway_file.exists() && route_file.exists());
    folder.remove("a.yaml");
    until(&source, "the status is removed", |_| !gateway_file.exists()).await;
    source.write(&updates).await.unwrap();
    assert!(!gateway_file.exists(), "the update came too late");
    let parents = Vec::new();
    let (kind, key) = (RouteKind::Http, ObjectKey::new("default", "app"));
    let nothing = StatusUpdate::Route { kind, key, parents };
    source.write(&[nothing]).await.unwrap();
    assert!(!route_file.exists(), "no parent of ours is left");
}

#[test]
fn no_state_directory_means_no_statuses() {
    let folder = Folder::with(&[]);
    assert_eq!(read_statuses(&folder.state().join("none")).unwrap(), []);
}
