//! Cloudflare in memory: accounts with tunnels, zones and records that keep the API's rules.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::edge::objects::{
    Connector, DnsRecord, IngressDocument, RecordBatch, RecordData, Tunnel, Zone,
};
use crate::edge::{EdgeError, EdgeErrorKind};
use crate::names::{AccountId, RecordId, TunnelId, ZoneId};
use crate::ports::{BATCH_LIMIT, CloudflareAccounts, CloudflareApi};
use crate::secret::{CloudflareCredentials, ConnectorToken};

/// A call to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the method of CloudflareApi of the same name")]
pub enum ApiCall {
    Tunnels,
    CreateTunnel,
    DeleteTunnel,
    Connectors,
    Disconnect,
    TunnelToken,
    SetTunnelSecret,
    Configuration,
    Configure,
    Zones,
    Records,
    ChangeRecords,
    VerifyToken,
}

impl ApiCall {
    /// Whether it changes anything.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::CreateTunnel
                | Self::DeleteTunnel
                | Self::Disconnect
                | Self::SetTunnelSecret
                | Self::Configure
                | Self::ChangeRecords
        )
    }
}

/// When a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Before anything was done.
    Before,
    /// After it was done: only the answer is lost.
    After,
}

/// All of Cloudflare. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct FakeCloudflare(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    accounts: BTreeMap<AccountId, Account>,
    /// Source of all ids.
    next_id: u64,
    calls: Vec<ApiCall>,
    script: Vec<Failure>,
}

#[derive(Debug, Default)]
struct Account {
    tunnels: BTreeMap<TunnelId, TunnelState>,
    zones: BTreeMap<ZoneId, ZoneState>,
}

#[derive(Debug)]
struct TunnelState {
    tunnel: Tunnel,
    configuration: Option<IngressDocument>,
    secret: [u8; 32],
    connectors: Vec<Connector>,
}

#[derive(Debug)]
struct ZoneState {
    name: String,
    records: Vec<DnsRecord>,
}

/// A failure to come.
#[derive(Debug, Clone)]
struct Failure {
    trigger: Trigger,
    moment: Moment,
    error: EdgeError,
}

#[derive(Debug, Clone)]
enum Trigger {
    /// One call, counted over all.
    Nth(usize),
    /// Every call of a kind, in one zone if given.
    Every(ApiCall, Option<ZoneId>),
}

impl FakeCloudflare {
    /// One account `acme` with a zone of each name.
    pub fn with_zones(names: &[&str]) -> Self {
        let cloudflare = Self::default();
        for name in names {
            cloudflare.add_zone("acme", name);
        }
        cloudflare
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("lock")
    }

    /// Adds a zone to an account, which is made if need be. Its id is `zone-<name>`.
    pub fn add_zone(&self, account: &str, name: &str) -> ZoneId {
        let id = ZoneId::new(format!("zone-{name}"));
        let state = ZoneState {
            name: name.to_owned(),
            records: Vec::new(),
        };
        let mut world = self.world();
        let account = world.accounts.entry(AccountId::new(account)).or_default();
        account.zones.insert(id.clone(), state);
        id
    }

    /// Takes a zone out of sight.
    pub fn remove_zone(&self, zone: &ZoneId) {
        for account in self.world().accounts.values_mut() {
            account.zones.remove(zone);
        }
    }

    /// Puts a record into a zone, as somebody else would.
    pub fn add_record(&self, zone: &ZoneId, data: RecordData) -> RecordId {
        let mut world = self.world();
        let id = RecordId::new(format!("record-{}", world.new_id()));
        let record = DnsRecord {
            id: id.clone(),
            data,
        };
        world.zone(zone).expect("a zone of this test").records.push(record);
        id
    }

    /// Changes a record behind our back.
    pub fn edit_record(&self, id: &RecordId, edit: impl FnOnce(&mut RecordData)) {
        let mut world = self.world();
        let zones = world.accounts.values_mut().flat_map(|a| a.zones.values_mut());
        let mut records = zones.flat_map(|zone| &mut zone.records);
        let record = records.find(|record| record.id == *id);
        edit(&mut record.expect("a record of this test").data);
    }

    /// Puts a tunnel into an account, as somebody else would.
    pub fn add_tunnel(&self, account: &str, name: &str, remotely_configured: bool) -> TunnelId {
        let mut world = self.world();
        let tunnel = world.new_tunnel(name, remotely_configured);
        let id = tunnel.tunnel.id;
        let account = world.accounts.entry(AccountId::new(account)).or_default();
        account.tunnels.insert(id, tunnel);
        id
    }

    /// Takes a tunnel away behind our back.
    pub fn remove_tunnel(&self, tunnel: TunnelId) {
        for account in self.world().accounts.values_mut() {
            account.tunnels.remove(&tunnel);
        }
    }

    /// Connects a connector, as a proxy would.
    pub fn connect(&self, tunnel: TunnelId, connector: &str) {
        let mut world = self.world();
        let mut accounts = world.accounts.values_mut();
        let state = accounts.find_map(|account| account.tunnels.get_mut(&tunnel));
        let connectors = &mut state.expect("a tunnel of this test").connectors;
        connectors.push(Connector {
            id: connector.to_owned(),
            connections: 4,
        });
    }

    /// All tunnels of all accounts.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        let world = self.world();
        let states = world.accounts.values().flat_map(|a| a.tunnels.values());
        states.map(|state| state.tunnel.clone()).collect()
    }

    /// The ingress document of a tunnel.
    pub fn configuration(&self, tunnel: TunnelId) -> Option<IngressDocument> {
        let world = self.world();
        let mut accounts = world.accounts.values();
        accounts.find_map(|account| account.tunnels.get(&tunnel)?.configuration.clone())
    }

    /// All records of all zones.
    pub fn records(&self) -> Vec<DnsRecord> {
        let world = self.world();
        let zones = world.accounts.values().flat_map(|a| a.zones.values());
        zones.flat_map(|zone| zone.records.clone()).collect()
    }

    /// Records of one name.
    pub fn records_named(&self, name: &str) -> Vec<DnsRecord> {
        let mut records = self.records();
        records.retain(|record| record.data.name == name);
        records
    }

    /// Fails the nth call from now (0 is the next one), once.
    pub fn fail_nth(&self, nth: usize, moment: Moment, error: EdgeError) {
        let mut world = self.world();
        let trigger = Trigger::Nth(world.calls.len() + nth);
        world.script.push(Failure {
            trigger,
            moment,
            error,
        });
    }

    /// Fails every call of a kind from now on, in one zone if given, before anything is done.
    pub fn fail_every(&self, call: ApiCall, zone: Option<&ZoneId>, error: EdgeError) {
        self.world().script.push(Failure {
            trigger: Trigger::Every(call, zone.cloned()),
            moment: Moment::Before,
            error,
        });
    }

    /// Takes back all failures to come.
    pub fn heal(&self) {
        self.world().script.clear();
    }

    /// How often each call was made since the last [`FakeCloudflare::forget_calls`], failed ones too.
    pub fn calls(&self) -> BTreeMap<ApiCall, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.world().calls {
            *counts.entry(*call).or_default() += 1;
        }
        counts
    }

    /// Calls that change nothing.
    pub fn reads(&self) -> usize {
        self.world().calls.iter().filter(|call| !call.is_write()).count()
    }

    /// Calls that change something.
    pub fn writes(&self) -> usize {
        self.world().calls.iter().filter(|call| call.is_write()).count()
    }

    /// Counts from zero again. Failures ordered by number are kept only if they are [`Trigger::Every`].
    pub fn forget_calls(&self) {
        let mut world = self.world();
        world.calls.clear();
        world.script.retain(|f| matches!(f.trigger, Trigger::Every(..)));
    }
}

impl World {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn new_tunnel(&mut self, name: &str, remotely_configured: bool) -> TunnelState {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&self.new_id().to_be_bytes());
        let tunnel = Tunnel {
            id: TunnelId::from_bytes(bytes),
            name: name.to_owned(),
            remotely_configured,
        };
        TunnelState {
            tunnel,
            configuration: None,
            secret: [0; 32],
            connectors: Vec::new(),
        }
    }

    fn zone(&mut self, zone: &ZoneId) -> Option<&mut ZoneState> {
        self.accounts
            .values_mut()
            .find_map(|account| account.zones.get_mut(zone))
    }

    fn failure(&mut self, call: ApiCall, zone: Option<&ZoneId>) -> Option<(Moment, EdgeError)> {
        let number = self.calls.len();
        self.calls.push(call);
        let due = self.script.iter().find(|failure| match &failure.trigger {
            Trigger::Nth(nth) => *nth == number,
            Trigger::Every(kind, in_zone) => {
                *kind == call && (in_zone.is_none() || in_zone.as_ref() == zone)
            }
        });
        due.map(|failure| (failure.moment, failure.error.clone()))
    }
}

impl CloudflareAccounts for FakeCloudflare {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(FakeCloudflareApi {
            cloudflare: self.clone(),
            account: credentials.account.clone(),
        })
    }
}

/// The API of one account.
#[derive(Debug)]
pub struct FakeCloudflareApi {
    cloudflare: FakeCloudflare,
    account: AccountId,
}

fn refuse<T>(kind: EdgeErrorKind, message: &str) -> Result<T, EdgeError> {
    Err(EdgeError::new(kind, message))
}

impl FakeCloudflareApi {
    /// Makes a call, unless it is its turn to fail.
    fn call<T>(
        &self,
        call: ApiCall,
        zone: Option<&ZoneId>,
        act: impl FnOnce(&mut World) -> Result<T, EdgeError>,
    ) -> Result<T, EdgeError> {
        let mut world = self.cloudflare.world();
        match world.failure(call, zone) {
            Some((Moment::Before, error)) => Err(error),
            Some((Moment::After, error)) => act(&mut world).and(Err(error)),
            None => act(&mut world),
        }
    }

    fn in_account<T>(
        &self,
        call: ApiCall,
        act: impl FnOnce(&mut Account) -> Result<T, EdgeError>,
    ) -> Result<T, EdgeError> {
        self.call(call, None, |world| {
            act(world.accounts.entry(self.account.clone()).or_default())
        })
    }

    fn in_tunnel<T>(
        &self,
        call: ApiCall,
        tunnel: TunnelId,
        act: impl FnOnce(&mut TunnelState) -> T,
    ) -> Result<T, EdgeError> {
        self.in_account(call, |account| match account.tunnels.get_mut(&tunnel) {
            Some(state) => Ok(act(state)),
            None => refuse(EdgeErrorKind::NotFound, "tunnel not found"),
        })
    }
}

#[async_trait]
impl CloudflareApi for FakeCloudflareApi {
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, EdgeError> {
        self.in_account(ApiCall::Tunnels, |account| {
            let tunnels = account.tunnels.values().map(|state| &state.tunnel);
            let named = tunnels.filter(|tunnel| tunnel.name.starts_with(name_prefix));
            Ok(named.cloned().collect())
        })
    }

    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, EdgeError> {
        self.call(ApiCall::CreateTunnel, None, |world| {
            let state = world.new_tunnel(name, true);
            let account = world.accounts.entry(self.account.clone()).or_default();
            if account.tunnels.values().any(|other| other.tunnel.name == name) {
                let message = "You already have a tunnel with this name";
                return refuse(EdgeErrorKind::Conflict, message);
            }
            let tunnel = state.tunnel.clone();
            account.tunnels.insert(tunnel.id, state);
            Ok(tunnel)
        })
    }

    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), EdgeError> {
        self.in_account(ApiCall::DeleteTunnel, |account| {
            match account.tunnels.get(&tunnel) {
                None => return refuse(EdgeErrorKind::NotFound, "tunnel not found"),
                Some(state) if !state.connectors.is_empty() => {
                    return refuse(EdgeErrorKind::Conflict, "tunnel has active connections");
                }
                Some(_) => {}
            }
            account.tunnels.remove(&tunnel);
            Ok(())
        })
    }

    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, EdgeError> {
        self.in_tunnel(ApiCall::Connectors, tunnel, |state| state.connectors.clone())
    }

    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), EdgeError> {
        self.in_tunnel(ApiCall::Disconnect, tunnel, |state| state.connectors.clear())
    }

    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, EdgeError> {
        self.in_tunnel(ApiCall::TunnelToken, tunnel, |state| {
            ConnectorToken::new(format!("{tunnel} {}", state.secret[0]))
        })
    }

    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), EdgeError> {
        self.in_tunnel(ApiCall::SetTunnelSecret, tunnel, |state| state.secret = secret)
    }

    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, EdgeError> {
        self.in_tunnel(ApiCall::Configuration, tunnel, |state| {
            state.configuration.clone()
        })
    }

    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), EdgeError> {
        self.in_tunnel(ApiCall::Configure, tunnel, |state| {
            state.configuration = Some(document.clone());
            state.tunnel.remotely_configured = true;
        })
    }

    async fn zones(&self) -> Result<Vec<Zone>, EdgeError> {
        self.in_account(ApiCall::Zones, |account| {
            let zones = account.zones.iter();
            Ok(zones
                .map(|(id, zone)| Zone {
                    id: id.clone(),
                    name: zone.name.clone(),
                })
                .collect())
        })
    }

    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, EdgeError> {
        self.call(ApiCall::Records, Some(zone), |world| match world.zone(zone) {
            Some(state) => Ok(state.records.clone()),
            None => refuse(EdgeErrorKind::NotFound, "zone not found"),
        })
    }

    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), EdgeError> {
        self.call(ApiCall::ChangeRecords, Some(zone), |world| {
            let mut next_id = world.next_id;
            let Some(state) = world.zone(zone) else {
                return refuse(EdgeErrorKind::NotFound, "zone not found");
            };
            let after = changed(&state.records, batch, || {
                next_id += 1;
                RecordId::new(format!("record-{next_id}"))
            })?;
            state.records = after;
            world.next_id = next_id;
            Ok(())
        })
    }

    async fn verify_token(&self) -> Result<(), EdgeError> {
        self.call(ApiCall::VerifyToken, None, |_| Ok(()))
    }
}

/// The records after a batch, or why none of it can be done.
fn changed(
    records: &[DnsRecord],
    batch: &RecordBatch,
    mut new_id: impl FnMut() -> RecordId,
) -> Result<Vec<DnsRecord>, EdgeError> {
    if batch.len() > BATCH_LIMIT {
        return refuse(EdgeErrorKind::Invalid, "too many operations in one batch");
    }
    let mut records = records.to_vec();
    for id in &batch.deletes {
        let before = records.len();
        records.retain(|record| record.id != *id);
        if records.len() == before {
            return refuse(EdgeErrorKind::NotFound, "record not found");
        }
    }
    for (id, data) in &batch.puts {
        match records.iter_mut().find(|record| record.id == *id) {
            Some(record) => record.data = data.clone(),
            None => return refuse(EdgeErrorKind::NotFound, "record not found"),
        }
    }
    for data in &batch.posts {
        let occupied = |record: &DnsRecord| {
            record.data.name == data.name
                && ["A", "AAAA", "CNAME"].contains(&record.data.kind.as_str())
        };
        if records.iter().any(occupied) {
            let message = "An A, AAAA, or CNAME record with that host already exists";
            return refuse(EdgeErrorKind::Conflict, message);
        }
        records.push(DnsRecord {
            id: new_id(),
            data: data.clone(),
        });
    }
    Ok(records)
}
