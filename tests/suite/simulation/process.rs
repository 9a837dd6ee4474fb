//! A controller of a cluster, which runs a pass up to its next call at a time.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use domain::ObjectKey;
use domain::edge::direct::DirectEdge;
use domain::gateway::CONTROLLER_NAME;
use domain::ports::Leadership;
use domain::reconcile::{EdgePassReport, Ports, Reconciler};
use domain::testing::{
    FakeCluster, FakeDataPlane, FakeFinalizer, FakeOrphans, FakeRotations, FakeWorkloads,
    FixedEntropy, FixedLeadership,
};

use super::cluster_model::{ClusterModel, View};
use super::harness::Harness;
use super::installations::ClusterId;
use super::ports::{Actor, Port};
use super::random::Random;
use super::rules::Rule;
use super::told::Told;

type Pass = Pin<Box<dyn Future<Output = Option<EdgePassReport>> + Send>>;

/// More polls than any pass takes over so few objects.
const LONGEST_PASS: usize = 2_000;

/// What stays in a cluster when a controller ends.
#[derive(Clone, Default)]
pub(crate) struct Persistent {
    /// Gateways whose objects are there and are not being deleted.
    pub(crate) objects: Arc<Mutex<BTreeSet<ObjectKey>>>,
    pub(crate) told: Arc<Mutex<Told>>,
    pub(crate) finalizer: Arc<FakeFinalizer>,
    pub(crate) workloads: Arc<FakeWorkloads>,
    pub(crate) rotations: Arc<FakeRotations>,
    pub(crate) orphans: Arc<FakeOrphans>,
    pub(crate) entropy: Arc<FixedEntropy>,
}

/// A controller that runs. Dropping it is a crash.
pub(crate) struct Process {
    pub(crate) actor: Arc<Actor>,
    reconciler: Arc<Reconciler>,
    pub(crate) view: View,
    route_pass: Option<Pass>,
    edge_pass: Option<Pass>,
}

impl Process {
    pub(crate) fn start(
        name: &'static str,
        cluster: ClusterId,
        harness: &Arc<Harness>,
        persistent: &Persistent,
        term: Option<u64>,
    ) -> Self {
        let actor = Arc::new(Actor {
            name,
            cluster_id: cluster,
            harness: harness.clone(),
            cluster: FakeCluster::default(),
            data_plane: FakeDataPlane::default(),
            persistent: persistent.clone(),
            leadership: FixedLeadership::default(),
            notes: Default::default(),
        });
        let port = || Arc::new(Port(actor.clone()));
        actor.leadership.set(term);
        let installation = cluster.installation().clone();
        let entropy = persistent.entropy.clone();
        let edge = DirectEdge::new(port(), port(), entropy, installation).remembering();
        let ports = Ports {
            cluster: port(),
            statuses: port(),
            finalizer: port(),
            leadership: port(),
            workloads: port(),
            data_plane: port(),
            edge: Arc::new(edge),
            rotations: port(),
            orphans: port(),
            events: port(),
            clock: harness.clock.clone(),
        };
        Self {
            reconciler: Arc::new(Reconciler::new(ports, CONTROLLER_NAME)),
            actor,
            view: View::Whole,
            route_pass: None,
            edge_pass: None,
        }
    }

    pub(crate) fn term(&self) -> Option<u64> {
        self.actor.leadership.term()
    }

    pub(crate) fn lead(&self, term: Option<u64>) {
        self.actor.leadership.set(term);
    }

    pub(crate) fn see(&self, model: &ClusterModel) {
        self.actor.cluster.show(model.snapshot(&self.view));
    }

    /// Whether no pass is between what it read at the edge and what it writes there.
    pub(crate) fn is_quiet(&self) -> bool {
        self.edge_pass.is_none()
    }

    fn begin_route_pass(&mut self) {
        let actor = self.actor.clone();
        let reconciler = self.reconciler.clone();
        self.route_pass = Some(Box::pin(async move {
            reconciler.route_pass().await;
            actor.use_last_snapshot();
            reconciler.status_pass().await;
            None
        }));
    }

    fn begin_edge_pass(&mut self, resync: bool) {
        let actor = self.actor.clone();
        let reconciler = self.reconciler.clone();
        self.edge_pass = Some(Box::pin(async move {
            actor.begin_edge_pass(resync);
            Some(reconciler.edge_pass(resync).await)
        }));
    }

    /// Runs one of the passes up to its next call.
    pub(crate) fn step(&mut self, random: &mut Random) {
        if random.chance(35) {
            if self.route_pass.is_some() {
                advance(&mut self.route_pass);
            } else if random.chance(50) {
                self.begin_route_pass();
            }
        } else if self.edge_pass.is_some() {
            advance(&mut self.edge_pass);
        } else {
            self.begin_edge_pass(random.chance(25));
        }
    }

    /// Runs both passes to their end.
    pub(crate) fn drain(&mut self) {
        let passes = [self.route_pass.take(), self.edge_pass.take()];
        for pass in passes.into_iter().flatten() {
            self.finish(pass);
        }
    }

    fn finish(&self, mut pass: Pass) -> Option<EdgePassReport> {
        let harness = &self.actor.harness;
        for _ in 0..LONGEST_PASS {
            harness.step();
            if let Poll::Ready(report) = poll(&mut pass) {
                return report;
            }
            harness.check_after_writes();
        }
        let what = format!("a pass of {} does not end", self.actor.name);
        harness.fail(Rule::Ends, what);
        None
    }

    pub(crate) fn whole_pass(&mut self, resync: bool) -> Option<EdgePassReport> {
        self.begin_route_pass();
        self.drain();
        self.begin_edge_pass(resync);
        let edge_pass = self.edge_pass.take()?;
        let report = self.finish(edge_pass);
        self.actor.harness.log(|| format!(" {report:?}"));
        report
    }
}

fn poll(pass: &mut Pass) -> Poll<Option<EdgePassReport>> {
    let mut context = Context::from_waker(Waker::noop());
    pass.as_mut().poll(&mut context)
}

/// Runs a pass that has begun up to its next call, or to its end.
fn advance(pass: &mut Option<Pass>) {
    if pass.as_mut().is_some_and(|pass| poll(pass).is_ready()) {
        *pass = None;
    }
}
