//! A broker with its clocks and workers, which does one call at a time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use adapter_broker::engine::hold::{self, Hold};
use adapter_broker::engine::time::StoreTime;
use async_trait::async_trait;
use domain::broker::budget::{Budget, Spent};
use domain::broker::pass;
use domain::broker::ports::{AccountEdges, StoreError, WorkQueue as _};
use domain::broker::work::{Holder, Taken};
use domain::broker::{AccountName, ClusterName};
use domain::edge::direct::DirectEdge;
use domain::ports::{Clock, CloudflareAccounts, CloudflareApi, Edge, Entropy, PortError};
use domain::secret::CloudflareCredentials;
use domain::testing::{Call, Moment, Observer, StaticCredentials};
use domain::{InstanceId, Timestamp};

use super::clusters::{ACCOUNT, installation};
use super::harness::{Gate, Harness, Planted};
use super::rules::Rule;
use super::store::{Seen, key};

const WORKERS: usize = 2;

/// The clock of a machine, which differs from the true time.
struct Wall {
    harness: Arc<Harness>,
    /// Seconds.
    skew: AtomicI64,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(self.harness.now().0 + self.skew.load(Ordering::Relaxed))
    }
}

pub(crate) struct Broker {
    name: &'static str,
    harness: Arc<Harness>,
    wall: Arc<Wall>,
    /// Milliseconds that the machine counted.
    passed: Arc<AtomicI64>,
    time: Arc<StoreTime>,
    workers: Vec<Worker>,
    /// Until when it stands still, in milliseconds, and whether its machine counts meanwhile.
    still: Option<(i64, bool)>,
    asked: i64,
    held: i64,
}

type Pass = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What a worker has.
type Current = Arc<Mutex<Option<(Taken, Arc<Hold>)>>>;

struct Worker {
    gate: Arc<Gate>,
    store: Arc<Seen>,
    edges: Arc<Edges>,
    holder: Holder,
    current: Current,
    pass: Option<Pass>,
}

impl Broker {
    pub(crate) fn start(name: &'static str, harness: &Arc<Harness>) -> Self {
        let skew = i64::try_from(harness.state().random.below(600)).unwrap() - 300;
        let wall = Arc::new(Wall {
            harness: harness.clone(),
            skew: AtomicI64::new(skew),
        });
        let passed = Arc::new(AtomicI64::new(0));
        let time = Arc::new(time(harness, &wall, &passed));
        let workers = (0..WORKERS).map(|_| Worker::new(name, harness));
        Self {
            name,
            workers: workers.collect(),
            harness: harness.clone(),
            wall,
            passed,
            time,
            still: None,
            asked: 0,
            held: 0,
        }
    }

    /// It ends, and another one begins on the same machine.
    pub(crate) async fn crash(&mut self) {
        self.harness.log(format!("{} crashes", self.name));
        self.time = Arc::new(time(&self.harness, &self.wall, &self.passed));
        let workers = (0..WORKERS).map(|_| Worker::new(self.name, &self.harness));
        self.workers = workers.collect();
        self.still = None;
        // One that its store does not answer does not start.
        while self.ask().await.is_err() {}
    }

    pub(crate) async fn ask(&mut self) -> Result<(), StoreError> {
        let asked = self.time.ask(&*self.workers[0].store).await;
        if asked.is_ok() {
            self.asked = self.harness.state().now;
        }
        asked
    }

    pub(crate) fn set_clock(&self, skew: i64) {
        self.harness
            .log(format!("{}'s clock is wrong by {skew} s", self.name));
        self.wall.skew.store(skew, Ordering::Relaxed);
    }

    pub(crate) fn stand_still(&mut self, milliseconds: i64, counts: bool) {
        self.harness.log(format!(
            "{} stands still for {} s, {counts}",
            self.name,
            milliseconds / 1000
        ));
        self.still = Some((self.harness.state().now + milliseconds, counts));
    }

    pub(crate) fn go_on(&mut self) {
        self.still = None;
    }

    pub(crate) fn stands_still(&self) -> bool {
        self.still.is_some()
    }

    /// Time has passed.
    pub(crate) fn pass_time(&mut self, milliseconds: i64) {
        if self.still.is_none_or(|(_, counts)| counts) {
            self.passed.fetch_add(milliseconds, Ordering::Relaxed);
        }
        let now = self.harness.state().now;
        if self.still.is_some_and(|(until, _)| now >= until) {
            self.harness.log(format!("{} goes on", self.name));
            self.still = None;
        }
    }

    /// What is done again and again beside the work, where it is time.
    pub(crate) async fn keep(&mut self) {
        let now = self.harness.state().now;
        if now - self.asked >= 5_000 {
            // It is asked again.
            let _ = self.ask().await;
        }
        if now - self.held < 10_000 {
            return;
        }
        self.held = now;
        for worker in &mut self.workers {
            let current = worker.current.lock().unwrap().clone();
            let Some((taken, hold)) = current.filter(|_| worker.pass.is_some()) else {
                continue;
            };
            if self.harness.fault().is_some() {
                continue;
            }
            let told = hold::moment(&clocks(&self.time));
            match worker.store.hold(&taken, told.until()).await.unwrap() {
                true => hold.extend(told),
                false => {
                    self.harness
                        .log(format!("{} is told that it is late", self.name));
                    worker.pass = None;
                }
            }
        }
    }

    /// One of its workers goes on up to its next call.
    pub(crate) async fn step(&mut self) {
        let at = self.harness.state().random.below(WORKERS);
        let time = self.time.clone();
        self.workers[at].step(time).await;
    }

    /// Goes on until there is nothing to do now.
    pub(crate) async fn drain(&mut self) {
        for worker in &mut self.workers {
            loop {
                worker.step(self.time.clone()).await;
                if worker.pass.is_none() && worker.current.lock().unwrap().take().is_none() {
                    break;
                }
            }
        }
    }
}

fn time(harness: &Arc<Harness>, wall: &Arc<Wall>, passed: &Arc<AtomicI64>) -> StoreTime {
    if harness.plants(Planted::OwnClock) {
        return StoreTime::alone(wall.clone());
    }
    let passed = passed.clone();
    let since = move || Duration::from_millis(passed.load(Ordering::Relaxed).unsigned_abs());
    StoreTime::with(wall.clone(), Arc::new(since))
}

fn clocks(time: &Arc<StoreTime>) -> [Arc<dyn Clock>; 2] {
    [time.clone(), time.own()]
}

impl Worker {
    fn new(broker: &str, harness: &Arc<Harness>) -> Self {
        static HOLDERS: AtomicU64 = AtomicU64::new(0);
        let number = HOLDERS.fetch_add(1, Ordering::Relaxed);
        let (gate, current) = (Arc::new(Gate::default()), Current::default());
        let store = Seen {
            harness: harness.clone(),
            gate: gate.clone(),
            name: broker.to_owned(),
        };
        let watch = Arc::new(Watch {
            harness: harness.clone(),
            gate: gate.clone(),
            current: current.clone(),
            name: broker.to_owned(),
        });
        Self {
            gate,
            store: Arc::new(store),
            edges: Arc::new(Edges {
                watch,
                made: Mutex::default(),
            }),
            holder: Holder(format!("{broker} {number}")),
            current,
            pass: None,
        }
    }

    /// As the engine does it.
    fn begin(&self, time: Arc<StoreTime>) -> Pass {
        let (store, edges) = (self.store.clone(), self.edges.clone());
        let (holder, current) = (self.holder.clone(), self.current.clone());
        *current.lock().unwrap() = None;
        Box::pin(async move {
            let clocks = clocks(&time);
            let asked = hold::moment(&clocks);
            let (now, until) = (asked.first(), asked.until());
            let taken = store.take(holder, Budget::default(), now, until).await?;
            let Some(taken) = taken else { return Ok(()) };
            let hold = Hold::since(clocks, asked);
            *current.lock().unwrap() = Some((taken.clone(), hold.clone()));
            time.ask(&*store).await?;
            let rays = String::new;
            let pass = pass::carry_out(&*store, &*edges, &taken, now, &rays);
            hold::holding(hold, pass).await
        })
    }

    async fn step(&mut self, time: Arc<StoreTime>) {
        self.store.harness.state().steps += 1;
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => self.begin(time),
        };
        self.gate.open();
        let ended = poll_fn(|context| match pass.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if self.gate.is_waited_at() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match ended.await {
            None => self.pass = Some(pass),
            Some(Ok(())) => {}
            Some(Err(error)) => {
                let name = &self.store.name;
                self.store
                    .harness
                    .log(format!("{name} puts it off: {error}"));
            }
        }
    }
}

/// Sees each call to Cloudflare of one worker.
struct Watch {
    harness: Arc<Harness>,
    gate: Arc<Gate>,
    current: Current,
    name: String,
}

#[async_trait]
impl Observer for Watch {
    async fn before(&self, call: &Call<'_>) -> Option<(Moment, PortError)> {
        self.gate.pass().await;
        let harness = &self.harness;
        if call.kind.is_write() {
            if !harness.plants(Planted::WritesWithoutAHold)
                && let Err(error) = hold::may_write()
            {
                harness.log(format!("{} {:?}: {error}", self.name, call.kind));
                return Some((Moment::Before, error));
            }
            self.write(call);
        }
        let fault = harness.fault()?;
        harness.log(format!("{} {:?} fails: {fault:?}", self.name, call.kind));
        Some((fault, PortError::unavailable("no answer")))
    }

    fn after(&self, _: &Call<'_>, _: Option<&PortError>) {}
}

impl Watch {
    fn write(&self, call: &Call<'_>) {
        let current = self.current.lock().unwrap().clone();
        let (taken, _) = current.expect("it has a piece of work");
        let place = taken.held.as_ref().expect("a Gateway").place;
        let (gateway, name) = (&taken.gateway, &self.name);
        let harness = &self.harness;
        harness.log(format!(
            "{name} {:?} for {}/{gateway} {place:?}",
            call.kind, taken.cluster
        ));
        let before = harness.state().written.insert(key(&taken), place);
        let is_later = before.is_none_or(|before| before <= place);
        harness.require(Rule::NeverGoesBack, is_later, || {
            format!("{name} writes for {gateway} of {place:?} after {before:?}")
        });
    }
}

/// Edges over the fake.
struct Edges {
    watch: Arc<Watch>,
    made: Mutex<BTreeMap<ClusterName, Arc<DirectEdge>>>,
}

struct Observed(Arc<Watch>);

impl CloudflareAccounts for Observed {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        let cloudflare = &self.0.harness.cloudflare;
        cloudflare.open_observed(credentials, self.0.clone())
    }
}

/// Secrets that differ, from each other and from that of a new tunnel.
struct Counted;

impl Entropy for Counted {
    fn secret(&self) -> [u8; 32] {
        static SECRETS: AtomicU64 = AtomicU64::new(1);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&SECRETS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        secret
    }
}

#[async_trait]
impl AccountEdges for Edges {
    async fn of(
        &self,
        cluster: &ClusterName,
        _: InstanceId,
        _: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError> {
        let mut made = self.made.lock().unwrap();
        let edge = made.entry(cluster.clone()).or_insert_with(|| {
            Arc::new(DirectEdge::new(
                Arc::new(Observed(self.watch.clone())),
                Arc::new(StaticCredentials::for_all(ACCOUNT)),
                Arc::new(Counted),
                installation(cluster),
            ))
        });
        Ok(edge.clone())
    }

    async fn refused(&self, _: &AccountName) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn spent(&self) -> Spent {
        Spent::default()
    }
}
