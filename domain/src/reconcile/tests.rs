//! Passes over fakes. The rules are simple ones of the test's own, so that a case is a few lines: each
//! Gateway of class `ours` with a listener is served, and gets the hostnames of the routes that name it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::attachment::{GatewayResolution, Refusal};
use crate::edge::direct::DirectEdge;
use crate::edge::{DnsPolicy, EdgeError, EdgeErrorKind};
use crate::gateway::{
    AllowedNamespaces, GATEWAY_GROUP, Gateway, Listener, ParentRef, Protocol, Route, RouteKind,
};
use crate::names::{Hostname, InstallationName, ObjectKey, ObjectRef, Timestamp};
use crate::ports::PortError;
use crate::route_table::{RouteTable, TableListener, TableRoute};
use crate::snapshot::Reading;
use crate::status::Reason;
use crate::testing::{
    FakeCloudflare, FakeCluster, FakeDataPlane, FakeEdge, FakeHold, FakeWorkloads, FixedEntropy,
    FixedLeadership, Moment, RecordingStatusSink, StaticCredentials,
};

fn rules(snapshot: &ClusterSnapshot, _: &str) -> Resolution {
    let ours = snapshot
        .gateways
        .items()
        .iter()
        .filter(|gateway| gateway.class == "ours");
    let gateways = ours.map(|gateway| (gateway.key.clone(), judged(snapshot, gateway)));
    Resolution {
        gateways: gateways.collect(),
        ..Resolution::default()
    }
}

fn judged(snapshot: &ClusterSnapshot, gateway: &Gateway) -> GatewayResolution {
    let attached = || {
        let routes = snapshot.routes.items().iter();
        routes.filter(|route| route.parents.iter().any(|p| p.target.key == gateway.key))
    };
    let mut hostnames: BTreeMap<Hostname, Timestamp> = BTreeMap::new();
    for route in attached() {
        for hostname in &route.hostnames {
            let age = hostnames.entry(hostname.clone()).or_insert(route.created);
            *age = route.created.min(*age);
        }
    }
    let listener = |listener: &Listener| TableListener {
        name: listener.name.clone(),
        port: listener.port,
        protocol: listener.protocol.clone(),
        hostname: None,
        routes: attached()
            .map(|route| TableRoute {
                key: route.key.clone(),
                kind: route.kind,
                created: route.created,
                hostnames: route.hostnames.clone(),
                rules: Vec::new(),
            })
            .collect(),
    };
    let refused = gateway.annotations.contains_key("without-credentials");
    GatewayResolution {
        gateway: gateway.clone(),
        refusal: refused.then(|| Refusal {
            reason: Reason::InvalidParameters,
            message: "no such Secret".to_owned(),
        }),
        listeners: Vec::new(),
        hostnames,
        dns: DnsPolicy::All,
        table: Arc::new(RouteTable {
            gateway: gateway.key.clone(),
            listeners: gateway.listeners.iter().map(listener).collect(),
            upstreams: BTreeMap::new(),
        }),
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn gateway(name: &str) -> Gateway {
    Gateway {
        key: key(name),
        generation: 1,
        created: Timestamp(0),
        deleting: false,
        class: "ours".to_owned(),
        listeners: vec![Listener {
            name: "https".to_owned(),
            hostname: None,
            port: 443,
            protocol: Protocol::Https,
            tls: None,
            namespaces: AllowedNamespaces::Same,
            kinds: Vec::new(),
            defects: Vec::new(),
        }],
        parameters: None,
        annotations: BTreeMap::new(),
        defects: Vec::new(),
    }
}

fn route(name: &str, gateway: &str, created: i64, hostnames: &[&str]) -> Route {
    Route {
        kind: RouteKind::Http,
        key: key(name),
        generation: 1,
        created: Timestamp(created),
        parents: vec![ParentRef {
            target: ObjectRef {
                group: GATEWAY_GROUP.to_owned(),
                kind: "Gateway".to_owned(),
                key: key(gateway),
            },
            namespace_written: false,
            section: None,
            port: None,
        }],
        hostnames: hostnames.iter().map(|name| host(name)).collect(),
        rules: Vec::new(),
        defects: Vec::new(),
    }
}

fn snapshot(gateways: Vec<Gateway>, routes: Vec<Route>) -> ClusterSnapshot {
    ClusterSnapshot {
        gateways: Reading::Known(gateways),
        routes: Reading::Known(routes),
        ..ClusterSnapshot::default()
    }
}

/// One Gateway `gw` with one route.
fn quickstart() -> ClusterSnapshot {
    snapshot(
        vec![gateway("gw")],
        vec![route("r", "gw", 1, &["app.example.com"])],
    )
}

fn gateways(snapshot: &mut ClusterSnapshot) -> &mut Vec<Gateway> {
    match &mut snapshot.gateways {
        Reading::Known(gateways) => gateways,
        other => panic!("{other:?}"),
    }
}

fn routes(snapshot: &mut ClusterSnapshot) -> &mut Vec<Route> {
    match &mut snapshot.routes {
        Reading::Known(routes) => routes,
        other => panic!("{other:?}"),
    }
}

fn away() -> EdgeError {
    EdgeError::new(EdgeErrorKind::Unavailable, "the edge is away")
}

struct Bench<E> {
    cluster: Arc<FakeCluster>,
    statuses: Arc<RecordingStatusSink>,
    hold: Arc<FakeHold>,
    leadership: Arc<FixedLeadership>,
    workloads: Arc<FakeWorkloads>,
    data_plane: Arc<FakeDataPlane>,
    edge: Arc<E>,
    reconciler: Reconciler,
}

fn bench(snapshot: ClusterSnapshot) -> Bench<FakeEdge> {
    over(snapshot, Arc::new(FakeEdge::default()))
}

/// A new process over this edge.
fn over<E: Edge + 'static>(snapshot: ClusterSnapshot, edge: Arc<E>) -> Bench<E> {
    let cluster = Arc::new(FakeCluster::showing(snapshot));
    let statuses = Arc::new(RecordingStatusSink::default());
    let hold = Arc::new(FakeHold::default());
    let leadership = Arc::new(FixedLeadership::default());
    let workloads = Arc::new(FakeWorkloads::default());
    let data_plane = Arc::new(FakeDataPlane::default());
    let ports = Ports {
        cluster: cluster.clone(),
        statuses: statuses.clone(),
        hold: hold.clone(),
        leadership: leadership.clone(),
        workloads: workloads.clone(),
        data_plane: data_plane.clone(),
        edge: edge.clone(),
    };
    let mut reconciler = Reconciler::new(ports, "test");
    reconciler.rules = rules;
    Bench {
        cluster,
        statuses,
        hold,
        leadership,
        workloads,
        data_plane,
        edge,
        reconciler,
    }
}

impl<E> Bench<E> {
    /// A route pass and an edge pass.
    async fn pass(&self) -> EdgePassReport {
        self.reconciler.route_pass().await;
        self.reconciler.edge_pass(false).await
    }

    async fn resync(&self) -> EdgePassReport {
        self.reconciler.route_pass().await;
        self.reconciler.edge_pass(true).await
    }
}

impl Bench<FakeEdge> {
    fn hostnames(&self, gateway: &str) -> Option<Vec<String>> {
        let held = self.edge.held(&key(gateway))?;
        Some(held.hostnames.iter().map(ToString::to_string).collect())
    }
}

#[tokio::test]
async fn a_new_gateway_is_served_held_applied_and_run() {
    let bench = bench(quickstart());
    let done = bench.pass().await;
    assert!(done.settled, "{done:?}");
    assert!(bench.data_plane.table(&key("gw")).is_some());
    assert_eq!(bench.hold.held(), BTreeSet::from([key("gw")]));
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    assert!(bench.workloads.proxy(&key("gw")).is_some());
    assert_eq!(bench.statuses.count(), 1);
}

#[tokio::test]
async fn a_change_that_touches_no_hostname_never_asks_the_edge() {
    let bench = bench(quickstart());
    bench.pass().await;
    let stated = bench.edge.stated().len();
    bench.edge.fail(None, Some(away()));
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("more", "gw", 5, &["app.example.com"]));
    });
    let done = bench.pass().await;
    assert!(done.settled);
    let table = bench.data_plane.table(&key("gw")).unwrap();
    assert_eq!(table.listeners[0].routes.len(), 2, "served");
    assert_eq!(bench.edge.stated().len(), stated);
    assert_eq!(bench.workloads.ensured(), 1);
}

#[tokio::test]
async fn an_unchanged_cluster_publishes_and_states_nothing() {
    let bench = bench(quickstart());
    bench.pass().await;
    let (published, stated) = (bench.data_plane.published(), bench.edge.stated().len());
    let done = bench.pass().await;
    assert_eq!(bench.data_plane.published(), published);
    assert_eq!(bench.edge.stated().len(), stated);
    assert!(done.settled && done.stated.is_empty());
    assert_eq!(
        bench.resync().await.stated,
        [key("gw")],
        "a resync states all"
    );
}

#[tokio::test]
async fn nothing_is_done_at_the_edge_without_leadership() {
    let bench = bench(quickstart());
    bench.leadership.set(None);
    bench.pass().await;
    assert!(
        bench.data_plane.table(&key("gw")).is_some(),
        "tables go out all the same"
    );
    assert!(bench.edge.stated().is_empty() && bench.hold.held().is_empty());
    bench.leadership.set(Some(2));
    bench.pass().await;
    bench.leadership.set(Some(3));
    assert_eq!(
        bench.pass().await.stated,
        [key("gw")],
        "a new term states all once"
    );
    assert!(bench.pass().await.stated.is_empty());
}

#[tokio::test]
async fn a_name_is_applied_only_once_the_proxy_knows_it() {
    let bench = bench(quickstart());
    let full = PortError("disk full".to_owned());
    bench.data_plane.fail(Some(full));
    assert!(!bench.pass().await.settled);
    assert!(bench.edge.stated().is_empty());
    bench.data_plane.fail(None);
    assert!(bench.pass().await.settled);
}

#[tokio::test]
async fn one_gateway_that_fails_does_not_stop_another() {
    let bench = bench(snapshot(
        vec![gateway("a"), gateway("b")],
        vec![
            route("ra", "a", 1, &["a.example.com"]),
            route("rb", "b", 1, &["b.example.com"]),
        ],
    ));
    let mut busy = away();
    busy.retry_after = Some(std::time::Duration::from_secs(9));
    bench.edge.fail(Some(key("a")), Some(busy.clone()));
    let done = bench.pass().await;
    assert!(!done.settled);
    assert_eq!(done.retry_after, busy.retry_after);
    assert_eq!(done.problems.len(), 1);
    assert!(done.problems[0].subject.contains("default/a"));
    assert!(bench.workloads.proxy(&key("b")).is_some());
    bench.edge.fail(Some(key("a")), None);
    let done = bench.pass().await;
    assert_eq!(done.stated, [key("a")], "only what failed is stated again");
    assert!(done.settled);
}

#[tokio::test]
async fn a_proxy_that_does_not_start_is_tried_again() {
    let bench = bench(quickstart());
    bench
        .workloads
        .fail(Some(PortError("no node has room".to_owned())));
    assert!(!bench.pass().await.settled);
    bench.workloads.fail(None);
    assert!(bench.pass().await.settled);
    assert!(bench.workloads.proxy(&key("gw")).is_some());
}

#[tokio::test]
async fn a_gateway_that_is_gone_or_has_no_listener_or_is_not_ours_is_forgotten() {
    let cases: [(&str, fn(&mut Vec<Gateway>)); 4] = [
        ("gone", |gateways| gateways.clear()),
        ("being deleted", |gateways| gateways[0].deleting = true),
        ("without a listener", |gateways| {
            gateways[0].listeners.clear()
        }),
        ("of another class", |gateways| {
            gateways[0].class = "theirs".to_owned()
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
        assert!(bench.hold.held().is_empty(), "{case}");
        assert!(
            bench.pass().await.removed.is_empty(),
            "{case}: removed once"
        );
    }
}

#[tokio::test]
async fn a_gateway_without_a_listener_gets_nothing() {
    let bench = bench(quickstart());
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].listeners.clear());
    assert!(bench.pass().await.settled);
    assert!(bench.edge.stated().is_empty() && bench.hold.held().is_empty());
    assert!(bench.data_plane.table(&key("gw")).is_none());
}

#[tokio::test]
async fn a_gateway_whose_credentials_vanish_keeps_what_it_has() {
    let bench = bench(quickstart());
    bench.pass().await;
    bench.cluster.change(|snapshot| {
        let annotations = &mut gateways(snapshot)[0].annotations;
        annotations.insert("without-credentials".to_owned(), String::new());
    });
    let done = bench.resync().await;
    assert!(done.removed.is_empty() && done.stated.is_empty());
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    assert!(bench.data_plane.table(&key("gw")).is_some());
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
async fn a_removal_that_fails_is_finished_later() {
    let bench = bench(quickstart());
    bench.pass().await;
    bench
        .cluster
        .change(|snapshot| gateways(snapshot)[0].deleting = true);
    bench.edge.fail(None, Some(away()));
    assert!(!bench.pass().await.settled);
    assert_eq!(
        bench.hold.held(),
        BTreeSet::from([key("gw")]),
        "held until nothing is left"
    );
    bench.edge.fail(None, None);
    assert_eq!(bench.pass().await.removed, [key("gw")]);
    assert!(bench.hold.held().is_empty());
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
        snapshot.incomplete = Some("shop.yaml, line 3: not YAML".to_owned());
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
        assert!(!bench.edge.held(&key("gw")).unwrap().prune, "{round}");
    }
    bench.cluster.show(snapshot(
        vec![gateway("gw")],
        vec![route("r", "gw", 1, &["app.example.com"])],
    ));
    assert_eq!(bench.pass().await.removed, [key("lost")]);
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    assert!(bench.edge.held(&key("gw")).unwrap().prune);
}

#[tokio::test]
async fn a_start_with_an_incomplete_view_removes_nobody_and_states_each_intent_once() {
    let first = bench(quickstart());
    first.pass().await;
    let mut partial = snapshot(vec![gateway("other")], vec![]);
    partial.incomplete = Some("gw.yaml cannot be read".to_owned());
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
    let cases: [(&str, fn(&mut ClusterSnapshot)); 4] = [
        ("Gateways", |s| {
            s.gateways = Reading::Unknown("timeout".to_owned())
        }),
        ("routes", |s| {
            s.routes = Reading::Unknown("timeout".to_owned())
        }),
        ("GatewayClasses", |s| {
            s.classes = Reading::Unknown("timeout".to_owned())
        }),
        ("EndpointSlices", |s| {
            s.endpoint_slices = Reading::Unknown("timeout".to_owned())
        }),
    ];
    for (kind, change) in cases {
        let bench = bench(quickstart());
        bench.pass().await;
        let before = (
            bench.data_plane.table(&key("gw")),
            bench.edge.held(&key("gw")),
        );
        bench.cluster.change(change);
        let done = bench.reconciler.route_pass().await;
        assert!(done.withheld.unwrap().starts_with(kind));
        bench.reconciler.edge_pass(true).await;
        assert_eq!(
            (
                bench.data_plane.table(&key("gw")),
                bench.edge.held(&key("gw"))
            ),
            before
        );
        assert_eq!(bench.statuses.count(), 1, "{kind}");
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
    );
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

#[test]
fn passes_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let bench = bench(quickstart());
    is_send(bench.reconciler.route_pass());
    is_send(bench.reconciler.edge_pass(false));
}
