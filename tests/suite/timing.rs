//! When passes run: the loops of `app`, over fakes, in time that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use app::passes::Passes;
use async_trait::async_trait;
use domain::ports::{PortError, PortErrorKind, StatusSink};
use domain::status::StatusUpdate;
use domain::testing::FakeEdge;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::failures::World;

const RESYNC: Duration = Duration::from_secs(600);

/// Loops over a world with two Gateways, in paused time.
struct Running {
    world: World,
    edge: Arc<FakeEdge>,
    _loops: AbortOnDropHandle<()>,
}

impl Running {
    async fn start(prepare: impl FnOnce(&FakeEdge)) -> Self {
        let edge = FakeEdge::default();
        prepare(&edge);
        Self::over(World::new().await, edge)
    }

    /// A sink of statuses whose every write takes this long and then fails.
    async fn with_statuses(took: Duration) -> (Self, Arc<Failing>) {
        let mut world = World::new().await;
        let statuses = Arc::new(Failing {
            took,
            begun: AtomicUsize::new(0),
        });
        world.ports.statuses = statuses.clone();
        (Self::over(world, FakeEdge::default()), statuses)
    }

    fn over(mut world: World, edge: FakeEdge) -> Self {
        let edge = Arc::new(edge);
        world.ports.edge = edge.clone();
        tokio::time::pause();
        let passes = Passes::new(
            Arc::new(world.reconciler()),
            world.cluster.clone(),
            Arc::new(Notify::new()),
            Arc::default(),
            Arc::default(),
            RESYNC,
        );
        let loops = AbortOnDropHandle::new(tokio::spawn(passes.run(CancellationToken::new())));
        Self {
            world,
            edge,
            _loops: loops,
        }
    }

    /// Intents stated so far, `after` from now.
    async fn stated(&self, after: Duration) -> usize {
        tokio::time::sleep(after).await;
        self.edge.stated().len()
    }
}

/// Writes nothing.
struct Failing {
    took: Duration,
    begun: AtomicUsize,
}

#[async_trait]
impl StatusSink for Failing {
    async fn write(&self, _: &[StatusUpdate]) -> Result<(), PortError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.took).await;
        Err(PortError::unavailable("as this test wants it"))
    }
}

fn refusal(retry_after: Option<Duration>) -> PortError {
    let error = PortError::new(PortErrorKind::RateLimited, "as this test wants it");
    PortError {
        retry_after,
        ..error
    }
}

#[tokio::test]
async fn what_is_true_at_the_edge_is_stated_again_at_a_resync_only() {
    let running = Running::start(|_| ()).await;
    assert_eq!(running.stated(Duration::from_secs(1)).await, 2);
    assert_eq!(running.stated(RESYNC - Duration::from_secs(10)).await, 2);
    assert_eq!(running.stated(Duration::from_secs(20)).await, 4);
}

#[tokio::test]
async fn an_edge_that_names_a_time_is_left_alone_until_then() {
    let minute = Duration::from_secs(60);
    let running = Running::start(|edge| edge.fail(None, Some(refusal(Some(minute))))).await;
    let first = running.stated(Duration::from_secs(1)).await;
    assert!(first >= 1);
    assert_eq!(running.stated(minute - Duration::from_secs(5)).await, first);
    assert!(running.stated(Duration::from_secs(10)).await > first);
}

#[tokio::test]
async fn an_edge_that_fails_is_asked_again_after_pauses_that_grow() {
    let running = Running::start(|edge| edge.fail(None, Some(refusal(None)))).await;
    let early = running.stated(Duration::from_secs(30)).await;
    let later = running.stated(Duration::from_secs(30)).await - early;
    assert!(early >= 4, "{early} in the first half minute");
    assert!(
        later * 2 < early,
        "{later} in the second, {early} in the first"
    );
}

#[tokio::test]
async fn changes_that_come_together_are_one_edge_pass() {
    let running = Running::start(|_| ()).await;
    let before = running.stated(Duration::from_secs(1)).await;
    for name in ["a", "b", "c"] {
        running.world.add_hostname(name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        running.stated(Duration::from_secs(5)).await,
        before + 1,
        "one Gateway, stated once"
    );
}

#[tokio::test]
async fn statuses_that_are_long_in_writing_hold_up_neither_routes_nor_edge() {
    let (running, statuses) = Running::with_statuses(Duration::from_secs(3600)).await;
    let before = running.stated(Duration::from_secs(1)).await;
    assert_eq!(statuses.begun.load(Ordering::SeqCst), 1);
    running.world.add_hostname("more");
    assert_eq!(running.stated(Duration::from_secs(1)).await, before + 1);
    assert_eq!(statuses.begun.load(Ordering::SeqCst), 1, "still the first");
}

#[tokio::test]
async fn statuses_that_cannot_be_written_are_tried_again_after_pauses_that_grow() {
    let (running, statuses) = Running::with_statuses(Duration::ZERO).await;
    running.stated(Duration::from_secs(30)).await;
    let early = statuses.begun.load(Ordering::SeqCst);
    running.stated(Duration::from_secs(30)).await;
    let later = statuses.begun.load(Ordering::SeqCst) - early;
    assert!(early >= 5, "{early} in the first half minute");
    assert!(
        later * 2 < early,
        "{later} in the second, {early} in the first"
    );
}
