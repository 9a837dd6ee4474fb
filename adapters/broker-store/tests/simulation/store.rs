//! The store as one worker of a broker sees it: it stops before each call, and the call may fail before or after it was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::broker::attestation::{Attestation, Attested, Shown};
use domain::broker::audit::Event;
use domain::broker::budget::{Budget, Spending, Spent};
use domain::broker::cluster::{Cluster, Identity, Thumbprint};
use domain::broker::contact::Contact;
use domain::broker::held::{Held, Place, Stated, Statement};
use domain::broker::lease::Versions;
use domain::broker::ports::{
    Budgets, Clusters, Digest, Finished, Intents, Invitation, Placed, Sealed, Session, StoreError,
    Turn, WorkQueue,
};
use domain::broker::settle::Settled;
use domain::broker::work::{Holder, Taken};
use domain::broker::{AccountName, ClusterName, Refusal, TenantName};
use domain::certificate::Fingerprint;
use domain::secret::TokenHash;
use domain::testing::Moment;
use domain::{Hostname, ObjectKey, Timestamp};
use futures_util::future::BoxFuture;

use super::harness::{Gate, Harness, Key, Planted};
use super::rules::Rule;

pub(crate) struct Seen {
    pub(crate) harness: Arc<Harness>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) name: String,
}

fn no_answer() -> StoreError {
    StoreError::Failed("no answer".to_owned())
}

pub(crate) fn key(taken: &Taken) -> Key {
    (taken.cluster.clone(), taken.gateway.clone())
}

impl Seen {
    async fn call<T>(
        &self,
        what: &str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.gate.pass().await;
        let fault = self.harness.fault();
        let told = fault.map_or(String::new(), |moment| format!(" fails: {moment:?}"));
        self.harness.log(format!("{} {what}{told}", self.name));
        if fault == Some(Moment::Before) {
            return Err(no_answer());
        }
        let answer = done.await;
        if let Err(error) = &answer {
            self.harness.log(format!("{} {what}: {error}", self.name));
        }
        match fault {
            Some(_) => Err(no_answer()),
            None => answer,
        }
    }

    /// What a standby shows that lags.
    fn of_before(&self, key: &Key, held: Option<Held>) -> Option<Held> {
        if !self.harness.plants(Planted::ReadsAStandby) {
            return held;
        }
        let mut state = self.harness.state();
        let past = state.past.get(key).cloned().unwrap_or_default();
        let from = past.len().saturating_sub(4);
        match past.is_empty() {
            true => held,
            false => state.random.pick(&past[from..]).clone(),
        }
    }

    /// No other cluster has a name that this one was given.
    async fn require_alone(&self, taken: &Taken, settled: &Settled) {
        for name in settled.permitted() {
            for (cluster, gateway) in super::clusters::all() {
                if cluster == taken.cluster {
                    continue;
                }
                let other = self.harness.store.held(&cluster, &gateway).await.unwrap();
                let is_theirs = other.is_some_and(|other| other.names.contains(&name));
                self.harness
                    .require(Rule::OneClusterForAName, !is_theirs, || {
                        format!("{name} was given to {} and is {cluster}'s", taken.cluster)
                    });
            }
        }
    }

    /// The same work, as if it were whoever's has it.
    fn as_anybody(&self, taken: &Taken) -> Taken {
        let mut taken = taken.clone();
        if self.harness.plants(Planted::FinishIsNotFenced)
            && let Some((holder, _)) = self.harness.state().holders.get(&key(&taken))
        {
            taken.holder = Holder(holder.clone());
        }
        taken
    }
}

#[async_trait]
impl WorkQueue for Seen {
    async fn begin(&self) -> Result<(), StoreError> {
        self.harness.store.begin().await
    }

    async fn take(
        &self,
        holder: Holder,
        budget: Budget,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Taken>, StoreError> {
        let harness = &self.harness;
        // What is taken and not told is taken all the same.
        let took = async {
            let taken = harness.store.take(holder, budget, now, until).await?;
            let Some(mut taken) = taken else {
                return Ok(None);
            };
            let (key, true_now) = (key(&taken), harness.now());
            let before = {
                let mut state = harness.state();
                let told = (taken.holder.0.clone(), until);
                state.holders.insert(key.clone(), told)
            };
            let (name, gateway) = (&self.name, &taken.gateway);
            harness.log(format!("{name} takes {}/{gateway}", taken.cluster));
            if let Some((holder, until)) = before {
                let is_free = true_now >= until || holder == taken.holder.0;
                harness.require(Rule::TakesOnlyWhatIsFree, is_free, || {
                    format!("{gateway} is {holder}'s until {until:?}, and {name} takes it")
                });
            }
            taken.held = self.of_before(&key, taken.held);
            Ok(Some(taken))
        };
        self.call("take", took).await
    }

    async fn hold(&self, taken: &Taken, until: Timestamp) -> Result<bool, StoreError> {
        let is_held = self.harness.store.hold(taken, until).await?;
        if is_held {
            let mut state = self.harness.state();
            let told = (taken.holder.0.clone(), until);
            state.holders.insert(key(taken), told);
        }
        Ok(is_held)
    }

    async fn look_again(&self, since: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.harness.store.look_again(since, now).await
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        self.harness.store.changed()
    }

    async fn time(&self) -> Result<Option<i64>, StoreError> {
        match self.harness.fault() {
            Some(_) => Err(no_answer()),
            None => Ok(Some(self.harness.state().now)),
        }
    }
}

#[async_trait]
impl Intents for Seen {
    async fn placed(&self, cluster: &ClusterName) -> Result<Placed, StoreError> {
        self.harness.store.placed(cluster).await
    }

    async fn versions(&self, cluster: &ClusterName) -> Result<Versions, StoreError> {
        self.harness.store.versions(cluster).await
    }

    async fn held(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
    ) -> Result<Option<Held>, StoreError> {
        self.harness.store.held(cluster, gateway).await
    }

    async fn state(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        statement: Statement,
        place: Place,
        if_match: Option<u64>,
        event: Event,
    ) -> Result<(Stated, Held), StoreError> {
        let store = &self.harness.store;
        store
            .state(cluster, gateway, statement, place, if_match, event)
            .await
    }

    async fn refused_certificates(
        &self,
        cluster: &ClusterName,
        wanted: &BTreeMap<ObjectKey, BTreeSet<Hostname>>,
        now: Timestamp,
    ) -> Result<BTreeMap<ObjectKey, Refusal>, StoreError> {
        let store = &self.harness.store;
        store.refused_certificates(cluster, wanted, now).await
    }

    async fn sealed_pair(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Sealed>, StoreError> {
        let store = &self.harness.store;
        store.sealed_pair(cluster, gateway, fingerprint).await
    }

    async fn note_tokens(
        &self,
        taken: &Taken,
        found: BTreeSet<TokenHash>,
    ) -> Result<BTreeSet<TokenHash>, StoreError> {
        let noted = self.harness.store.note_tokens(taken, found);
        self.call("note_tokens", noted).await
    }

    async fn settle(
        &self,
        taken: &Taken,
        wanted: &BTreeSet<Hostname>,
        keeps: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let store = &self.harness.store;
        let decided = match self.harness.plants(Planted::ClaimsWithoutTheLock) {
            true => {
                let (cluster, gateway) = (&taken.cluster, &taken.gateway);
                let decided = store
                    .would_settle(cluster, gateway, wanted, keeps, now)
                    .await?;
                self.gate.pass().await;
                Some(decided)
            }
            false => None,
        };
        let settled = async {
            let settled = store.settle(taken, wanted, keeps, now).await?;
            let settled = decided.unwrap_or(settled);
            self.require_alone(taken, &settled).await;
            Ok(settled)
        };
        self.call("settle", settled).await
    }

    async fn would_settle(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        wanted: &BTreeSet<Hostname>,
        keeps: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let store = &self.harness.store;
        store
            .would_settle(cluster, gateway, wanted, keeps, now)
            .await
    }

    async fn finish(
        &self,
        taken: &Taken,
        finished: Finished,
        again: Duration,
        event: Option<Event>,
    ) -> Result<(), StoreError> {
        let (harness, key) = (&self.harness, key(taken));
        let (outcome, event_of_taken) = (finished.outcome.clone(), event);
        let ended = async {
            let passes = |held: Option<Held>| held.map(|held| held.passes);
            let of = |(cluster, gateway): &Key| (cluster.clone(), gateway.clone());
            let (cluster, gateway) = of(&key);
            let before = passes(harness.store.held(&cluster, &gateway).await?);
            let as_whom = self.as_anybody(taken);
            let finish = harness
                .store
                .finish(&as_whom, finished, again, event_of_taken);
            finish.await?;
            let after = passes(harness.store.held(&cluster, &gateway).await?);
            let mut state = harness.state();
            let has = |(holder, _): &(String, Timestamp)| *holder == taken.holder.0;
            let is_own = state.holders.get(&key).is_some_and(has);
            if is_own {
                state.holders.remove(&key);
            }
            drop(state);
            let is_permitted = is_own || before == after;
            harness.require(Rule::FinishesOnlyWhatItHas, is_permitted, || {
                format!("{} finished {gateway}, which it has no longer", self.name)
            });
            Ok(())
        };
        let what = match outcome {
            Ok(status) => format!("finish: {}", status.changes),
            Err(error) => format!("finish: {error}"),
        };
        self.call(&what, ended).await
    }
}

#[async_trait]
impl Budgets for Seen {
    async fn spending(&self, account: &AccountName) -> Result<Spending, StoreError> {
        self.harness.store.spending(account).await
    }

    async fn spend(&self, spent: Spent, now: Timestamp) -> Result<(), StoreError> {
        self.harness.store.spend(spent, now).await
    }
}

#[async_trait]
impl Clusters for Seen {
    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, StoreError> {
        self.call("cluster", self.harness.store.cluster(name)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantName>, StoreError> {
        self.harness.store.tenants().await
    }

    async fn put_tenant(&self, tenant: &TenantName, event: Event) -> Result<(), StoreError> {
        self.harness.store.put_tenant(tenant, event).await
    }

    async fn remove_tenant(&self, tenant: &TenantName, event: Event) -> Result<(), StoreError> {
        self.harness.store.remove_tenant(tenant, event).await
    }

    async fn clusters(&self, tenant: Option<&TenantName>) -> Result<Vec<Cluster>, StoreError> {
        self.harness.store.clusters(tenant).await
    }

    async fn invite(&self, invitation: Invitation, event: Event) -> Result<Cluster, StoreError> {
        self.harness.store.invite(invitation, event).await
    }

    async fn redeem(
        &self,
        code: &Digest,
        identity: Identity,
        attestation: Option<Attestation>,
        public_key: &str,
        now: Timestamp,
        event: Event,
    ) -> Result<Cluster, StoreError> {
        let store = &self.harness.store;
        store
            .redeem(code, identity, attestation, public_key, now, event)
            .await
    }

    async fn turn(
        &self,
        name: &ClusterName,
        turn: Turn,
        event: Event,
    ) -> Result<Cluster, StoreError> {
        self.harness.store.turn(name, turn, event).await
    }

    async fn note_contact(
        &self,
        name: &ClusterName,
        last: Option<Timestamp>,
        contact: Contact,
        event: Event,
    ) -> Result<bool, StoreError> {
        let store = &self.harness.store;
        store.note_contact(name, last, contact, event).await
    }

    async fn hear(
        &self,
        name: &ClusterName,
        controller: &str,
        event: Event,
    ) -> Result<Cluster, StoreError> {
        self.harness.store.hear(name, controller, event).await
    }

    async fn open_session(
        &self,
        session: Session,
        identity: &Identity,
        shown: Option<&Shown>,
        event: Event,
    ) -> Result<(Cluster, Attested), StoreError> {
        self.harness
            .store
            .open_session(session, identity, shown, event)
            .await
    }

    async fn session(
        &self,
        token: &Digest,
        now: Timestamp,
    ) -> Result<(Cluster, Thumbprint), StoreError> {
        self.harness.store.session(token, now).await
    }

    async fn begin_term(&self, name: &ClusterName, event: Event) -> Result<u64, StoreError> {
        self.harness.store.begin_term(name, event).await
    }
}
