//! What all brokers of a history share: the time, the store, Cloudflare, faults, and the rules that were broken.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use adapter_broker_store::SqlStore;
use domain::broker::ClusterName;
use domain::broker::held::{Held, Place};
use domain::testing::{FakeCloudflare, Moment};
use domain::{ObjectKey, Timestamp, TunnelId};

use super::random::Random;
use super::rules::Rule;

/// What a broker or its store does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// The end of a piece of work is written whoever has it.
    FinishIsNotFenced,
    /// Brokers go by their own clocks.
    OwnClock,
    /// Which names are free is decided before others are kept from writing.
    ClaimsWithoutTheLock,
    /// Nobody looks whether a piece of work is still one's own before a write at Cloudflare.
    WritesWithoutAHold,
    /// What is to be done is read from a standby that lags.
    ReadsAStandby,
    /// A statement is answered, and written never.
    AnswersBeforeItWrites,
}

/// A Gateway of a cluster.
pub(crate) type Key = (ClusterName, ObjectKey);

pub(crate) struct Harness {
    pub(crate) planted: Option<Planted>,
    pub(crate) store: SqlStore,
    pub(crate) cloudflare: FakeCloudflare,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) random: Random,
    pub(crate) fails: bool,
    /// The true time, in milliseconds.
    pub(crate) now: i64,
    pub(crate) steps: u64,
    pub(crate) log: Vec<String>,
    pub(crate) failure: Option<(Rule, String)>,
    /// Who has a piece of work until when, as the store was told.
    pub(crate) holders: BTreeMap<Key, (String, Timestamp)>,
    /// The newest statement that something was written for at Cloudflare.
    pub(crate) written: BTreeMap<Key, Place>,
    /// What the store held before, oldest first.
    pub(crate) past: BTreeMap<Key, Vec<Option<Held>>>,
    /// How often a tunnel's token was to be replaced.
    pub(crate) retired: BTreeMap<TunnelId, usize>,
}

impl Harness {
    pub(crate) fn new(random: Random, store: SqlStore, planted: Option<Planted>) -> Arc<Self> {
        Arc::new(Self {
            planted,
            store,
            cloudflare: FakeCloudflare::with_zones(&["example.com"]),
            state: Mutex::new(State {
                random,
                fails: true,
                now: 1_000_000_000,
                steps: 0,
                log: Vec::new(),
                failure: None,
                holders: BTreeMap::new(),
                written: BTreeMap::new(),
                past: BTreeMap::new(),
                retired: BTreeMap::new(),
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn plants(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.state().now.div_euclid(1000))
    }

    pub(crate) fn log(&self, what: impl std::fmt::Display) {
        let mut state = self.state();
        let now = state.now / 1000 - 1_000_000;
        state.log.push(format!("{now:>6} {what}"));
    }

    pub(crate) fn require(&self, rule: Rule, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            return;
        }
        let what = what();
        self.log(format!("WRONG: {what}"));
        self.state().failure.get_or_insert((rule, what));
    }

    /// Whether the next call fails, and when.
    pub(crate) fn fault(&self) -> Option<Moment> {
        let mut state = self.state();
        if !state.fails {
            return None;
        }
        match state.random.below(30) {
            0 => Some(Moment::Before),
            1 => Some(Moment::After),
            _ => None,
        }
    }
}

/// Where a worker stops before each call until it is told to go on.
#[derive(Default)]
pub(crate) struct Gate(Mutex<AtGate>);

#[derive(Default)]
struct AtGate {
    is_open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    pub(crate) async fn pass(&self) {
        poll_fn(|context| {
            let mut at = self.0.lock().unwrap();
            if std::mem::take(&mut at.is_open) {
                return Poll::Ready(());
            }
            at.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets one call through.
    pub(crate) fn open(&self) {
        let mut at = self.0.lock().unwrap();
        at.is_open = true;
        for waker in at.waiting.drain(..) {
            waker.wake();
        }
    }

    pub(crate) fn is_waited_at(&self) -> bool {
        !self.0.lock().unwrap().waiting.is_empty()
    }
}
