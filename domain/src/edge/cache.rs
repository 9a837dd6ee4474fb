//! The API as one call sees it: reads that were made before are answered from memory, writes go through and
//! change the memory alike.
//!
//! Memory is only good for adding: Cloudflare refuses a record where another stands, and a document is put
//! whole. Before a record is changed or removed its zone is read again, so that nothing is touched that
//! somebody else made theirs in the meantime ([`CachedApi::must_read_again`]). Whatever fails makes all that was
//! read doubtful, and all of it is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::lock as async_lock;

use super::changes::Changes;
use super::journal::Notes;
use crate::edge::api::CloudflareApi;
use crate::edge::objects::{DnsRecord, IngressDocument, RecordBatch, Tunnel, Zone};
use crate::error::{PortError, PortErrorKind};
use crate::names::{CertificateId, ObjectKey, RecordId, TunnelId, ZoneId};

/// What was read with one token, and what was written since.
#[derive(Default)]
pub(crate) struct Cache {
    /// Complete lists, by the prefix that was asked for.
    tunnels: BTreeMap<String, Vec<Tunnel>>,
    documents: BTreeMap<TunnelId, Option<IngressDocument>>,
    /// The list, or that the token may not read it.
    zones: Option<Result<Vec<Zone>, PortError>>,
    /// Zones that were looked up by name.
    named: BTreeMap<String, Result<Option<Zone>, PortError>>,
    records: BTreeMap<ZoneId, Vec<DnsRecord>>,
}

/// A cache that several calls share.
#[derive(Default)]
pub(crate) struct SharedCache {
    cache: Mutex<Cache>,
    /// Held while tunnels are listed, so that calls that begin together list them once.
    listing: async_lock::Mutex<()>,
}

/// The API of one account for the time of one call to the edge.
pub(crate) struct CachedApi {
    api: Arc<dyn CloudflareApi>,
    shared: Arc<SharedCache>,
    notes: Notes,
    /// Zones that this call has read itself.
    read_now: Mutex<BTreeSet<ZoneId>>,
    /// Whether it has listed the tunnels itself.
    listed_now: Mutex<bool>,
    /// Whether any answer came from memory.
    remembered: Mutex<bool>,
}

/// Whether asking again gives the same until something is changed: the token may not.
fn is_decided<T>(answer: &Result<T, PortError>) -> bool {
    let error = answer.as_ref().err();
    error.is_none_or(|error| error.kind == PortErrorKind::Forbidden)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds this lock")
}

impl CachedApi {
    pub(crate) fn new(api: Arc<dyn CloudflareApi>, shared: Arc<SharedCache>, notes: Notes) -> Self {
        Self {
            api,
            shared,
            notes,
            read_now: Mutex::default(),
            listed_now: Mutex::default(),
            remembered: Mutex::default(),
        }
    }

    /// What this call has written so far.
    pub(crate) fn changes(&self) -> Changes {
        self.notes.changes()
    }

    /// A certificate was uploaded.
    pub(crate) fn uploaded(&self, zone: &Zone, secret: &ObjectKey) {
        let zone = &zone.name;
        self.notes
            .made(format_args!("the certificate of Secret {secret} in {zone}"));
    }

    /// Whether one of these zones, in which records are to be changed or removed, was not read for it. Such zones are
    /// read anew by the next read.
    pub(crate) fn must_read_again<'z>(&self, zones: impl Iterator<Item = &'z ZoneId>) -> bool {
        let read_now = lock(&self.read_now);
        let mut cache = lock(&self.shared.cache);
        let mut again = false;
        for zone in zones.filter(|zone| !read_now.contains(*zone)) {
            cache.records.remove(zone);
            again = true;
        }
        again
    }

    /// The API itself, for calls that are neither remembered nor written to the journal.
    pub(crate) fn uncached(&self) -> &dyn CloudflareApi {
        &*self.api
    }

    /// Whether any answer to this call came from memory.
    pub(crate) fn has_remembered(&self) -> bool {
        *lock(&self.remembered)
    }

    /// Believes nothing any more but what this call reads from now on.
    pub(crate) fn clear(&self) {
        *lock(&self.shared.cache) = Cache::default();
        lock(&self.read_now).clear();
        *lock(&self.listed_now) = false;
        *lock(&self.remembered) = false;
    }

    /// Lists tunnels anew at the next call.
    pub(crate) fn clear_tunnels(&self) {
        lock(&self.shared.cache).tunnels.clear();
        *lock(&self.listed_now) = false;
    }

    /// Every tunnel of the account, listed at this very moment.
    pub(crate) async fn all_tunnels_now(&self) -> Result<Vec<Tunnel>, PortError> {
        self.clear_tunnels();
        self.tunnels("").await
    }

    /// Records of a zone, read by this very call to the edge.
    pub(crate) async fn records_now(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError> {
        if !lock(&self.read_now).contains(zone) {
            lock(&self.shared.cache).records.remove(zone);
        }
        self.records(zone).await
    }

    /// Answers from memory.
    fn recall<T>(&self, find: impl FnOnce(&Cache) -> Option<T>) -> Option<T> {
        let found = find(&lock(&self.shared.cache));
        if found.is_some() {
            *lock(&self.remembered) = true;
        }
        found
    }

    /// Takes note of what a write did. One that failed may have been done or not.
    fn written<T>(
        &self,
        answer: Result<T, PortError>,
        note: impl FnOnce(&mut Cache, &T),
    ) -> Result<T, PortError> {
        let mut cache = lock(&self.shared.cache);
        match &answer {
            Ok(done) => note(&mut cache, done),
            Err(_) => *cache = Cache::default(),
        }
        answer
    }
}

impl Cache {
    fn tunnels(&self, name_prefix: &str) -> Option<Vec<Tunnel>> {
        let mut lists = self.tunnels.iter();
        let (_, list) = lists.find(|(prefix, _)| name_prefix.starts_with(*prefix))?;
        let named = list
            .iter()
            .filter(|tunnel| tunnel.name.starts_with(name_prefix));
        Some(named.cloned().collect())
    }

    fn add_tunnel(&mut self, tunnel: &Tunnel) {
        for (prefix, list) in &mut self.tunnels {
            if tunnel.name.starts_with(prefix) {
                list.push(tunnel.clone());
            }
        }
        self.documents.insert(tunnel.id, None);
    }

    fn remove_tunnel(&mut self, gone: TunnelId) {
        self.tunnels.clear();
        self.documents.remove(&gone);
    }

    fn change_records(&mut self, zone: &ZoneId, batch: &RecordBatch) {
        let Some(records) = self.records.get_mut(zone) else {
            return;
        };
        records.retain(|record| !batch.deletes.contains(&record.id));
        for (id, data) in &batch.puts {
            let there = records.iter_mut().find(|record| record.id == *id);
            if let Some(record) = there {
                record.data = data.clone();
            }
        }
        // Their ids are not known here and not needed: who changes a record reads its zone first.
        records.extend(batch.posts.iter().map(|data| DnsRecord {
            id: RecordId::new(""),
            data: data.clone(),
        }));
    }
}

/// The calls that are answered from memory, change it, or are written to the journal.
impl CachedApi {
    pub(crate) async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, PortError> {
        let _listing = self.shared.listing.lock().await;
        let known = match *lock(&self.listed_now) {
            true => lock(&self.shared.cache).tunnels(name_prefix),
            false => self.recall(|cache| cache.tunnels(name_prefix)),
        };
        if let Some(tunnels) = known {
            return Ok(tunnels);
        }
        let tunnels = self.api.tunnels(name_prefix).await?;
        *lock(&self.listed_now) = true;
        let mut cache = lock(&self.shared.cache);
        cache
            .tunnels
            .insert(name_prefix.to_owned(), tunnels.clone());
        Ok(tunnels)
    }

    pub(crate) async fn create_tunnel(&self, name: &str) -> Result<Tunnel, PortError> {
        let answer = self.api.create_tunnel(name).await;
        let tunnel = self.written(answer, Cache::add_tunnel)?;
        self.notes.made(format_args!("tunnel {name}"));
        Ok(tunnel)
    }

    pub(crate) async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), PortError> {
        let answer = self.api.delete_tunnel(tunnel).await;
        self.written(answer, |cache, ()| cache.remove_tunnel(tunnel))?;
        self.notes.done(format_args!("removed tunnel {tunnel}"));
        Ok(())
    }

    pub(crate) async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), PortError> {
        let answer = self.api.adopt_tunnel(tunnel, name, secret).await;
        self.written(answer, |cache, ()| cache.tunnels.clear())?;
        self.notes
            .done(format_args!("adopted tunnel {tunnel} of a former instance"));
        Ok(())
    }

    pub(crate) async fn configuration(
        &self,
        tunnel: TunnelId,
    ) -> Result<Option<IngressDocument>, PortError> {
        if let Some(document) = self.recall(|cache| cache.documents.get(&tunnel).cloned()) {
            return Ok(document);
        }
        let document = self.api.configuration(tunnel).await?;
        let mut cache = lock(&self.shared.cache);
        cache.documents.insert(tunnel, document.clone());
        Ok(document)
    }

    /// The same for a tunnel that is to be removed: one that is gone already has none.
    pub(crate) async fn last_configuration(
        &self,
        tunnel: TunnelId,
    ) -> Result<Option<IngressDocument>, PortError> {
        match self.configuration(tunnel).await {
            Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
            answer => answer,
        }
    }

    pub(crate) async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), PortError> {
        let answer = self.api.configure(tunnel, document).await;
        self.written(answer, |cache, ()| {
            cache.documents.insert(tunnel, Some(document.clone()));
        })?;
        self.notes.configured(tunnel, document.rules.len());
        Ok(())
    }

    pub(crate) async fn zones(&self) -> Result<Vec<Zone>, PortError> {
        if let Some(zones) = self.recall(|cache| cache.zones.clone()) {
            return zones;
        }
        let zones = self.api.zones().await;
        if is_decided(&zones) {
            lock(&self.shared.cache).zones = Some(zones.clone());
        }
        zones
    }

    /// What is remembered of [`CachedApi::zone_named`].
    pub(crate) fn known_zone(&self, name: &str) -> Option<Result<Option<Zone>, PortError>> {
        self.recall(|cache| cache.named.get(name).cloned())
    }

    pub(crate) async fn zone_named(&self, name: &str) -> Result<Option<Zone>, PortError> {
        let zone = self.api.zone_named(name).await;
        if is_decided(&zone) {
            let named = &mut lock(&self.shared.cache).named;
            named.insert(name.to_owned(), zone.clone());
        }
        zone
    }

    pub(crate) async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError> {
        if let Some(records) = self.recall(|cache| cache.records.get(zone).cloned()) {
            return Ok(records);
        }
        let records = self.api.records(zone).await?;
        lock(&self.read_now).insert(zone.clone());
        lock(&self.shared.cache)
            .records
            .insert(zone.clone(), records.clone());
        Ok(records)
    }

    pub(crate) async fn change_records(
        &self,
        zone: &ZoneId,
        batch: &RecordBatch,
    ) -> Result<(), PortError> {
        let before = lock(&self.shared.cache).records.get(zone).cloned();
        let answer = self.api.change_records(zone, batch).await;
        self.written(answer, |cache, ()| cache.change_records(zone, batch))?;
        let before = before.unwrap_or_default();
        self.notes.changed(zone, &before, batch);
        Ok(())
    }

    pub(crate) async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), PortError> {
        self.api.delete_certificate(zone, certificate).await?;
        self.notes.done(format_args!(
            "removed certificate {certificate} of zone {zone}"
        ));
        Ok(())
    }
}
