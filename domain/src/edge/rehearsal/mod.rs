//! Cloudflare's API for a rehearsal: reads go through, and what was written is kept here and seen by later reads. No call
//! that changes anything is passed on.
//!
//! A connector token is a secret that nothing here needs, so that no rehearsal reads one: each tunnel has a text in its place.

mod api;
mod difference;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::edge::api::{CloudflareAccounts, CloudflareApi};
use crate::edge::objects::{CustomCertificate, DnsRecord, IngressDocument, Tunnel};
use crate::edge::ownership;
use crate::names::{AccountId, CertificateId, Installation, ObjectKey, TunnelId, ZoneId};
use crate::secret::CloudflareCredentials;

pub use difference::{Difference, Sign};

/// The accounts of a rehearsal.
pub struct RehearsedAccounts {
    real: Arc<dyn CloudflareAccounts>,
    written: Arc<Written>,
}

/// What was written, and what proxies are thought to do.
pub(crate) struct Written {
    installation: Installation,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    /// Objects that were made, for their ids.
    made: u64,
    /// Calls that would have changed something.
    writes: usize,
    /// Gateways whose proxies were stopped.
    stopped: BTreeSet<ObjectKey>,
    /// Gateways whose proxies run.
    running: BTreeSet<ObjectKey>,
}

/// What was written in one account: each object as it was before the first write, and as it is.
#[derive(Default)]
struct Account {
    /// Tunnels as they were listed last.
    listed: BTreeMap<TunnelId, Tunnel>,
    tunnels: BTreeMap<TunnelId, Change<Option<Tunnel>>>,
    documents: BTreeMap<TunnelId, Change<Option<IngressDocument>>>,
    zones: BTreeMap<ZoneId, Change<Vec<DnsRecord>>>,
    certificates: BTreeMap<ZoneId, CertificateChanges>,
}

struct Change<T> {
    before: T,
    now: T,
}

#[derive(Default)]
struct CertificateChanges {
    made: BTreeMap<CertificateId, CustomCertificate>,
    removed: BTreeSet<CertificateId>,
}

impl RehearsedAccounts {
    /// Over these, for the tunnels of an installation.
    pub fn new(real: Arc<dyn CloudflareAccounts>, installation: Installation) -> Self {
        let state = Mutex::default();
        Self {
            real,
            written: Arc::new(Written {
                installation,
                state,
            }),
        }
    }

    /// How many calls would have changed something.
    pub fn writes(&self) -> usize {
        self.written.lock().writes
    }

    /// From now on the proxies of a Gateway run, or they are stopped.
    pub fn proxies_run(&self, gateway: &ObjectKey, run: bool) {
        let mut state = self.written.lock();
        let State {
            running, stopped, ..
        } = &mut *state;
        let (into, out_of) = match run {
            true => (running, stopped),
            false => (stopped, running),
        };
        into.insert(gateway.clone());
        out_of.remove(gateway);
    }

    /// What is otherwise than it was. `gateways`: all that records may belong to.
    pub fn differences(&self, gateways: &BTreeSet<ObjectKey>) -> Vec<Difference> {
        difference::all(&self.written.installation, &self.written.lock(), gateways)
    }
}

impl CloudflareAccounts for RehearsedAccounts {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(api::RehearsedApi {
            real: self.real.open(credentials),
            account: credentials.account.clone(),
            written: Arc::clone(&self.written),
        })
    }
}

impl Written {
    fn lock(&self) -> MutexGuard<'_, State> {
        let locked = self.state.lock();
        locked.expect("nothing panics while it holds this lock")
    }

    /// The Gateway of a tunnel of this installation.
    fn gateway_of(&self, tunnel: &Tunnel) -> Option<ObjectKey> {
        ownership::gateway_of_tunnel(&self.installation, &tunnel.name)
    }
}

/// First bytes of the ids of tunnels that there are not.
const PLANNED: [u8; 8] = [0; 8];

fn planned_tunnel(number: u64) -> TunnelId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TunnelId::from_bytes(bytes)
}

fn is_planned(tunnel: TunnelId) -> bool {
    tunnel.as_bytes().starts_with(&PLANNED)
}
