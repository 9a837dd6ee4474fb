//! What Cloudflare knows: accounts, zones, records, tunnels and their connections. Plain data behind
//! one lock, with commands and queries; the API, the name server and the edge all work on it.

mod addresses;
mod calls;
mod certificate;
mod connection;
mod edge_view;
mod faults;
mod ingress;
mod lag;
mod record;
mod record_commands;
mod record_rules;
mod record_set;
mod token;
mod tunnel;
mod tunnel_commands;
mod zone;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

pub use addresses::{AddressRange, MalformedRange};
pub use calls::Call;
pub use certificate::{CertificateRefusal, CustomCertificate, NewCertificate};
pub use connection::{ConnectionRecord, EdgeEvent, RegistrationRefusal, TunnelRegistration};
pub use edge_view::HostRoute;
pub use faults::{CallMatch, Effect, Failure, Fault, RateLimit, Stage, WithoutZoneRead};
pub use ingress::{BadConfiguration, MAX_RULES};
pub use lag::{ListLag, StaleViews};
pub use record::{DnsRecord, RecordKind, TUNNEL_DOMAIN, tunnel_of_name};
pub use record_commands::{BatchResult, RecordBatch, RecordFields, RecordPatch};
pub use record_rules::{RecordRefusal, full_name};
pub use record_set::RecordSet;
pub use token::{ApiToken, Permission, TokenOwner, TokenStatus, ZoneScope};
pub use tunnel::{ConfigSource, Tunnel, TunnelConfiguration, TunnelSecret};
pub use tunnel_commands::{NewTunnel, TunnelChange, TunnelRefusal};
pub use zone::{Account, Plan, Zone, ZoneKind, ZoneStatus};

/// Where the addresses of tunnels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelRanges {
    /// An IPv4 range; every tunnel gets an address of it.
    pub ipv4: AddressRange,
    /// An IPv6 range; with it every tunnel gets a second address.
    pub ipv6: Option<AddressRange>,
}

impl Default for TunnelRanges {
    fn default() -> Self {
        Self {
            ipv4: AddressRange::LOOPBACK,
            ipv6: None,
        }
    }
}

/// The shared state. Clones are handles to the same one.
#[derive(Clone)]
pub struct Cloud {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    calls: calls::CallLog,
    faults: faults::Faults,
    revision: watch::Sender<u64>,
    disconnects: broadcast::Sender<Uuid>,
}

/// The data itself.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) tokens: Vec<ApiToken>,
    pub(crate) zones: BTreeMap<String, Zone>,
    pub(crate) tunnels: BTreeMap<Uuid, Tunnel>,
    pub(crate) certificates: Vec<CustomCertificate>,
    pub(crate) connections: BTreeMap<Uuid, ConnectionRecord>,
    pub(crate) events: VecDeque<EdgeEvent>,
    stale_tunnels: StaleViews<BTreeMap<Uuid, Tunnel>>,
    ranges: TunnelRanges,
    /// Where to look for the next address in each range: IPv4, IPv6.
    next_addresses: [u32; 2],
}

impl Default for Cloud {
    fn default() -> Self {
        Self::new(TunnelRanges::default())
    }
}

impl Cloud {
    /// Knows nothing yet.
    pub fn new(ranges: TunnelRanges) -> Self {
        let state = State {
            ranges,
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                calls: calls::CallLog::default(),
                faults: faults::Faults::default(),
                revision: watch::channel(0).0,
                disconnects: broadcast::channel(1024).0,
            }),
        }
    }

    /// Adds an account.
    pub fn add_account(&self, account: Account) {
        self.change(|state| {
            state.accounts.insert(account.id.clone(), account);
        });
    }

    /// Adds an active zone to an account and returns the zone's id.
    pub fn add_zone(&self, account: &str, name: &str) -> String {
        let zone = Zone {
            id: new_object_id(),
            name: name.to_ascii_lowercase(),
            account: account.to_owned(),
            status: ZoneStatus::Active,
            paused: false,
            kind: ZoneKind::Full,
            created_on: Timestamp::now(),
            records: Arc::default(),
            record_quota: None,
            stale_lists: StaleViews::default(),
        };
        let id = zone.id.clone();
        self.change(|state| state.zones.insert(id.clone(), zone));
        id
    }

    /// Brings a zone into this state.
    pub fn set_zone_state(&self, id: &str, status: ZoneStatus, paused: bool, kind: ZoneKind) {
        self.change(|state| {
            if let Some(zone) = state.zones.get_mut(id) {
                (zone.status, zone.paused, zone.kind) = (status, paused, kind);
            }
        });
    }

    /// Adds an API token, or replaces the one with its id.
    pub fn add_token(&self, token: ApiToken) {
        self.change(|state| {
            state.tokens.retain(|other| other.id != token.id);
            state.tokens.push(token);
        });
    }

    /// One account.
    pub fn account(&self, id: &str) -> Option<Account> {
        self.view(|state| state.accounts.get(id).cloned())
    }

    /// All zones of all accounts.
    pub fn zones(&self) -> Vec<Zone> {
        self.view(|state| state.zones.values().cloned().collect())
    }

    /// All tunnels of all accounts, deleted ones too.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        self.view(|state| state.tunnels.values().cloned().collect())
    }

    /// The token that a client sent.
    pub(crate) fn token_with_value(&self, text: &str) -> Option<ApiToken> {
        self.view(|state| state.tokens.iter().find(|token| token.is(text)).cloned())
    }

    /// Reads under the lock.
    pub(crate) fn view<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.lock())
    }

    /// Changes under the lock, then tells everyone who watches.
    pub(crate) fn change<R>(&self, write: impl FnOnce(&mut State) -> R) -> R {
        let result = write(&mut self.lock());
        self.shared.revision.send_modify(|revision| *revision += 1);
        result
    }

    /// Changes under the lock what nobody watches.
    pub(crate) fn quietly<R>(&self, write: impl FnOnce(&mut State) -> R) -> R {
        write(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the edge to close all connections of a tunnel.
    pub(crate) fn request_disconnect(&self, tunnel: Uuid) {
        // An error means that no edge listens: then there is nothing to close.
        let _ = self.shared.disconnects.send(tunnel);
    }
}

impl State {
    /// The next free tunnel addresses. Where a range is used up, its first one is given again.
    pub(crate) fn next_addresses(&mut self) -> (Ipv4Addr, Option<Ipv6Addr>) {
        let present = self.tunnels.values().filter(|t| t.deleted_at.is_none());
        let taken: BTreeSet<IpAddr> = present.flat_map(Tunnel::addresses).collect();
        let [next_v4, next_v6] = self.next_addresses;
        let first = |range: AddressRange| range.next(0, &BTreeSet::new());
        let mut give = |range: AddressRange, from: u32, place: usize| {
            let (address, next) = range.next(from, &taken).or_else(|| first(range))?;
            self.next_addresses[place] = next;
            Some(address)
        };
        let ipv4 = match give(self.ranges.ipv4, next_v4, 0) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::LOCALHOST,
        };
        let ipv6 = self.ranges.ipv6.and_then(|range| give(range, next_v6, 1));
        let ipv6 = match ipv6 {
            Some(IpAddr::V6(address)) => Some(address),
            _ => None,
        };
        (ipv4, ipv6)
    }
}

/// A new id in the form of zones, records and tokens: 32 hexadecimal digits.
pub(crate) fn new_object_id() -> String {
    Uuid::new_v4().simple().to_string()
}
