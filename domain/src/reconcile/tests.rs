//! Passes over fakes. The rules are simple ones of the test's own, so that a case is a few lines: each
//! Gateway of class `ours` with a listener is served, and gets the hostnames of the routes that name it.

mod concurrent;
mod credentials;
mod delivery;
mod gateway_state;
mod handover;
mod kept;
mod leadership;
mod queues;
mod removal;
mod rotation;
mod serving;
mod suspended;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::attachment::{GatewayResolution, ParametersResolution, Refusal};
use crate::capabilities::EdgeKind;
use crate::edge::HostnameOutcome;
use crate::edge::direct::DirectEdge;
use crate::error::{PortError, PortErrorKind};
use crate::gateway::{
    AllowedNamespaces, DeletionPolicy, GATEWAY_GROUP, Gateway, GatewayClass, Infrastructure,
    Listener, ParentRef, Protocol, Reconciling, Route, RouteKind, RouteSource,
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
        filters: Vec::new(),
        routes: attached()
            .map(|route| TableRoute {
                broader: None,
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
        addresses: Vec::new(),
        listener_sets: Vec::new(),
        client_certificate: None,
        frontend: Default::default(),
        awaits_trust: gateway.annotations.contains_key("awaits-trust"),
        edge: EdgeKind::default(),
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
            client_validation: Vec::new(),
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
            filters: Vec::new(),
            field_errors: Vec::new(),
        }],
        allowed_listeners: AllowedNamespaces::None,
        parameters: None,
        addresses: Vec::new(),
        infrastructure: Infrastructure::default(),
        client_certificate: None,
        frontend: None,
        annotations: BTreeMap::new(),
        field_errors: Vec::new(),
    }
}

fn route(name: &str, gateway: &str, created: i64, hostnames: &[&str]) -> Arc<Route> {
    Arc::new(Route {
        source: RouteSource::Route,
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
        field_errors: Vec::new(),
    })
}

fn snapshot(gateways: Vec<Gateway>, routes: Vec<Arc<Route>>) -> ClusterSnapshot {
    let class = |name: &str| GatewayClass {
        name: name.to_owned(),
        generation: 1,
        controller: name.to_owned(),
        parameters: None,
        field_errors: Vec::new(),
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
