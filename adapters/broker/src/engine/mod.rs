//! Makes true what clusters state: takes one piece of work after another out of the store.
//!
//! - [`edges`]: the edges of all clusters and accounts, each with the token that is in use.
//! - [`meter`]: what they spend of the accounts' budgets.
//! - [`hold`]: for how long a piece of work is this broker's.
//! - `pairs`: certificates with their keys.
//! - [`time`]: the time that all brokers go by.
//! - `contact`: looks for clusters that are not heard of any more.

mod contact;
pub mod edges;
pub mod hold;
pub mod meter;
pub(crate) mod pairs;
pub mod time;

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use domain::broker::contact::Patience;
use domain::broker::pass;
use domain::broker::ports::{AccountEdges, Store, StoreError};
use domain::broker::work::{Holder, Taken};
use domain::ports::{Clock, Entropy};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use self::hold::Hold;
use self::time::StoreTime;
use crate::{identity, rays};

/// Pieces of work of one broker that are under way at a time.
pub const WORKERS: usize = 8;

/// How long one piece of work may take. It is cut off then, which is safe: every prefix of a plan is.
pub const LONGEST_WORK: Duration = Duration::from_secs(240);

/// How often a broker says that a piece of work takes longer.
const HOLDS: Duration = Duration::from_secs(10);

/// How often is looked for work of which nobody told.
const LOOKS: Duration = Duration::from_secs(1);

/// The engine of a broker.
pub struct Engine {
    pub store: Arc<dyn Store>,
    pub edges: Arc<dyn AccountEdges>,
    pub time: Arc<StoreTime>,
    pub entropy: Arc<dyn Entropy>,
    /// Each Gateway is looked at again after so long, so that what others changed at Cloudflare is put right.
    pub resync: Duration,
    /// For how long the silence of a cluster means nothing.
    pub patience: Patience,
}

impl Engine {
    /// Works until `stop`, and then finishes what is under way.
    pub async fn run(self, stop: CancellationToken) {
        let engine = Arc::new(self);
        if let Err(error) = engine.store.begin().await {
            tracing::warn!(%error, "what was under way before is done a little later");
        }
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..WORKERS {
            let (engine, stop) = (engine.clone(), stop.clone());
            tasks.spawn(async move { engine.work(&stop).await });
        }
        let (watching, stopped) = (engine.clone(), stop.clone());
        tasks.spawn(async move { watching.watch(&stopped).await });
        let (counting, stopped) = (engine.clone(), stop.clone());
        tasks.spawn(async move { counting.write_down_spending(&stopped).await });
        let (following, stopped) = (engine.clone(), stop.clone());
        tasks.spawn(async move { following.time.follow(&*following.store, &stopped).await });
        tasks.spawn(async move { engine.look_again(&stop).await });
        tasks.join_all().await;
    }

    async fn work(&self, stop: &CancellationToken) {
        let id = identity::unpredictable(&*self.entropy);
        let worker = Holder(id.expose_secret().to_owned());
        while !stop.is_cancelled() {
            // Before it is looked for work, so that none is missed.
            let changed = self.store.changed();
            match self.one(&worker).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "work is put off"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = changed => {}
                () = tokio::time::sleep(LOOKS) => {}
            }
        }
    }

    /// Does the next piece of work of this worker. Whether there was one.
    async fn one(&self, worker: &Holder) -> Result<bool, StoreError> {
        let asked = hold::moment(&self.clocks());
        let (now, until) = (asked.first(), asked.until());
        let (worker, budget) = (worker.clone(), self.edges.budget());
        let Some(taken) = self.store.take(worker, budget, now, until).await? else {
            return Ok(false);
        };
        let hold = Hold::since(self.clocks(), asked);
        // A machine that was frozen finds out before it does anything.
        self.time.ask(&*self.store).await?;
        let pass = pass::carry_out(&*self.store, &*self.edges, &taken, now, &rays::noted);
        let pass = hold::holding(hold.clone(), rays::noting(pass));
        tokio::select! {
            done = tokio::time::timeout(LONGEST_WORK, pass) => match done {
                Ok(done) => done?,
                Err(_) => tracing::warn!(
                    cluster = %taken.cluster, gateway = %taken.gateway,
                    "work was cut off after {} s and is done again", LONGEST_WORK.as_secs()
                ),
            },
            () = self.hold(&taken, &hold) => tracing::warn!(
                cluster = %taken.cluster, gateway = %taken.gateway, "another broker does this work"
            ),
        }
        Ok(true)
    }

    fn clocks(&self) -> [Arc<dyn Clock>; 2] {
        [self.time.clone(), self.time.own()]
    }

    /// Keeps a piece of work. Returns where somebody else has it.
    async fn hold(&self, taken: &Taken, hold: &Hold) {
        loop {
            tokio::time::sleep(HOLDS).await;
            let told = hold::moment(&self.clocks());
            match self.store.hold(taken, told.until()).await {
                Ok(true) => hold.extend(told),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "the store is not told that work takes longer");
                }
            }
        }
    }

    /// What was spent without a piece of work, or before one that is not done yet.
    async fn write_down_spending(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOKS) => {}
            }
            let spent = self.edges.spent();
            if spent.is_empty() {
                continue;
            }
            if let Err(error) = self.store.spend(spent, self.time.now()).await {
                tracing::warn!(%error, "what was spent of the budgets of accounts is not written down");
            }
        }
    }

    async fn look_again(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.resync / 10) => {}
            }
            let now = self.time.now();
            let resync = i64::try_from(self.resync.as_secs()).unwrap_or(i64::MAX);
            let since = Timestamp(now.0.saturating_sub(resync));
            if let Err(error) = self.store.look_again(since, now).await {
                tracing::warn!(%error, "what others changed is looked for later");
            }
        }
    }
}
