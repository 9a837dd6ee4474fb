//! The record part of a plan: an outcome for each hostname, and the changes zone by zone.

use std::collections::{BTreeMap, BTreeSet};

use super::owner::{Owner, Owners};
use crate::edge::objects::{DnsRecord, RecordBatch, RecordData, Zone};
use crate::edge::observed::{Observed, ObservedZone, ZoneRecords};
use crate::edge::ownership::RecordMark;
use crate::edge::{EdgeIntent, HostnameOutcome, Policy};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, Installation, RecordId, TunnelId, ZoneId};

/// Changes to the records of one zone. What is written to a record follows from its name, the tunnel and
/// the Gateway's mark, so no change can point anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneChanges {
    pub zone: ZoneId,
    /// One by one, in the order in which they go into batches.
    pub changes: Vec<RecordChange>,
}

/// A change to one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordChange {
    /// Make a record of ours say what it should; keeps its id, so the name never stops to resolve.
    Put(RecordId, Hostname),
    /// Make a record where there is none.
    Post(Hostname),
    /// Remove a record of this Gateway.
    Delete(RecordId),
}

impl RecordChange {
    /// The hostname that it is made for; a removal is made for none.
    pub fn hostname(&self) -> Option<&Hostname> {
        match self {
            Self::Put(_, hostname) | Self::Post(hostname) => Some(hostname),
            Self::Delete(_) => None,
        }
    }
}

impl ZoneChanges {
    /// The call to the API.
    pub fn batch(&self, tunnel: TunnelId, mark: RecordMark) -> RecordBatch {
        let mut batch = RecordBatch::default();
        for change in &self.changes {
            match change {
                RecordChange::Put(id, hostname) => {
                    let data = wanted_record(hostname, tunnel, mark);
                    batch.puts.push((id.clone(), data));
                }
                RecordChange::Post(hostname) => {
                    batch.posts.push(wanted_record(hostname, tunnel, mark));
                }
                RecordChange::Delete(id) => batch.deletes.push(id.clone()),
            }
        }
        batch
    }
}

/// The record of a hostname: a proxied CNAME to the tunnel's address, whose TTL Cloudflare keeps automatic.
pub fn wanted_record(hostname: &Hostname, tunnel: TunnelId, mark: RecordMark) -> RecordData {
    RecordData {
        name: hostname.as_str().to_owned(),
        kind: "CNAME".to_owned(),
        content: tunnel.address(),
        proxied: true,
        ttl: 1,
        comment: mark.to_string(),
    }
}

/// The zone that a hostname lies in: the one with the longest name that the hostname ends in.
pub fn zone_of<'a>(hostname: &Hostname, zones: impl Iterator<Item = &'a Zone>) -> Option<&'a Zone> {
    zones
        .filter(|zone| hostname.is_within(&zone.name))
        .max_by(|a, b| (a.name.len(), &b.id).cmp(&(b.name.len(), &a.id)))
}

/// What a failed call means for the hostnames that needed it.
pub(crate) fn outcome_of(error: &PortError) -> HostnameOutcome {
    let message = error.message.clone();
    match error.kind {
        PortErrorKind::Forbidden | PortErrorKind::Unauthenticated => {
            HostnameOutcome::Forbidden { message }
        }
        kind if kind.is_transient() => HostnameOutcome::Unknown { message },
        _ => HostnameOutcome::Refused { message },
    }
}

pub(crate) struct RecordsPlan {
    pub(crate) changes: Vec<ZoneChanges>,
    pub(crate) hostnames: BTreeMap<Hostname, HostnameOutcome>,
    pub(crate) unwanted_kept: Option<BTreeSet<Hostname>>,
}

pub(crate) fn plan(
    intent: &EdgeIntent,
    observed: &Observed,
    installation: &Installation,
) -> RecordsPlan {
    let owners = Owners::of(intent, observed, installation);
    let mut hostnames: BTreeMap<_, _> = intent
        .dns
        .lost_to
        .iter()
        .map(|(hostname, by)| {
            (
                hostname.clone(),
                HostnameOutcome::Claimed { by: by.clone() },
            )
        })
        .collect();
    let unmanaged = intent.hostnames.iter().filter(|h| !intent.dns.manages(h));
    hostnames.extend(unmanaged.map(|h| (h.clone(), HostnameOutcome::NotManaged)));

    let mut changes = Vec::new();
    let mut unwanted_kept = (intent.policy == Policy::KeepRecords).then(BTreeSet::new);
    match &observed.zones {
        Err(error) => {
            hostnames.extend(managed(intent).map(|h| (h.clone(), outcome_of(error))));
            unwanted_kept = None;
        }
        Ok(zones) => {
            let by_zone = HostnamesByZone::of(intent, zones);
            let outside = by_zone.outside.iter();
            hostnames.extend(outside.map(|h| ((*h).clone(), HostnameOutcome::NoZone)));
            for zone in in_order(zones) {
                let planner = ZonePlanner {
                    intent,
                    zone,
                    owners: &owners,
                    wanted: by_zone.in_zone(&zone.zone),
                };
                let (zone_changes, outcomes) = planner.plan();
                hostnames.extend(outcomes);
                changes.extend(zone_changes);
                if let Some(mut all) = unwanted_kept.take() {
                    unwanted_kept = planner.unwanted_names().map(|names| {
                        all.extend(names);
                        all
                    });
                }
            }
        }
    }
    // Zones that gain a record first: see the module's text. The sort is stable.
    changes.sort_by_key(|zone| {
        zone.changes
            .iter()
            .all(|change| change.hostname().is_none())
    });
    RecordsPlan {
        changes,
        hostnames,
        unwanted_kept,
    }
}

fn managed(intent: &EdgeIntent) -> impl Iterator<Item = &Hostname> {
    let hostnames = intent.hostnames.iter();
    hostnames.filter(|hostname| intent.dns.manages(hostname))
}

/// Which zone each managed hostname belongs into.
#[derive(Default)]
struct HostnamesByZone<'a> {
    by_zone: BTreeMap<&'a ZoneId, BTreeSet<&'a Hostname>>,
    outside: Vec<&'a Hostname>,
}

impl<'a> HostnamesByZone<'a> {
    fn of(intent: &'a EdgeIntent, zones: &'a [ObservedZone]) -> Self {
        let mut sorted = Self::default();
        for hostname in managed(intent) {
            match zone_of(hostname, zones.iter().map(|zone| &zone.zone)) {
                Some(zone) => {
                    sorted.by_zone.entry(&zone.id).or_default().insert(hostname);
                }
                None => sorted.outside.push(hostname),
            }
        }
        sorted
    }

    fn in_zone(&self, zone: &Zone) -> BTreeSet<&'a Hostname> {
        self.by_zone.get(&zone.id).cloned().unwrap_or_default()
    }
}

fn in_order(zones: &[ObservedZone]) -> Vec<&ObservedZone> {
    let mut zones: Vec<_> = zones.iter().collect();
    zones.sort_by_key(|zone| (&zone.zone.name, &zone.zone.id));
    zones
}

struct ZonePlanner<'a> {
    intent: &'a EdgeIntent,
    zone: &'a ObservedZone,
    owners: &'a Owners<'a>,
    /// Names whose record belongs into this zone.
    wanted: BTreeSet<&'a Hostname>,
}

/// What one name's records call for.
struct NamePlan {
    outcome: HostnameOutcome,
    changes: Vec<RecordChange>,
}

impl NamePlan {
    fn leave(outcome: HostnameOutcome) -> Self {
        Self {
            outcome,
            changes: Vec::new(),
        }
    }

    fn apply(change: RecordChange) -> Self {
        Self {
            outcome: HostnameOutcome::Applied,
            changes: vec![change],
        }
    }
}

impl ZonePlanner<'_> {
    fn plan(&self) -> (Option<ZoneChanges>, Vec<(Hostname, HostnameOutcome)>) {
        let records = match &self.zone.records {
            ZoneRecords::Read(records) => records,
            ZoneRecords::Failed(error) => return (None, self.all_wanted(&outcome_of(error))),
            ZoneRecords::Skipped => {
                let message = format!("the records of zone {} were not read", self.zone.zone.name);
                return (None, self.all_wanted(&HostnameOutcome::Unknown { message }));
            }
        };
        let by_name = occupied(&self.zone.zone, records);
        let mut changes = Vec::new();
        let mut outcomes = Vec::new();
        for hostname in &self.wanted {
            let there = by_name
                .get(hostname.as_str())
                .map_or(&[][..], Vec::as_slice);
            let plan = self.judge(hostname, there);
            changes.extend(plan.changes);
            outcomes.push(((*hostname).clone(), plan.outcome));
        }
        changes.extend(self.leftovers(&by_name));
        changes.sort();
        let zone = self.zone.zone.id.clone();
        let changes = (!changes.is_empty()).then_some(ZoneChanges { zone, changes });
        (changes, outcomes)
    }

    fn all_wanted(&self, outcome: &HostnameOutcome) -> Vec<(Hostname, HostnameOutcome)> {
        let wanted = self.wanted.iter();
        wanted
            .map(|hostname| ((*hostname).clone(), outcome.clone()))
            .collect()
    }

    /// A wanted name and the records that occupy it.
    fn judge(&self, hostname: &Hostname, there: &[&DnsRecord]) -> NamePlan {
        let owners = there.iter().map(|record| self.owners.owner(record));
        let owners: Vec<Owner> = owners.collect();
        let foreign = owners.iter().filter(|owner| **owner == Owner::Foreign);
        let foreign = foreign.count();
        for (record, owner) in there.iter().zip(&owners) {
            let outcome = match owner {
                Owner::Foreign => HostnameOutcome::Conflict {
                    found: describe(record, foreign - 1),
                },
                Owner::Namesake { tunnel } if foreign == 0 => HostnameOutcome::Namesake {
                    tunnel: tunnel.clone(),
                },
                Owner::Unknown { message } if foreign == 0 => HostnameOutcome::Unknown {
                    message: message.clone(),
                },
                _ => continue,
            };
            return NamePlan::leave(outcome);
        }
        let own = owners.iter().position(|owner| *owner == Owner::Gateway);
        let Some(record) = there.get(own.unwrap_or(0)) else {
            return NamePlan::apply(RecordChange::Post(hostname.clone()));
        };
        if self.is_right(record, hostname) {
            return NamePlan::leave(HostnameOutcome::Applied);
        }
        if own.is_some() || self.intent.policy != Policy::UpsertOnly {
            return NamePlan::apply(RecordChange::Put(record.id.clone(), hostname.clone()));
        }
        NamePlan::leave(HostnameOutcome::Unknown {
            message: format!(
                "{hostname} has a record of another Gateway of this installation, and not all \
                 objects could be read, so it is not known whether that Gateway still wants it"
            ),
        })
    }

    /// Records of this Gateway whose name is neither wanted here nor granted to another.
    fn leftovers(&self, by_name: &BTreeMap<String, Vec<&DnsRecord>>) -> Vec<RecordChange> {
        if self.intent.policy != Policy::Sync {
            return Vec::new();
        }
        let lost_to = self.intent.dns.lost_to.keys();
        let lost_to: BTreeSet<&str> = lost_to.map(Hostname::as_str).collect();
        let unwanted = self.unwanted(by_name);
        unwanted
            .filter(|(name, _)| !lost_to.contains(name))
            .map(|(_, record)| RecordChange::Delete(record.id.clone()))
            .collect()
    }

    /// Records of this Gateway whose name is not wanted here.
    fn unwanted<'r>(
        &self,
        by_name: &'r BTreeMap<String, Vec<&'r DnsRecord>>,
    ) -> impl Iterator<Item = (&'r str, &'r DnsRecord)> {
        let wanted: BTreeSet<&str> = self.wanted.iter().map(|name| name.as_str()).collect();
        by_name
            .iter()
            .filter(move |(name, _)| !wanted.contains(name.as_str()))
            .flat_map(|(name, records)| records.iter().map(|record| (name.as_str(), *record)))
            .filter(|(_, record)| self.owners.is_own(record))
    }

    /// Names of these; `None` where the zone was not read. A zone that the token may not read is as good as
    /// empty: nothing was made in it with this token, and nothing can be removed.
    fn unwanted_names(&self) -> Option<BTreeSet<Hostname>> {
        match &self.zone.records {
            ZoneRecords::Read(records) => {
                let by_name = occupied(&self.zone.zone, records);
                let names = self.unwanted(&by_name).map(|(name, _)| name);
                Some(
                    names
                        .filter_map(|name| Hostname::parse(name).ok())
                        .collect(),
                )
            }
            ZoneRecords::Failed(error) if error.kind != PortErrorKind::Forbidden => None,
            ZoneRecords::Failed(_) | ZoneRecords::Skipped => Some(BTreeSet::new()),
        }
    }

    /// Names and targets compare without case, as DNS does (RFC 4343).
    fn is_right(&self, record: &DnsRecord, hostname: &Hostname) -> bool {
        let Some(tunnel) = self.owners.tunnel else {
            return false;
        };
        let wanted = wanted_record(hostname, tunnel, self.owners.mark);
        let data = &record.data;
        data.content.eq_ignore_ascii_case(&wanted.content)
            && (data.proxied, data.ttl) == (wanted.proxied, wanted.ttl)
            && data.comment == wanted.comment
    }
}

/// Records that a CNAME cannot stand beside, by name in lower case. Cloudflare refuses a CNAME beside A,
/// AAAA and CNAME (error 81053) and hands names with NS records to other servers; TXT, MX and the like
/// may stay, and so may NS records at the zone's apex, which say who serves the zone.
fn occupied<'a>(zone: &Zone, records: &'a [DnsRecord]) -> BTreeMap<String, Vec<&'a DnsRecord>> {
    let mut by_name: BTreeMap<String, Vec<&DnsRecord>> = BTreeMap::new();
    let occupying = |record: &&DnsRecord| match record.data.kind.to_ascii_uppercase().as_str() {
        "A" | "AAAA" | "CNAME" => true,
        "NS" => !record.data.name.eq_ignore_ascii_case(&zone.name),
        _ => false,
    };
    for record in records.iter().filter(occupying) {
        let name = record.data.name.to_ascii_lowercase();
        by_name.entry(name).or_default().push(record);
    }
    for records in by_name.values_mut() {
        records.sort_by(|a, b| {
            let key = |r: &DnsRecord| (r.data.kind.clone(), r.data.content.clone(), r.id.clone());
            key(a).cmp(&key(b))
        });
    }
    by_name
}

fn describe(record: &DnsRecord, others: usize) -> String {
    let described = format!("{} record {}", record.data.kind, record.data.content);
    if others == 0 {
        described
    } else {
        format!("{described} and {others} more")
    }
}
