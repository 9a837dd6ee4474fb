//! The controller's side: a `DataPlane` whose tables go to the proxies that ask for them.

mod audience;
mod serve;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use domain::names::ObjectKey;
use domain::ports::{DataPlane, Delivery, PortError, ProxyIdentities};
use domain::route_table::RouteTable;
use tokio::sync::{Notify, watch};

pub use self::audience::ReplicaStatus;
use self::audience::{Audience, Hearer};
pub(crate) use self::serve::FRAMES;
use crate::lock;
use crate::wire::Version;

/// Which instance serves the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leader {
    /// This one, in this term.
    Here {
        /// Terms grow.
        term: u64,
    },
    /// Another one, at this address (`host:port`).
    At(String),
    /// Nobody leads, or nobody knows who does.
    Nobody,
}

/// Settings of a [`TableServer`].
pub struct ServerOptions {
    /// How long a ready replica may be behind before statuses wait for it no longer.
    pub late_after: Duration,
    /// Told whenever the [`Delivery`] of a Gateway changes to something that statuses do not wait for.
    pub changed: Arc<Notify>,
    /// Told when the edge has said to a proxy of this Gateway that there is no such tunnel, or that the token is not
    /// its. Must be cheap: a proxy may say it at any rate.
    pub disowned: Arc<dyn Fn(&ObjectKey) + Send + Sync>,
    /// Who leads. Asked often; must be cheap.
    pub leader: Arc<dyn Fn() -> Leader + Send + Sync>,
}

/// Serves route tables to proxies.
///
/// Tables may be published to any instance, but only the leader hands them out: two instances that see the
/// cluster at different moments would otherwise take turns in overwriting each other's tables.
pub struct TableServer {
    identities: Arc<dyn ProxyIdentities>,
    options: ServerOptions,
    /// Where the counters of this process begin.
    first_counter: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The term in which this instance leads, and since when.
    term: Option<(u64, Instant)>,
    streams: u64,
    gateways: HashMap<ObjectKey, Served>,
}

/// What one Gateway is told, and who hears it.
struct Served {
    told: watch::Sender<Told>,
    audience: Audience,
    /// Delivery as it was last seen, to tell when it changes.
    delivery: Delivery,
}

/// What the proxies of a Gateway are told.
#[derive(Debug, Clone, Default)]
enum Told {
    /// Nothing: no table was published yet. They go on with what they have.
    #[default]
    Nothing,
    /// This.
    State {
        counter: u64,
        /// `None` once withdrawn.
        table: Option<Arc<RouteTable>>,
    },
}

impl Told {
    fn version(&self, term: u64) -> Option<Version> {
        match self {
            Self::Nothing => None,
            Self::State { counter, .. } => Some(Version {
                term,
                counter: *counter,
            }),
        }
    }

    fn table(&self) -> Option<Arc<RouteTable>> {
        match self {
            Self::Nothing => None,
            Self::State { table, .. } => table.clone(),
        }
    }
}

impl TableServer {
    /// Serves nobody before [`serve`](Self::serve).
    pub fn new(identities: Arc<dyn ProxyIdentities>, options: ServerOptions) -> Arc<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since_epoch.unwrap_or_default().as_micros();
        Arc::new(Self {
            identities,
            options,
            // A process that restarts within its term goes on above what it counted before.
            first_counter: u64::try_from(micros).unwrap_or_default(),
            state: Mutex::default(),
        })
    }

    /// The replicas of a Gateway that are connected, or were a moment ago.
    pub fn replicas(&self, gateway: &ObjectKey) -> Vec<ReplicaStatus> {
        let state = lock(&self.state);
        let served = state.gateways.get(gateway);
        served.map_or_else(Vec::new, |served| served.audience.statuses())
    }

    fn tell(&self, gateway: &ObjectKey, table: Option<Arc<RouteTable>>) {
        let mut state = lock(&self.state);
        let served = state.gateways.entry(gateway.clone()).or_default();
        let counter = match &*served.told.borrow() {
            Told::Nothing => self.first_counter,
            Told::State { counter, .. } => *counter,
        };
        served.told.send_replace(Told::State {
            counter: counter.saturating_add(1),
            table,
        });
        served.audience.published(Instant::now());
        drop(state);
        self.observe();
    }

    /// Notices a change of leadership and of deliveries, also those that only time brings.
    fn observe(&self) {
        let leader = (self.options.leader)();
        let now = Instant::now();
        let mut state = lock(&self.state);
        match (&leader, state.term) {
            (Leader::Here { term }, Some((known, _))) if *term == known => {}
            (Leader::Here { term }, _) => state.term = Some((*term, now)),
            (Leader::At(_) | Leader::Nobody, _) => state.term = None,
        }
        let term = state.term;
        let mut changed = false;
        for served in state.gateways.values_mut() {
            served.audience.forget_lost(self.options.late_after, now);
            let delivery = served.delivery(term, self.options.late_after, now);
            changed |= delivery != served.delivery && delivery != Delivery::Pending;
            served.delivery = delivery;
        }
        state.gateways.retain(|_, served| !served.is_over());
        drop(state);
        if changed {
            self.options.changed.notify_one();
        }
    }

    /// A replica has said hello. Gives what it is to be told and a number for its stream.
    fn join(
        &self,
        gateway: &ObjectKey,
        replica: &Hearer<'_>,
        term: u64,
    ) -> (u64, watch::Receiver<Told>) {
        let mut state = lock(&self.state);
        state.streams += 1;
        let stream = state.streams;
        let served = state.gateways.entry(gateway.clone()).or_default();
        if let Some(held) = replica.held.filter(|held| held.term == term) {
            served.count_on_from(held.counter);
        }
        let newest = served.told.borrow().version(term);
        served
            .audience
            .join(replica, stream, newest, Instant::now());
        let told = served.told.subscribe();
        drop(state);
        self.observe();
        (stream, told)
    }

    /// Something happened to a replica.
    fn note(
        &self,
        gateway: &ObjectKey,
        term: u64,
        act: impl FnOnce(&mut Audience, Option<Version>),
    ) {
        let mut state = lock(&self.state);
        if let Some(served) = state.gateways.get_mut(gateway) {
            let newest = served.told.borrow().version(term);
            act(&mut served.audience, newest);
        }
        drop(state);
        self.observe();
    }

    /// Whether a stream still speaks for its replica.
    fn is_current(&self, gateway: &ObjectKey, name: &str, stream: u64) -> bool {
        let state = lock(&self.state);
        let served = state.gateways.get(gateway);
        served.is_some_and(|served| served.audience.is_of(name, stream))
    }
}

impl Default for Served {
    fn default() -> Self {
        Self {
            told: watch::Sender::default(),
            audience: Audience::default(),
            delivery: Delivery::Served,
        }
    }
}

impl Served {
    /// Makes the present state newer than one that a replica holds of this very term: only an earlier run of
    /// this instance can have published it.
    fn count_on_from(&self, held: u64) {
        self.told.send_if_modified(|told| match told {
            Told::State { counter, .. } if *counter < held => {
                *counter = held.saturating_add(1);
                true
            }
            _ => false,
        });
    }

    /// Who does not lead waits for nobody. Who leads since a moment ago gives replicas the time to come.
    fn delivery(
        &self,
        term: Option<(u64, Instant)>,
        late_after: Duration,
        now: Instant,
    ) -> Delivery {
        let Some((term, since)) = term else {
            return Delivery::Served;
        };
        let Some(newest) = self.told.borrow().version(term) else {
            return Delivery::Served;
        };
        if self.audience.is_empty() && now.duration_since(since) < late_after {
            return Delivery::Pending;
        }
        self.audience.delivery(newest, late_after, now)
    }

    /// Withdrawn, and nobody is left to hear of it.
    fn is_over(&self) -> bool {
        let withdrawn = matches!(&*self.told.borrow(), Told::State { table: None, .. });
        withdrawn && self.audience.is_empty()
    }
}

#[async_trait]
impl DataPlane for TableServer {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        let gateway = table.gateway.clone();
        self.tell(&gateway, Some(table));
        Ok(())
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.tell(gateway, None);
        Ok(())
    }

    fn delivery(&self, gateway: &ObjectKey) -> Delivery {
        self.observe();
        let state = lock(&self.state);
        let served = state.gateways.get(gateway);
        served.map_or(Delivery::Served, |served| served.delivery.clone())
    }
}

impl fmt::Debug for TableServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableServer").finish_non_exhaustive()
    }
}
