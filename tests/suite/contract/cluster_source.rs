//! [`ClusterSource`]: the cluster, or a folder of manifests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::gateway::{Route, RouteKind};
use domain::ports::ClusterSource;
use domain::snapshot::{ClusterSnapshot, Reading, SecretFacts, Unreadable};
use domain::testing::FakeCluster;
use domain::{ObjectRef, Timestamp};
use serde_json::json;
use tests::manifests;

use super::folder::Folder;
use super::gateway;
use super::kubernetes::InCluster;

contract! {
    rules [
        the_first_view_is_complete,
        nothing_new_wakes_nobody,
        a_change_wakes_whoever_waits,
        a_change_before_the_wait_is_not_missed,
        a_wait_that_is_given_up_misses_nothing,
        everybody_who_waits_is_woken,
        an_object_that_goes_is_gone_from_the_next_view,
        a_view_that_was_taken_does_not_change,
        what_could_not_be_read_is_told,
        only_secrets_that_are_followed_are_read,
    ]
    kubernetes => InCluster::with_route("early").await,
    manifest_folder => InFolder::new(),
    in_memory => FakeCluster::showing(with_routes(&["early"])),
}

/// A change is seen within this time even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for a change that must not come.
const QUIET: Duration = Duration::from_millis(300);

/// A cluster that has one route, `early`, and one Secret, `token` with one key, from the start.
trait Rig {
    fn source(&self) -> &dyn ClusterSource;
    fn add_route(&self, name: &str);
    fn remove_route(&self, name: &str);

    /// Makes part of what is added later unreadable.
    fn spoil(&self);
}

struct InFolder(Folder);

impl InFolder {
    fn new() -> Self {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: default}\n\
                      stringData: {key: value}\n";
        Self(Folder::with(&[
            ("early.yaml", route("early")),
            ("token.yaml", secret.to_owned()),
        ]))
    }
}

fn route(name: &str) -> String {
    manifests::route(name, "app.example.com", "app")
}

impl Rig for InFolder {
    fn source(&self) -> &dyn ClusterSource {
        &*self.0.adapter
    }

    fn add_route(&self, name: &str) {
        self.0.write(&format!("{name}.yaml"), &route(name));
    }

    fn remove_route(&self, name: &str) {
        self.0.remove(&format!("{name}.yaml"));
    }

    fn spoil(&self) {
        self.0.write("spoiled.yaml", "kind: [\n");
    }
}

impl Rig for InCluster {
    fn source(&self) -> &dyn ClusterSource {
        &*self.cluster
    }

    fn add_route(&self, name: &str) {
        self.put_route(name, &json!([]));
    }

    fn remove_route(&self, name: &str) {
        self.server.delete("httproutes", "default", name);
    }

    fn spoil(&self) {
        self.put_route("spoiled", &json!("not a list"));
    }
}

impl Rig for FakeCluster {
    fn source(&self) -> &dyn ClusterSource {
        self
    }

    fn add_route(&self, name: &str) {
        self.change(|snapshot| {
            if let Reading::Known(routes) = &mut snapshot.routes {
                routes.push(Arc::new(plain_route(name)));
            }
        });
    }

    fn remove_route(&self, name: &str) {
        self.change(|snapshot| {
            if let Reading::Known(routes) = &mut snapshot.routes {
                routes.retain(|route| route.key.name != name);
            }
        });
    }

    fn spoil(&self) {
        self.change(|snapshot| snapshot.unreadable.nameless = Some("a file is spoiled".to_owned()));
    }
}

fn with_routes(names: &[&str]) -> ClusterSnapshot {
    let facts = SecretFacts {
        keys: vec!["key".to_owned()],
        ..SecretFacts::default()
    };
    ClusterSnapshot {
        routes: Reading::Known(
            names
                .iter()
                .map(|name| Arc::new(plain_route(name)))
                .collect(),
        ),
        secrets: [(secret("token"), Reading::Known(facts))].into(),
        ..ClusterSnapshot::default()
    }
}

fn plain_route(name: &str) -> Route {
    Route {
        kind: RouteKind::Http,
        source: domain::gateway::RouteSource::Route,
        key: gateway(name),
        created: Timestamp(0),
        generation: 1,
        parents: Vec::new(),
        hostnames: Vec::new(),
        rules: Vec::new(),
        pattern_room: domain::gateway::PatternRoom::default(),
        uses: Vec::new(),
        field_errors: Vec::new(),
    }
}

fn secret(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: gateway(name),
    }
}

fn routes(snapshot: &ClusterSnapshot) -> BTreeSet<&str> {
    let routes = snapshot.routes.items().iter();
    routes.map(|route| route.key.name.as_str()).collect()
}

async fn woken(source: &dyn ClusterSource) {
    let woken = tokio::time::timeout(PATIENCE, source.changed()).await;
    woken.expect("a change wakes");
}

/// Takes views until one is as it should be.
async fn until(source: &dyn ClusterSource, what: &str, is_so: impl Fn(&ClusterSnapshot) -> bool) {
    let seen = async {
        while !is_so(&*source.snapshot().await) {
            source.changed().await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("no view has it: {what}"));
}

async fn the_first_view_is_complete(rig: impl Rig) {
    let view = rig.source().snapshot().await;
    assert_eq!(routes(&view), BTreeSet::from(["early"]));
    assert_eq!(view.unreadable.nameless, None);
    for known in [
        view.classes.known().is_some(),
        view.gateways.known().is_some(),
        view.grants.known().is_some(),
        view.services.known().is_some(),
        view.endpoint_slices.known().is_some(),
        view.namespaces.known().is_some(),
    ] {
        assert!(known, "{view:#?}");
    }
}

async fn nothing_new_wakes_nobody(rig: impl Rig) {
    rig.source().snapshot().await;
    let woken = tokio::time::timeout(QUIET, rig.source().changed()).await;
    assert!(woken.is_err());
}

async fn a_change_wakes_whoever_waits(rig: impl Rig) {
    rig.source().snapshot().await;
    tokio::join!(woken(rig.source()), async {
        tokio::task::yield_now().await;
        rig.add_route("late");
    });
    until(rig.source(), "late", |view| routes(view).contains("late")).await;
}

async fn a_change_before_the_wait_is_not_missed(rig: impl Rig) {
    rig.source().snapshot().await;
    rig.add_route("late");
    woken(rig.source()).await;
    until(rig.source(), "late", |view| routes(view).contains("late")).await;
}

async fn a_wait_that_is_given_up_misses_nothing(rig: impl Rig) {
    rig.source().snapshot().await;
    let given_up = tokio::time::timeout(Duration::from_millis(10), rig.source().changed()).await;
    assert!(given_up.is_err());
    rig.add_route("late");
    for _ in 0..2 {
        // A wait that ended is no view that was taken: the next one ends as well.
        woken(rig.source()).await;
    }
    until(rig.source(), "late", |view| routes(view).contains("late")).await;
}

async fn everybody_who_waits_is_woken(rig: impl Rig) {
    rig.source().snapshot().await;
    tokio::join!(woken(rig.source()), woken(rig.source()), async {
        tokio::task::yield_now().await;
        rig.add_route("late");
    });
}

async fn an_object_that_goes_is_gone_from_the_next_view(rig: impl Rig) {
    rig.source().snapshot().await;
    rig.remove_route("early");
    until(rig.source(), "no route", |view| routes(view).is_empty()).await;
}

async fn a_view_that_was_taken_does_not_change(rig: impl Rig) {
    let taken = rig.source().snapshot().await;
    rig.add_route("late");
    until(rig.source(), "late", |view| routes(view).contains("late")).await;
    assert_eq!(routes(&taken), BTreeSet::from(["early"]));
}

async fn what_could_not_be_read_is_told(rig: impl Rig) {
    rig.source().snapshot().await;
    rig.spoil();
    until(rig.source(), "told", |view| {
        view.unreadable != Unreadable::default()
    })
    .await;
    let view = rig.source().snapshot().await;
    assert_eq!(routes(&view), BTreeSet::from(["early"]), "the rest stays");
}

async fn only_secrets_that_are_followed_are_read(rig: impl Rig) {
    let source = rig.source();
    let view = source.snapshot().await;
    assert!(view.secrets.is_empty(), "{:?}", view.secrets);
    source.follow(BTreeSet::from([secret("token"), secret("missing")]));
    until(source, "token", |view| {
        let facts = view.secrets.get(&secret("token")).and_then(Reading::known);
        facts.is_some_and(|facts| facts.keys == ["key"])
            && view.secrets.get(&secret("missing")) == Some(&Reading::Absent)
    })
    .await;
    source.follow(BTreeSet::new());
    until(source, "none", |view| view.secrets.is_empty()).await;
}
