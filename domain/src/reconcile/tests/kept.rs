//! Gateways that are refused for now: what they have is nobody else's, whichever process looks.

use super::handover::{record_ids, whole};
use super::*;
use crate::gateway::RECONCILE_ANNOTATION;

/// Both ask for the name; `old` has the older claim.
fn two() -> ClusterSnapshot {
    snapshot(
        vec![gateway("old"), gateway("young")],
        vec![
            route("ro", "old", 1, &["app.example.com"]),
            route("ry", "young", 2, &["app.example.com"]),
        ],
    )
}

fn refused(mut snapshot: ClusterSnapshot) -> ClusterSnapshot {
    let annotations = &mut gateways(&mut snapshot)[0].annotations;
    annotations.insert("without-credentials".to_owned(), String::new());
    snapshot
}

fn unread_parameters(mut snapshot: ClusterSnapshot) -> ClusterSnapshot {
    snapshot.parameters = Reading::Unknown("timeout".to_owned());
    refused(snapshot)
}

fn target(cloudflare: &FakeCloudflare) -> String {
    let record = &cloudflare.records_named("app.example.com")[0];
    record.data.content.clone()
}

#[tokio::test]
async fn a_name_of_a_refused_gateway_goes_to_no_younger_claim_after_a_restart_either() {
    type Seen = fn(ClusterSnapshot) -> ClusterSnapshot;
    type Trouble = fn(&FakeCloudflare);
    let cases: [(&str, Seen, Trouble); 3] = [
        ("all is seen", refused, |_| {}),
        ("nobody knows what is there", refused, |cloudflare| {
            cloudflare.fail_nth(0, Moment::Before, away());
        }),
        ("its parameters were not read", unread_parameters, |_| {}),
    ];
    for (case, seen, trouble) in cases {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        let first = whole(two(), &cloudflare);
        first.pass().await;
        let before = (
            record_ids(&cloudflare, "app.example.com"),
            target(&cloudflare),
        );
        let now = || {
            (
                record_ids(&cloudflare, "app.example.com"),
                target(&cloudflare),
            )
        };

        let second = whole(seen(two()), &cloudflare);
        trouble(&cloudflare);
        for _ in 0..2 {
            second.pass().await;
            assert_eq!(now(), before, "{case}");
        }
        first.cluster.show(seen(two()));
        first.leadership.set(Some(9));
        first.pass().await;
        assert_eq!(now(), before, "{case}: in the process that made it");

        second.cluster.show(two());
        assert!(second.pass().await.settled, "{case}");
        assert_eq!(now(), before, "{case}: mended");
    }
}

fn suspended(mut snapshot: ClusterSnapshot) -> ClusterSnapshot {
    let annotations = &mut gateways(&mut snapshot)[0].annotations;
    annotations.insert(RECONCILE_ANNOTATION.to_owned(), "disabled".to_owned());
    snapshot
}

#[tokio::test]
async fn a_name_that_another_leader_gave_a_kept_gateway_goes_to_no_younger_claim() {
    type Seen = fn(ClusterSnapshot) -> ClusterSnapshot;
    let cases: [(&str, Seen); 2] = [("refused", refused), ("suspended", suspended)];
    for (case, seen) in cases {
        let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
        let other_name = route("first", "old", 1, &["first.example.com"]);
        let first = whole(
            snapshot(vec![gateway("old")], vec![other_name]),
            &cloudflare,
        );
        first.pass().await;
        first.leadership.set(None);
        whole(two(), &cloudflare).pass().await;
        let before = target(&cloudflare);

        first.cluster.show(seen(two()));
        first.leadership.set(Some(3));
        first.pass().await;
        assert_eq!(target(&cloudflare), before, "{case}");
    }
}

#[tokio::test]
async fn a_gateway_that_was_refused_from_the_start_keeps_no_name_from_others() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let bench = whole(refused(two()), &cloudflare);
    assert!(bench.pass().await.settled);
    let (young, _) = bench.workloads.proxy(&key("young")).unwrap();
    assert_eq!(target(&cloudflare), young.address());
}

#[tokio::test]
async fn parameters_that_were_not_read_take_nothing_away() {
    let bench = bench(two());
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        gateways(snapshot).pop();
        routes(snapshot).clear();
        snapshot.parameters = Reading::Unknown("timeout".to_owned());
    });
    assert!(bench.resync().await.removed.is_empty());
    assert_eq!(bench.hostnames("old").unwrap(), ["app.example.com"]);
    bench
        .cluster
        .change(|snapshot| snapshot.parameters = Reading::Absent);
    assert_eq!(bench.resync().await.removed, [key("young")]);
    assert!(bench.hostnames("old").unwrap().is_empty());
}

#[tokio::test]
async fn a_removal_waits_for_a_gateway_that_is_refused_for_now_until_the_second_resync() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let bench = whole(two(), &cloudflare);
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        gateways(snapshot)[0].deleting = true;
        let young = &mut gateways(snapshot)[1].annotations;
        young.insert("without-credentials".to_owned(), String::new());
    });
    assert!(bench.pass().await.removed.is_empty());
    assert!(bench.resync().await.removed.is_empty());
    assert_eq!(bench.resync().await.removed, [key("old")]);
}

#[tokio::test]
async fn a_removal_waits_for_a_gateway_whose_credentials_are_not_there_until_the_second_resync() {
    let bench = bench(two());
    bench.pass().await;
    let refusal = PortError::new(PortErrorKind::Credentials, "no Secret");
    bench.edge.fail(Some(key("young")), Some(refusal));
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].deleting = true);
    assert!(bench.pass().await.removed.is_empty());
    assert!(bench.resync().await.removed.is_empty());
    assert_eq!(bench.resync().await.removed, [key("old")]);
}

#[tokio::test]
async fn a_removal_waits_for_a_suspended_gateway_from_which_the_name_was_taken_before() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let bench = whole(two(), &cloudflare);
    bench.pass().await;
    // The name goes to the other one, but the first is not removed, as its proxy does not stop.
    bench.workloads.fail(Some(away()));
    bench.cluster.change(|snapshot| {
        gateways(snapshot)[0].class = "theirs".to_owned();
    });
    bench.pass().await;
    let (young, _) = bench.workloads.proxy(&key("young")).unwrap();
    assert_eq!(target(&cloudflare), young.address());
    bench.workloads.fail(None);
    let mut without_young = two();
    gateways(&mut without_young)[1].deleting = true;
    bench.cluster.show(suspended(without_young));
    assert!(bench.pass().await.removed.is_empty());
    assert!(bench.resync().await.removed.is_empty());
    assert_eq!(bench.resync().await.removed, [key("young")]);
}

#[tokio::test]
async fn an_older_route_counts_for_a_refused_gateway_too() {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let gateways_of_both = || vec![gateway("old"), gateway("young")];
    let names = &["app.example.com"];
    let before = snapshot(gateways_of_both(), vec![route("ro", "old", 3, names)]);
    let bench = whole(before, &cloudflare);
    bench.pass().await;
    let target_before = target(&cloudflare);
    let of_both = vec![route("ra", "old", 1, names), route("rb", "young", 1, names)];
    bench
        .cluster
        .show(refused(snapshot(gateways_of_both(), of_both)));
    bench.pass().await;
    assert_eq!(target(&cloudflare), target_before);
}

#[tokio::test]
async fn a_new_name_of_a_refused_gateway_is_left_to_others() {
    let bench = bench(two());
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        *snapshot = refused(snapshot.clone());
        let names = &["new.example.com"];
        routes(snapshot).push(route("rn", "old", 3, names));
        routes(snapshot).push(route("rm", "young", 4, names));
    });
    bench.pass().await;
    assert_eq!(bench.hostnames("young").unwrap(), ["new.example.com"]);
}

fn elsewhere(mut gateway: Gateway) -> Gateway {
    gateway.key.namespace = "elsewhere".to_owned();
    gateway
}

fn route_elsewhere(gateway: &str, hostname: &str) -> Arc<Route> {
    let mut route = Arc::unwrap_or_clone(route("far", gateway, 1, &[hostname]));
    route.key.namespace = "elsewhere".to_owned();
    for parent in &mut route.parents {
        parent.target.key.namespace = "elsewhere".to_owned();
    }
    Arc::new(route)
}

#[tokio::test]
async fn a_gateway_whose_namespace_is_watched_no_more_keeps_what_it_has() {
    let both = snapshot(
        vec![gateway("gw"), elsewhere(gateway("far"))],
        vec![
            route("r", "gw", 1, &["app.example.com"]),
            route_elsewhere("far", "far.example.com"),
        ],
    );
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let first = whole(both.clone(), &cloudflare);
    first.pass().await;
    let of = |name: &str| record_ids(&cloudflare, name).len();
    assert_eq!((of("app.example.com"), of("far.example.com")), (1, 1));
    let narrowed = |snapshot: &mut ClusterSnapshot| {
        snapshot.watched_namespaces = Some([key("gw").namespace].into());
        let is_near = |namespace: &str| namespace != "elsewhere";
        gateways(snapshot).retain(|gateway| is_near(&gateway.key.namespace));
        routes(snapshot).retain(|route| is_near(&route.key.namespace));
    };
    let second = whole(both, &cloudflare);
    for bench in [first, second] {
        bench.cluster.change(narrowed);
        for _ in 0..3 {
            let done = bench.resync().await;
            assert!(done.removed.is_empty() && done.swept.is_empty(), "{done:?}");
        }
        assert_eq!((of("app.example.com"), of("far.example.com")), (1, 1));
    }
}
