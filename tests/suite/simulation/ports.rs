//! The ports of one process. Every call is a step: the process pauses before it, and the history
//! draws what happens then. Calls that may remove something are checked first.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use domain::edge::Partial;
use domain::gateway::Gateway;
use domain::ports::{
    CloudflareAccounts, CloudflareApi, ClusterSource, Credentials, DataPlane, Events, Finalizer,
    Leadership, Orphans, PortError, PortErrorKind, RotationStore, StatusSink, Workloads,
};
use domain::rotation::RotationState;
use domain::route_table::RouteTable;
use domain::secret::{CloudflareCredentials, ConnectorToken};
use domain::snapshot::ClusterSnapshot;
use domain::status::{EventReason, GatewayEvent, StatusUpdate};
use domain::testing::{
    ApiCall, Call, FakeCluster, FakeDataPlane, FixedLeadership, Moment, Observer, StaticCredentials,
};
use domain::workload::{WorkloadSpec, WorkloadStatus};
use domain::{ObjectKey, ObjectRef, TunnelId, ZoneId};

use super::cluster_model::{
    GATEWAYS, IN_OTHER_ACCOUNT, OTHER_ZONE, WITHOUT_CREDENTIALS, ZONES, key,
};
use super::expected::{Expected, is_readable};
use super::harness::{ACCOUNTS, Harness, zone_id};
use super::installations::ClusterId;
use super::planted::Planted;
use super::planted_api::PlantedApi;
use super::process::Persistent;
use super::rules::Rule;

/// A process: what it reads, and what it did last.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) cluster_id: ClusterId,
    pub(crate) harness: Arc<Harness>,
    pub(crate) cluster: FakeCluster,
    pub(crate) data_plane: FakeDataPlane,
    pub(crate) persistent: Persistent,
    pub(crate) leadership: FixedLeadership,
    pub(crate) notes: Mutex<Notes>,
}

#[derive(Default)]
pub(crate) struct Notes {
    /// The snapshot of the route pass under way.
    pub(crate) seen: Arc<ClusterSnapshot>,
    /// What the last readable snapshot asks for.
    pub(crate) in_force: Arc<Expected>,
    /// The same at the start of the edge pass under way.
    pub(crate) acting_on: Arc<Expected>,
    /// For how many resyncs in a row each Gateway was known not to be wanted.
    pub(crate) unwanted_for: BTreeMap<ObjectKey, usize>,
    /// The highest term that it was told.
    last_term: Option<u64>,
    /// Whether it led when its edge pass began.
    pub(crate) led: bool,
    /// Zones whose records were asked for last without an answer.
    pub(crate) failed_reads: BTreeSet<ZoneId>,
    /// The same, and those that were not even listed.
    pub(crate) unread: BTreeSet<ZoneId>,
}

/// One port of a process.
pub(crate) struct Port(pub(crate) Arc<Actor>);

/// Returns control to the history, which chooses the process that runs next.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            // A pass with several queues polls only those that were woken.
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

impl Actor {
    pub(crate) fn begin_edge_pass(&self, resync: bool) {
        let orphans = self.persistent.orphans.kept();
        let mut notes = self.notes.lock().unwrap();
        notes.acting_on = notes.in_force.clone();
        notes.led = self.leadership.term().is_some();
        for gateway in GATEWAYS.map(key) {
            if !notes.acting_on.may_remove(&gateway, &orphans) {
                notes.unwanted_for.remove(&gateway);
            } else if resync {
                *notes.unwanted_for.entry(gateway).or_default() += 1;
            }
        }
        let line = || format!(" {}: edge pass, resync {resync}", self.name);
        self.harness.log(line);
    }

    /// Edge passes act on the last snapshot from now on.
    pub(crate) fn use_last_snapshot(&self) {
        let mut notes = self.notes.lock().unwrap();
        if is_readable(&notes.seen) {
            notes.in_force = Arc::new(Expected::of(&notes.seen));
        }
    }

    /// A Gateway that is gone or being deleted cannot get the finalizer.
    async fn add_finalizer(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let may_get_it = !self.harness.in_cluster
            || self.persistent.objects.lock().unwrap().contains(gateway)
            || self.persistent.finalizer.gateways().contains(gateway);
        if !may_get_it {
            return Err(PortError::new(PortErrorKind::NotFound, "the Gateway goes"));
        }
        self.persistent.finalizer.add(gateway).await
    }

    /// A call to a port other than Cloudflare.
    async fn port<T>(
        &self,
        what: impl FnOnce() -> String + Send,
        made: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        pause().await;
        let lost = || Err(PortError::unavailable("lost"));
        let fault = self.harness.next_port_fault();
        let answer = match fault {
            Some(Moment::Before) => lost(),
            Some(Moment::After) => made.await.and(lost()),
            None => made.await,
        };
        let line = fault.map_or(String::new(), |moment| format!(" fails {moment:?}"));
        self.harness
            .log(|| format!("  {}: {}{line}", self.name, what()));
        answer
    }
}

#[async_trait]
impl ClusterSource for Port {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        pause().await;
        let snapshot = self.0.cluster.snapshot().await;
        self.0.notes.lock().unwrap().seen = snapshot.clone();
        match self.0.harness.planted() {
            Some(planted) => planted.shown(snapshot, &self.0.persistent.told.lock().unwrap()),
            None => snapshot,
        }
    }

    async fn changed(&self) {
        self.0.cluster.changed().await;
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        self.0.cluster.follow(refs);
    }
}

#[async_trait]
impl StatusSink for Port {
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        self.0.check_statuses(updates);
        let made = async {
            self.0.persistent.told.lock().unwrap().read(updates);
            Ok(())
        };
        let what = || format!("writes {} statuses", updates.len());
        self.0.port(what, made).await
    }
}

impl Leadership for Port {
    fn term(&self) -> Option<u64> {
        let now = self.0.leadership.term();
        let last = &mut self.0.notes.lock().unwrap().last_term;
        *last = now.max(*last);
        match self.0.harness.plants(Planted::LeadershipIsNotLost) {
            true => *last,
            false => now,
        }
    }
}

#[async_trait]
impl Finalizer for Port {
    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.check_write(gateway, "the finalizer");
        let made = async {
            if self.0.harness.plants(Planted::FinalizerIsNotAdded) {
                return Ok(());
            }
            self.0.add_finalizer(gateway).await
        };
        self.0
            .port(|| format!("adds the finalizer to {gateway}"), made)
            .await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = async {
            self.0.check_release(gateway);
            self.0.persistent.finalizer.remove(gateway).await
        };
        self.0
            .port(|| format!("removes the finalizer from {gateway}"), made)
            .await
    }

    async fn gateways(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let made = Finalizer::gateways(&*self.0.persistent.finalizer);
        self.0
            .port(|| "asks who has the finalizer".to_owned(), made)
            .await
    }
}

#[async_trait]
impl Workloads for Port {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        self.0.check_write(gateway, "a proxy");
        let workloads = &self.0.persistent.workloads;
        let made = workloads.ensure(gateway, spec, tunnel, token);
        let what = || format!("runs the proxy of {gateway}");
        self.0.port(what, made).await
    }

    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = self.0.persistent.workloads.release(gateway);
        let what = || format!("lets go of the proxy of {gateway}");
        self.0.port(what, made).await
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.0.check_stop(gateway);
        if self.0.harness.plants(Planted::FinalizerGoesEarly) {
            Finalizer::remove(self, gateway).await?;
        }
        let made = async {
            let stopped = self.0.persistent.workloads.stop(gateway).await;
            let harness = &self.0.harness;
            harness.close_connections(self.0.cluster_id, gateway);
            stopped
        };
        let what = || format!("stops the proxy of {gateway}");
        self.0.port(what, made).await
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        self.0.persistent.workloads.status(gateway).await
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let made = self.0.persistent.workloads.running();
        self.0
            .port(|| "asks which proxies run".to_owned(), made)
            .await
    }
}

#[async_trait]
impl RotationStore for Port {
    async fn load(&self, gateway: &ObjectKey) -> Result<Option<RotationState>, PortError> {
        let made = self.0.persistent.rotations.load(gateway);
        let what = || format!("reads what is kept of the token of {gateway}");
        self.0.port(what, made).await
    }

    async fn save(&self, gateway: &ObjectKey, state: &RotationState) -> Result<(), PortError> {
        self.0.check_write(gateway, "a rotation");
        let made = async {
            if self.0.harness.plants(Planted::RotationIsLost) {
                return Ok(());
            }
            self.0.persistent.rotations.save(gateway, state).await
        };
        let what = || format!("keeps {:?} of the token of {gateway}", state.stage);
        self.0.port(what, made).await
    }

    async fn forget(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = self.0.persistent.rotations.forget(gateway);
        let what = || format!("forgets what is kept of the token of {gateway}");
        self.0.port(what, made).await
    }
}

#[async_trait]
impl Orphans for Port {
    async fn all(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let made = async {
            if self.0.harness.plants(Planted::OrphansAreLost) {
                return Ok(BTreeSet::new());
            }
            Orphans::all(&*self.0.persistent.orphans).await
        };
        let what = || "reads whose things stay".to_owned();
        self.0.port(what, made).await
    }

    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = Orphans::add(&*self.0.persistent.orphans, gateway);
        let what = || format!("keeps that the things of {gateway} stay");
        self.0.port(what, made).await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = Orphans::remove(&*self.0.persistent.orphans, gateway);
        let what = || format!("forgets that the things of {gateway} stay");
        self.0.port(what, made).await
    }
}

impl Events for Port {
    fn tell(&self, gateway: &ObjectKey, event: &GatewayEvent) {
        let harness = &self.0.harness;
        harness.log(|| format!("  {}: tells {event:?} of {gateway}", self.0.name));
        let is_kept = self.0.persistent.orphans.kept().contains(gateway);
        let is_true = event.reason != EventReason::Orphaned || is_kept;
        harness.require(Rule::RemembersBeforeItTells, is_true, || {
            format!("{gateway} is said to leave what it has, and the next process does not know")
        });
    }
}

#[async_trait]
impl DataPlane for Port {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        let gateway = table.gateway.clone();
        let made = async {
            if self.0.harness.plants(Planted::TableIsNotServed) {
                return Ok(());
            }
            self.0.data_plane.publish(table).await
        };
        self.0.port(|| format!("publishes {gateway}"), made).await
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = self.0.data_plane.withdraw(gateway);
        self.0.port(|| format!("withdraws {gateway}"), made).await
    }
}

/// As with a Secret that the class of the Gateway names: a Gateway that does not exist has no credentials.
#[async_trait]
impl Credentials for Port {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        let seen = self.0.notes.lock().unwrap().seen.clone();
        let mut gateways = seen.gateways.items().iter();
        let has_some = |there: &Gateway| !there.annotations.contains_key(WITHOUT_CREDENTIALS);
        let found = gateways.find(|there| there.key == *gateway && has_some(there));
        if let Some(found) = found {
            let is_elsewhere = found.annotations.contains_key(IN_OTHER_ACCOUNT);
            let account = ACCOUNTS[usize::from(is_elsewhere)];
            return StaticCredentials::for_all(account).of(gateway).await;
        }
        let message = format!("there is no Gateway {gateway}, or no Secret of it");
        Err(PortError::new(PortErrorKind::Credentials, message))
    }

    /// Those of both accounts where Gateways move; none where no Gateway that is there has any.
    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        let seen = self.0.notes.lock().unwrap().seen.clone();
        let gateways = seen.gateways.items();
        let lacks = |there: &Gateway| there.annotations.contains_key(WITHOUT_CREDENTIALS);
        if !gateways.is_empty() && gateways.iter().all(lacks) {
            return Ok(Vec::new());
        }
        let accounts = 1 + usize::from(self.0.harness.faults.moves);
        let mut all = Vec::new();
        for account in &ACCOUNTS[..accounts] {
            all.extend(StaticCredentials::for_all(account).all().await?);
        }
        Ok(all)
    }
}

impl CloudflareAccounts for Port {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        let observer = Arc::new(Self(self.0.clone()));
        let harness = &self.0.harness;
        let api = harness.cloudflare.open_observed(credentials, observer);
        match harness.planted() {
            Some(planted) => Arc::new(PlantedApi {
                api,
                planted,
                cluster: self.0.cluster_id,
            }),
            None => api,
        }
    }
}

#[async_trait]
impl Observer for Port {
    async fn before(&self, call: &Call<'_>) -> Option<(Moment, PortError)> {
        pause().await;
        let fault = self.0.harness.next_fault();
        self.0.check(call);
        fault
    }

    fn after(&self, call: &Call<'_>, error: Option<&PortError>) {
        let notes = &mut *self.0.notes.lock().unwrap();
        match (call.kind, call.zone, error) {
            (ApiCall::Zones, _, Some(_)) => {
                let zones = ZONES.iter().chain([&OTHER_ZONE]);
                notes.unread.extend(zones.map(|zone| zone_id(zone)));
            }
            (ApiCall::Records, Some(zone), None) => {
                notes.unread.remove(zone);
                notes.failed_reads.remove(zone);
            }
            (ApiCall::Records, Some(zone), Some(_)) => {
                notes.unread.insert(zone.clone());
                notes.failed_reads.insert(zone.clone());
            }
            _ => {}
        }
        let error = error.map(|error| (error.kind, &error.message));
        let line = || format!("  {}: {call:?} {error:?}", self.0.name);
        self.0.harness.log(line);
    }
}

impl Actor {
    /// A proxy that still runs connects again at once after its connections were closed.
    pub(crate) fn reconnect(&self, tunnel: TunnelId) {
        for gateway in GATEWAYS {
            let proxy = self.persistent.workloads.proxy(&key(gateway));
            let runs = proxy.is_some_and(|(runs_for, _)| runs_for == tunnel);
            let cloudflare = &self.harness.cloudflare;
            if runs && cloudflare.tunnels().iter().any(|there| there.id == tunnel) {
                cloudflare.connect(tunnel, gateway);
            }
        }
    }
}
