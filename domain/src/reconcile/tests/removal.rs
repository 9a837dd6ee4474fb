//! What is taken away, and what an incomplete or unread view keeps.

use super::*;
use crate::edge::Policy;

type Edit<T> = fn(&mut T);

#[tokio::test]
async fn a_gateway_that_is_gone_or_has_no_listener_or_is_not_ours_is_removed() {
    let cases: [(&str, Edit<Vec<Gateway>>); 5] = [
        ("gone", |gateways| gateways.clear()),
        ("being deleted", |gateways| gateways[0].deleting = true),
        ("without a listener", |gateways| {
            gateways[0].listeners.clear();
        }),
        ("of a namespace that may have nothing", |gateways| {
            let annotations = &mut gateways[0].annotations;
            annotations.insert("not-permitted".to_owned(), String::new());
        }),
        ("of another class", |gateways| {
            gateways[0].class = "theirs".to_owned();
        }),
    ];
    for (case, change) in cases {
        let bench = bench(quickstart());
        bench.pass().await;
        bench.cluster.change(|snapshot| change(gateways(snapshot)));
        let done = bench.pass().await;
        assert_eq!(done.removed, [key("gw")], "{case}");
        assert!(done.settled, "{case}");
        assert_eq!(bench.hostnames("gw"), None, "{case}");
        assert!(bench.workloads.proxy(&key("gw")).is_none(), "{case}");
        assert!(bench.data_plane.table(&key("gw")).is_none(), "{case}");
        assert!(bench.finalizer.gateways().is_empty(), "{case}");
        assert!(
            bench.pass().await.removed.is_empty(),
            "{case}: removed once"
        );
    }
}

/// As when a chart is upgraded with another name for it, or it is handed from one tool to another.
#[tokio::test]
async fn a_class_that_is_gone_takes_nothing_from_its_gateways() {
    let bench = bench(quickstart());
    bench.pass().await;
    let table = bench.data_plane.table(&key("gw"));
    let class_of = |bench: &Bench<FakeEdge>, class: &str| {
        let class = class.to_owned();
        bench
            .cluster
            .change(move |snapshot| gateways(snapshot)[0].class = class);
    };
    class_of(&bench, "gone");
    let done = bench.resync().await;
    assert!(done.removed.is_empty() && done.settled, "{done:?}");
    assert!(bench.hostnames("gw").is_some());
    assert_eq!(bench.data_plane.table(&key("gw")), table);

    class_of(&bench, "ours");
    assert!(bench.resync().await.settled);
    assert!(bench.hostnames("gw").is_some());

    class_of(&bench, "gone");
    bench.pass().await;
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].deleting = true);
    assert_eq!(bench.pass().await.removed, [key("gw")], "a user's word");
}

#[tokio::test]
async fn a_gateway_without_a_listener_gets_nothing() {
    let bench = bench(quickstart());
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].listeners.clear());
    assert!(bench.pass().await.settled);
    assert!(bench.edge.stated().is_empty() && bench.finalizer.gateways().is_empty());
    assert!(bench.data_plane.table(&key("gw")).is_none());
}

#[tokio::test]
async fn a_gateway_whose_credentials_or_certificates_vanish_keeps_what_it_has() {
    for lack in ["without-credentials", "without-certificate"] {
        let bench = bench(quickstart());
        bench.pass().await;
        let before = bench.data_plane.table(&key("gw"));
        bench.cluster.change(|snapshot| {
            let annotations = &mut gateways(snapshot)[0].annotations;
            annotations.insert(lack.to_owned(), String::new());
        });
        let done = bench.resync().await;
        assert!(done.removed.is_empty() && done.stated.is_empty(), "{lack}");
        assert_eq!(
            bench.hostnames("gw").unwrap(),
            ["app.example.com"],
            "{lack}"
        );
        assert_eq!(bench.data_plane.table(&key("gw")), before, "{lack}");
    }
}

#[tokio::test]
async fn a_gateway_removed_while_nothing_ran_is_found_at_the_next_start() {
    let first = bench(quickstart());
    first.pass().await;
    let second = over(snapshot(vec![], vec![]), first.edge.clone());
    second.edge.fail(None, Some(away()));
    assert!(!second.pass().await.settled, "not known what is left");
    second.edge.fail(None, None);
    let done = second.pass().await;
    assert_eq!(done.removed, [key("gw")]);
    assert!(done.settled);
}

#[tokio::test]
async fn a_gateway_that_the_edge_never_let_in_has_no_finalizer_and_can_be_deleted() {
    let bench = bench(quickstart());
    let refused = PortError::new(PortErrorKind::Unauthenticated, "9109: invalid access token");
    bench.edge.fail(Some(key("gw")), Some(refused));
    let done = bench.pass().await;
    assert_eq!((done.settled, done.problems.len()), (false, 1));
    assert!(bench.finalizer.gateways().is_empty());

    bench.cluster.change(|snapshot| gateways(snapshot).clear());
    let done = bench.pass().await;
    assert!(done.settled && done.removed.is_empty(), "{done:?}");
    assert!(bench.data_plane.table(&key("gw")).is_none());

    bench.cluster.change(|snapshot| *snapshot = quickstart());
    bench.edge.fail(Some(key("gw")), None);
    assert!(bench.pass().await.settled);
    assert_eq!(bench.finalizer.gateways(), BTreeSet::from([key("gw")]));
}

#[tokio::test]
async fn a_removal_that_fails_is_finished_later() {
    let bench = bench(quickstart());
    bench.pass().await;
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].deleting = true);
    bench.edge.fail(None, Some(away()));
    assert!(!bench.pass().await.settled);
    assert_eq!(
        bench.finalizer.gateways(),
        BTreeSet::from([key("gw")]),
        "kept until nothing is left"
    );
    bench.edge.fail(None, None);
    assert_eq!(bench.pass().await.removed, [key("gw")]);
    assert!(bench.finalizer.gateways().is_empty());
}

#[tokio::test]
async fn an_incomplete_view_takes_nothing_away() {
    let two = snapshot(
        vec![gateway("gw"), gateway("lost")],
        vec![
            route("r", "gw", 1, &["app.example.com"]),
            route("s", "gw", 2, &["shop.example.com"]),
            route("t", "lost", 3, &["lost.example.com"]),
        ],
    );
    let bench = bench(two.clone());
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        gateways(snapshot).pop();
        routes(snapshot).truncate(1);
        routes(snapshot).push(route(
            "u",
            "gw",
            9,
            &["lost.example.com", "new.example.com"],
        ));
        snapshot.unreadable.nameless = Some("shop.yaml, line 3: not YAML".to_owned());
    });
    for round in ["at once", "at a resync"] {
        let done = bench.resync().await;
        assert!(done.settled && done.removed.is_empty(), "{round}");
        let names = ["app.example.com", "new.example.com", "shop.example.com"];
        assert_eq!(
            bench.hostnames("gw").unwrap(),
            names,
            "{round}: added, and none lost"
        );
        assert_eq!(
            bench.hostnames("lost").unwrap(),
            ["lost.example.com"],
            "{round}"
        );
        let made = bench.edge.held(&key("gw")).unwrap();
        assert_eq!(made.policy, Policy::UpsertOnly, "{round}");
    }
    bench.cluster.show(snapshot(
        vec![gateway("gw")],
        vec![route("r", "gw", 1, &["app.example.com"])],
    ));
    assert_eq!(bench.pass().await.removed, [key("lost")]);
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    let made = bench.edge.held(&key("gw")).unwrap();
    assert_eq!(made.policy, Policy::Sync);
}

#[tokio::test]
async fn an_unreadable_object_keeps_its_own_gateway_and_no_other() {
    let two = snapshot(
        vec![gateway("gw"), gateway("lost")],
        vec![
            route("r", "gw", 1, &["app.example.com"]),
            route("s", "gw", 2, &["shop.example.com"]),
            route("t", "lost", 3, &["lost.example.com"]),
        ],
    );
    let lost = crate::names::ObjectRef {
        group: crate::gateway::GATEWAY_GROUP.to_owned(),
        kind: "Gateway".to_owned(),
        key: key("lost"),
    };
    let unreadable = |snapshot: &mut ClusterSnapshot| {
        gateways(snapshot).pop();
        routes(snapshot).remove(1);
        routes(snapshot).push(route("late", "gw", 9, &["lost.example.com"]));
        let objects = &mut snapshot.unreadable.objects;
        objects.insert(lost.clone(), crate::snapshot::UnreadableObject::default());
    };
    let first = bench(two.clone());
    first.pass().await;
    for (case, bench) in [
        ("while it runs", first),
        ("after a restart", {
            let first = self::bench(two.clone());
            first.pass().await;
            over(two, first.edge.clone())
        }),
    ] {
        bench.cluster.change(unreadable);
        for _ in 0..2 {
            let done = bench.resync().await;
            assert!(done.removed.is_empty(), "{case}: {done:?}");
        }
        assert_eq!(
            bench.hostnames("gw").unwrap(),
            ["app.example.com"],
            "{case}"
        );
        assert_eq!(
            bench.hostnames("lost").unwrap(),
            ["lost.example.com"],
            "{case}"
        );
        bench
            .cluster
            .change(|snapshot| snapshot.unreadable.objects.clear());
        assert_eq!(bench.resync().await.removed, [key("lost")], "{case}");
    }
}

#[tokio::test]
async fn a_start_with_an_incomplete_view_removes_nobody_and_states_each_intent_once() {
    let first = bench(quickstart());
    first.pass().await;
    let mut partial = snapshot(vec![gateway("other")], vec![]);
    partial.unreadable.nameless = Some("gw.yaml cannot be read".to_owned());
    let second = over(partial, first.edge.clone());
    assert_eq!(second.pass().await.stated, [key("other")]);
    let done = second.pass().await;
    assert!(
        done.stated.is_empty() && done.removed.is_empty(),
        "{done:?}"
    );
    assert!(second.hostnames("gw").is_some());
}

#[tokio::test]
async fn a_kind_that_was_not_read_changes_nothing() {
    let cases: [(&str, Edit<ClusterSnapshot>); 4] = [
        ("Gateways", |s| {
            s.gateways = Reading::Unknown("timeout".to_owned());
        }),
        ("routes", |s| {
            s.routes = Reading::Unknown("timeout".to_owned());
        }),
        ("GatewayClasses", |s| {
            s.classes = Reading::Unknown("timeout".to_owned());
        }),
        ("EndpointSlices", |s| {
            s.endpoint_slices = Reading::Unknown("timeout".to_owned());
        }),
    ];
    for (kind, change) in cases {
        let bench = bench(quickstart());
        bench.pass().await;
        bench.resync().await;
        let before = (
            bench.data_plane.table(&key("gw")),
            bench.edge.held(&key("gw")),
        );
        bench.cluster.change(change);
        let done = bench.reconciler.route_pass().await;
        assert!(done.withheld.unwrap().starts_with(kind));
        bench.reconciler.status_pass().await;
        bench.reconciler.edge_pass(true).await;
        assert_eq!(
            (
                bench.data_plane.table(&key("gw")),
                bench.edge.held(&key("gw"))
            ),
            before
        );
        assert_eq!(bench.statuses.count(), 2, "{kind}: told all the same");
    }
}

#[tokio::test]
async fn a_kind_that_is_absent_removes_nobody() {
    let bench = bench(quickstart());
    bench.pass().await;
    bench
        .cluster
        .change(|snapshot| snapshot.gateways = Reading::Absent);
    assert!(bench.resync().await.removed.is_empty());
    assert!(bench.data_plane.table(&key("gw")).is_some());
}

#[tokio::test]
async fn the_finalizer_of_an_earlier_process_is_removed_once_it_is_not_ours() {
    let bench = bench(quickstart());
    bench.finalizer.add(&key("gw")).await.unwrap();
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].class = "theirs".to_owned());
    assert_eq!(bench.pass().await.removed, [key("gw")]);
    assert!(bench.finalizer.gateways().is_empty());
}

#[tokio::test]
async fn a_table_whose_publishing_was_not_confirmed_is_withdrawn_too() {
    let bench = bench(quickstart());
    let lost = PortError::unavailable("the answer is lost");
    bench.data_plane.fail(Some(lost));
    bench.pass().await;
    bench.data_plane.fail(None);
    bench.cluster.change(|snapshot| gateways(snapshot).clear());
    let done = bench.reconciler.route_pass().await;
    assert_eq!(done.withdrawn, [key("gw")]);
}

#[tokio::test]
async fn a_table_that_is_being_withdrawn_leads_no_name_to_it() {
    let bench = bench(quickstart());
    bench.reconciler.route_pass().await;
    bench.cluster.change(|snapshot| gateways(snapshot).clear());
    let full = PortError::unavailable("not now");
    let view = bench.reconciler.state().view.clone();
    bench.data_plane.fail(Some(full));
    bench.reconciler.route_pass().await;
    // An edge pass that began before sees the Gateway still.
    bench.reconciler.state().view = view;
    assert!(!bench.reconciler.edge_pass(false).await.settled);
    assert!(bench.edge.stated().is_empty());
}

#[tokio::test]
async fn a_gateway_that_comes_back_in_the_middle_of_its_removal_is_served_anew() {
    let bench = bench(quickstart());
    bench.pass().await;
    bench.cluster.change(|snapshot| gateways(snapshot).clear());
    bench.data_plane.fail(Some(PortError::unavailable("lost")));
    assert!(!bench.pass().await.settled, "all is removed but the table");
    bench.data_plane.fail(None);
    let published = bench.data_plane.published();
    bench.cluster.show(quickstart());
    assert!(bench.pass().await.settled);
    assert_eq!(bench.data_plane.published(), published + 1);
}

#[tokio::test]
async fn records_of_a_gateway_are_not_swept_before_its_removal_is_finished() {
    let bench = bench(quickstart());
    bench.pass().await;
    bench.edge.lose_tunnel(&key("gw"));
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].deleting = true);
    bench.edge.fail(Some(key("gw")), Some(away()));
    let done = bench.resync().await;
    assert!(done.removed.is_empty() && done.swept.is_empty(), "{done:?}");
    assert_eq!(bench.edge.records().len(), 1);
    bench.edge.fail(Some(key("gw")), None);
    assert_eq!(bench.resync().await.removed, [key("gw")]);
    assert!(bench.edge.records().is_empty());
}

#[tokio::test]
async fn a_search_that_failed_is_made_again() {
    let first = bench(quickstart());
    first.pass().await;
    first.edge.lose_tunnel(&key("gw"));
    let second = over(snapshot(vec![], vec![]), first.edge.clone());
    second.edge.fail(None, Some(away()));
    assert!(!second.pass().await.settled);
    second.edge.fail(None, None);
    let done = second.pass().await;
    assert_eq!(done.swept, BTreeSet::from(["app.example.com".to_owned()]));
    assert!(done.settled && second.pass().await.swept.is_empty());
}

/// Lets go, and the answer is lost.
struct Unheard(Arc<FakeFinalizer>);

#[async_trait::async_trait]
impl Finalizer for Unheard {
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.add(gateway).await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.remove(gateway).await?;
        Err(PortError::unavailable("timeout"))
    }
}

#[tokio::test]
async fn a_gateway_that_comes_back_gets_the_finalizer_though_its_removal_seemed_to_fail() {
    let mut bench = bench(quickstart());
    bench.reconciler.ports.finalizer = Arc::new(Unheard(bench.finalizer.clone()));
    bench.pass().await;
    bench.cluster.show(snapshot(vec![], vec![]));
    assert!(!bench.pass().await.settled);
    assert!(bench.finalizer.gateways().is_empty());
    bench.cluster.show(quickstart());
    assert!(bench.pass().await.settled);
    assert_eq!(bench.finalizer.gateways(), BTreeSet::from([key("gw")]));
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
}
