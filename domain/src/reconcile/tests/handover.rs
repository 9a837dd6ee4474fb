//! Names that change hands, and the whole way over the direct edge.

use super::*;

#[tokio::test]
async fn a_hostname_waits_for_its_new_holder_before_its_old_gateway_is_forgotten() {
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
fn whole(snapshot: ClusterSnapshot, cloudflare: &FakeCloudflare) -> Bench<DirectEdge> {
    let edge = DirectEdge::new(
        Arc::new(cloudflare.clone()),
        Arc::new(StaticCredentials::for_all("acme")),
        Arc::new(FixedEntropy::default()),
        InstallationName::parse("home").unwrap(),
    )
    .remembering();
    over(snapshot, Arc::new(edge))
}

fn record_ids(cloudflare: &FakeCloudflare, name: &str) -> Vec<String> {
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
            snapshot.incomplete = Some("a file cannot be read".to_owned());
        });
        let done = bench.resync().await;
        assert!(
            done.swept.is_empty(),
            "{case}: it may be of a Gateway that is not seen"
        );
        bench.cluster.change(|snapshot| snapshot.incomplete = None);
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
