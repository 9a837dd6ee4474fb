//! Suspended Gateways, comparisons that are asked for or come at an interval, and what stays when a Gateway goes.

use std::time::Duration;

use super::*;
use crate::gateway::{
    RECONCILE_ANNOTATION, RECONCILE_EVERY_ANNOTATION, RECONCILE_REQUEST_ANNOTATION,
};
use crate::rotation::{REQUEST_ANNOTATION, Request};
use crate::status::{EventReason, Part};

/// Changes what the cluster shows.
type Edit = fn(&mut ClusterSnapshot);

fn annotate(bench: &Bench<FakeEdge>, gateway: usize, annotation: &str, value: &str) {
    let (annotation, value) = (annotation.to_owned(), value.to_owned());
    bench.cluster.change(move |snapshot| {
        gateways(snapshot)[gateway]
            .annotations
            .insert(annotation, value);
    });
}

fn suspend(bench: &Bench<FakeEdge>) {
    annotate(bench, 0, RECONCILE_ANNOTATION, "disabled");
}

fn delete(bench: &Bench<FakeEdge>) {
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].deleting = true);
}

/// All that was written by now, in the cluster and at the edge.
fn written(bench: &Bench<FakeEdge>) -> (usize, usize, usize, usize, BTreeSet<ObjectKey>) {
    (
        bench.edge.stated().len(),
        bench.workloads.ensured(),
        bench.rotations.saved(),
        bench.orphans.kept().len(),
        bench.finalizer.gateways(),
    )
}

/// Objects that the last status pass wrote about, and for how many conditions of each.
fn last_statuses(bench: &Bench<FakeEdge>) -> Vec<(String, usize)> {
    let last = bench.statuses.last().into_iter();
    last.map(|update| (update.object.key.name.clone(), update.conditions().count()))
        .collect()
}

#[tokio::test]
async fn nothing_is_written_for_a_suspended_gateway_whatever_changes_but_its_routes_are_served() {
    let edits: [(&str, Edit); 6] = [
        ("a hostname", |snapshot| {
            routes(snapshot).push(route("more", "gw", 5, &["more.example.com"]));
        }),
        ("no route any more", |snapshot| routes(snapshot).clear()),
        ("a shape", |snapshot| {
            let labels = &mut gateways(snapshot)[0].infrastructure.labels;
            labels.insert("team".to_owned(), "a".to_owned());
        }),
        ("a request for a token", |snapshot| {
            let annotations = &mut gateways(snapshot)[0].annotations;
            annotations.insert(REQUEST_ANNOTATION.to_owned(), "1".to_owned());
        }),
        ("credentials", |snapshot| {
            let annotations = &mut gateways(snapshot)[0].annotations;
            annotations.insert("credentials".to_owned(), "7".to_owned());
        }),
        ("another class", |snapshot| {
            gateways(snapshot)[0].class = "theirs".to_owned();
        }),
    ];
    for (case, edit) in edits {
        let bench = bench(quickstart());
        bench.pass().await;
        bench.pass().await;
        suspend(&bench);
        let before = written(&bench);
        bench.cluster.change(edit);
        assert!(bench.pass().await.settled, "{case}");
        bench.reconciler.edge_disowned(&key("gw"));
        assert!(bench.resync().await.settled, "{case}");
        bench.leadership.set(Some(2));
        assert!(bench.resync().await.settled, "{case}");
        bench.told().await;
        assert_eq!(written(&bench), before, "{case}");
        assert_eq!(last_statuses(&bench), [], "{case}");
        let table = bench.data_plane.table(&key("gw")).unwrap();
        let served = table.listeners[0].routes.len();
        let expected = match case {
            "a hostname" => 2,
            "no route any more" => 0,
            _ => 1,
        };
        assert_eq!(served, expected, "{case}");

        annotate(&bench, 0, RECONCILE_ANNOTATION, "enabled");
        let done = bench.pass().await;
        assert!(done.settled, "{case}: {done:?}");
        assert_ne!(written(&bench), before, "{case}: resumed");
    }
}

#[tokio::test]
async fn a_gateway_that_is_suspended_from_the_start_gets_nothing() {
    let bench = bench(quickstart());
    suspend(&bench);
    assert!(bench.pass().await.settled);
    assert_eq!(written(&bench), (0, 0, 0, 0, BTreeSet::new()));
    assert!(
        bench.data_plane.table(&key("gw")).is_some(),
        "but its routes are published"
    );
}

#[tokio::test]
async fn the_entry_of_a_route_for_a_suspended_gateway_stays_and_others_are_written() {
    let mut both = route("r", "gw", 1, &["app.example.com"]);
    let of_other = route("r", "other", 1, &[]).parents[0].clone();
    Arc::make_mut(&mut both).parents.push(of_other);
    let mut shown = snapshot(vec![gateway("gw"), gateway("other")], vec![both]);
    for gateway in gateways(&mut shown) {
        gateway.class = "cloudflare".to_owned();
    }
    let Reading::Known(classes) = &mut shown.classes else {
        panic!()
    };
    classes[0].name = "cloudflare".to_owned();
    classes[0].controller = "test".to_owned();
    let mut bench = bench(shown);
    bench.reconciler.rules = attachment::resolve;
    suspend(&bench);
    bench.pass().await;
    bench.told().await;
    let last = bench.statuses.last();
    let objects: Vec<_> = last.iter().map(|update| &*update.object.key.name).collect();
    // The Gateway, and the object that tells of it.
    assert_eq!(objects, ["cloudflare", "other", "other", "r"]);
    let parts = &last[3].parts;
    let told = |name: &str| {
        let of = |part: &&crate::status::StatusPart| matches!(&part.part, Part::Parent(parent) if parent.target.key == key(name));
        parts.iter().find(of).unwrap().conditions.len()
    };
    assert_eq!((told("gw"), told("other") > 0), (0, true));
}

#[tokio::test]
async fn names_of_a_suspended_gateway_are_taken_by_no_older_claim_until_it_is_resumed() {
    let bench = bench(snapshot(
        vec![gateway("gw"), gateway("other")],
        vec![route("r", "gw", 5, &["app.example.com"])],
    ));
    bench.pass().await;
    suspend(&bench);
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("older", "other", 1, &["app.example.com"]));
    });
    bench.pass().await;
    assert_eq!(bench.hostnames("other").unwrap(), [] as [&str; 0]);
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    annotate(&bench, 0, RECONCILE_ANNOTATION, "");
    bench.pass().await;
    bench.pass().await;
    assert_eq!(bench.hostnames("other").unwrap(), ["app.example.com"]);
}

#[tokio::test]
async fn a_namespace_that_may_have_nothing_keeps_nothing_by_being_suspended() {
    let bench = bench(quickstart());
    annotate(&bench, 0, "deletion-policy", "Orphan");
    bench.pass().await;
    suspend(&bench);
    annotate(&bench, 0, "not-permitted", "");
    assert_eq!(bench.pass().await.removed, [key("gw")]);
    assert_eq!(bench.hostnames("gw"), None);
}

/// What decides that a Gateway leaves what it has, and what may be gone by the time it goes.
#[tokio::test]
async fn a_gateway_that_leaves_what_it_has_is_never_removed_later() {
    type Act = fn(&Bench<FakeEdge>);
    let nothing: Act = |_| ();
    let policy: Act = |bench| annotate(bench, 0, "deletion-policy", "Orphan");
    let cases: [(&str, Act, Act); 6] = [
        ("deleted while it is suspended", nothing, suspend),
        ("suspended, without its credentials", nothing, |bench| {
            suspend(bench);
            annotate(bench, 0, "without-credentials", "");
            let gone = PortError::new(PortErrorKind::Credentials, "no Secret");
            bench.edge.fail(Some(key("gw")), Some(gone));
        }),
        ("suspended, without its class", nothing, |bench| {
            suspend(bench);
            bench
                .cluster
                .change(|snapshot| gateways(snapshot)[0].class = "gone".to_owned());
        }),
        ("by its parameters", policy, nothing),
        ("by its parameters, set late", nothing, policy),
        ("by its parameters, which are gone", policy, |bench| {
            annotate(bench, 0, "deletion-policy", "unknown");
        }),
    ];
    for (case, first, last) in cases {
        for restarts in [false, true] {
            let case = format!("{case}, restarts: {restarts}");
            let mut bench = bench(quickstart());
            first(&bench);
            assert!(bench.pass().await.settled, "{case}");
            last(&bench);
            delete(&bench);
            if restarts {
                let ports = bench.reconciler.ports.clone();
                bench.reconciler = Reconciler::new(ports, "test");
                bench.reconciler.rules = rules;
            }
            let done = bench.pass().await;
            assert_eq!(done.orphaned, [key("gw")], "{case}: {done:?}");
            assert!(done.settled && done.removed.is_empty(), "{case}: {done:?}");
            assert!(bench.finalizer.gateways().is_empty(), "{case}");
            assert!(bench.workloads.released(&key("gw")).is_some(), "{case}");
            assert!(bench.edge.held(&key("gw")).is_some(), "{case}");
            assert!(
                bench.data_plane.table(&key("gw")).is_some(),
                "{case}: proxies go on"
            );
            let told = bench.events.of(&key("gw"));
            let [made, left] = &told[..] else {
                panic!("{case}: {told:?}");
            };
            assert_eq!(made.reason, EventReason::EdgeChanged, "{case}");
            assert!(made.message.contains("made record"), "{case}: {made:?}");
            assert_eq!(left.reason, EventReason::Orphaned, "{case}");
            let is_read = !case.contains("without its credentials");
            let is_told = left.message.contains(" and 1 DNS records");
            assert_eq!(is_told, is_read || !restarts, "{case}: {left:?}");

            bench.edge.fail(Some(key("gw")), None);
            bench.cluster.show(snapshot(vec![], vec![]));
            for term in 2..4 {
                bench.leadership.set(Some(term));
                let done = bench.resync().await;
                assert!(done.settled && done.removed.is_empty(), "{case}: {done:?}");
                assert!(
                    done.orphaned.is_empty() && done.swept.is_empty(),
                    "{case}: {done:?}"
                );
            }
            assert_eq!(
                bench.hostnames("gw").unwrap(),
                ["app.example.com"],
                "{case}"
            );
            assert!(bench.data_plane.table(&key("gw")).is_some(), "{case}");

            // Made again, it is served as before, and goes with all that it has.
            bench.cluster.show(quickstart());
            assert!(bench.pass().await.settled, "{case}");
            assert!(bench.orphans.kept().is_empty(), "{case}");
            assert!(
                bench.workloads.released(&key("gw")).is_none(),
                "{case}: taken up again"
            );
            delete(&bench);
            assert_eq!(bench.pass().await.removed, [key("gw")], "{case}");
            assert_eq!(bench.hostnames("gw"), None, "{case}");
        }
    }
}

#[tokio::test]
async fn nothing_is_removed_while_it_is_not_known_whose_things_stay() {
    let first = bench(quickstart());
    first.pass().await;
    let second = over(snapshot(vec![], vec![]), first.edge.clone());
    second
        .orphans
        .fail(Some(PortError::unavailable("no API server")));
    let done = second.pass().await;
    assert!(!done.settled && done.removed.is_empty(), "{done:?}");
    assert!(second.hostnames("gw").is_some());
    second.orphans.fail(None);
    assert_eq!(second.pass().await.removed, [key("gw")]);
}

#[tokio::test]
async fn a_gateway_is_not_stated_before_its_policy_is_kept() {
    let bench = bench(quickstart());
    annotate(&bench, 0, "deletion-policy", "Orphan");
    bench
        .orphans
        .fail(Some(PortError::unavailable("no API server")));
    assert!(!bench.pass().await.settled);
    assert!(bench.edge.stated().is_empty());
    bench.orphans.fail(None);
    assert!(bench.pass().await.settled);
    assert_eq!(bench.orphans.kept(), BTreeSet::from([key("gw")]));
    annotate(&bench, 0, "deletion-policy", "Delete");
    assert!(bench.pass().await.settled);
    assert!(
        bench.orphans.kept().is_empty(),
        "forgotten without another change"
    );
}

#[tokio::test]
async fn a_policy_is_kept_though_the_answer_to_an_earlier_write_was_lost() {
    for (before, lost, last) in [
        ("Orphan", "Delete", "Orphan"),
        ("Delete", "Orphan", "Delete"),
    ] {
        let bench = bench(quickstart());
        annotate(&bench, 0, "deletion-policy", before);
        assert!(bench.pass().await.settled, "{lost}");
        annotate(&bench, 0, "deletion-policy", lost);
        bench
            .orphans
            .lose_answer(PortError::unavailable("no answer"));
        assert!(!bench.pass().await.settled, "{lost}");
        annotate(&bench, 0, "deletion-policy", last);
        assert!(bench.pass().await.settled, "{lost}");
        assert_eq!(
            bench.orphans.kept().contains(&key("gw")),
            last == "Orphan",
            "{lost}"
        );
    }
}

#[tokio::test]
async fn a_namespace_leaves_only_so_many_gateways_and_takes_no_room_from_others() {
    for (namespace, is_served) in [("default", false), ("other", true)] {
        let bench = bench(snapshot(vec![gateway("gw")], vec![]));
        annotate(&bench, 0, "deletion-policy", "Orphan");
        for n in 0..256 {
            let gone = ObjectKey::new(namespace, format!("gone-{n}"));
            bench.orphans.add(&gone).await.unwrap();
        }
        let done = bench.pass().await;
        assert_eq!(done.settled, is_served, "{done:?}");
    }
}

#[tokio::test]
async fn a_gateway_whose_credentials_are_gone_waits_tells_why_once_and_can_be_let_go() {
    for restarts in [false, true] {
        let mut bench = bench(quickstart());
        bench.pass().await;
        if restarts {
            let ports = bench.reconciler.ports.clone();
            bench.reconciler = Reconciler::new(ports, "test");
            bench.reconciler.rules = rules;
        }
        let gone = PortError::new(
            PortErrorKind::Credentials,
            "Secret default/c does not exist",
        );
        bench.edge.fail(Some(key("gw")), Some(gone));
        delete(&bench);
        for _ in 0..3 {
            let done = bench.pass().await;
            assert!(!done.settled && done.removed.is_empty(), "{done:?}");
            assert!(bench.edge.held(&key("gw")).is_some());
            assert_eq!(bench.finalizer.gateways(), BTreeSet::from([key("gw")]));
        }
        let told = bench.events.of(&key("gw"));
        let [made, blocked] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(made.reason, EventReason::EdgeChanged);
        assert_eq!(blocked.reason, EventReason::RemovalBlocked);
        for word in ["Secret default/c does not exist", "reconcile=disabled"] {
            assert!(blocked.message.contains(word), "{blocked:?}");
        }
        suspend(&bench);
        assert_eq!(bench.pass().await.orphaned, [key("gw")]);
        assert!(bench.finalizer.gateways().is_empty());
    }
}

#[tokio::test]
async fn each_new_request_has_a_gateway_compared_once_and_is_told_as_handled() {
    let bench = bench(quickstart());
    annotate(&bench, 0, RECONCILE_REQUEST_ANNOTATION, "before");
    bench.pass().await;
    let handled = || {
        let state = bench.reconciler.state();
        state.facts(&key("gw"), WorkloadStatus::default()).handled
    };
    assert_eq!(handled(), Request::new("before"), "the first pass compares");
    assert!(bench.pass().await.stated.is_empty());
    // A comparison costs calls of an account that others may share.
    let last = bench.clock.now();
    let after = |seconds| bench.clock.set(Timestamp(last.0 + seconds));
    annotate(&bench, 0, RECONCILE_REQUEST_ANNOTATION, "now");
    after(9);
    assert!(bench.pass().await.stated.is_empty());
    assert_eq!(bench.reconciler.until_due(), Some(Duration::from_secs(1)));
    after(10);
    let done = bench.pass().await;
    assert_eq!(
        (done.stated, handled()),
        (vec![key("gw")], Request::new("now"))
    );
    assert_eq!(bench.workloads.ensured(), 2, "the proxy too");
    assert!(bench.pass().await.stated.is_empty());

    // Also one that failed a moment ago and is left alone until its time.
    bench.edge.fail(None, Some(away()));
    annotate(&bench, 0, RECONCILE_REQUEST_ANNOTATION, "failing");
    after(20);
    assert!(!bench.pass().await.settled);
    assert_eq!(handled(), Request::new("failing"), "tried counts");
    bench.edge.fail(None, None);
    let resting = BTreeSet::from([key("gw")]);
    assert!(
        bench.reconciler.edge_queues(&resting).is_empty(),
        "it rests"
    );
    annotate(&bench, 0, RECONCILE_REQUEST_ANNOTATION, "again");
    after(30);
    bench.told().await;
    let queues = bench.reconciler.edge_queues(&resting);
    assert_eq!(queues.len(), 1);
    for queue in queues {
        let done = bench.reconciler.edge_pass_of(&queue, &resting).await;
        assert_eq!(done.stated, [key("gw")]);
    }
    assert_eq!(handled(), Request::new("again"));
}

#[tokio::test]
async fn a_gateway_with_an_interval_is_compared_at_its_own_times_and_others_at_the_resyncs() {
    let bench = bench(snapshot(vec![gateway("gw"), gateway("other")], vec![]));
    annotate(&bench, 0, RECONCILE_EVERY_ANNOTATION, "1h");
    bench.clock.set(Timestamp(1000));
    bench.pass().await;
    for (now, resync, stated, until) in [
        (1000, true, vec!["other"], 3600),
        (4599, false, vec![], 1),
        (4600, false, vec!["gw"], 3600),
        (4600, true, vec!["other"], 3600),
        (9000, false, vec!["gw"], 3600),
    ] {
        bench.clock.set(Timestamp(now));
        bench.reconciler.route_pass().await;
        let done = bench.reconciler.edge_pass(resync).await;
        let stated: Vec<_> = stated.into_iter().map(key).collect();
        assert_eq!(done.stated, stated, "{now}");
        let next = bench.reconciler.until_due().map(|until| until.as_secs());
        assert_eq!(next, Some(until), "{now}");
    }
    bench.leadership.set(Some(2));
    assert_eq!(
        bench.pass().await.stated.len(),
        2,
        "a new term compares all"
    );
    suspend(&bench);
    bench.clock.set(Timestamp(99_999));
    assert!(bench.pass().await.stated.is_empty());
    assert_eq!(bench.reconciler.until_due(), None);
}
