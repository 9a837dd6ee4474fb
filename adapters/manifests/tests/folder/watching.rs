//! When a change counts.

use std::fs;
use std::io::Write;
use std::time::Duration;

use domain::ports::ClusterSource;

use crate::support::{World, backend, problems, route, route_to, routes, until, until_problems};

async fn is_unchanged(folder: &adapter_manifests::ManifestFolder, time: Duration) -> bool {
    tokio::time::timeout(time, folder.changed()).await.is_err()
}

#[tokio::test]
async fn a_file_renamed_over_another_replaces_it() {
    let world = World::with(&[("a.yaml", &route_to("a", "first"))]);
    let folder = world.open();
    world.write(".a.yaml.tmp", &route_to("a", "second"));
    fs::rename(world.path(".a.yaml.tmp"), world.path("a.yaml")).unwrap();
    until(&folder, "second", |s| backend(s, "a").contains("second")).await;
}

#[tokio::test]
async fn a_file_that_is_deleted_takes_its_objects_with_it() {
    let world = World::with(&[
        ("a.yaml", &route("a")),
        ("deep/b.yaml", &route("b")),
        ("none.yaml", ""),
    ]);
    let folder = world.open();
    fs::remove_file(world.path("a.yaml")).unwrap();
    until(&folder, "a is gone", |s| routes(s) == ["default/b"]).await;
    fs::remove_dir_all(world.path("deep")).unwrap();
    until(&folder, "b is gone", |s| routes(s).is_empty()).await;
    assert_eq!(folder.snapshot().await.unreadable.nameless, None);
}

#[tokio::test]
async fn the_last_manifest_goes_only_where_the_folder_says_so() {
    let world = World::with(&[("a.yaml", &route("a"))]);
    let folder = world.open();
    fs::remove_file(world.path("a.yaml")).unwrap();
    let told = until_problems(&folder, "told", |p| p.contains("no manifest")).await;
    assert!(
        told.contains("none.yaml") && told.contains("stays in force"),
        "{told}"
    );
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/a"]);
    assert!(snapshot.unreadable.nameless.is_some());

    world.write("none.yaml", "# nothing any more\n");
    let snapshot = until(&folder, "a is gone", |s| routes(s).is_empty()).await;
    assert_eq!(snapshot.unreadable.nameless, None);
    assert_eq!(problems(&folder), "");
}

#[tokio::test]
async fn a_folder_that_is_empty_from_the_start_proves_nothing() {
    let world = World::new();
    let folder = world.open();
    assert!(folder.snapshot().await.unreadable.nameless.is_some());
    world.write("a.yaml", &route("a"));
    until(&folder, "a is there", |s| {
        routes(s) == ["default/a"] && s.unreadable.nameless.is_none()
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn what_lies_behind_a_link_that_breaks_stays_in_force() {
    use std::os::unix::fs::symlink;
    for (given, broken) in [
        ("its volume is not mounted", "away"),
        ("it leads in a circle", "apps"),
        ("it leads through a file", "manifests/b.yaml/x"),
    ] {
        let world = World::with(&[("b.yaml", &route("b"))]);
        let beside = |name: &str| world.manifests().with_file_name(name);
        fs::create_dir(beside("volume")).unwrap();
        fs::write(beside("volume").join("a.yaml"), route("a")).unwrap();
        symlink(beside("volume"), world.path("apps")).unwrap();
        let folder = world.open();
        assert_eq!(routes(&*folder.snapshot().await).len(), 2, "{given}");

        let target = match broken {
            "apps" => world.path("apps"),
            _ => beside(broken),
        };
        symlink(target, world.path(".new")).unwrap();
        fs::rename(world.path(".new"), world.path("apps")).unwrap();
        let told = until_problems(&folder, given, |p| p.starts_with("apps")).await;
        assert!(told.contains("stays in force"), "{given}: {told}");
        let snapshot = folder.snapshot().await;
        let there = ["default/a", "default/b"];
        assert_eq!(routes(&snapshot), there, "{given}");
        assert!(snapshot.unreadable.nameless.is_some(), "{given}");

        fs::remove_file(world.path("apps")).unwrap();
        until(&folder, given, |s| {
            routes(s) == ["default/b"] && s.unreadable.nameless.is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn a_folder_made_later_is_read_too() {
    let world = World::new();
    let folder = world.open();
    world.write("new/er/a.yaml", &route("a"));
    until(&folder, "a is there", |s| routes(s) == ["default/a"]).await;
}

#[tokio::test]
async fn a_duplicate_takes_over_when_the_first_is_gone() {
    let world = World::with(&[
        ("a.yaml", &route_to("good", "early")),
        ("b.yaml", &route_to("good", "late")),
    ]);
    let folder = world.open();
    fs::remove_file(world.path("a.yaml")).unwrap();
    until(&folder, "late", |s| backend(s, "good").contains("late")).await;
    assert_eq!(problems(&folder), "");
}

#[tokio::test]
async fn a_file_written_in_pieces_is_taken_as_a_whole() {
    let world = World::with(&[("a.yaml", &format!("{}---\n{}", route("a"), route("b")))]);
    let folder = world.open();
    assert_eq!(routes(&*folder.snapshot().await).len(), 2);
    let mut file = fs::File::create(world.path("a.yaml")).unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    for name in ["a", "b", "c"] {
        file.write_all(format!("---\n{}", route(name)).as_bytes())
            .unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    drop(file);
    folder.changed().await;
    assert_eq!(
        routes(&*folder.snapshot().await),
        ["default/a", "default/b", "default/c"]
    );
}

#[tokio::test]
async fn nothing_changes_where_the_content_does_not() {
    let world = World::with(&[("a.yaml", &route("a"))]);
    let folder = world.open();
    folder.snapshot().await;
    world.write("a.yaml", &route("a"));
    world.write("a.yaml~", "x");
    world.write("notes.txt", "x");
    assert!(is_unchanged(&folder, Duration::from_millis(600)).await);
    world.write("a.yaml", &format!("# comment\n{}", route("a")));
    assert!(is_unchanged(&folder, Duration::from_millis(600)).await);
}

#[tokio::test]
async fn a_change_between_snapshot_and_wait_is_not_lost() {
    let world = World::with(&[("a.yaml", &route("a"))]);
    let folder = world.open();
    folder.snapshot().await;
    world.write("b.yaml", &route("b"));
    // Long enough for the change to be read while nobody waits.
    tokio::time::sleep(Duration::from_millis(700)).await;
    for _ in 0..2 {
        folder.changed().await;
    }
    assert_eq!(routes(&*folder.snapshot().await).len(), 2);
    assert!(is_unchanged(&folder, Duration::from_millis(100)).await);
}

#[tokio::test]
async fn a_secret_with_another_value_is_a_change() {
    use crate::support::{class, secret};
    let world = World::with(&[
        ("class.yaml", &class("x/y", "c", "token")),
        ("secret.yaml", &secret("token", &[("KEY", "old")])),
    ]);
    let folder = world.open();
    folder.snapshot().await;
    world.write("secret.yaml", &secret("token", &[("KEY", "new")]));
    folder.changed().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_links() {
    use std::os::unix::fs::symlink;
    let world = World::with(&[
        ("..1/a.yaml", &route_to("a", "first")),
        ("..2/a.yaml", &route_to("a", "second")),
    ]);
    symlink("..1", world.path("..data")).unwrap();
    symlink("..data/a.yaml", world.path("a.yaml")).unwrap();
    let folder = world.open();
    assert!(backend(&*folder.snapshot().await, "a").contains("first"));
    symlink("..2", world.path("..new")).unwrap();
    fs::rename(world.path("..new"), world.path("..data")).unwrap();
    until(&folder, "second", |s| backend(s, "a").contains("second")).await;
}

#[tokio::test]
async fn a_folder_that_vanishes_deletes_nothing() {
    let world = World::with(&[("a.yaml", &route("a"))]);
    let folder = world.open();
    fs::rename(world.manifests(), world.manifests().with_extension("away")).unwrap();
    until_problems(&folder, "told", |p| p.contains("cannot be listed")).await;
    let snapshot = folder.snapshot().await;
    assert_eq!(routes(&snapshot), ["default/a"]);
    assert!(snapshot.unreadable.nameless.is_some());
    fs::rename(world.manifests().with_extension("away"), world.manifests()).unwrap();
    until(&folder, "complete again", |s| {
        s.unreadable.nameless.is_none()
    })
    .await;
}
