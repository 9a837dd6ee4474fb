//! Passes over fakes. The rules are simple ones of the test's own, so that a case is a few lines: each
//! Gateway of class `ours` with a listener is served, and gets the hostnames of the routes that name it.

mod concurrent;
mod delivery;
mod handover;
mod kept;
mod queues;
mod removal;
mod rotation;
mod suspended;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::attachment::{GatewayResolution, ParametersResolution, Refusal};
use crate::edge::HostnameOutcome;
use crate::edge::direct::DirectEdge;
use crate::error::{PortError, PortErrorKind};
use crate::gateway::{
    AllowedNamespaces, DeletionPolicy, GATEWAY_GROUP, Gateway, GatewayClass, Infrastructure,
    Listener, ParentRef, Protocol, Reconciling, Route, RouteKind,
};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};
use crate::rotation::{RotationIntent, Schedule};
use crate::route_table::{RouteTable, TableListener, TableRoute};
use crate::snapshot::Reading;
use crate::status::Reason;
use crate::testing::{
    ApiCall, FakeCloudflare, FakeCluster, FakeDataPlane, FakeEdge, FakeFinalizer, FakeOrphans,
    FakeRotations, FakeWorkloads, FixedClock, FixedEntropy, FixedLeadership, Moment,
    RecordingEvents, RecordingStatusSink, StaticCredentials,
};
use crate::workload::{WorkloadSpec, WorkloadStatus};

fn rules(snapshot: &ClusterSnapshot, _: &str, defaults: &GatewayDefaults) -> Resolution {
    let ours = snapshot
        .gateways
        .items()
        .iter()
        .filter(|gateway| gateway.class == "ours");
    let gateways = ours.map(|gateway| (gateway.key.clone(), judged(snapshot, gateway)));
    Resolution {
        gateways: Arc::new(gateways.collect()),
        unread: attachment::resolve(snapshot, "", defaults).unread,
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
    let refusal = |reason| Refusal {
        reason,
        message: "refused".to_owned(),
    };
    let without_credentials = gateway.annotations.contains_key("without-credentials");
    let not_permitted = gateway.annotations.contains_key("not-permitted");
    let without_listener = gateway.listeners.is_empty();
    GatewayResolution {
        gateway: gateway.clone(),
        refusal: match (without_credentials, not_permitted, without_listener) {
            (true, _, _) => Some(refusal(Reason::InvalidParameters)),
            (false, true, _) => Some(refusal(Reason::NamespaceNotPermitted)),
            (false, false, true) => Some(refusal(Reason::ListenersNotValid)),
            (false, false, false) => None,
        },
        listeners: Vec::new(),
        certificates: Some(BTreeSet::new()),
        credentials: gateway
            .annotations
            .get("credentials")
            .and_then(|edition| edition.parse().ok()),
        credentials_namespace: gateway.annotations.get("credentials-in").cloned(),
        hostnames,
        paths: BTreeMap::new(),
        reconciling: Reconciling::read(&gateway.annotations).0,
        parameters: ParametersResolution {
            deletion_policy: deletion_policy_of(gateway),
            workload: WorkloadSpec::of(gateway.infrastructure.clone(), None, None),
            rotation: rotation_of(gateway),
            ..ParametersResolution::default()
        },
        table: Arc::new(RouteTable {
            gateway: gateway.key.clone(),
            listeners: gateway
                .listeners
                .iter()
                .filter(|_| !gateway.annotations.contains_key("without-certificate"))
                .map(listener)
                .collect(),
            upstreams: BTreeMap::new(),
        }),
    }
}

/// By an annotation: `unknown` where the parameters are gone.
fn deletion_policy_of(gateway: &Gateway) -> Option<DeletionPolicy> {
    match gateway
        .annotations
        .get("deletion-policy")
        .map(String::as_str)
    {
        Some("Orphan") => Some(DeletionPolicy::Orphan),
        Some("unknown") => None,
        _ => Some(DeletionPolicy::Delete),
    }
}

/// By the schedule in an annotation.
fn rotation_of(gateway: &Gateway) -> RotationIntent {
    let schedule = gateway.annotations.get("schedule");
    let schedule = schedule.map(|cron| Schedule::parse(cron, None).unwrap());
    RotationIntent::new(schedule, &gateway.annotations)
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
        infrastructure: Infrastructure::default(),
        annotations: BTreeMap::new(),
        defects: Vec::new(),
    }
}

fn route(name: &str, gateway: &str, created: i64, hostnames: &[&str]) -> Arc<Route> {
    Arc::new(Route {
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
        pattern_room: crate::gateway::PatternRoom::default(),
        uses: Vec::new(),
        defects: Vec::new(),
    })
}

fn snapshot(gateways: Vec<Gateway>, routes: Vec<Arc<Route>>) -> ClusterSnapshot {
    let class = |name: &str| GatewayClass {
        name: name.to_owned(),
        generation: 1,
        controller: name.to_owned(),
        parameters: None,
        defects: Vec::new(),
    };
    ClusterSnapshot {
        classes: Reading::Known(vec![class("ours"), class("theirs")]),
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

fn routes(snapshot: &mut ClusterSnapshot) -> &mut Vec<Arc<Route>> {
    match &mut snapshot.routes {
        Reading::Known(routes) => routes,
        other => panic!("{other:?}"),
    }
}

fn away() -> PortError {
    PortError::unavailable("the edge is away")
}

struct Bench<E> {
    cluster: Arc<FakeCluster>,
    statuses: Arc<RecordingStatusSink>,
    finalizer: Arc<FakeFinalizer>,
    leadership: Arc<FixedLeadership>,
    workloads: Arc<FakeWorkloads>,
    data_plane: Arc<FakeDataPlane>,
    edge: Arc<E>,
    rotations: Arc<FakeRotations>,
    orphans: Arc<FakeOrphans>,
    events: Arc<RecordingEvents>,
    clock: Arc<FixedClock>,
    reconciler: Reconciler,
}

fn bench(snapshot: ClusterSnapshot) -> Bench<FakeEdge> {
    over(snapshot, Arc::new(FakeEdge::default()))
}

/// A new process over this edge.
fn over<E: Edge + 'static>(snapshot: ClusterSnapshot, edge: Arc<E>) -> Bench<E> {
    let cluster = Arc::new(FakeCluster::showing(snapshot));
    let statuses = Arc::new(RecordingStatusSink::default());
    let finalizer = Arc::new(FakeFinalizer::default());
    let leadership = Arc::new(FixedLeadership::default());
    let workloads = Arc::new(FakeWorkloads::default());
    let data_plane = Arc::new(FakeDataPlane::default());
    let rotations = Arc::new(FakeRotations::default());
    let orphans = Arc::new(FakeOrphans::default());
    let events = Arc::new(RecordingEvents::default());
    let clock = Arc::new(FixedClock::default());
    let ports = Ports {
        cluster: cluster.clone(),
        statuses: statuses.clone(),
        finalizer: finalizer.clone(),
        leadership: leadership.clone(),
        workloads: workloads.clone(),
        data_plane: data_plane.clone(),
        edge: edge.clone(),
        rotations: rotations.clone(),
        orphans: orphans.clone(),
        events: events.clone(),
        clock: clock.clone(),
    };
    let mut reconciler = Reconciler::new(ports, "test");
    reconciler.rules = rules;
    Bench {
        cluster,
        statuses,
        finalizer,
        leadership,
        workloads,
        data_plane,
        edge,
        rotations,
        orphans,
        events,
        clock,
        reconciler,
    }
}

impl<E> Bench<E> {
    /// A route pass, a status pass and an edge pass.
    async fn pass(&self) -> EdgePassReport {
        self.reconciler.route_pass().await;
        self.reconciler.status_pass().await;
        self.reconciler.edge_pass(false).await
    }

    async fn resync(&self) -> EdgePassReport {
        self.reconciler.route_pass().await;
        self.reconciler.edge_pass(true).await
    }

    /// A route pass and what it has to tell.
    async fn told(&self) -> StatusPassReport {
        self.reconciler.route_pass().await;
        self.reconciler.status_pass().await
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
    assert_eq!(bench.finalizer.gateways(), BTreeSet::from([key("gw")]));
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
    assert!(!bench.reconciler.route_pass().await.concluded_anew);
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
async fn whichever_pass_sees_a_change_tells_that_the_edge_may_have_to_follow() {
    let bench = bench(quickstart());
    assert!(bench.reconciler.route_pass().await.concluded_anew);
    bench.cluster.change(|snapshot| {
        routes(snapshot).push(route("more", "gw", 5, &["more.example.com"]));
    });
    assert!(bench.reconciler.route_pass().await.concluded_anew);
    assert!(!bench.reconciler.route_pass().await.concluded_anew);
}

#[tokio::test]
async fn other_credentials_ask_the_edge_anew_and_take_nothing_away() {
    let bench = bench(quickstart());
    let credentials = |edition: &'static str| {
        bench.cluster.change(move |snapshot| {
            let annotations = &mut gateways(snapshot)[0].annotations;
            annotations.insert("credentials".to_owned(), edition.to_owned());
        });
    };
    credentials("1");
    bench.pass().await;
    assert!(bench.pass().await.stated.is_empty());

    credentials("2");
    bench.edge.fail(None, Some(away()));
    let done = bench.pass().await;
    assert_eq!((done.stated, done.settled), (vec![key("gw")], false));
    assert_eq!(bench.hostnames("gw").unwrap(), ["app.example.com"]);
    assert!(bench.workloads.proxy(&key("gw")).is_some());

    credentials("3");
    bench.edge.fail(None, None);
    assert!(bench.pass().await.settled);
    // A Secret that cannot be read for a while tells nothing.
    credentials("unread");
    assert!(bench.pass().await.stated.is_empty());
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
    assert!(bench.edge.stated().is_empty() && bench.finalizer.gateways().is_empty());
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
    let full = PortError::unavailable("disk full");
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
    let again = BTreeMap::from([(key("a"), busy.retry_after)]);
    assert_eq!(done.again, again, "only it is to be left alone for a time");
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
    let no_room = PortError::unavailable("no node has room");
    bench.workloads.fail(Some(no_room.clone()));
    let told = || {
        let state = bench.reconciler.state();
        let facts = state.facts(&key("gw"), WorkloadStatus::default());
        facts.workload.problems
    };
    let done = bench.pass().await;
    assert_eq!(done.again, [(key("gw"), None)].into());
    assert_eq!(told(), ["no node has room"], "the user is to know why");
    let retry_after = Some(std::time::Duration::from_secs(7));
    bench.workloads.fail(Some(PortError {
        retry_after,
        ..no_room
    }));
    let done = bench.pass().await;
    assert_eq!(done.again, [(key("gw"), retry_after)].into());
    bench.workloads.fail(None);
    assert!(bench.pass().await.settled);
    assert!(bench.workloads.proxy(&key("gw")).is_some());
    assert!(told().is_empty());
}

#[tokio::test]
async fn a_gateway_that_the_edge_disowns_is_stated_and_run_anew_and_no_other_is() {
    let mut two = quickstart();
    gateways(&mut two).push(gateway("other"));
    routes(&mut two).push(route("r2", "other", 1, &["other.example.com"]));
    let bench = bench(two);
    bench.pass().await;
    assert!(bench.pass().await.stated.is_empty());
    bench.edge.lose_tunnel(&key("gw"));
    bench.reconciler.edge_disowned(&key("gw"));
    bench.reconciler.edge_disowned(&key("nobody"));
    let ran = bench.workloads.ensured();

    let done = bench.pass().await;

    assert_eq!(done.stated, [key("gw")]);
    assert!(bench.edge.held(&key("gw")).is_some());
    assert_eq!(bench.workloads.ensured(), ran + 1);
    assert!(bench.pass().await.stated.is_empty(), "once");
}

#[tokio::test]
async fn a_proxy_is_made_to_run_anew_when_only_its_shape_changes() {
    let bench = bench(quickstart());
    bench.pass().await;
    let stated = bench.edge.stated().len();
    bench.cluster.change(|snapshot| {
        let Reading::Known(gateways) = &mut snapshot.gateways else {
            panic!("known");
        };
        let labels = &mut gateways[0].infrastructure.labels;
        labels.insert("team".to_owned(), "shop".to_owned());
    });
    bench
        .workloads
        .fail(Some(PortError::unavailable("no node has room")));
    assert!(!bench.pass().await.settled);
    bench.workloads.fail(None);
    assert!(bench.pass().await.settled);
    let spec = bench.workloads.spec(&key("gw")).unwrap();
    assert!(spec.infrastructure.labels.contains_key("team"));
    let ensured = bench.workloads.ensured();
    assert!(bench.pass().await.settled);
    assert_eq!(bench.workloads.ensured(), ensured, "once is enough");
    assert!(
        bench.edge.stated().len() <= stated + 1,
        "the edge is asked again only after the failure"
    );
}

#[tokio::test]
async fn a_proxy_that_is_unfinished_is_seen_to_again_without_asking_the_edge() {
    let bench = bench(quickstart());
    bench.workloads.leave_unfinished(true);
    let done = bench.pass().await;
    assert!(!done.settled && done.problems.is_empty(), "{done:?}");
    let stated = bench.edge.stated().len();
    bench.workloads.leave_unfinished(false);
    assert!(bench.pass().await.settled);
    assert_eq!(bench.workloads.ensured(), 2);
    assert_eq!(bench.edge.stated().len(), stated);
}

#[test]
fn passes_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let bench = bench(quickstart());
    is_send(bench.reconciler.route_pass());
    is_send(bench.reconciler.edge_pass(false));
    is_send(bench.reconciler.status_pass());
}
