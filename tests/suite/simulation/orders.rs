//! Every order in which what a Gateway needs can go away while the Gateway is deleted. The orders are enumerated and not
//! drawn; one ends once the Gateway is gone, and all orders that begin alike are one. After each step all passes run.
//!
//! In the end the Gateway is gone, or what is told of it says what is left and how to let it go, and that works.
//! Nothing stays at the edge that the next process would not know of.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use domain::ObjectKey;
use domain::edge::direct::DirectEdge;
use domain::gateway::{CONTROLLER_NAME, DeletionPolicy, RECONCILE_ANNOTATION, Route};
use domain::reconcile::{Ports, Reconciler};
use domain::snapshot::{ClusterSnapshot, Reading};
use domain::status::EventReason;
use domain::testing::{
    FakeCloudflare, FakeCluster, FakeDataPlane, FakeFinalizer, FakeOrphans, FakeRotations,
    FakeWorkloads, FixedClock, FixedEntropy, FixedLeadership, RecordingEvents, RecordingStatusSink,
    StaticCredentials, installation,
};

use super::cluster_model::{GATEWAYS, NAMES, ZONES, host, key};
use super::objects;

/// What happens, each once in every order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The GatewayClass is gone.
    Class,
    /// The CloudflareGatewayParameters of the Gateway are gone.
    Parameters,
    /// The credentials are gone or refused.
    Credentials,
    /// The annotation suspends the Gateway.
    Suspended,
    /// The parameters say `deletionPolicy: Orphan`.
    Orphan,
    /// The Gateway is deleted.
    Deleted,
}

const STEPS: [Step; 6] = [
    Step::Class,
    Step::Parameters,
    Step::Credentials,
    Step::Suspended,
    Step::Orphan,
    Step::Deleted,
];

/// In which way the parameters are gone.
#[derive(Debug, Clone, Copy)]
enum WithoutParameters {
    NoObject,
    /// Their CRD is not installed.
    NoKind,
    /// They could not be listed.
    Unread,
    /// As in a namespace that is Terminating: with routes, Services and EndpointSlices.
    Namespace,
}

/// In which way the credentials are.
#[derive(Debug, Clone, Copy)]
enum WithoutCredentials {
    NoSecret,
    Refused,
}

impl WithoutParameters {
    fn take_from(self, snapshot: &mut ClusterSnapshot) {
        snapshot.parameters = match self {
            Self::NoObject | Self::Namespace => Reading::Known(Vec::new()),
            Self::NoKind => Reading::Absent,
            Self::Unread => Reading::Unknown("timeout".to_owned()),
        };
        if matches!(self, Self::Namespace) {
            snapshot.routes = Reading::Known(Vec::new());
            snapshot.services = Reading::Known(Vec::new());
            snapshot.endpoint_slices = Reading::Known(Vec::new());
        }
    }
}

type Ways = (WithoutParameters, WithoutCredentials);

/// Each way of one with some way of the other.
const WAYS: [Ways; 4] = [
    (WithoutParameters::NoObject, WithoutCredentials::NoSecret),
    (WithoutParameters::NoKind, WithoutCredentials::Refused),
    (WithoutParameters::Unread, WithoutCredentials::Refused),
    (WithoutParameters::Namespace, WithoutCredentials::NoSecret),
];

/// Runs what never waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a pass waits"),
    }
}

/// A Gateway with parameters and one name.
fn quickstart() -> ClusterSnapshot {
    let listener = objects::listener(None);
    let mut gateway = objects::gateway(GATEWAYS[0], 1, listener);
    gateway.parameters = Some(objects::parameters_ref("orphaning"));
    let route = Route {
        parents: vec![objects::parent(GATEWAYS[0])],
        hostnames: vec![host(NAMES[0])],
        rules: vec![objects::rule("s0")],
        ..objects::route("r0", 1)
    };
    ClusterSnapshot {
        classes: Reading::Known(vec![objects::class("ours", CONTROLLER_NAME)]),
        gateways: Reading::Known(vec![gateway]),
        routes: Reading::Known(vec![Arc::new(route)]),
        parameters: Reading::Known(vec![objects::orphaning()]),
        services: Reading::Known(vec![objects::service("s0")]),
        endpoint_slices: Reading::Known(vec![objects::slice("s0")]),
        ..ClusterSnapshot::default()
    }
}

/// A controller over fakes, and one Gateway.
struct Bench {
    ways: Ways,
    gateway: ObjectKey,
    happened: BTreeSet<Step>,
    is_gone: bool,
    cluster: Arc<FakeCluster>,
    statuses: Arc<RecordingStatusSink>,
    finalizer: Arc<FakeFinalizer>,
    orphans: Arc<FakeOrphans>,
    events: Arc<RecordingEvents>,
    credentials: Arc<StaticCredentials>,
    cloudflare: FakeCloudflare,
    reconciler: Reconciler,
}

impl Bench {
    fn new(ways: Ways) -> Self {
        let gateway = key(GATEWAYS[0]);
        let cloudflare = FakeCloudflare::with_zones(&ZONES);
        let credentials = Arc::new(StaticCredentials::default());
        credentials.set(Some(gateway.clone()), Some("acme"));
        let (cluster, statuses) = (Arc::default(), Arc::default());
        let (finalizer, orphans) = (Arc::default(), Arc::default());
        let events = Arc::default();
        let edge = DirectEdge::new(
            Arc::new(cloudflare.clone()),
            Arc::clone(&credentials) as _,
            Arc::new(FixedEntropy::default()),
            installation("home"),
        );
        let ports = Ports {
            cluster: Arc::<FakeCluster>::clone(&cluster) as _,
            statuses: Arc::<RecordingStatusSink>::clone(&statuses) as _,
            finalizer: Arc::<FakeFinalizer>::clone(&finalizer) as _,
            leadership: Arc::new(FixedLeadership::default()),
            workloads: Arc::new(FakeWorkloads::default()),
            data_plane: Arc::new(FakeDataPlane::default()),
            edge: Arc::new(edge.remembering()),
            rotations: Arc::new(FakeRotations::default()),
            orphans: Arc::<FakeOrphans>::clone(&orphans) as _,
            events: Arc::<RecordingEvents>::clone(&events) as _,
            clock: Arc::new(FixedClock::default()),
        };
        let mut bench = Self {
            ways,
            gateway,
            happened: BTreeSet::new(),
            is_gone: false,
            cluster,
            statuses,
            finalizer,
            orphans,
            events,
            credentials,
            cloudflare,
            reconciler: Reconciler::new(ports, CONTROLLER_NAME),
        };
        bench.pass(false);
        assert!(bench.has_something(), "it is served at first");
        bench
    }

    fn snapshot(&self) -> ClusterSnapshot {
        let has = |step| self.happened.contains(&step);
        let mut snapshot = quickstart();
        if let Reading::Known(gateways) = &mut snapshot.gateways {
            gateways.retain(|_| !self.is_gone);
            for gateway in gateways {
                gateway.deleting = has(Step::Deleted);
                if has(Step::Suspended) {
                    let annotations = &mut gateway.annotations;
                    annotations.insert(RECONCILE_ANNOTATION.to_owned(), "disabled".to_owned());
                }
            }
        }
        if let Reading::Known(parameters) = &mut snapshot.parameters {
            let policy = match has(Step::Orphan) {
                true => DeletionPolicy::Orphan,
                false => DeletionPolicy::Delete,
            };
            parameters[0].deletion_policy = Some(policy);
        }
        if has(Step::Class) {
            snapshot.classes = Reading::Known(Vec::new());
        }
        if has(Step::Parameters) {
            self.ways.0.take_from(&mut snapshot);
        }
        snapshot
    }

    /// One step, and all passes after it.
    fn take(&mut self, step: Step) {
        self.happened.insert(step);
        match (step, self.ways.1) {
            (Step::Credentials, WithoutCredentials::NoSecret) => {
                self.credentials.lose(self.gateway.clone());
            }
            (Step::Credentials, WithoutCredentials::Refused) => {
                self.cloudflare.revoke("token of acme");
            }
            _ => {}
        }
        self.pass(false);
    }

    /// All that was missing is there again.
    fn mend(&mut self) {
        let stays = [Step::Deleted, Step::Suspended, Step::Orphan];
        self.happened.retain(|step| stays.contains(step));
        self.credentials
            .set(Some(self.gateway.clone()), Some("acme"));
        self.cloudflare.heal();
        self.pass(true);
    }

    fn pass(&mut self, resync: bool) {
        self.cluster.show(self.snapshot());
        run(self.reconciler.route_pass());
        run(self.reconciler.edge_pass(resync));
        run(self.reconciler.status_pass());
        let is_kept = self.finalizer.gateways().contains(&self.gateway);
        self.is_gone = self.happened.contains(&Step::Deleted) && !is_kept;
    }

    fn has_something(&self) -> bool {
        !self.cloudflare.tunnels().is_empty() || !self.cloudflare.records().is_empty()
    }

    /// Whether the Gateway is of no class, so that nothing but what was kept tells whether it is ours, and a kind was not
    /// read. Nothing is done then until it is, and that is an outage of the API server's.
    fn waits_for_a_read(&self) -> bool {
        let is_unread = matches!(self.ways.0, WithoutParameters::Unread);
        let missing = [Step::Class, Step::Parameters];
        is_unread && missing.iter().all(|step| self.happened.contains(step))
    }

    fn is_orphan(&self) -> bool {
        self.orphans.kept().contains(&self.gateway)
    }

    /// Whether it is told what is left and how to let go of the Gateway, in a condition or an Event.
    fn tells_how_to_let_go(&self) -> bool {
        let says = |message: &str| message.contains(&format!("{RECONCILE_ANNOTATION}=disabled"));
        let statuses = self.statuses.last();
        let parts = statuses.iter().flat_map(|update| &update.parts);
        let mut conditions = parts.flat_map(|part| &part.conditions);
        let events = self.events.of(&self.gateway);
        let mut events = events.iter();
        conditions.any(|condition| says(&condition.message))
            || events
                .any(|event| event.reason == EventReason::RemovalBlocked && says(&event.message))
    }

    /// What stays at the edge is known to the next process, and was told.
    fn check_gone(&self, order: &str) {
        assert!(self.is_gone, "{order}: the Gateway does not go");
        let events = self.events.of(&self.gateway);
        let mut events = events.iter();
        let told = events.any(|event| event.reason == EventReason::Orphaned);
        let is_left = self.has_something();
        let is_known = self.is_orphan() && told;
        assert!(!is_left || is_known, "{order}: something is left silently");
    }
}

/// Takes the steps until the Gateway is gone, and says how many those were.
fn take_until_gone(bench: &mut Bench, order: &[Step]) -> usize {
    for (place, step) in order.iter().enumerate() {
        bench.take(*step);
        if bench.is_gone {
            return place + 1;
        }
    }
    order.len()
}

/// One order, with the two ways out where the Gateway is not gone. Says how many of its steps were taken.
fn check_order(ways: Ways, order: &[Step]) -> usize {
    let text = format!("{order:?}, {ways:?}");
    let mut bench = Bench::new(ways);
    let taken = take_until_gone(&mut bench, order);
    if bench.is_gone {
        bench.check_gone(&text);
        return taken;
    }
    // The second one writes what the first one found.
    bench.pass(true);
    bench.pass(false);
    if !bench.is_gone && !bench.waits_for_a_read() {
        assert!(bench.tells_how_to_let_go(), "{text}: it hangs silently");
        bench.take(Step::Suspended);
        bench.check_gone(&format!("{text}, let go"));
    }
    let mut bench = Bench::new(ways);
    take_until_gone(&mut bench, order);
    bench.mend();
    bench.check_gone(&format!("{text}, mended"));
    taken
}

/// The next order that differs in one of the first `taken` places; `None` after the last.
fn next(mut order: Vec<Step>, taken: usize) -> Option<Vec<Step>> {
    order[taken..].sort_by(|a, b| b.cmp(a));
    let place = (1..order.len())
        .rev()
        .find(|at| order[at - 1] < order[*at])?
        - 1;
    let other = (place + 1..order.len()).rev();
    let other = other.into_iter().find(|at| order[*at] > order[place])?;
    order.swap(place, other);
    order[place + 1..].reverse();
    Some(order)
}

#[test]
fn a_gateway_can_be_deleted_whatever_went_away_before_in_whichever_order() {
    let start = std::time::Instant::now();
    let orders: usize = std::thread::scope(|scope| {
        let check = |ways| {
            let mut order = Some(STEPS.to_vec());
            let mut orders = 0;
            while let Some(now) = order {
                let taken = check_order(ways, &now);
                orders += 1;
                order = next(now, taken);
            }
            orders
        };
        let threads = WAYS.map(|ways| scope.spawn(move || check(ways)));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    println!("{orders} orders in {:.1?}", start.elapsed());
}

#[test]
fn the_orders_are_all_permutations() {
    let mut all = BTreeSet::new();
    let mut order = Some(STEPS[..4].to_vec());
    while let Some(now) = order {
        assert!(all.insert(now.clone()), "{now:?} comes twice");
        order = next(now, 4);
    }
    assert_eq!(all.len(), 24);
}
