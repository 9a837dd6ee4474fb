//! What is remembered between calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use super::DirectEdge;
use super::moving::MovedFrom;
use crate::edge::cache::SharedCache;
use crate::edge::certificates::Note;
use crate::names::{AccountId, Hostname, ObjectKey, TunnelId, ZoneId};
use crate::secret::CloudflareCredentials;

/// What is remembered between calls. None of it is needed for correctness after a restart.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) gateways: BTreeMap<ObjectKey, GatewayMemory>,
    /// Gateways that a call is at work on.
    pub(super) busy: BTreeSet<ObjectKey>,
    /// Whether a sweep is at work.
    pub(super) sweeping: bool,
    /// What was read with each token.
    pub(super) caches: Vec<(CloudflareCredentials, Arc<SharedCache>)>,
    /// Credentials that a Gateway had before it moved to another account.
    pub(super) former: Vec<CloudflareCredentials>,
    pub(super) adopted: BTreeSet<TunnelId>,
    /// Ids of zones that Gateways' parameters name.
    pub(super) zone_ids: BTreeMap<ObjectKey, BTreeMap<Hostname, ZoneId>>,
    /// Certificates that were uploaded and that the ingress document of their tunnel does not note yet.
    pub(super) unnoted: BTreeMap<TunnelId, BTreeSet<Note>>,
}

/// What is remembered of one Gateway.
pub(super) struct GatewayMemory {
    /// What it was last reconciled with: a Gateway and its Secret are often deleted together, and what is
    /// at the edge can still be removed then.
    pub(super) credentials: CloudflareCredentials,
    /// Those before, the newest first: what was noted with them is still known.
    pub(super) former_credentials: Vec<CloudflareCredentials>,
    pub(super) tunnel: TunnelId,
    /// While its records wait for a proxy after it has moved: what it is served by until then.
    pub(super) moved_from: Option<MovedFrom>,
    /// Zones in which something of it may be; `None` until all zones were listed once.
    pub(super) zones: Option<BTreeSet<ZoneId>>,
    /// Hostnames that had a record of it when it was last reconciled.
    pub(super) had: BTreeSet<Hostname>,
    /// Zones in which something of it was seen or written, in this account and in those that it moved away
    /// from. Where one of them cannot be read, something may be left.
    pub(super) written: BTreeMap<AccountId, BTreeSet<ZoneId>>,
}

/// Former credentials of one Gateway that are remembered. A token is replaced now and then, not all the time.
const FORMER_CREDENTIALS: usize = 4;

impl GatewayMemory {
    /// Every set of credentials that it is known to have had.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &CloudflareCredentials> {
        [&self.credentials]
            .into_iter()
            .chain(&self.former_credentials)
    }

    /// Takes over what is still true of what was remembered before.
    pub(super) fn follow(&mut self, before: &Self) {
        for (account, zones) in &before.written {
            let written = self.written.entry(account.clone()).or_default();
            written.extend(zones.iter().cloned());
        }
        let former = before
            .tokens()
            .filter(|former| !former.is_same(&self.credentials));
        self.former_credentials = former.take(FORMER_CREDENTIALS).cloned().collect();
    }
}

impl DirectEdge {
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    pub(super) fn remember(&self, gateway: &ObjectKey, mut now: GatewayMemory) {
        let mut memory = self.memory();
        let account = now.credentials.account.clone();
        let before = memory.gateways.remove(gateway);
        if let Some(before) = &before {
            now.follow(before);
        }
        memory.gateways.insert(gateway.clone(), now);
        let moved = before.filter(|before| before.credentials.account != account);
        if let Some(former) = moved.map(|before| before.credentials)
            && !memory.former.iter().any(|known| known.is_same(&former))
        {
            memory.former.push(former);
        }
    }

    /// Zones of an account in which this process knows that something of the Gateway was.
    pub(super) fn zones_written(
        &self,
        gateway: &ObjectKey,
        account: &AccountId,
    ) -> BTreeSet<ZoneId> {
        let memory = self.memory();
        let of_gateway = memory.gateways.get(gateway);
        let zones = of_gateway.and_then(|of| of.written.get(account));
        zones.cloned().unwrap_or_default()
    }

    /// Zones of an account in which something of any Gateway was, as far as this process knows, and those that the
    /// parameters of Gateways name by id.
    pub(super) fn known_zones(&self, account: &AccountId) -> BTreeSet<ZoneId> {
        let memory = self.memory();
        let gateways = memory.gateways.iter();
        let here = gateways.filter(|(_, of)| of.credentials.account == *account);
        let named = here
            .clone()
            .filter_map(|(gateway, _)| memory.zone_ids.get(gateway));
        let named = named.flat_map(BTreeMap::values);
        let written = here.filter_map(|(_, of)| of.written.get(account)).flatten();
        written.chain(named).cloned().collect()
    }

    /// The tunnel that the Gateway had when it was last reconciled.
    pub(super) fn remembered_tunnel(&self, gateway: &ObjectKey) -> Option<TunnelId> {
        let memory = self.memory();
        memory.gateways.get(gateway).map(|of| of.tunnel)
    }

    /// Hostnames that are known to have had a record of the Gateway in this account.
    pub(super) fn had_records(
        &self,
        gateway: &ObjectKey,
        credentials: &CloudflareCredentials,
    ) -> BTreeSet<Hostname> {
        let memory = self.memory();
        let remembered = memory.gateways.get(gateway);
        let here = remembered.filter(|of| of.credentials.account == credentials.account);
        here.map(|of| of.had.clone()).unwrap_or_default()
    }

    pub(super) fn zones_to_read(
        &self,
        gateway: &ObjectKey,
        credentials: &CloudflareCredentials,
    ) -> Option<BTreeSet<ZoneId>> {
        let memory = self.memory();
        let remembered = memory.gateways.get(gateway)?;
        let same_account = remembered.credentials.account == credentials.account;
        same_account.then(|| remembered.zones.clone()).flatten()
    }
}
