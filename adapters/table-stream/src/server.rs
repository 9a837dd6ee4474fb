//! The controller's side: a `DataPlane` whose tables go to the proxies that ask for them.

mod audience;
mod encoded;
mod reviews;
mod serve;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adapter_listener::{Client, Known, Limits};
use async_trait::async_trait;
use domain::names::ObjectKey;
use domain::ports::{DataPlane, Delivery, PortError, ProxyIdentities};
use domain::route_table::RouteTable;
use domain::secret::CertificatePair;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use self::audience::{Audience, Full, Hearer};
pub use self::audience::{ReplicaStatus, STREAMS_OF_GATEWAY};
use self::encoded::Encoded;
use self::reviews::Reviews;
pub use self::serve::LISTENER_LIMITS;
use crate::wire::Version;

/// Which instance serves the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leader {
    /// This one, in this term.
    Here { term: u64 },
    /// Another one, at this address (`host:port`).
    At(String),
    /// No instance leads, or it is not known which.
    Nobody,
}

/// Settings of a [`TableServer`].
pub struct ServerOptions {
    /// How long a ready replica may be behind before statuses wait for it no longer.
    pub late_after: Duration,
    /// Notified whenever the [`Delivery`] of a Gateway changes to something that statuses do not wait for.
    pub changed: Arc<Notify>,
    /// Called when the edge has said to a proxy of this Gateway that there is no such tunnel, or that the token is not
    /// its. Must be cheap: a proxy may say it at any rate.
    pub disowned: Arc<dyn Fn(&ObjectKey) + Send + Sync>,
    /// Who leads. Asked often; must be cheap.
    pub leader: Arc<dyn Fn() -> Leader + Send + Sync>,
    /// Bounds of the server: [`LISTENER_LIMITS`].
    pub limits: Limits,
}

/// Serves route tables to proxies.
///
/// Tables may be published to any instance, but only the leader hands them out: two instances that see the
/// cluster at different moments would otherwise take turns in overwriting each other's tables.
pub struct TableServer {
    reviews: Reviews,
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
    /// How many streams each Gateway has, those before their hello included.
    open: HashMap<ObjectKey, usize>,
}

/// A stream of a Gateway's proxy; no longer counted when dropped.
struct OpenStream {
    server: Arc<TableServer>,
    gateway: ObjectKey,
    _known: Known,
}

/// What is published for one Gateway, and its replicas.
struct Served {
    published: watch::Sender<Published>,
    /// The whole table as a frame, made once for all who need it.
    encoded: Arc<Encoded>,
    audience: Audience,
    /// What endpoints are shown by the tables to come.
    shown: Option<Arc<CertificatePair>>,
    /// Delivery as it was last seen, to notice a change.
    delivery: Delivery,
}

/// What is published for the proxies of a Gateway.
#[derive(Debug, Clone, Default)]
enum Published {
    /// Nothing: no table was published yet. They go on with what they have.
    #[default]
    Nothing,
    State {
        counter: u64,
        /// `None` once withdrawn.
        table: Option<Arc<RouteTable>>,
        /// What endpoints are shown.
        shown: Option<Arc<CertificatePair>>,
    },
}

impl Published {
    fn version(&self, term: u64) -> Option<Version> {
        match self {
            Self::Nothing => None,
            Self::State { counter, .. } => Some(Version {
                term,
                counter: *counter,
            }),
        }
    }

    fn shown(&self) -> Option<Arc<CertificatePair>> {
        match self {
            Self::Nothing => None,
            Self::State { shown, .. } => shown.clone(),
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
    /// It begins to serve with [`serve`](Self::serve).
    pub fn new(identities: Arc<dyn ProxyIdentities>, options: ServerOptions) -> Arc<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since_epoch.unwrap_or_default().as_micros();
        Arc::new(Self {
            reviews: Reviews::new(identities),
            options,
            // A process that restarts within its term goes on above what it counted before.
            first_counter: u64::try_from(micros).unwrap_or_default(),
            state: Mutex::default(),
        })
    }

    /// The replicas of a Gateway that are connected, or were a moment ago.
    pub fn replicas(&self, gateway: &ObjectKey) -> Vec<ReplicaStatus> {
        let state = self.state.lock();
        let served = state.gateways.get(gateway);
        served.map_or_else(Vec::new, |served| served.audience.statuses())
    }

    fn tell(&self, gateway: &ObjectKey, table: Option<Arc<RouteTable>>) {
        let mut state = self.state.lock();
        let served = state.gateways.entry(gateway.clone()).or_default();
        let counter = match &*served.published.borrow() {
            Published::Nothing => self.first_counter,
            Published::State { counter, .. } => *counter,
        };
        served.published.send_replace(Published::State {
            // Only this process changes it.
            counter: counter + 1,
            shown: served.shown.clone().filter(|_| table.is_some()),
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
        let mut state = self.state.lock();
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

    /// One stream more for a Gateway, if it may have one.
    fn open(self: &Arc<Self>, gateway: &ObjectKey, client: &Client) -> Option<OpenStream> {
        let mut state = self.state.lock();
        let open = state.open.entry(gateway.clone()).or_default();
        if *open >= STREAMS_OF_GATEWAY {
            return None;
        }
        *open += 1;
        drop(state);
        Some(OpenStream {
            server: self.clone(),
            gateway: gateway.clone(),
            _known: client.known(),
        })
    }

    /// A replica has said hello. Returns what is published for it.
    fn join(
        &self,
        gateway: &ObjectKey,
        mut replica: Hearer<'_>,
        term: u64,
    ) -> Result<Joined, Full> {
        let mut state = self.state.lock();
        state.streams += 1;
        let stream = state.streams;
        let first = self.first_counter;
        let served = state.gateways.entry(gateway.clone()).or_default();
        let newest = served.published.borrow().version(term);
        replica.held = replica
            .held
            .filter(|held| newest.is_some_and(|newest| was_published(*held, first, newest)));
        served
            .audience
            .join(&replica, stream, newest, Instant::now())?;
        let joined = Joined {
            stream,
            held: replica.held,
            published: served.published.subscribe(),
            encoded: served.encoded.clone(),
        };
        drop(state);
        self.observe();
        Ok(joined)
    }

    /// Something happened to a replica.
    fn note(
        &self,
        gateway: &ObjectKey,
        term: u64,
        act: impl FnOnce(&mut Audience, Option<Version>),
    ) {
        let mut state = self.state.lock();
        if let Some(served) = state.gateways.get_mut(gateway) {
            let newest = served.published.borrow().version(term);
            act(&mut served.audience, newest);
        }
        drop(state);
        self.observe();
    }

    /// Whether a stream still speaks for its replica.
    fn is_current(&self, gateway: &ObjectKey, name: &str, stream: u64) -> bool {
        let state = self.state.lock();
        let served = state.gateways.get(gateway);
        served.is_some_and(|served| served.audience.is_of(name, stream))
    }
}

/// What a stream gets when its replica has said hello.
struct Joined {
    stream: u64,
    /// What the replica serves of what this process published.
    held: Option<Version>,
    published: watch::Receiver<Published>,
    encoded: Arc<Encoded>,
}

/// Whether this process published a version of its term. Other versions do not count: what an earlier process published
/// is older, and what was not published was invented.
fn was_published(version: Version, first_counter: u64, newest: Version) -> bool {
    version.term == newest.term && (first_counter..=newest.counter).contains(&version.counter)
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut state = self.server.state.lock();
        if let Some(open) = state.open.get_mut(&self.gateway) {
            *open -= 1;
            if *open == 0 {
                state.open.remove(&self.gateway);
            }
        }
    }
}

impl Default for Served {
    fn default() -> Self {
        Self {
            published: watch::Sender::default(),
            encoded: Arc::default(),
            audience: Audience::default(),
            shown: None,
            delivery: Delivery::Served,
        }
    }
}

impl Served {
    /// An instance that does not lead waits for no replica; one that has just begun to lead gives replicas time to come.
    fn delivery(
        &self,
        term: Option<(u64, Instant)>,
        late_after: Duration,
        now: Instant,
    ) -> Delivery {
        let Some((term, since)) = term else {
            return Delivery::Served;
        };
        let Some(newest) = self.published.borrow().version(term) else {
            return Delivery::Served;
        };
        if self.audience.is_empty() && now.duration_since(since) < late_after {
            return Delivery::Pending;
        }
        self.audience.delivery(newest, late_after, now)
    }

    /// Withdrawn, and no replica is left to hear of it.
    fn is_over(&self) -> bool {
        let withdrawn = matches!(
            &*self.published.borrow(),
            Published::State { table: None, .. }
        );
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

    async fn show(
        &self,
        gateway: &ObjectKey,
        certificate: Option<Arc<CertificatePair>>,
    ) -> Result<(), PortError> {
        let mut state = self.state.lock();
        let served = state.gateways.entry(gateway.clone()).or_default();
        served.shown = certificate;
        Ok(())
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.tell(gateway, None);
        Ok(())
    }

    fn delivery(&self, gateway: &ObjectKey) -> Delivery {
        self.observe();
        let state = self.state.lock();
        let served = state.gateways.get(gateway);
        served.map_or(Delivery::Served, |served| served.delivery.clone())
    }
}

impl fmt::Debug for TableServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableServer").finish_non_exhaustive()
    }
}
