//! How many calls to Cloudflare what happens to a Gateway costs, through passes, the direct edge, the adapter and the
//! stand-in. `make bench-api` prints it for the figures of docs/performance.md; a small sample is in every test.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::gateway::{
    AllowedNamespaces, CONTROLLER_NAME, GATEWAY_GROUP, Gateway, GatewayClass, Infrastructure,
    Listener, ParentRef, PatternRoom, Protocol, Route, RouteKind,
};
use domain::reconcile::{Ports, Reconciler};
use domain::snapshot::{ClusterSnapshot, Reading};
use domain::testing::{
    FakeCluster, FakeDataPlane, FakeFinalizer, FakeOrphans, FakeRotations, FakeWorkloads,
    FixedClock, FixedLeadership, RecordingEvents, RecordingStatusSink,
};
use domain::{ObjectKey, ObjectRef, Timestamp};

use super::rig::{Rig, host, key, token};

/// Records on a page, as the adapter asks for them.
const PAGE: usize = 1000;

fn route(number: usize, hostnames: &[String]) -> Arc<Route> {
    Arc::new(Route {
        kind: RouteKind::Http,
        source: domain::gateway::RouteSource::Route,
        key: ObjectKey::new("default", format!("route-{number}")),
        generation: 1,
        created: Timestamp(0),
        parents: vec![ParentRef {
            target: ObjectRef {
                group: GATEWAY_GROUP.to_owned(),
                kind: "Gateway".to_owned(),
                key: key(),
            },
            namespace_written: false,
            section: None,
            port: None,
        }],
        hostnames: hostnames.iter().map(|name| host(name)).collect(),
        rules: Vec::new(),
        pattern_room: PatternRoom::default(),
        uses: Vec::new(),
        field_errors: Vec::new(),
    })
}

/// One Gateway with so many hostnames, sixteen to a route.
fn snapshot(names: usize) -> ClusterSnapshot {
    let hostnames: Vec<_> = (0..names).map(|n| format!("n{n}.example.com")).collect();
    let routes = hostnames.chunks(16).enumerate();
    let routes = routes.map(|(number, names)| route(number, names));
    ClusterSnapshot {
        classes: Reading::Known(vec![GatewayClass {
            name: "cloudflare".to_owned(),
            generation: 1,
            controller: CONTROLLER_NAME.to_owned(),
            parameters: None,
            field_errors: Vec::new(),
        }]),
        gateways: Reading::Known(vec![Gateway {
            key: key(),
            generation: 1,
            created: Timestamp(0),
            deleting: false,
            class: "cloudflare".to_owned(),
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
        }]),
        routes: Reading::Known(routes.collect()),
        ..ClusterSnapshot::default()
    }
}

/// A controller over a rig's edge.
struct Controller {
    cluster: Arc<FakeCluster>,
    reconciler: Reconciler,
}

impl Controller {
    fn start(rig: &Rig, names: usize) -> Self {
        let cluster = Arc::new(FakeCluster::showing(snapshot(names)));
        let ports = Ports {
            cluster: cluster.clone(),
            statuses: Arc::new(RecordingStatusSink::default()),
            finalizer: Arc::new(FakeFinalizer::default()),
            leadership: Arc::new(FixedLeadership::default()),
            workloads: Arc::new(FakeWorkloads::default()),
            data_plane: Arc::new(FakeDataPlane::default()),
            edge: rig.edge.clone(),
            rotations: Arc::new(FakeRotations::default()),
            orphans: Arc::new(FakeOrphans::default()),
            events: Arc::new(RecordingEvents::default()),
            clock: Arc::new(FixedClock::default()),
        };
        let reconciler = Reconciler::new(ports, CONTROLLER_NAME);
        Self {
            cluster,
            reconciler,
        }
    }

    /// One pass of each kind. Returns the calls that it cost: reads and writes.
    async fn pass(&self, rig: &Rig, resync: bool) -> (usize, usize) {
        rig.cloud.forget_calls();
        self.reconciler.route_pass().await;
        let report = self.reconciler.edge_pass(resync).await;
        assert_eq!(report.problems, [], "nothing fails");
        let calls = rig.cloud.calls();
        let writes = calls.iter().filter(|call| call.write).count();
        (calls.len() - writes, writes)
    }
}

async fn measure(more: usize, many: usize) {
    let mut rig = Rig::start(token(), &["example.com"]).await;
    let controller = Controller::start(&rig, 1);
    controller.pass(&rig, false).await;

    let show = |what: &str, (reads, writes): (usize, usize)| {
        println!("{what}: {reads} reads, {writes} writes");
    };
    let idle = controller.pass(&rig, false).await;
    show("an idle interval", idle);
    assert_eq!(idle, (0, 0));

    let resync = controller.pass(&rig, true).await;
    show("a resync, one hostname", resync);
    assert_eq!(resync.1, 0);

    controller.cluster.show(snapshot(1 + more));
    let added = controller.pass(&rig, false).await;
    show(&format!("{more} new hostnames"), added);
    assert!(added.1 <= 5, "{added:?}");

    controller.cluster.show(snapshot(many));
    controller.pass(&rig, false).await;
    let records = rig.cloud.records(&rig.zones["example.com"]).len();
    assert_eq!(records, many);
    rig.restart();
    let second = Controller::start(&rig, many);
    let restart = second.pass(&rig, false).await;
    show(&format!("a restart with {many} hostnames"), restart);
    let pages = many.div_ceil(PAGE);
    // Besides the pages: tunnels (once to find Gateways, once for the Gateway), document, zones, connector token.
    assert_eq!(restart, (pages + 4, 0), "{:?}", rig.cloud.calls());
    assert_eq!(second.pass(&rig, false).await, (0, 0));
}

#[tokio::test]
async fn calls_are_few_and_none_while_nothing_changes() {
    measure(500, 1200).await;
}

#[tokio::test]
#[ignore = "make bench-api: the full figures"]
async fn bench_api() {
    measure(500, 10_000).await;
}
