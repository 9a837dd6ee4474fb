//! Cloudflare in memory: accounts with tunnels, zones and records that keep the API's rules.

mod api;
mod observer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use secrecy::{ExposeSecret, SecretString};

use crate::certificate::Fingerprint;
use crate::edge::objects::{
    Connector, DnsRecord, IngressDocument, RecordData, Tunnel, TunnelHealth, ZoneState,
};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, CertificateId, RecordId, TunnelId, ZoneId};
use crate::secret::ConnectorToken;

pub use observer::{Call, Observer};

/// A call to the API: the method of the same name of one of its roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiCall {
    Tunnels,
    CreateTunnel,
    DeleteTunnel,
    Connectors,
    Disconnect,
    TunnelToken,
    SetTunnelSecret,
    AdoptTunnel,
    Configuration,
    Configure,
    Zones,
    ZoneNamed,
    Records,
    ChangeRecords,
    CustomCertificates,
    UploadCertificate,
    ReplaceCertificate,
    DeleteCertificate,
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
                | Self::AdoptTunnel
                | Self::Configure
                | Self::ChangeRecords
                | Self::UploadCertificate
                | Self::ReplaceCertificate
                | Self::DeleteCertificate
        )
    }
}

/// When a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
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
    next_id: u64,
    calls: Vec<ApiCall>,
    script: Vec<Failure>,
    /// After how many calls a write is seen by reads; 0 is at once.
    lag: usize,
    /// What was there before each of the last `lag` calls, oldest first.
    past: VecDeque<BTreeMap<AccountId, Account>>,
}

#[derive(Debug, Clone, Default)]
struct Account {
    tunnels: BTreeMap<TunnelId, TunnelState>,
    zones: BTreeMap<ZoneId, ZoneHeld>,
    lists_no_zone: bool,
}

#[derive(Debug, Clone)]
struct TunnelState {
    tunnel: Tunnel,
    configuration: Option<IngressDocument>,
    secret: [u8; 32],
    /// How often that was replaced.
    replaced: usize,
    connectors: Vec<Connector>,
}

#[derive(Debug, Clone)]
struct ZoneHeld {
    name: String,
    state: ZoneState,
    records: Vec<DnsRecord>,
    certificates: BTreeMap<CertificateId, Fingerprint>,
}

#[derive(Debug, Clone)]
struct Failure {
    trigger: Trigger,
    moment: Moment,
    error: PortError,
}

#[derive(Debug, Clone)]
enum Trigger {
    Nth(usize),
    /// Every call of a kind, in one zone if given.
    Every(ApiCall, Option<ZoneId>),
    Token(String),
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
        let state = ZoneHeld {
            name: name.to_owned(),
            state: ZoneState::Active,
            records: Vec::new(),
            certificates: BTreeMap::new(),
        };
        let mut world = self.world();
        let account = world.accounts.entry(AccountId::new(account)).or_default();
        account.zones.insert(id.clone(), state);
        id
    }

    /// Lists no zone from now on, as Cloudflare does for some tokens that may not list them.
    pub fn list_no_zone(&self) {
        let mut world = self.world();
        let accounts = world.accounts.values_mut();
        accounts.for_each(|account| account.lists_no_zone = true);
    }

    /// Brings a zone into another state.
    pub fn set_zone_state(&self, zone: &ZoneId, state: ZoneState) {
        self.world().zone(zone).expect("a zone of this test").state = state;
    }

    /// Puts a record into a zone, as somebody else would.
    pub fn add_record(&self, zone: &ZoneId, data: RecordData) -> RecordId {
        let mut world = self.world();
        let id = RecordId::new(format!("record-{}", world.new_id()));
        let record = DnsRecord {
            id: id.clone(),
            data,
        };
        world
            .zone(zone)
            .expect("a zone of this test")
            .records
            .push(record);
        id
    }

    /// Changes a record behind our back.
    pub fn edit_record(&self, id: &RecordId, edit: impl FnOnce(&mut RecordData)) {
        let mut world = self.world();
        let zones = world
            .accounts
            .values_mut()
            .flat_map(|a| a.zones.values_mut());
        let mut records = zones.flat_map(|zone| &mut zone.records);
        let record = records.find(|record| record.id == *id);
        edit(&mut record.expect("a record of this test").data);
    }

    /// Takes a record away behind our back.
    pub fn remove_record(&self, id: &RecordId) {
        for account in self.world().accounts.values_mut() {
            for zone in account.zones.values_mut() {
                zone.records.retain(|record| record.id != *id);
            }
        }
    }

    /// Makes reads lag from now on: what is written is seen by the reads of this many calls later. Writes
    /// are judged by what is there, as Cloudflare judges them.
    pub fn lag(&self, calls: usize) {
        let mut world = self.world();
        world.lag = calls;
        world.past.clear();
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
        self.list_connector(tunnel, connector, 4);
        let mut world = self.world();
        let mut accounts = world.accounts.values_mut();
        let state = accounts.find_map(|account| account.tunnels.get_mut(&tunnel));
        state.expect("a tunnel of this test").tunnel.health = TunnelHealth::Healthy;
    }

    /// Adds a connector to those that are listed for a tunnel, and leaves its health as it is.
    pub fn list_connector(&self, tunnel: TunnelId, connector: &str, connections: usize) {
        let mut world = self.world();
        let mut accounts = world.accounts.values_mut();
        let state = accounts.find_map(|account| account.tunnels.get_mut(&tunnel));
        let state = state.expect("a tunnel of this test");
        state.connectors.push(Connector {
            id: connector.to_owned(),
            connections,
        });
    }

    /// Ends all connections of a tunnel, as proxies that stop would.
    pub fn disconnect_all(&self, tunnel: TunnelId) {
        for account in self.world().accounts.values_mut() {
            if let Some(state) = account.tunnels.get_mut(&tunnel) {
                state.disconnect();
            }
        }
    }

    /// All tunnels of all accounts.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        let world = self.world();
        let states = world.accounts.values().flat_map(|a| a.tunnels.values());
        states.map(|state| state.tunnel.clone()).collect()
    }

    /// All tunnels of one account.
    pub fn tunnels_in(&self, account: &str) -> Vec<Tunnel> {
        let world = self.world();
        let account = world.accounts.get(&AccountId::new(account));
        let states = account.into_iter().flat_map(|a| a.tunnels.values());
        states.map(|state| state.tunnel.clone()).collect()
    }

    /// The ingress document of a tunnel.
    pub fn configuration(&self, tunnel: TunnelId) -> Option<IngressDocument> {
        let world = self.world();
        let mut accounts = world.accounts.values();
        accounts.find_map(|account| account.tunnels.get(&tunnel)?.configuration.clone())
    }

    /// The connector token of a tunnel.
    pub fn token(&self, tunnel: TunnelId) -> Option<ConnectorToken> {
        let world = self.world();
        let mut accounts = world.accounts.values();
        accounts.find_map(|account| Some(account.tunnels.get(&tunnel)?.token(tunnel)))
    }

    /// How often the connector token of a tunnel was replaced.
    pub fn replaced_tokens(&self, tunnel: TunnelId) -> usize {
        let world = self.world();
        let mut accounts = world.accounts.values();
        let replaced = accounts.find_map(|account| Some(account.tunnels.get(&tunnel)?.replaced));
        replaced.unwrap_or(0)
    }

    /// Puts an ingress document, as somebody else would.
    pub fn put_configuration(&self, tunnel: TunnelId, document: IngressDocument) {
        let mut world = self.world();
        let mut accounts = world.accounts.values_mut();
        let state = accounts.find_map(|account| account.tunnels.get_mut(&tunnel));
        state.expect("a tunnel of this test").configuration = Some(document);
    }

    /// Fingerprints of the custom certificates of a zone, by id.
    pub fn certificates(&self, zone: &ZoneId) -> BTreeMap<CertificateId, Fingerprint> {
        let world = self.world();
        let mut zones = world.accounts.values().flat_map(|account| &account.zones);
        let found = zones.find(|(id, _)| *id == zone);
        found.map_or_else(BTreeMap::new, |(_, zone)| zone.certificates.clone())
    }

    /// Uploads a custom certificate that is nobody's of ours.
    pub fn add_certificate(&self, zone: &ZoneId, id: &str, chain: &[u8]) {
        let mut world = self.world();
        let mut zones = world.accounts.values_mut().flat_map(|a| &mut a.zones);
        let found = zones.find(|(known, _)| *known == zone);
        let (_, zone) = found.expect("a zone that is there");
        let certificates = &mut zone.certificates;
        certificates.insert(CertificateId::new(id), Fingerprint::of(chain));
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
    pub fn fail_nth(&self, nth: usize, moment: Moment, error: PortError) {
        let mut world = self.world();
        let trigger = Trigger::Nth(world.calls.len() + nth);
        world.script.push(Failure {
            trigger,
            moment,
            error,
        });
    }

    /// Fails every call of a kind from now on, in one zone if given, before anything is done.
    pub fn fail_every(&self, call: ApiCall, zone: Option<&ZoneId>, error: PortError) {
        self.world().script.push(Failure {
            trigger: Trigger::Every(call, zone.cloned()),
            moment: Moment::Before,
            error,
        });
    }

    /// Refuses every call with this token from now on, as one that was revoked.
    pub fn revoke(&self, token: &str) {
        let message = "the token is not accepted";
        self.world().script.push(Failure {
            trigger: Trigger::Token(token.to_owned()),
            moment: Moment::Before,
            error: PortError::new(PortErrorKind::Unauthenticated, message),
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
        self.world()
            .calls
            .iter()
            .filter(|call| !call.is_write())
            .count()
    }

    /// Calls that change something.
    pub fn writes(&self) -> usize {
        self.world()
            .calls
            .iter()
            .filter(|call| call.is_write())
            .count()
    }

    /// Counts from zero again, and takes back failures that were ordered by number.
    pub fn forget_calls(&self) {
        let mut world = self.world();
        world.calls.clear();
        world
            .script
            .retain(|f| !matches!(f.trigger, Trigger::Nth(_)));
    }
}

impl TunnelState {
    fn token(&self, tunnel: TunnelId) -> ConnectorToken {
        ConnectorToken::new(format!("{tunnel} {:?}", self.secret))
    }

    fn disconnect(&mut self) {
        self.connectors.clear();
        if self.tunnel.health != TunnelHealth::Inactive {
            self.tunnel.health = TunnelHealth::Down;
        }
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
            health: TunnelHealth::Inactive,
        };
        TunnelState {
            tunnel,
            configuration: None,
            secret: [0; 32],
            replaced: 0,
            connectors: Vec::new(),
        }
    }

    fn zone(&mut self, zone: &ZoneId) -> Option<&mut ZoneHeld> {
        self.accounts
            .values_mut()
            .find_map(|account| account.zones.get_mut(zone))
    }

    fn zone_of(&mut self, account: &AccountId, zone: &ZoneId) -> Option<&mut ZoneHeld> {
        self.accounts.get_mut(account)?.zones.get_mut(zone)
    }

    /// What a read is shown of an account.
    fn seen(&self, account: &AccountId) -> Option<&Account> {
        self.past.front().unwrap_or(&self.accounts).get(account)
    }

    fn failure(&mut self, token: &SecretString, call: &Call<'_>) -> Option<(Moment, PortError)> {
        self.remember();
        let number = self.calls.len();
        self.calls.push(call.kind);
        let due = self.script.iter().find(|failure| match &failure.trigger {
            Trigger::Nth(nth) => *nth == number,
            Trigger::Every(kind, in_zone) => {
                *kind == call.kind && (in_zone.is_none() || in_zone.as_ref() == call.zone)
            }
            Trigger::Token(revoked) => revoked == token.expose_secret(),
        });
        due.map(|failure| (failure.moment, failure.error.clone()))
    }

    fn remember(&mut self) {
        if self.lag > 0 {
            self.past.push_back(self.accounts.clone());
            if self.past.len() > self.lag {
                self.past.pop_front();
            }
        }
    }
}
