//! The proxy's side: it serves the last table that it got, from its first moment on.

mod dial;
mod kept;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::ObjectKey;
use domain::ports::DataPlane;
use domain::workload::EdgeConnections;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::dial::ClientOptions;
use self::dial::{DialError, dial};
use self::kept::{HeldTable, Kept};
use self::session::{End, FAREWELL, Session};
use crate::wire::{Holding, MOST_TOKENS, Version};

/// The first pause before another try; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause. Short, because a proxy without table is of no use.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often one follows from instance to instance without a pause.
const REDIRECTS: u32 = 2;

/// How long writing the kept table pauses: a large one changes with every pod of every backend.
const KEEP_PAUSE: Duration = Duration::from_millis(500);

/// Keeps the route table of one proxy current.
pub struct TableClient {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    options: ClientOptions,
    sink: Arc<dyn DataPlane>,
    ready: watch::Sender<bool>,
    connections: watch::Sender<EdgeConnections>,
    /// Notified when the controller is to hear that the edge has disowned the tunnel.
    disowned: Notify,
    /// What the next run should find.
    to_keep: watch::Sender<Option<Kept>>,
    stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gateway: Option<ObjectKey>,
    held: Option<HeldTable>,
    connected: bool,
}

impl TableClient {
    /// Serves the table kept from an earlier run, then follows the controller. Needs a tokio runtime.
    pub fn start(options: ClientOptions, sink: Arc<dyn DataPlane>) -> Self {
        let shared = Arc::new(Shared {
            options,
            sink,
            ready: watch::Sender::new(false),
            connections: watch::Sender::default(),
            disowned: Notify::new(),
            to_keep: watch::Sender::new(None),
            stop: CancellationToken::new(),
            state: Mutex::default(),
        });
        let task = tokio::spawn(run(shared.clone()));
        Self {
            shared,
            task: Mutex::new(Some(task)),
        }
    }

    /// The Gateway that this proxy serves, as the controller or the kept table says.
    pub fn gateway(&self) -> Option<ObjectKey> {
        self.shared.state.lock().gateway.clone()
    }

    /// Whether there is a table to serve.
    pub fn has_table(&self) -> bool {
        let held = self.shared.held();
        held.is_some_and(|held| held.table.is_some())
    }

    /// The version that is served.
    pub fn version(&self) -> Option<Version> {
        self.shared.held().map(|held| held.version)
    }

    /// Tells the controller whether this replica takes traffic.
    pub fn set_ready(&self, ready: bool) {
        self.shared.ready.send_if_modified(|was| {
            let changed = *was != ready;
            *was = ready;
            changed
        });
    }

    /// Tells the controller of this replica's connections to the edge.
    pub fn set_connections(&self, mut connections: EdgeConnections) {
        while connections.tokens.len() > MOST_TOKENS {
            connections.tokens.pop_last();
        }
        self.shared.connections.send_if_modified(|had| {
            let changed = *had != connections;
            *had = connections;
            changed
        });
    }

    /// Tells the controller that the edge knows no such tunnel, or refuses its token. Where there is no stream it is
    /// sent once there is one.
    pub fn tell_disowned(&self) {
        self.shared.disowned.notify_one();
    }

    /// Whether the stream is open.
    pub fn connected(&self) -> bool {
        self.shared.state.lock().connected
    }

    /// Says goodbye to the controller and stops following; what is served stays served.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let task = self.task.lock().take();
        if let Some(mut task) = task
            && tokio::time::timeout(FAREWELL, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for TableClient {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl fmt::Debug for TableClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableClient")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn held(&self) -> Option<HeldTable> {
        self.state.lock().held.clone()
    }

    /// What is held, in the words of the wire.
    fn holding(&self) -> Option<Holding> {
        let state = self.state.lock();
        Some(Holding {
            gateway: state.gateway.clone()?,
            version: state.held.as_ref()?.version,
        })
    }

    fn connected(&self, connected: bool) {
        self.state.lock().connected = connected;
    }

    /// Serves what an earlier run kept. A file that cannot be used is as good as none.
    async fn restore(&self) {
        let kept = match kept::read(&self.options.state_dir).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "the kept route table is not used"),
        };
        if let Some(table) = &kept.table
            && let Err(error) = self.sink.publish(table.clone()).await
        {
            return tracing::warn!(%error, "the kept route table is not used");
        }
        tracing::info!(version = %kept.version, "serving the route table that was kept");
        let mut state = self.state.lock();
        state.gateway = Some(kept.gateway);
        state.held = Some(HeldTable {
            version: kept.version,
            table: kept.table,
        });
    }

    /// Keeps what is served for the next run: the newest, not everything on the way there. Without it that run
    /// only has to wait for the controller.
    async fn keep(&self) {
        let mut to_keep = self.to_keep.subscribe();
        loop {
            let changed = self.stop.run_until_cancelled(to_keep.changed()).await;
            // Once it is stopped, what is not written yet is written all the same.
            let stopped = changed.is_none();
            if stopped && !to_keep.has_changed().unwrap_or(false) {
                return;
            }
            let kept = to_keep.borrow_and_update().clone();
            if let Some(kept) = kept
                && let Err(error) = kept::write(&self.options.state_dir, kept).await
            {
                tracing::warn!(%error, "the route table could not be kept for a restart");
            }
            self.stop
                .run_until_cancelled(tokio::time::sleep(KEEP_PAUSE))
                .await;
        }
    }
}

async fn run(shared: Arc<Shared>) {
    shared.restore().await;
    tokio::join!(follow(&shared), shared.keep());
}

/// Goes from stream to stream until it is stopped.
async fn follow(shared: &Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut redirects = 0;
    let mut address = shared.options.address.clone();
    while !shared.stop.is_cancelled() {
        let next = match attempt(shared, &address).await {
            StreamOutcome::Stopped => return,
            StreamOutcome::Served(next) => {
                pause = FIRST_PAUSE;
                redirects = 0;
                next
            }
            StreamOutcome::Elsewhere(next) => next,
        };
        match next {
            Some(leader) if redirects < REDIRECTS => {
                redirects += 1;
                address = leader;
            }
            _ => {
                redirects = 0;
                address.clone_from(&shared.options.address);
                let paused = tokio::time::sleep(jittered(pause));
                if shared.stop.run_until_cancelled(paused).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// How one attempt ended, with the address to go on to.
enum StreamOutcome {
    Stopped,
    /// There was a stream for a while.
    Served(Option<String>),
    /// There was none, or only for a moment.
    Elsewhere(Option<String>),
}

async fn attempt(shared: &Arc<Shared>, address: &str) -> StreamOutcome {
    let dialled = dial(&shared.options, address);
    let Some(dialled) = shared.stop.run_until_cancelled(dialled).await else {
        return StreamOutcome::Stopped;
    };
    let stream = match dialled {
        Ok(stream) => stream,
        Err(DialError::Elsewhere(leader)) => return StreamOutcome::Elsewhere(Some(leader)),
        Err(error) => {
            tracing::warn!(address, %error, "no stream of route tables");
            return StreamOutcome::Elsewhere(None);
        }
    };
    let began = Instant::now();
    let ended = Session::new(shared.clone(), stream).run().await;
    shared.connected(false);
    let next = match ended {
        End::Stopped => return StreamOutcome::Stopped,
        End::Elsewhere(leader) => leader,
        End::Broken(why) => {
            tracing::warn!(address, why, "the stream of route tables ended");
            None
        }
    };
    // Instances that send a proxy to each other again and again must not make it dial without a pause.
    if began.elapsed() >= LONGEST_PAUSE {
        StreamOutcome::Served(next)
    } else {
        StreamOutcome::Elsewhere(next)
    }
}

/// Between half of it and all of it, so that proxies that lost one controller do not come back as one.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 1000).unwrap_or_default();
    pause / 2 + pause / 2 * share / 1000
}
