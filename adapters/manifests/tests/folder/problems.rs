//! What is wrong in the folder: told, and stopping nothing else.

use std::collections::BTreeSet;
use std::fs;

use adapter_manifests::{ManifestFolder, OpenError};
use domain::gateway::GATEWAY_GROUP;
use domain::ports::ClusterSource;
use domain::{ObjectKey, ObjectRef};

use crate::support::{
    CANARY, World, backend, problems, route, route_to, routes, until, until_problems,
};

#[tokio::test]
async fn a_file_that_breaks_keeps_its_objects_and_mends() {
    let world = World::with(&[("a.yaml", &route("a")), ("b.yaml", &route("b"))]);
    let folder = world.open();
    world.write("a.yaml", "apiVersion: v1\nkind: [\n");
    let told = until_problems(&folder, "a.yaml is broken", |p| !p.is_empty()).await;
    assert!(
        told.starts_with("a.yaml:") && told.contains("not valid YAML"),
        "{told}"
    );
    assert!(told.contains("stays in force"), "{told}");
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/a", "default/b"]);
    assert_eq!(snapshot.unreadable.nameless, None);
    assert_eq!(world.state_file("problems.txt").unwrap(), told);

    world.write("a.yaml", &route("mended"));
    let mended = |s: &_| routes(s) == ["default/b", "default/mended"];
    until(&folder, "a.yaml is mended", mended).await;
    until_problems(&folder, "nothing is wrong", str::is_empty).await;
    assert_eq!(world.state_file("problems.txt").unwrap_or_default(), "");
}

#[tokio::test]
async fn a_file_that_is_broken_from_the_start_makes_the_snapshot_incomplete() {
    let world = World::with(&[("a.yaml", "a: [\n"), ("b.yaml", &route("b"))]);
    let folder = world.open();
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/b"]);
    assert!(
        snapshot
            .unreadable
            .nameless
            .as_ref()
            .unwrap()
            .contains("a.yaml")
    );

    fs::remove_file(world.path("a.yaml")).unwrap();
    until(&folder, "complete without the file", |s| {
        s.unreadable.nameless.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_broken_twice_stays_incomplete() {
    let world = World::with(&[("a.yaml", "a: [\n")]);
    let folder = world.open();
    world.write("a.yaml", "b:\n  - c: [\n");
    until_problems(&folder, "the second version is told", |p| {
        !p.contains("a.yaml:1")
    })
    .await;
    assert!(folder.snapshot().await.unreadable.nameless.is_some());
}

#[tokio::test]
async fn a_file_that_is_no_text_is_a_problem() {
    let world = World::with(&[("b.yaml", &route("b"))]);
    fs::write(world.path("a.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    let folder = world.open();
    assert!(problems(&folder).contains("a.yaml: it cannot be read"));
    assert!(folder.snapshot().await.unreadable.nameless.is_some());
}

#[tokio::test]
async fn an_unknown_kind_is_named_and_its_siblings_are_read() {
    let odd = "apiVersion: example.com/v2\nkind: Oddity\nmetadata: {name: x}\n";
    let world = World::with(&[("a.yaml", &format!("{odd}---\n{}", route("a")))]);
    let folder = world.open();
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/a"]);
    assert_eq!(snapshot.unreadable.nameless, None);
    let told = problems(&folder);
    for part in [
        "a.yaml:1 (document 1)",
        "example.com/v2",
        "Oddity",
        "remove it",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn a_bad_document_is_a_problem_and_its_siblings_are_read() {
    let nameless = route("x").replace("{name: x}", "{}");
    for (bad, part) in [
        (nameless.as_str(), "metadata.name"),
        ("just a text\n", "document"),
        ("apiVersion: v1\nmetadata: {name: x}\n", "kind"),
        (
            &route("x").replace("{name: x}", "{name: ../../x}"),
            "metadata.name",
        ),
        (
            &route("x").replace("{name: x}", "{name: x, namespace: a/b}"),
            "metadata.namespace",
        ),
    ] {
        let world = World::with(&[("a.yaml", &format!("{bad}---\n{}", route("a")))]);
        let folder = world.open();
        let snapshot = folder.snapshot().await;
        assert_eq!(routes(&snapshot), ["default/a"], "{bad}");
        assert!(snapshot.unreadable.nameless.is_some(), "{bad}");
        assert!(
            problems(&folder).contains(part),
            "{bad}: {}",
            problems(&folder)
        );
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_named_and_leaves_the_others_complete() {
    let secret = ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: ObjectKey::new("default", "s"),
    };
    let of_route = |kind: &str| ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        key: ObjectKey::new("default", "x"),
    };
    let parents = |name: &str| {
        Some(BTreeSet::from([ObjectRef {
            group: GATEWAY_GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            key: ObjectKey::new("default", name),
        }]))
    };
    let cases = [
        (
            route("x").replace("[{name: web}]", "7"),
            of_route("HTTPRoute"),
            None,
        ),
        (
            route("x").replace("rules:", "rules: 7\n  other:"),
            of_route("HTTPRoute"),
            parents("web"),
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: 7\n".to_owned(),
            secret.clone(),
            None,
        ),
    ];
    for (bad, named, parents) in cases {
        let world = World::with(&[("a.yaml", &format!("{bad}---\n{}", route("a")))]);
        let folder = world.open();
        folder.follow([secret.clone()].into());
        let snapshot = folder.snapshot().await;
        assert_eq!(routes(&snapshot), ["default/a"], "{bad}");
        let unreadable = &snapshot.unreadable;
        assert_eq!(unreadable.nameless, None, "{bad}");
        let found: Vec<_> = unreadable.objects.iter().collect();
        assert_eq!(found.len(), 1, "{bad}");
        assert_eq!(
            (found[0].0, &found[0].1.parents),
            (&named, &parents),
            "{bad}"
        );
        let is_secret = named == secret;
        assert_eq!(snapshot.secrets[&secret].is_unknown(), is_secret, "{bad}");

        world.write("a.yaml", &route("a"));
        until(&folder, "all is read", |s| s.unreadable.objects.is_empty()).await;
    }
}

#[tokio::test]
async fn a_document_that_turns_bad_keeps_what_it_said() {
    let world = World::with(&[("a.yaml", &route_to("a", "first"))]);
    let folder = world.open();
    let bad = route("a").replace("[{name: web}]", "7");
    world.write("a.yaml", &format!("{}---\n{bad}", route("b")));
    let snapshot = until(&folder, "b is read", |s| routes(s).len() == 2).await;
    assert!(backend(&snapshot, "a").contains("first"));
    assert_eq!(snapshot.unreadable.nameless, None);
    assert_eq!(snapshot.unreadable.objects.len(), 1);
    let told = problems(&folder);
    assert!(
        told.contains("HTTPRoute default/a") && told.contains("stays in force"),
        "{told}"
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_parsed_is_told_without_its_values() {
    let texts = [
        format!("kind: Secret\nstringData:\n  TOKEN: *{CANARY}\n"),
        format!("kind: Secret\nstringData:\n  TOKEN: \"{CANARY}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  TOKEN: {CANARY}!\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {CANARY}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: [{CANARY}]\n"),
    ];
    for text in texts {
        let world = World::with(&[("a.yaml", &text)]);
        let folder = world.open();
        assert!(problems(&folder).starts_with("a.yaml:"), "{text}");
        let seen = format!("{:?}{folder:?}{}", folder.problems(), world.all_state());
        assert!(!seen.contains(CANARY), "{seen}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_cannot_be_opened() {
    let world = World::new();
    let error = ManifestFolder::open(world.path("none"), world.state()).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }) && error.to_string().contains("none"));
    world.write("file", "");
    let error = ManifestFolder::open(world.manifests(), world.path("file")).unwrap_err();
    assert!(matches!(error, OpenError::State { .. }) && error.to_string().contains("file"));
}
