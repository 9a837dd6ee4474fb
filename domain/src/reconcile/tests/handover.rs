//! Names that change hands, and the whole way over the direct edge.

use super::*;

#[tokio::test]
async fn a_hostname_waits_for_its_new_holder_before_its_old_gateway_is_removed() {
    let bench = bench(snapshot(
        vec![gateway("new"), gateway("old")],
        vec![route("r", "old", 1, &["app.example.com"])],
    ));
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        gateways(snapshot).pop();
        *routes(snapshot) = vec![route("r", "new", 1, &["app.example.com"])];
    });
    bench.edge.fail(Some(key("new")), Some(away()));
    let done = bench.pass().await;
    assert!(done.removed.is_empty() && !done.settled);
    assert!(
        bench.data_plane.table(&key("old")).is_some(),
        "the old proxy still answers"
    );
    bench.edge.fail(Some(key("new")), None);
    let done = bench.pass().await;
    assert_eq!(
        (done.stated, done.removed),
        (vec![key("new")], vec![key("old")])
    );
}

/// The whole way: passes over the direct edge over Cloudflare in memory.
pub(super) fn whole(snapshot: ClusterSnapshot, cloudflare: &FakeCloudflare) -> Bench<DirectEdge> {
    let edge = DirectEdge::new(
        Arc::new(cloudflare.clone()),
        Arc::new(StaticCredentials::for_all("acme")),
        Arc::new(FixedEntropy::default()),
        crate::testing::installation("home"),
    )
    .remembering();
    over(snapshot, Arc::new(edge))
}

pub(super) fn record_ids(cloudflare: &FakeCloudflare, name: &str) -> Vec<String> {
    let records = cloudflare.records_named(name).into_iter();
    records.map(|record| record.id.to_string()).collect()
}

#[tokio::test]
async fn a_failure_or_a_crash_at_any_call_converges() {
    let cluster = || {
        snapshot(
            vec![gateway("a"), gateway("b")],
            vec![
                route("ra", "a", 1, &["a.example.com", "both.example.com"]),
                route("rb", "b", 2, &["b.example.com", "both.example.com"]),
            ],
        )
    };
    for moment in [Moment::Before, Moment::After] {
        for restarts in [false, true] {
            for nth in 0..16 {
                let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
                cloudflare.fail_nth(nth, moment, away());
                let mut bench = whole(cluster(), &cloudflare);
                for _ in 0..3 {
                    bench.pass().await;
                    if restarts {
                        bench = whole(cluster(), &cloudflare);
                    }
                }
                let case = format!("{moment:?} call {nth}, restarts: {restarts}");
                assert!(bench.pass().await.settled, "{case}");
                assert_eq!(cloudflare.tunnels().len(), 2, "{case}");
                for name in ["a.example.com", "b.example.com", "both.example.com"] {
                    assert_eq!(record_ids(&cloudflare, name).len(), 1, "{case}: {name}");
                }
                cloudflare.forget_calls();
                bench.resync().await;
                assert_eq!(cloudflare.writes(), 0, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_route_that_moves_takes_its_record_along_in_place() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    // `a` sorts first: its plan is made before that of the Gateway that gains the name.
    for (from, to) in [("a", "b"), ("b", "a")] {
        let start = snapshot(
            vec![gateway("a"), gateway("b")],
            vec![route("r", from, 1, &["app.example.com"])],
        );
        let bench = whole(start, &cloudflare);
        bench.pass().await;
        let before = record_ids(&cloudflare, "app.example.com");
        bench.cluster.change(|snapshot| {
            *routes(snapshot) = vec![route("r", to, 1, &["app.example.com"])];
        });
        assert!(bench.pass().await.settled);
        assert_eq!(record_ids(&cloudflare, "app.example.com"), before);
        let (tunnel, _) = bench.workloads.proxy(&key(to)).unwrap();
        let record = &cloudflare.records_named("app.example.com")[0];
        assert_eq!(record.data.content, tunnel.address());
    }
}

#[tokio::test]
async fn a_removed_gateway_hands_its_name_over_in_place() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let start = snapshot(
        vec![gateway("a"), gateway("b")],
        vec![
            route("ra", "a", 1, &["app.example.com"]),
            route("rb", "b", 2, &["app.example.com"]),
        ],
    );
    let bench = whole(start, &cloudflare);
    bench.pass().await;
    let before = record_ids(&cloudflare, "app.example.com");
    bench.cluster.change(|snapshot| {
        gateways(snapshot).remove(0);
    });
    assert_eq!(bench.pass().await.removed, [key("a")]);
    assert_eq!(record_ids(&cloudflare, "app.example.com"), before);
    assert_eq!(cloudflare.tunnels().len(), 1);
}

#[tokio::test]
async fn what_another_leader_wrote_in_between_is_not_forgotten() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com", "example.org"]);
    let plain = snapshot(
        vec![gateway("a")],
        vec![route("r", "a", 1, &["app.example.com"])],
    );
    let first = whole(plain.clone(), &cloudflare);
    first.pass().await;
    first.leadership.set(None);
    let more = route("s", "a", 1, &["more.example.com", "more.example.org"]);
    let second = whole(plain, &cloudflare);
    second
        .cluster
        .change(|snapshot| routes(snapshot).push(more));
    second.pass().await;
    let before = record_ids(&cloudflare, "more.example.com");

    // The second leader's names go: one to another Gateway, one to nobody.
    first.cluster.change(|snapshot| {
        gateways(snapshot).push(gateway("b"));
        routes(snapshot).push(route("t", "b", 2, &["more.example.com"]));
    });
    first.leadership.set(Some(3));
    assert!(first.pass().await.settled);
    assert_eq!(
        record_ids(&cloudflare, "more.example.com"),
        before,
        "taken over in place"
    );
    assert!(record_ids(&cloudflare, "more.example.org").is_empty());
}

#[tokio::test]
async fn a_name_of_a_gateway_of_an_earlier_process_waits_for_its_new_holder_too() {
    let first = bench(snapshot(
        vec![gateway("old")],
        vec![route("r", "old", 1, &["app.example.com"])],
    ));
    first.pass().await;
    let second = over(
        snapshot(
            vec![gateway("new")],
            vec![route("r", "new", 1, &["app.example.com"])],
        ),
        first.edge.clone(),
    );
    second.edge.fail(Some(key("new")), Some(away()));
    let done = second.pass().await;
    assert!(done.removed.is_empty() && !done.settled);
    second.edge.fail(Some(key("new")), None);
    assert_eq!(second.pass().await.removed, [key("old")]);
}

#[tokio::test]
async fn what_passes_over_the_edge_cost() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let bench = whole(quickstart(), &cloudflare);
    assert!(bench.pass().await.settled);
    let cost = || {
        let cost = (cloudflare.reads(), cloudflare.writes());
        cloudflare.forget_calls();
        cost
    };
    cost();
    assert!(bench.pass().await.settled);
    assert_eq!(cost(), (0, 0), "nothing has changed");

    assert!(bench.resync().await.settled);
    assert_eq!(cost(), (5, 0), "tunnels, document, zones, records, token");
    bench.leadership.set(Some(2));
    assert!(bench.pass().await.settled);
    assert_eq!(cost(), (5, 0), "the same in a new term");

    bench.cluster.change(|snapshot| {
        Arc::make_mut(&mut routes(snapshot)[0])
            .hostnames
            .push(host("shop.example.com"));
    });
    assert!(bench.pass().await.settled);
    assert_eq!(cost(), (0, 2), "one more hostname: document and batch");
    bench.cluster.change(|snapshot| {
        Arc::make_mut(&mut routes(snapshot)[0]).hostnames.pop();
    });
    assert!(bench.pass().await.settled);
    assert_eq!(cost(), (1, 2), "one less: its zone is read first");
}

#[tokio::test]
async fn a_record_whose_gateway_and_tunnel_are_gone_is_found_at_a_start_and_at_a_resync() {
    type Search = (&'static str, bool);
    let searches: [Search; 2] = [("a start", false), ("a resync", true)];
    for (case, resync) in searches {
        let cloudflare = FakeCloudflare::with_zones(&["example.com", "example.org"]);
        let two = snapshot(
            vec![gateway("gw"), gateway("gone")],
            vec![
                route("r", "gw", 1, &["app.example.com"]),
                route("s", "gone", 2, &["gone.example.org"]),
            ],
        );
        whole(two, &cloudflare).pass().await;
        let bench = whole(quickstart(), &cloudflare);
        if resync {
            // A deposed leader writes its last when the new one has looked already.
            let lost = cloudflare.records_named("gone.example.org")[0].data.clone();
            bench.pass().await;
            cloudflare.add_record(&crate::names::ZoneId::new("zone-example.org"), lost);
        } else {
            let tunnels = cloudflare.tunnels().into_iter();
            let gone = tunnels.filter(|tunnel| tunnel.name.ends_with("/gone"));
            gone.for_each(|tunnel| cloudflare.remove_tunnel(tunnel.id));
        }

        bench.cluster.change(|snapshot| {
            snapshot.unreadable.nameless = Some("a file cannot be read".to_owned());
        });
        let done = bench.resync().await;
        assert!(
            done.swept.is_empty(),
            "{case}: it may be of a Gateway that is not seen"
        );
        bench
            .cluster
            .change(|snapshot| snapshot.unreadable.nameless = None);
        bench.reconciler.route_pass().await;
        let done = bench.reconciler.edge_pass(resync).await;
        assert_eq!(
            done.swept,
            BTreeSet::from(["gone.example.org".to_owned()]),
            "{case}"
        );
        assert!(done.settled, "{case}");
        assert_eq!(cloudflare.records().len(), 1, "{case}");
    }
}

/// `with` has a name that does not come, whatever the edge says of it, and `other` never had that name.
fn a_name_that_does_not_come() -> ClusterSnapshot {
    snapshot(
        vec![gateway("other"), gateway("with")],
        vec![
            route("r", "with", 1, &["app.example.com"]),
            route("s", "other", 1, &["other.example.com"]),
        ],
    )
}

#[tokio::test]
async fn a_name_that_is_refused_for_good_delays_no_removal() {
    for kind in [PortErrorKind::Invalid, PortErrorKind::NotFound] {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        let mut start = a_name_that_does_not_come();
        routes(&mut start).pop();
        let bench = whole(start, &cloudflare);
        let quota = PortError::new(kind, "81045: record quota exceeded");
        cloudflare.fail_every(ApiCall::ChangeRecords, None, quota);
        bench.pass().await;
        bench.cluster.change(|snapshot| {
            gateways(snapshot)[0].deleting = true;
        });
        assert_eq!(bench.pass().await.removed, [key("other")], "{kind:?}");
    }
}

#[tokio::test]
async fn a_removal_waits_for_a_name_to_be_taken_over_until_the_second_resync() {
    type Trouble = fn(&Bench<FakeEdge>);
    let troubles: [(&str, Trouble); 2] = [
        ("the edge fails for it", |bench| {
            bench.edge.fail(Some(key("with")), Some(away()));
        }),
        ("the name stays unknown", |bench| {
            let message = "timeout".to_owned();
            let unknown = HostnameOutcome::Unknown { message };
            bench
                .edge
                .stand_in_the_way(host("app.example.com"), Some(unknown));
        }),
    ];
    for (case, trouble) in troubles {
        let bench = bench(snapshot(
            vec![gateway("other"), gateway("with")],
            vec![route("r", "other", 1, &["app.example.com"])],
        ));
        bench.pass().await;
        trouble(&bench);
        bench.cluster.change(|snapshot| {
            gateways(snapshot)[0].deleting = true;
            *routes(snapshot) = vec![route("r", "with", 1, &["app.example.com"])];
        });
        for _ in 0..20 {
            let done = bench.pass().await;
            assert!(done.removed.is_empty() && !done.settled, "{case}");
        }
        assert!(bench.resync().await.removed.is_empty(), "{case}");
        assert!(bench.pass().await.removed.is_empty(), "{case}");
        assert_eq!(bench.resync().await.removed, [key("other")], "{case}");
    }
}

#[tokio::test]
async fn lost_records_wait_for_a_name_to_be_taken_over_until_the_second_resync() {
    let bench = bench(quickstart());
    let lost = crate::testing::intent(key("gone"), &["lost.example.com"]);
    bench.edge.leave(&lost);
    bench.edge.lose_tunnel(&key("gone"));
    bench.edge.fail(Some(key("gw")), Some(away()));
    for _ in 0..3 {
        assert!(bench.pass().await.swept.is_empty());
    }
    assert!(bench.resync().await.swept.is_empty());
    assert!(bench.pass().await.swept.is_empty());
    let swept = BTreeSet::from(["lost.example.com".to_owned()]);
    assert_eq!(bench.resync().await.swept, swept);
}

/// Holds all but one.
struct Closed(Arc<FakeFinalizer>, ObjectKey);

#[async_trait::async_trait]
impl Finalizer for Closed {
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        match *gateway == self.1 {
            true => Err(PortError::unavailable("forbidden")),
            false => self.0.add(gateway).await,
        }
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.remove(gateway).await
    }
}

#[tokio::test]
async fn a_gateway_without_finalizer_delays_the_removal_of_another_for_two_resyncs() {
    let mut bench = bench(snapshot(vec![gateway("other")], vec![]));
    bench.reconciler.ports.finalizer = Arc::new(Closed(bench.finalizer.clone(), key("with")));
    bench.pass().await;
    bench.leadership.set(Some(2));
    bench.cluster.change(|snapshot| {
        *snapshot = a_name_that_does_not_come();
        gateways(snapshot)[0].deleting = true;
    });
    assert!(
        bench.pass().await.removed.is_empty(),
        "the name may be one that it had before this term"
    );
    bench.resync().await;
    assert_eq!(bench.resync().await.removed, [key("other")]);
}

#[tokio::test]
async fn a_name_that_moved_between_two_processes_stays_until_its_new_holder_has_it() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    // Whichever of the two is stated first.
    for (from, to) in [("a", "b"), ("b", "a")] {
        let start = snapshot(
            vec![gateway("a"), gateway("b")],
            vec![route(
                "r",
                from,
                1,
                &["app.example.com", "gone.example.com"],
            )],
        );
        whole(start, &cloudflare).pass().await;
        let before = cloudflare.records_named("app.example.com");

        let moved = snapshot(
            vec![gateway("a"), gateway("b")],
            vec![route("r", to, 1, &["app.example.com"])],
        );
        let bench = whole(moved, &cloudflare);
        cloudflare.fail_every(ApiCall::ChangeRecords, None, away());
        bench.pass().await;
        bench.pass().await;
        assert_eq!(cloudflare.records_named("app.example.com"), before);

        cloudflare.heal();
        assert!(bench.pass().await.settled);
        assert_eq!(
            record_ids(&cloudflare, "app.example.com"),
            [before[0].id.to_string()],
            "taken over in place"
        );
        let (tunnel, _) = bench.workloads.proxy(&key(to)).unwrap();
        let record = &cloudflare.records_named("app.example.com")[0];
        assert_eq!(record.data.content, tunnel.address());
        assert!(record_ids(&cloudflare, "gone.example.com").is_empty());
    }
}

#[tokio::test]
async fn intents_and_memory_grow_with_names_and_not_with_names_times_gateways() {
    const GATEWAYS: usize = 50;
    const NAMES: usize = 40;
    let names = |gateway: usize| -> Vec<String> {
        let names = (0..NAMES).map(|name| format!("n{name}.g{gateway}.example.com"));
        names.collect()
    };
    let many = || {
        let routes = (0..GATEWAYS).map(|index| {
            let names = names(index);
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            route(&format!("r{index}"), &format!("g{index}"), 1, &names)
        });
        let gateways = (0..GATEWAYS).map(|index| gateway(&format!("g{index}")));
        snapshot(gateways.collect(), routes.collect())
    };
    let first = bench(many());
    first.pass().await;
    let second = over(many(), first.edge.clone());
    second.pass().await;
    for intent in first.edge.stated() {
        assert_eq!(intent.hostnames.len() + intent.dns.lost_to.len(), NAMES);
    }
    let stated = first.edge.stated().len();
    assert_eq!(stated, 2 * GATEWAYS, "once by each process");
    let state = second.reconciler.state();
    let remembered = state.at_edge.values().map(|at_edge| {
        let status = at_edge.last_known().unwrap();
        status.hostnames.len() + at_edge.records().unwrap().len()
    });
    assert_eq!(remembered.sum::<usize>(), 2 * GATEWAYS * NAMES);
}
