//! What the API does with records.

use std::sync::Arc;

use jiff::Timestamp;

use super::record_rules::{RecordRefusal, check_alone, check_neighbours, full_name};
use super::{Cloud, DnsRecord, Plan, RecordKind, RecordSet, Zone};

/// A whole record as a client writes it.
#[derive(Debug, Clone)]
pub struct RecordFields {
    /// Type.
    pub kind: RecordKind,
    /// Name, full or relative to the zone.
    pub name: String,
    /// Data.
    pub content: String,
    /// MX and URI only.
    pub priority: Option<u16>,
    /// Off unless asked for.
    pub proxied: bool,
    /// Seconds; 1 is automatic.
    pub ttl: u32,
    /// None unless given.
    pub comment: Option<String>,
    /// None unless given.
    pub tags: Vec<String>,
}

/// Fields to change; absent ones stay.
#[derive(Debug, Clone, Default)]
pub struct RecordPatch {
    /// Type.
    pub kind: Option<RecordKind>,
    /// Name, full or relative to the zone.
    pub name: Option<String>,
    /// Data.
    pub content: Option<String>,
    /// MX and URI only.
    pub priority: Option<u16>,
    /// Whether proxied.
    pub proxied: Option<bool>,
    /// Seconds; 1 is automatic.
    pub ttl: Option<u32>,
    /// `Some(None)` takes the comment away.
    pub comment: Option<Option<String>>,
    /// Replaces all tags.
    pub tags: Option<Vec<String>>,
}

/// Changes made together, or not at all.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    /// Carried out first.
    pub deletes: Vec<String>,
    /// Carried out second.
    pub patches: Vec<(String, RecordPatch)>,
    /// Carried out third.
    pub puts: Vec<(String, RecordFields)>,
    /// Carried out last.
    pub posts: Vec<RecordFields>,
}

/// The records that a batch touched, in the order of the batch.
#[derive(Debug, Clone, Default)]
pub struct BatchResult {
    /// As they were.
    pub deletes: Vec<Arc<DnsRecord>>,
    /// As they are.
    pub patches: Vec<DnsRecord>,
    /// As they are.
    pub puts: Vec<DnsRecord>,
    /// As they are.
    pub posts: Vec<DnsRecord>,
}

impl Cloud {
    /// One zone without its account's other data.
    pub fn zone(&self, id: &str) -> Option<Zone> {
        self.view(|state| state.zones.get(id).cloned())
    }

    /// One record, as it is now.
    pub fn record(&self, zone: &str, id: &str) -> Option<Arc<DnsRecord>> {
        self.view(|state| state.zones.get(zone)?.records.get(id).cloned())
    }

    /// All records of a zone, as they are now.
    pub fn records(&self, zone: &str) -> Vec<Arc<DnsRecord>> {
        self.view(|state| {
            let found = state.zones.get(zone);
            found.map_or_else(Vec::new, |z| z.records.iter().cloned().collect())
        })
    }

    /// All records of a zone as a list shows them.
    pub(crate) fn list_records(&self, zone: &str) -> Vec<Arc<DnsRecord>> {
        self.quietly(|state| {
            let found = state.zones.get_mut(zone);
            found.map_or_else(Vec::new, |zone| {
                let shown = zone.stale_lists.list(&zone.records);
                shown.iter().cloned().collect()
            })
        })
    }

    /// Sets how many records a zone may have.
    pub fn set_record_quota(&self, zone: &str, quota: usize) {
        self.change(|state| {
            if let Some(zone) = state.zones.get_mut(zone) {
                zone.record_quota = Some(quota);
            }
        });
    }

    /// Carries out a batch as one transaction: deletes, patches, puts, posts; all of it or nothing.
    /// Cloudflare API documentation: "Batch DNS Records".
    pub fn change_records(
        &self,
        zone: &str,
        batch: RecordBatch,
    ) -> Result<BatchResult, RecordRefusal> {
        let lag = self.list_lag();
        self.change(|state| {
            let zone = state.zones.get_mut(zone).ok_or(RecordRefusal::NotFound)?;
            let plan = state
                .accounts
                .get(&zone.account)
                .map_or(Plan::Free, |account| account.plan);
            let mut transaction = Transaction {
                zone: &zone.id,
                zone_name: &zone.name,
                plan,
                quota: zone.record_quota.unwrap_or(usize::MAX),
                records: RecordSet::clone(&zone.records),
                now: Timestamp::now(),
            };
            let result = transaction.carry_out(batch)?;
            let records = Arc::new(transaction.records);
            zone.stale_lists.keep(&zone.records, lag);
            zone.records = records;
            Ok(result)
        })
    }
}

struct Transaction<'a> {
    zone: &'a str,
    zone_name: &'a str,
    plan: Plan,
    quota: usize,
    records: RecordSet,
    now: Timestamp,
}

impl Transaction<'_> {
    fn carry_out(&mut self, batch: RecordBatch) -> Result<BatchResult, RecordRefusal> {
        let size = batch.deletes.len() + batch.patches.len() + batch.puts.len() + batch.posts.len();
        let limit = self.plan.batch_limit();
        if size > limit {
            return Err(RecordRefusal::BatchTooLarge(size, limit));
        }
        let mut result = BatchResult::default();
        for id in batch.deletes {
            let gone = self.records.remove(&id);
            result.deletes.push(gone.ok_or(RecordRefusal::NotFound)?);
        }
        for (id, patch) in batch.patches {
            let old = self.existing(&id)?;
            result
                .patches
                .push(self.put(patched(&old, patch), Some(&old))?);
        }
        for (id, fields) in batch.puts {
            let old = self.existing(&id)?;
            result.puts.push(self.put(fields, Some(&old))?);
        }
        for fields in batch.posts {
            if self.records.len() >= self.quota {
                return Err(RecordRefusal::ZoneFull);
            }
            result.posts.push(self.put(fields, None)?);
        }
        Ok(result)
    }

    fn existing(&self, id: &str) -> Result<Arc<DnsRecord>, RecordRefusal> {
        self.records.get(id).cloned().ok_or(RecordRefusal::NotFound)
    }

    fn put(
        &mut self,
        fields: RecordFields,
        old: Option<&Arc<DnsRecord>>,
    ) -> Result<DnsRecord, RecordRefusal> {
        let record = self.normalised(fields, old.map(|old| &**old));
        check_alone(&record, self.plan)?;
        check_neighbours(&record, &self.records)?;
        self.records.put(record.clone());
        Ok(record)
    }

    /// The form in which a record is kept.
    fn normalised(&self, fields: RecordFields, old: Option<&DnsRecord>) -> DnsRecord {
        let comment = fields.comment.filter(|text| !text.is_empty());
        let names_a_host = matches!(
            fields.kind,
            RecordKind::Cname | RecordKind::Ns | RecordKind::Ptr | RecordKind::Mx
        );
        let content = if names_a_host {
            fields.content.trim_end_matches('.').to_ascii_lowercase()
        } else {
            fields.content
        };
        let comment_modified_on = match old {
            Some(old) if old.comment == comment => old.comment_modified_on,
            _ => comment.is_some().then_some(self.now),
        };
        let tags_modified_on = match old {
            Some(old) if old.tags == fields.tags => old.tags_modified_on,
            _ => (!fields.tags.is_empty()).then_some(self.now),
        };
        DnsRecord {
            id: old.map_or_else(super::new_object_id, |old| old.id.clone()),
            zone: self.zone.to_owned(),
            kind: fields.kind,
            name: full_name(&fields.name, self.zone_name),
            content,
            priority: fields.priority,
            proxied: fields.proxied,
            ttl: if fields.proxied { 1 } else { fields.ttl },
            comment,
            comment_modified_on,
            tags: fields.tags,
            tags_modified_on,
            created_on: old.map_or(self.now, |old| old.created_on),
            modified_on: self.now,
        }
    }
}

fn patched(old: &DnsRecord, patch: RecordPatch) -> RecordFields {
    RecordFields {
        kind: patch.kind.unwrap_or(old.kind),
        name: patch.name.unwrap_or_else(|| old.name.clone()),
        content: patch.content.unwrap_or_else(|| old.content.clone()),
        priority: patch.priority.or(old.priority),
        proxied: patch.proxied.unwrap_or(old.proxied),
        ttl: patch.ttl.unwrap_or(old.ttl),
        comment: patch.comment.unwrap_or_else(|| old.comment.clone()),
        tags: patch.tags.unwrap_or_else(|| old.tags.clone()),
    }
}
