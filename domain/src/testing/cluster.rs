//! A cluster in memory: what it says, what is written to it, what is kept from vanishing.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use async_trait::async_trait;

use crate::error::PortError;
use crate::names::{ObjectKey, ObjectRef};
use crate::ports::{ClusterSource, Events, Finalizer, Orphans, StatusSink};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{GatewayEvent, StatusUpdate};

/// [`ClusterSource`] that shows what a test sets; of its Secrets only those that are followed.
#[derive(Debug, Default)]
pub struct FakeCluster(Mutex<Shown>);

#[derive(Debug, Default)]
struct Shown {
    snapshot: Arc<ClusterSnapshot>,
    /// Whether the snapshot was taken since it was set.
    taken: bool,
    followed: BTreeSet<ObjectRef>,
    waiting: Vec<Waker>,
}

impl Shown {
    /// Wakes who waits.
    fn is_new(&mut self) {
        self.taken = false;
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

impl FakeCluster {
    /// Shows this from the start.
    pub fn showing(snapshot: ClusterSnapshot) -> Self {
        let cluster = Self::default();
        cluster.show(snapshot);
        cluster
    }

    /// Shows this from now on and wakes who waits for a change.
    pub fn show(&self, snapshot: ClusterSnapshot) {
        let mut shown = self.0.lock().expect("lock");
        shown.snapshot = Arc::new(snapshot);
        shown.is_new();
    }

    /// Changes what is shown.
    pub fn change(&self, change: impl FnOnce(&mut ClusterSnapshot)) {
        let mut snapshot = (*self.0.lock().expect("lock").snapshot).clone();
        change(&mut snapshot);
        self.show(snapshot);
    }

    /// What the source was last asked to follow.
    pub fn followed(&self) -> BTreeSet<ObjectRef> {
        self.0.lock().expect("lock").followed.clone()
    }
}

#[async_trait]
impl ClusterSource for FakeCluster {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        let mut shown = self.0.lock().expect("lock");
        shown.taken = true;
        let mut snapshot = (*shown.snapshot).clone();
        let known = std::mem::take(&mut snapshot.secrets);
        for followed in shown.followed.iter().filter(|followed| is_secret(followed)) {
            let facts = known.get(followed).cloned().unwrap_or(Reading::Absent);
            snapshot.secrets.insert(followed.clone(), facts);
        }
        Arc::new(snapshot)
    }

    async fn changed(&self) {
        poll_fn(|context| {
            let mut shown = self.0.lock().expect("lock");
            if shown.taken {
                shown.waiting.push(context.waker().clone());
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        let mut shown = self.0.lock().expect("lock");
        if shown.followed != refs {
            shown.followed = refs;
            shown.is_new();
        }
    }
}

fn is_secret(reference: &ObjectRef) -> bool {
    reference.group.is_empty() && reference.kind == "Secret"
}

/// [`StatusSink`] that keeps every write.
#[derive(Debug, Default)]
pub struct RecordingStatusSink {
    writes: Mutex<Vec<Vec<StatusUpdate>>>,
}

impl RecordingStatusSink {
    /// What was written last; empty before the first write.
    pub fn last(&self) -> Vec<StatusUpdate> {
        let writes = self.writes.lock().expect("lock");
        writes.last().cloned().unwrap_or_default()
    }

    /// How often it was written to.
    pub fn count(&self) -> usize {
        self.writes.lock().expect("lock").len()
    }
}

#[async_trait]
impl StatusSink for RecordingStatusSink {
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        self.writes.lock().expect("lock").push(updates.to_vec());
        Ok(())
    }
}

/// [`Finalizer`] in memory.
#[derive(Debug, Default)]
pub struct FakeFinalizer {
    gateways: Mutex<BTreeSet<ObjectKey>>,
}

impl FakeFinalizer {
    /// Gateways that have it now.
    pub fn gateways(&self) -> BTreeSet<ObjectKey> {
        self.gateways.lock().expect("lock").clone()
    }
}

#[async_trait]
impl Finalizer for FakeFinalizer {
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.gateways.lock().expect("lock").insert(gateway.clone());
        Ok(())
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.gateways.lock().expect("lock").remove(gateway);
        Ok(())
    }

    async fn gateways(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        Ok(Self::gateways(self))
    }
}

/// [`Orphans`] in memory.
#[derive(Debug, Default)]
pub struct FakeOrphans(Mutex<KeptOrphans>);

#[derive(Debug, Default)]
struct KeptOrphans {
    gateways: BTreeSet<ObjectKey>,
    refusal: Option<PortError>,
    lost_answer: Option<PortError>,
}

impl FakeOrphans {
    /// Those that are kept now.
    pub fn kept(&self) -> BTreeSet<ObjectKey> {
        self.0.lock().expect("lock").gateways.clone()
    }

    /// Fails every later call with this error, or no longer.
    pub fn fail(&self, refusal: Option<PortError>) {
        self.0.lock().expect("lock").refusal = refusal;
    }

    /// Does what the next call asks for and answers it with this error.
    pub fn lose_answer(&self, error: PortError) {
        self.0.lock().expect("lock").lost_answer = Some(error);
    }

    fn gateways<T>(
        &self,
        then: impl FnOnce(&mut BTreeSet<ObjectKey>) -> T,
    ) -> Result<T, PortError> {
        let mut kept = self.0.lock().expect("lock");
        if let Some(refusal) = &kept.refusal {
            return Err(refusal.clone());
        }
        let answer = then(&mut kept.gateways);
        match kept.lost_answer.take() {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }
}

#[async_trait]
impl Orphans for FakeOrphans {
    async fn all(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        self.gateways(|gateways| gateways.clone())
    }

    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.gateways(|gateways| gateways.insert(gateway.clone()))
            .map(|_| ())
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.gateways(|gateways| gateways.remove(gateway))
            .map(|_| ())
    }
}

/// [`Events`] that are kept, in order.
#[derive(Debug, Default)]
pub struct RecordingEvents(Mutex<Vec<(ObjectKey, GatewayEvent)>>);

impl RecordingEvents {
    /// All that was told of a Gateway.
    pub fn of(&self, gateway: &ObjectKey) -> Vec<GatewayEvent> {
        let told = self.0.lock().expect("lock");
        let of_it = told.iter().filter(|(about, _)| about == gateway);
        of_it.map(|(_, event)| event.clone()).collect()
    }
}

impl Events for RecordingEvents {
    fn tell(&self, gateway: &ObjectKey, event: &GatewayEvent) {
        self.0
            .lock()
            .expect("lock")
            .push((gateway.clone(), event.clone()));
    }
}
