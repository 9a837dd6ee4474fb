//! What the snapshot shows of the files.

use std::collections::BTreeSet;

use domain::gateway::CONTROLLER_NAME;
use domain::ports::ClusterSource;
use domain::snapshot::{EndpointRules, Reading};
use domain::{ObjectKey, ObjectRef};

use crate::support::{World, class, gateway, problems, route, route_to, routes, secret};

fn secret_ref(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: ObjectKey::new("default", name),
    }
}

#[tokio::test]
async fn every_document_of_every_file_is_an_object() {
    let two = format!("{}---\n# a comment\n---\n{}", route("a"), route("b"));
    let world = World::with(&[
        ("routes.yaml", &two),
        ("deep/er/c.yml", &route("c")),
        (
            "gateway.yaml",
            &format!("{}---\n{}", gateway("web"), class("x/y", "other", "s")),
        ),
        (".hidden.yaml", &route("hidden")),
        ("a.yaml~", &route("backup")),
        ("notes.txt", "not: [yaml"),
    ]);
    let folder = world.open();
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/a", "default/b", "default/c"]);
    assert_eq!(snapshot.gateways.items().len(), 1);
    assert_eq!(snapshot.classes.items().len(), 1);
    assert_eq!(snapshot.endpoint_rules, EndpointRules::STANDALONE);
    assert_eq!(snapshot.unreadable.nameless, None);
    assert_eq!(problems(&folder), "");
}

#[tokio::test]
async fn what_kubectl_prints_of_several_objects_is_read() {
    let item = |name: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}}}, spec: {{}}}}"
        )
    };
    let list = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: \"\"}}\nitems:\n- {}\n- {}\n---\n{}",
        item("a"),
        item("b"),
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRouteList\nitems: [{metadata: {name: c}, spec: {}}]\n"
    );
    let world = World::with(&[("list.yaml", &list)]);
    let folder = world.open();
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/a", "default/b", "default/c"]);
    assert_eq!(snapshot.unreadable.nameless, None);
    assert_eq!(problems(&folder), "");
}

#[tokio::test]
async fn every_namespace_in_use_is_there_with_its_name_as_a_label() {
    let written = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n";
    let elsewhere = route("a").replace("{name: a}", "{name: a, namespace: blog}");
    let world = World::with(&[
        ("ns.yaml", written),
        ("a.yaml", &route("b")),
        ("b.yaml", &elsewhere),
    ]);
    let snapshot = world.open().snapshot().await;
    let shown: Vec<String> = snapshot
        .namespaces
        .items()
        .iter()
        .map(|namespace| format!("{} {:?}", namespace.name, namespace.labels))
        .collect();
    assert_eq!(
        shown,
        [
            r#"blog {"kubernetes.io/metadata.name": "blog"}"#,
            r#"default {"kubernetes.io/metadata.name": "default"}"#,
            r#"shop {"kubernetes.io/metadata.name": "shop", "team": "a"}"#,
        ]
    );
}

#[tokio::test]
async fn secrets_are_shown_by_key_where_a_class_names_them_or_they_are_followed() {
    let world = World::with(&[
        (
            "class.yaml",
            &class(CONTROLLER_NAME, "cloudflare", "of-class"),
        ),
        ("a.yaml", &secret("of-class", &[("ONE", "1"), ("TWO", "2")])),
        ("b.yaml", &secret("certificate", &[("tls.crt", "x")])),
    ]);
    let folder = world.open();
    let snapshot = folder.snapshot().await;
    assert_eq!(
        snapshot.secrets.keys().cloned().collect::<Vec<_>>(),
        [secret_ref("of-class")]
    );
    let facts = snapshot.secrets[&secret_ref("of-class")].known().unwrap();
    assert_eq!(facts.keys, ["ONE", "TWO"]);

    folder.follow(BTreeSet::from([
        secret_ref("certificate"),
        secret_ref("missing"),
    ]));
    folder.changed().await;
    let snapshot = folder.snapshot().await;
    let certificate = snapshot.secrets[&secret_ref("certificate")]
        .known()
        .unwrap();
    assert_eq!(certificate.keys, ["tls.crt"]);
    assert_eq!(snapshot.secrets[&secret_ref("missing")], Reading::Absent);
    assert_eq!(snapshot.secrets.len(), 3);
}

#[tokio::test]
async fn a_missing_secret_is_unknown_while_a_file_cannot_be_read() {
    let world = World::with(&[
        ("class.yaml", &class(CONTROLLER_NAME, "cloudflare", "token")),
        ("secret.yaml", "kind: [Secret\n"),
    ]);
    let snapshot = world.open().snapshot().await;
    assert!(snapshot.secrets[&secret_ref("token")].is_unknown());
}

#[tokio::test]
async fn of_two_documents_for_one_object_the_first_by_path_and_position_stands() {
    let world = World::with(&[
        (
            "b.yaml",
            &format!("{}---\n{}", route("other"), route_to("good", "late")),
        ),
        ("a.yaml", &route_to("good", "early")),
    ]);
    let folder = world.open();
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/good", "default/other"]);
    assert!(crate::support::backend(&snapshot, "good").contains("early"));
    let problems = problems(&folder);
    assert_eq!(problems.lines().count(), 1, "{problems}");
    for part in [
        "b.yaml:9",
        "a.yaml:1",
        "HTTPRoute default/good",
        "document 2",
        "remove one",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}
