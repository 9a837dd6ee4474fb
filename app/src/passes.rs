//! When a pass runs. The domain says what a pass does and has no timers; this has the timers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::names::ObjectKey;
use domain::ports::ClusterSource;
use domain::reconcile::{EdgePassReport, Queue, Reconciler};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::disowned::Disowned;
use crate::problems::{EdgeProblems, Problems};
use crate::schedule::Schedule;

/// Changes that arrive within this time of each other become one edge pass, so that a set of new
/// hostnames is one batch of records.
const GATHER: Duration = Duration::from_millis(150);

/// First wait after a status pass that did not settle; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Queues of the edge that are worked on at a time. One that waits for its account costs nothing but its place.
const QUEUES_AT_A_TIME: usize = 32;

/// The three loops of a controller.
pub struct Passes {
    reconciler: Arc<Reconciler>,
    source: Arc<dyn ClusterSource>,
    /// Something that statuses show has changed: the edge, a proxy.
    statuses: Arc<Notify>,
    /// Everything is worth another look: this instance leads now.
    woken: Arc<Notify>,
    /// What the edge says of tunnels.
    disowned: Arc<Disowned>,
    resync: Duration,
    /// Set once an edge pass has come to its end.
    applied: watch::Sender<bool>,
}

impl Passes {
    /// `statuses` is notified when what statuses show has changed; `resync` is how often the edge is
    /// compared with the intents though nothing changed here; `woken` is notified when leadership comes; `disowned`
    /// collects what only an edge pass can mend.
    pub fn new(
        reconciler: Arc<Reconciler>,
        source: Arc<dyn ClusterSource>,
        statuses: Arc<Notify>,
        woken: Arc<Notify>,
        disowned: Arc<Disowned>,
        resync: Duration,
    ) -> Self {
        Self {
            reconciler,
            source,
            statuses,
            woken,
            disowned,
            resync,
            applied: watch::Sender::new(false),
        }
    }

    /// Whether an edge pass has come to its end, successful or not, since the start.
    pub fn applied(&self) -> watch::Receiver<bool> {
        self.applied.subscribe()
    }

    /// Runs until `stop`; a route or edge pass under way is finished.
    pub async fn run(self, stop: CancellationToken) {
        let (intents, conclusions) = (Notify::new(), Notify::new());
        tokio::join!(
            self.route_loop(&intents, &conclusions, &stop),
            self.edge_loop(&intents, &stop),
            self.status_loop(&conclusions, &stop)
        );
    }

    async fn route_loop(&self, intents: &Notify, conclusions: &Notify, stop: &CancellationToken) {
        let mut problems = Problems::default();
        let mut changed = true;
        loop {
            let report = self.reconciler.route_pass().await;
            let withheld = report
                .withheld
                .map(|why| format!("routes stay as they are: {why}"));
            problems.tell(
                report
                    .problems
                    .iter()
                    .map(ToString::to_string)
                    .chain(withheld),
            );
            conclusions.notify_one();
            // What woke the pass may not be all that it saw.
            if changed || report.concluded_anew {
                intents.notify_one();
            }
            changed = tokio::select! {
                () = self.source.changed() => true,
                () = self.woken.notified() => true,
                () = self.statuses.notified() => false,
                () = stop.cancelled() => return,
            };
        }
    }

    /// A pass that is under way writes what it began with; the next one writes the last conclusions only.
    async fn status_loop(&self, conclusions: &Notify, stop: &CancellationToken) {
        let mut problems = Problems::default();
        let mut wait = FIRST_WAIT;
        // Nothing can be said before the first route pass.
        conclusions.notified().await;
        loop {
            let report = tokio::select! {
                report = self.reconciler.status_pass() => report,
                // What is not written is for the next process to write, and that waits for this one's end.
                () = stop.cancelled() => return,
            };
            problems.tell(report.problems.iter().map(ToString::to_string));
            let again = !report.problems.is_empty();
            let pause = report.retry_after.unwrap_or_default().min(LONGEST_WAIT);
            let due = tokio::time::sleep(wait.max(pause));
            wait = match again {
                true => (wait * 2).min(LONGEST_WAIT),
                false => FIRST_WAIT,
            };
            tokio::select! {
                () = conclusions.notified() => {}
                () = due, if again => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Each queue has a task of its own, so that none waits for another's account.
    async fn edge_loop(&self, intents: &Notify, stop: &CancellationToken) {
        let mut problems = EdgeProblems::default();
        let mut schedule = Schedule::default();
        let mut running: JoinSet<(Queue, EdgePassReport)> = JoinSet::new();
        let mut busy: BTreeSet<Queue> = BTreeSet::new();
        let mut next_resync = Instant::now() + self.resync;
        // Nothing can be said before the first route pass.
        intents.notified().await;
        loop {
            if Instant::now() >= next_resync {
                next_resync = Instant::now() + self.resync;
                self.reconciler.begin_resync();
            }
            self.start_passes(&schedule, &mut busy, &mut running);
            if running.is_empty() {
                self.applied.send_replace(true);
            }
            let now = Instant::now();
            let timed = self.reconciler.until_due().map(|time| now + time);
            let due = schedule.next(now).into_iter().chain(timed).min();
            let due = due.unwrap_or(next_resync);
            tokio::select! {
                Some(ended) = running.join_next() => {
                    let (queue, report) = ended.expect("a pass does not panic and is not aborted");
                    busy.remove(&queue);
                    tell_swept(&report);
                    problems.tell(&queue, &report);
                    schedule.ended(&queue, &report, Instant::now());
                    self.statuses.notify_one();
                }
                () = intents.notified() => tokio::time::sleep(GATHER).await,
                gateways = self.disowned.due() => self.disown(&gateways),
                () = self.reconciler.follow_edge() => {}
                () = tokio::time::sleep_until(due.min(next_resync)) => {}
                () = stop.cancelled() => break,
            }
        }
        while running.join_next().await.is_some() {}
    }

    fn start_passes(
        &self,
        schedule: &Schedule,
        busy: &mut BTreeSet<Queue>,
        running: &mut JoinSet<(Queue, EdgePassReport)>,
    ) {
        let now = Instant::now();
        let resting = schedule.resting(now);
        let mut queues: Vec<_> = self.reconciler.edge_queues(&resting).into_iter().collect();
        queues.retain(|queue| !busy.contains(queue) && !schedule.rests(queue, now));
        // The queue that waited longest comes first, so that many queues of one owner do not block others for ever.
        queues.sort_by_key(|queue| schedule.last_end(queue));
        for queue in queues {
            if busy.len() >= QUEUES_AT_A_TIME {
                return;
            }
            busy.insert(queue.clone());
            let (reconciler, resting) = (self.reconciler.clone(), resting.clone());
            running.spawn(async move {
                let report = reconciler.edge_pass_of(&queue, &resting).await;
                (queue, report)
            });
        }
    }

    fn disown(&self, gateways: &[ObjectKey]) {
        for gateway in gateways {
            tracing::warn!(%gateway, "the edge refuses the tunnel or its token; both are looked at anew");
            self.reconciler.edge_disowned(gateway);
        }
    }
}

fn tell_swept(report: &EdgePassReport) {
    for name in &report.swept {
        tracing::info!(
            name,
            "removed a record that no Gateway and no tunnel led to"
        );
    }
}
