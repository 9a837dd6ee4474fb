//! The edge without a broker: plans over what the Cloudflare API shows and carries the plan out.
//!
//! One reconcile looks at the Gateway's tunnel, its ingress document, the list of zones, and every zone that
//! matters: the zones of wanted names and those in which something of this Gateway was seen before. The
//! first reconcile of a Gateway in a term looks at all zones, to find what an earlier process left.
//!
//! An edge with a memory ([`DirectEdge::remembering`]) keeps what it read until the next resync or term, or
//! until anything fails. Then a new hostname costs two writes (document, batch) and no read, one that goes
//! or changes hands a read of its zone besides, and a resync reads each list once for all Gateways. An edge
//! without memory, as behind a broker, reads [`READS_BESIDE_ZONES`] lists and each zone
//! that matters every time. Where a wanted name has a record of
//! another installation of our name, the tunnels of the account are listed once more, after the records.
//!
//! A tunnel is known by its name, so a creation whose answer was lost is found again and never repeated. A
//! tunnel of that name that somebody made with a local configuration is adopted as it is: its records stay
//! true, connectors join it all the same, and putting an ingress document turns it into a remotely configured
//! one. Cloudflare keeps names unique; should it ever list two tunnels of one name, the remotely configured
//! one with the lowest id is used, and removing the Gateway removes both.

mod adopt;
mod apply;
mod certificates;

mod lock;
mod memory;
mod moving;
mod observe;
mod remove;
mod sweep;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::edge::api::CloudflareAccounts;
use crate::edge::cache::{CachedApi, SharedCache};
use crate::edge::journal::Notes;
use crate::edge::objects::Tunnel;
use crate::edge::observed::Observed;
use crate::edge::ownership::{self, RecordMark};
use crate::edge::plan::Plan;
use crate::edge::ports::{Certificates, Credentials, Edge, Entropy, Journal};
use crate::edge::{
    EdgeIntent, EdgeStatus, Holdings, HostnameOutcome, KeyedLocks, Partial, TunnelStatus, plan,
    tunnel,
};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, Hostname, Installation, ObjectKey, TunnelId, ZoneId};
use crate::secret::{CloudflareCredentials, ConnectorToken, TokenHash};
use apply::Executor;
use memory::{GatewayMemory, Memory};
use moving::MovedFrom;

/// Reads of one reconcile of a Gateway that has its tunnel, beside one for each zone: tunnels,
/// configuration, zones.
pub const READS_BESIDE_ZONES: usize = 3;

/// [`Edge`] over the Cloudflare API.
pub struct DirectEdge {
    accounts: Arc<dyn CloudflareAccounts>,
    credentials: Arc<dyn Credentials>,
    entropy: Arc<dyn Entropy>,
    installation: Installation,
    certificates: Option<Arc<dyn Certificates>>,
    journal: Option<Arc<dyn Journal>>,
    remembers: bool,
    memory: Mutex<Memory>,
    account_locks: KeyedLocks<AccountId>,
}

/// What one reconcile is about.
struct Work<'a> {
    intent: &'a EdgeIntent,
    name: String,
    mark: RecordMark,
    /// Zones in which something of the Gateway may be; `None` for all.
    known: Option<BTreeSet<ZoneId>>,
    /// The tunnel that the Gateway had when it was last reconciled.
    former: Option<TunnelId>,
    /// Hostnames that had a record of it then.
    had: BTreeSet<Hostname>,
    /// What it is served by until a proxy has joined its tunnel here.
    moved_from: Option<MovedFrom>,
}

impl DirectEdge {
    /// An edge for one installation.
    pub fn new(
        accounts: Arc<dyn CloudflareAccounts>,
        credentials: Arc<dyn Credentials>,
        entropy: Arc<dyn Entropy>,
        installation: Installation,
    ) -> Self {
        Self {
            accounts,
            credentials,
            entropy,
            installation,
            certificates: None,
            journal: None,
            remembers: false,
            memory: Mutex::default(),
            account_locks: KeyedLocks::default(),
        }
    }

    /// Uploads the certificates that intents name, out of here. Without it their outcome is that they are
    /// not available.
    pub fn with_certificates(mut self, certificates: Arc<dyn Certificates>) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Tells what is removed and written, and why.
    pub fn with_journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Keeps what was read between calls. Only for an edge that gets a call at every term and resync
    /// ([`Edge::begin_resync`]): what others do is seen by nothing else.
    pub fn remembering(mut self) -> Self {
        self.remembers = true;
        self
    }

    /// `why` is what the journal says of writes.
    fn open(&self, credentials: &CloudflareCredentials, why: impl Into<String>) -> CachedApi {
        if !self.remembers {
            return self.open_with(credentials, Arc::default(), why);
        }
        let cache = {
            let caches = &mut self.memory().caches;
            let known = caches.iter().find(|(of, _)| of.is_same(credentials));
            match known {
                Some((_, cache)) => cache.clone(),
                None => {
                    let cache = Arc::default();
                    caches.push((credentials.clone(), Arc::clone(&cache)));
                    cache
                }
            }
        };
        self.open_with(credentials, cache, why)
    }

    fn open_with(
        &self,
        credentials: &CloudflareCredentials,
        cache: Arc<SharedCache>,
        why: impl Into<String>,
    ) -> CachedApi {
        let notes = Notes::new(self.journal.clone(), why);
        CachedApi::new(self.accounts.open(credentials), cache, notes)
    }

    /// Reads and plans until nothing is changed or removed on the word of memory.
    async fn read_and_plan(
        &self,
        api: &CachedApi,
        work: &Work<'_>,
    ) -> Result<(Observed, Plan), PortError> {
        loop {
            let observed = observe::observe(api, work).await?;
            let plan = plan::plan(work.intent, &observed, &self.installation);
            if !api.must_read_again(plan.zones_that_lose()) {
                return Ok((observed, plan));
            }
        }
    }

    /// Makes the intent true. Where a refused write shows that memory was wrong, once more without it.
    async fn make_true<'a>(
        &self,
        api: &'a CachedApi,
        work: &Work<'_>,
    ) -> Result<(Observed, Plan, Executor<'a>), PortError> {
        loop {
            let (observed, mut plan) = self.read_and_plan(api, work).await?;
            if self.must_wait(api, work, &observed).await? {
                plan.hold_records();
            }
            let relied_on_memory = api.has_remembered();
            let existing = observed.tunnel.as_ref().map(|tunnel| tunnel.id);
            let mut executor = Executor::start(api, work, existing).await?;
            executor.carry_out(&plan.changes).await?;
            let blames_memory = |error: &PortError| {
                matches!(
                    error.kind,
                    PortErrorKind::NotFound | PortErrorKind::Conflict
                )
            };
            if !(relied_on_memory && executor.failures.iter().any(blames_memory)) {
                return Ok((observed, plan, executor));
            }
            api.clear();
        }
    }

    /// What later calls need to know of a carried-out plan.
    fn remember_gateway(
        &self,
        work: &Work<'_>,
        credentials: &CloudflareCredentials,
        observed: &Observed,
        plan: &Plan,
        executor: &Executor<'_>,
    ) {
        let mut zones = observe::zones_with_something(observed, work.intent, work.mark);
        match (&mut zones, &work.known) {
            // A zone is never dropped: a read that lags shows none of what was just written to it.
            (Some(zones), Some(known)) => zones.extend(known.iter().cloned()),
            (none, known) => *none = none.take().or_else(|| known.clone()),
        }
        let written = observe::zones_written(observed, plan, work.mark);
        let held = plan.are_records_held;
        let now = GatewayMemory {
            moved_from: work.moved_from.clone().filter(|_| held),
            written: [(credentials.account.clone(), written)].into(),
            credentials: credentials.clone(),
            former_credentials: Vec::new(),
            tunnel: executor.tunnel,
            zones,
            had: had_after(work, plan, executor),
        };
        self.remember(&work.intent.gateway, now);
    }

    /// Every set of credentials that can be had, and why there are more.
    async fn all_credentials(&self) -> (Vec<CloudflareCredentials>, Option<PortError>) {
        match self.credentials.all().await {
            Ok(all) => (all, None),
            Err(Partial { found, error }) => (found, Some(error)),
        }
    }

    /// The API with nothing remembered.
    async fn api_of(&self, gateway: &ObjectKey) -> Result<CachedApi, PortError> {
        let credentials = self.credentials.of(gateway).await?;
        Ok(self.open_with(&credentials, Arc::default(), ""))
    }

    /// The Gateway's tunnel, as remembered or by its name.
    async fn tunnel_id(&self, api: &CachedApi, gateway: &ObjectKey) -> Result<TunnelId, PortError> {
        if let Some(tunnel) = self.remembered_tunnel(gateway) {
            return Ok(tunnel);
        }
        let name = ownership::tunnel_name(&self.installation, gateway);
        match tunnel::apply::named(api, &name).await? {
            Some(tunnel) => Ok(tunnel.id),
            None => Err(PortError::new(
                PortErrorKind::NotFound,
                format!("Gateway {gateway} has no tunnel yet; it is made by the next reconcile"),
            )),
        }
    }

    /// Other installations of our name that use one of these tunnels, or are about to.
    fn namesakes(&self, tunnels: &[Tunnel]) -> BTreeSet<Installation> {
        let name = &self.installation.name;
        let used = tunnels.iter().filter(|tunnel| !tunnel.is_down());
        let instances = used.filter_map(|tunnel| ownership::owner_of_tunnel(name, &tunnel.name));
        let others = instances.filter(|(instance, _)| *instance != self.installation.instance);
        others
            .map(|(instance, _)| Installation {
                name: name.clone(),
                instance,
            })
            .collect()
    }
}

/// Hostnames that have a record of the Gateway once a plan was carried out, as far as is known. One that somebody removed
/// and that stays away still counts as having had one.
fn had_after(work: &Work<'_>, plan: &Plan, executor: &Executor<'_>) -> BTreeSet<Hostname> {
    let has = |(hostname, planned): (&Hostname, &HostnameOutcome)| match planned {
        HostnameOutcome::Applied => !executor.hostnames.contains_key(hostname),
        HostnameOutcome::Drifted { .. } => true,
        HostnameOutcome::Paused { .. } | HostnameOutcome::Unknown { .. } => {
            work.had.contains(hostname)
        }
        _ => false,
    };
    let outcomes = plan.hostnames.iter().filter(|entry| has(*entry));
    outcomes.map(|(hostname, _)| hostname.clone()).collect()
}

#[async_trait]
impl Edge for DirectEdge {
    /// The list of tunnels, which a reconcile begins with too.
    async fn admit(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let credentials = self.credentials.of(gateway).await?;
        let prefix = ownership::tunnel_prefix(&self.installation.name);
        let api = self.open(&credentials, format!("Gateway {gateway} asks"));
        api.tunnels(&prefix).await?;
        Ok(())
    }

    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        let gateway = &intent.gateway;
        let _lock = self.lock_gateway(gateway)?;
        let credentials = self.credentials.of(gateway).await?;
        let api = self.open(&credentials, format!("Gateway {gateway} asks"));
        // An account that does not know the token ends it here, before anybody has to wait for it.
        let prefix = ownership::tunnel_prefix(&self.installation.name);
        let namesakes = self.namesakes(&api.tunnels(&prefix).await?);
        let _in_account = self.lock_account(&credentials.account).await;
        let work = Work {
            intent,
            name: ownership::tunnel_name(&self.installation, gateway),
            mark: RecordMark::of(&self.installation, gateway),
            known: self.zones_to_read(gateway, &credentials),
            former: self.remembered_tunnel(gateway),
            had: self.had_records(gateway, &credentials),
            moved_from: self.moved_from(gateway, &credentials),
        };
        self.know_zones(gateway, &intent.dns.records.zone_ids);
        self.adopt_former(&api, &work).await?;
        let (observed, plan, mut executor) = self.make_true(&api, &work).await?;
        self.remember_gateway(&work, &credentials, &observed, &plan, &executor);
        let mut repaired = plan.repaired;
        repaired.retain(|hostname, _| !executor.hostnames.contains_key(hostname));
        let mut hostnames = plan.hostnames;
        hostnames.append(&mut executor.hostnames);
        let keys = self.note_keys(gateway, &credentials, executor.tunnel);
        let shown = self.show_certificates(&mut executor, intent, &observed, &hostnames, keys);
        let shown = shown.await;
        let mut failures = observe::failures(&observed, intent);
        failures.extend(
            plan.are_records_held
                .then(|| moving::waits(executor.tunnel)),
        );
        failures.extend(executor.failures);
        failures.extend(shown.failures);
        Ok(EdgeStatus {
            tunnels: vec![TunnelStatus {
                id: executor.tunnel,
                name: work.name,
                address: executor.tunnel.address(),
                hostnames: intent.hostnames.clone(),
            }],
            hostnames,
            ingress: executor.ingress.unwrap_or(plan.ingress),
            unwanted_kept: plan.unwanted_kept,
            namesakes,
            zones: plan.zones,
            repaired,
            held_back: plan.held_back,
            changes: api.changes(),
            certificates: shown.outcomes,
            failures,
        })
    }

    /// Found by the names of tunnels: [`Edge::remove`] removes the tunnel last, so a Gateway that holds
    /// anything still has one. Exceptions are for [`Edge::sweep`]. An account is seen whole with any token
    /// that may list its tunnels, and one that cannot be seen does not hide the others.
    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        let prefix = ownership::tunnel_prefix(&self.installation.name);
        let (all, missing) = self.all_credentials().await;
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut unseen = BTreeMap::new();
        for credentials in all {
            if seen.contains(&credentials.account) {
                continue;
            }
            let api = self.open(&credentials, "");
            api.clear_tunnels();
            match api.tunnels(&prefix).await {
                Ok(tunnels) => {
                    let names = tunnels.iter().map(|tunnel| &tunnel.name);
                    let gateways = names
                        .filter_map(|name| ownership::gateway_of_tunnel(&self.installation, name));
                    found.extend(gateways);
                    unseen.remove(&credentials.account);
                    seen.insert(credentials.account);
                }
                Err(error) => {
                    unseen.insert(credentials.account, error);
                }
            }
        }
        match missing.or(unseen.into_values().next()) {
            None => Ok(found),
            Some(error) => Err(Partial { found, error }),
        }
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        let api = self.api_of(gateway).await?;
        let tunnel = self.tunnel_id(&api, gateway).await?;
        api.uncached().tunnel_token(tunnel).await
    }

    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError> {
        let _lock = self.lock_gateway(gateway)?;
        let api = self.api_of(gateway).await?;
        let tunnel = self.tunnel_id(&api, gateway).await?;
        if api.uncached().tunnel_token(tunnel).await?.hash() != retired {
            return Ok(());
        }
        let secret = self.entropy.secret();
        api.uncached().set_tunnel_secret(tunnel, secret).await?;
        let notes = Notes::new(self.journal.clone(), format!("Gateway {gateway} asks"));
        notes.done(format_args!("replaced the token of tunnel {tunnel}"));
        Ok(())
    }

    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let _lock = self.lock_gateway(gateway)?;
        let api = self.api_of(gateway).await?;
        let tunnel = self.tunnel_id(&api, gateway).await?;
        api.uncached().disconnect(tunnel).await
    }

    async fn holdings(&self, gateway: &ObjectKey) -> Result<Holdings, PortError> {
        let _lock = self.lock_gateway(gateway)?;
        self.holdings_of(gateway).await
    }

    async fn has_connectors(&self) -> Result<bool, PortError> {
        self.has_connectors_anywhere().await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let _lock = self.lock_gateway(gateway)?;
        self.remove_everywhere(gateway).await?;
        let mut memory = self.memory();
        memory.gateways.remove(gateway);
        memory.zone_ids.remove(gateway);
        Ok(())
    }

    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        let _lock = self.lock_sweep()?;
        self.sweep_everywhere(live).await
    }

    fn know_zones(&self, gateway: &ObjectKey, ids: &BTreeMap<Hostname, ZoneId>) {
        let named = &mut self.memory().zone_ids;
        match ids.is_empty() {
            true => drop(named.remove(gateway)),
            false => drop(named.insert(gateway.clone(), ids.clone())),
        }
    }

    /// All zones are read again, once: another instance may have put something into any of them, and what was read
    /// before may have lacked what had just been written.
    fn begin_resync(&self) {
        let mut memory = self.memory();
        memory.caches.clear();
        for gateway in memory.gateways.values_mut() {
            gateway.zones = None;
        }
    }

    /// Everything that was read in its account, and in which zones it has something.
    fn read_anew(&self, gateway: &ObjectKey) {
        let mut memory = self.memory();
        let Some(of_gateway) = memory.gateways.get_mut(gateway) else {
            return;
        };
        of_gateway.zones = None;
        let account = of_gateway.credentials.account.clone();
        memory.caches.retain(|(of, _)| of.account != account);
    }
}
