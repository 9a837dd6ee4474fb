//! Tokens of tunnels are replaced once for each trigger, whatever fails or ends in between.

use futures_util::FutureExt as _;

use super::*;
use crate::edge::{EdgeIntent, EdgeStatus, Partial};
use crate::names::TunnelId;
use crate::ports::{RotationStore, Workloads};
use crate::rotation::{
    CLOSE_ANNOTATION, FORCE_ANNOTATION, REQUEST_ANNOTATION, Request, RotationFacts, RotationState,
    Stage,
};
use crate::secret::{ConnectorToken, TokenHash};

/// All that outlives a process, and the calls after which the present one ends.
#[derive(Default)]
struct World {
    cluster: FakeCluster,
    edge: FakeEdge,
    rotations: FakeRotations,
    workloads: FakeWorkloads,
    clock: FixedClock,
    leadership: Arc<FixedLeadership>,
    calls_left: std::sync::Mutex<Option<usize>>,
    /// What was done so far when the process lost the lead, which it does there instead of ending.
    loses_lead: std::sync::Mutex<Option<Vec<usize>>>,
}

impl World {
    /// One Gateway that is served, with this schedule, after its first pass.
    async fn served(schedule: Option<&str>) -> Arc<Self> {
        let world = Arc::new(Self::default());
        world.cluster.show(quickstart());
        world.clock.set(Timestamp(1_000_000_000));
        if let Some(schedule) = schedule {
            world.annotate("schedule", schedule);
        }
        assert!(world.pass().await.settled);
        world
    }

    fn annotate(&self, annotation: &str, value: &str) {
        self.cluster.change(|snapshot| {
            let annotations = &mut gateways(snapshot)[0].annotations;
            annotations.insert(annotation.to_owned(), value.to_owned());
        });
    }

    /// A new process.
    fn process(self: &Arc<Self>) -> Reconciler {
        let ports = Ports {
            cluster: Arc::new(Shared(self.clone())),
            statuses: Arc::new(RecordingStatusSink::default()),
            finalizer: Arc::new(FakeFinalizer::default()),
            leadership: self.leadership.clone(),
            workloads: Arc::new(Shared(self.clone())),
            data_plane: Arc::new(FakeDataPlane::default()),
            edge: Arc::new(Shared(self.clone())),
            rotations: Arc::new(Shared(self.clone())),
            orphans: Arc::new(FakeOrphans::default()),
            events: Arc::new(RecordingEvents::default()),
            clock: Arc::new(Shared(self.clone())),
        };
        let mut reconciler = Reconciler::new(ports, "test");
        reconciler.rules = rules;
        reconciler
    }

    /// The first pass of a new process.
    async fn pass(self: &Arc<Self>) -> EdgePassReport {
        pass(&self.process()).await
    }

    /// Ends the process at a call: `None` where it makes fewer.
    fn pass_that_ends_at(self: &Arc<Self>, call: usize) -> Option<()> {
        *self.calls_left.lock().expect("lock") = Some(call);
        let ended = pass(&self.process()).now_or_never().is_none();
        *self.calls_left.lock().expect("lock") = None;
        ended.then_some(())
    }

    /// A place where the process may end.
    async fn end_here(&self) {
        let is_end = {
            let mut left = self.calls_left.lock().expect("lock");
            let is_end = *left == Some(0);
            *left = left.map(|left| left.saturating_sub(1));
            is_end
        };
        if !is_end {
            return;
        }
        if let Some(done) = &mut *self.loses_lead.lock().expect("lock") {
            self.leadership.set(None);
            if done.is_empty() {
                *done = self.done();
            }
            return;
        }
        std::future::pending::<()>().await;
    }

    /// How often each thing of a rotation was done.
    fn done(&self) -> Vec<usize> {
        let edge = [
            self.edge.rotations(&key("gw")),
            self.edge.closings(&key("gw")),
        ];
        let edge = edge.map(|times| times as usize);
        edge.into_iter().chain([self.rotations.saved()]).collect()
    }

    fn stage(&self) -> Stage {
        self.rotations.kept(&key("gw")).unwrap().stage
    }

    /// How often the token was replaced; asserts that the proxy has the present one.
    async fn rotations(&self) -> u32 {
        let present = self.edge.connector_token(&key("gw")).await.unwrap();
        let (_, held) = self.workloads.proxy(&key("gw")).unwrap();
        assert!(held.is_same(&present), "the proxy has another token");
        self.edge.rotations(&key("gw"))
    }
}

async fn pass(reconciler: &Reconciler) -> EdgePassReport {
    reconciler.route_pass().await;
    reconciler.edge_pass(false).await
}

/// A port of a process.
struct Shared(Arc<World>);

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

#[async_trait::async_trait]
impl ClusterSource for Shared {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        self.0.cluster.snapshot().await
    }

    async fn changed(&self) {
        self.0.cluster.changed().await;
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        self.0.cluster.follow(refs);
    }
}

/// The process may end before each call and after it.
macro_rules! or_end {
    ($world:expr, $call:expr) => {{
        $world.end_here().await;
        let answer = $call.await;
        $world.end_here().await;
        answer
    }};
}

#[async_trait::async_trait]
impl Edge for Shared {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        self.0.edge.reconcile(intent).await
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        self.0.edge.owned().await
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        or_end!(self.0, self.0.edge.connector_token(gateway))
    }

    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError> {
        or_end!(self.0, self.0.edge.retire_token(gateway, retired))
    }

    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        or_end!(self.0, self.0.edge.close_connections(gateway))
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.edge.remove(gateway).await
    }

    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        self.0.edge.sweep(live).await
    }
}

#[async_trait::async_trait]
impl Workloads for Shared {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        or_end!(
            self.0,
            self.0.workloads.ensure(gateway, spec, tunnel, token)
        )
    }

    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.workloads.release(gateway).await
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.workloads.stop(gateway).await
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        self.0.workloads.status(gateway).await
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        self.0.workloads.running().await
    }
}

#[async_trait::async_trait]
impl RotationStore for Shared {
    async fn load(&self, gateway: &ObjectKey) -> Result<Option<RotationState>, PortError> {
        or_end!(self.0, self.0.rotations.load(gateway))
    }

    async fn save(&self, gateway: &ObjectKey, state: &RotationState) -> Result<(), PortError> {
        or_end!(self.0, self.0.rotations.save(gateway, state))
    }

    async fn forget(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.rotations.forget(gateway).await
    }
}

const DAY: i64 = 86_400;

#[tokio::test]
async fn a_trigger_is_one_new_token_wherever_a_process_ends() {
    for first in 0.. {
        let ends = async {
            // Every twelfth, another one each time: all pairs would take seconds.
            for second in (first % 12..).step_by(12) {
                let world = World::served(Some("@every 24h")).await;
                world.annotate(REQUEST_ANNOTATION, "now");
                world.annotate(CLOSE_ANNOTATION, "now");
                world.clock.set(Timestamp(1_000_000_000 + 3 * DAY));
                let began = world.pass_that_ends_at(first).is_some();
                let went_on = began && world.pass_that_ends_at(second).is_some();
                assert!(world.pass().await.settled, "{first} {second}");
                assert_eq!(world.rotations().await, 1, "{first} {second}");
                assert_eq!(world.stage(), Stage::Idle, "{first} {second}");
                assert!(world.edge.closings(&key("gw")) >= 1, "{first} {second}");
                world.pass().await;
                assert_eq!(world.rotations().await, 1, "{first} {second}");
                if !went_on {
                    return began.then_some(second);
                }
            }
            None
        };
        if ends.await.is_none() {
            assert!(first > 16, "the calls of a rotation: {first}");
            return;
        }
    }
}

#[tokio::test]
async fn who_lost_the_lead_does_nothing_more_and_the_next_one_goes_on() {
    // Each second place is after a call.
    for call in (1..).step_by(2) {
        let world = World::served(None).await;
        world.annotate(REQUEST_ANNOTATION, "now");
        world.annotate(CLOSE_ANNOTATION, "now");
        *world.loses_lead.lock().expect("lock") = Some(Vec::new());
        *world.calls_left.lock().expect("lock") = Some(call);
        let settled = world.pass().await.settled;
        *world.calls_left.lock().expect("lock") = None;
        let done = world.loses_lead.lock().expect("lock").take();
        if done == Some(Vec::new()) {
            assert!(settled && call > 8, "the calls of a rotation: {call}");
            return;
        }
        assert_eq!(done, Some(world.done()), "{call}");
        world.leadership.set(Some(2));
        assert!(world.pass().await.settled, "{call}");
        assert_eq!(world.rotations().await, 1, "{call}");
    }
}

#[tokio::test]
async fn a_failure_of_any_port_is_followed_by_the_rest_and_nothing_twice() {
    type Break = fn(&World, bool);
    let ports: [(&str, Break); 3] = [
        ("edge", |world, fails| {
            world.edge.fail(None, fails.then(away));
        }),
        ("workloads", |world, fails| {
            let error = || PortError::unavailable("the API server is away");
            world.workloads.fail(fails.then(error));
        }),
        ("rotations", |world, fails| {
            let error = || PortError::unavailable("the API server is away");
            world.rotations.fail(fails.then(error));
        }),
    ];
    for (port, act) in ports {
        let world = World::served(None).await;
        let process = world.process();
        pass(&process).await;
        world.annotate(REQUEST_ANNOTATION, "now");
        for fails in [true, true, false, false] {
            act(&world, fails);
            let done = pass(&process).await;
            assert_eq!(done.settled, !fails, "{port}: {done:?}");
            assert_eq!(done.problems.is_empty(), !fails, "{port}: {done:?}");
        }
        assert_eq!(world.rotations().await, 1, "{port}");
    }
}

#[tokio::test]
async fn the_schedule_counts_from_when_a_gateway_is_first_seen_and_a_loss_of_the_state_rotates_nothing()
 {
    let world = World::served(Some("@every 24h")).await;
    let process = world.process();
    pass(&process).await;
    let began = 1_000_000_000;
    let until = process.until_due().unwrap();
    assert_eq!(until.as_secs(), u64::try_from(DAY).unwrap());
    for (now, loses, expected) in [
        (began + DAY - 1, false, 0),
        (began + DAY, false, 1),
        (began + DAY, false, 1),
        (began + 5 * DAY, false, 2),
        (began + 5 * DAY + 1, true, 2),
        (began + 6 * DAY, false, 2),
        (began + 6 * DAY + 1, false, 3),
    ] {
        world.clock.set(Timestamp(now));
        if loses {
            world.rotations.lose();
            world.pass().await;
        }
        // A process that goes on, and one that begins.
        if !loses && now < began + 5 * DAY {
            assert!(pass(&process).await.settled);
        }
        assert!(world.pass().await.settled);
        assert_eq!(world.rotations().await, expected, "{}", now - began);
    }
}

#[tokio::test]
async fn an_idle_pass_reads_no_token_and_keeps_nothing() {
    let world = World::served(Some("@daily")).await;
    let process = world.process();
    pass(&process).await;
    let (saved, ensured) = (world.rotations.saved(), world.workloads.ensured());
    assert_eq!(saved, 1, "when it was first seen");
    for _ in 0..3 {
        assert!(pass(&process).await.settled);
        assert!(process.edge_queues(&BTreeSet::new()).is_empty());
    }
    assert_eq!(world.rotations.saved(), saved);
    assert_eq!(world.workloads.ensured(), ensured);
}

#[tokio::test]
async fn a_rotation_begins_when_every_replica_is_ready_unless_it_is_forced() {
    let unready = WorkloadStatus {
        ready: 1,
        problems: vec!["pod b is not ready yet".to_owned()],
        ..WorkloadStatus::default()
    };
    for (status, force, expected) in [
        (Some(unready.clone()), None, 0),
        (Some(WorkloadStatus::default()), None, 0),
        (Some(unready.clone()), Some("other"), 0),
        (Some(unready), Some("now"), 1),
        (None, None, 1),
    ] {
        let world = World::served(None).await;
        world.workloads.tell(status.clone());
        if let Some(force) = force {
            world.annotate(FORCE_ANNOTATION, force);
        }
        world.annotate(REQUEST_ANNOTATION, "now");
        let done = world.pass().await;
        assert_eq!(world.rotations().await, expected, "{status:?} {force:?}");
        if expected == 0 {
            assert!(
                done.problems[0]
                    .message
                    .contains("until every replica is ready")
            );
            world.workloads.tell(None);
            world.pass().await;
            assert_eq!(world.rotations().await, 1, "{status:?} {force:?}");
        }
    }
}

#[tokio::test]
async fn it_is_over_once_every_replica_holds_the_new_token_and_then_connections_may_be_closed() {
    let world = World::served(None).await;
    let process = world.process();
    pass(&process).await;
    world.workloads.take_token_slowly(true);
    world.annotate(CLOSE_ANNOTATION, "leaked");
    world.annotate(REQUEST_ANNOTATION, "leaked");
    for _ in 0..3 {
        assert!(!pass(&process).await.settled);
        assert!(matches!(world.stage(), Stage::RollOut(_)));
        let facts = shown(&process);
        assert!(facts.is_under_way && facts.handled.is_none());
        assert_eq!(world.edge.closings(&key("gw")), 0);
    }
    world.workloads.take_token_slowly(false);
    assert!(pass(&process).await.settled);
    assert_eq!(world.edge.closings(&key("gw")), 1);
    assert_eq!(world.rotations().await, 1);
    let facts = shown(&process);
    assert_eq!(facts.handled, Request::new("leaked"));
    assert_eq!(facts.last, Some(Timestamp(1_000_000_000)));
    let present = world.edge.connector_token(&key("gw")).await.unwrap();
    assert_eq!(facts.token, Some(present.hash()));
}

/// What users are shown of the Gateway's token.
fn shown(process: &Reconciler) -> RotationFacts {
    let facts = process.state().facts(&key("gw"), WorkloadStatus::default());
    facts.rotation.unwrap()
}
