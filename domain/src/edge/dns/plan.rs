//! The record part of a plan: an outcome for each hostname, and the changes zone by zone.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::HeldBack;
use super::name::{Judge, NamePlan};
use super::owner::Owners;
use super::zone::{ZoneStatus, zone_of};
use crate::edge::objects::{DnsRecord, RecordBatch, RecordData, Zone};
use crate::edge::observed::{Observed, ObservedZone, ZoneRecords};
use crate::edge::ownership::RecordMark;
use crate::edge::{EdgeIntent, HostnameOutcome, Policy};
use crate::error::{PortError, PortErrorKind};
use crate::gateway::DriftPolicy;
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
    /// Make a record in the place of these, which are of somebody else and are adopted.
    Switch(Vec<RecordId>, Hostname),
    /// Remove a record of this Gateway.
    Delete(RecordId),
}

impl RecordChange {
    /// The hostname that it is made for; a removal is made for none.
    pub fn hostname(&self) -> Option<&Hostname> {
        match self {
            Self::Put(_, hostname) | Self::Post(hostname) | Self::Switch(_, hostname) => {
                Some(hostname)
            }
            Self::Delete(_) => None,
        }
    }

    /// Operations that it is in a batch.
    pub(super) fn operations(&self) -> usize {
        match self {
            Self::Put(..) | Self::Post(_) | Self::Delete(_) => 1,
            Self::Switch(others, _) => 1 + others.len(),
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
                RecordChange::Switch(others, hostname) => {
                    batch.deletes.extend(others.iter().cloned());
                    batch.posts.push(wanted_record(hostname, tunnel, mark));
                }
                RecordChange::Delete(id) => batch.deletes.push(id.clone()),
            }
        }
        batch
    }
}

/// A TTL that Cloudflare chooses, as that of every proxied record.
pub(super) const AUTOMATIC_TTL: u32 = 1;

/// The record of a hostname: a proxied CNAME to the tunnel's address, whose TTL Cloudflare keeps automatic.
pub fn wanted_record(hostname: &Hostname, tunnel: TunnelId, mark: RecordMark) -> RecordData {
    RecordData {
        name: hostname.as_str().to_owned(),
        kind: "CNAME".to_owned(),
        content: tunnel.address(),
        proxied: true,
        ttl: AUTOMATIC_TTL,
        comment: mark.to_string(),
    }
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

#[derive(Default)]
pub(crate) struct RecordsPlan {
    pub(crate) changes: Vec<ZoneChanges>,
    pub(crate) hostnames: BTreeMap<Hostname, HostnameOutcome>,
    pub(crate) unwanted_kept: Option<BTreeSet<Hostname>>,
    pub(crate) zones: BTreeSet<ZoneStatus>,
    pub(crate) repaired: BTreeMap<Hostname, String>,
    pub(crate) held_back: Option<HeldBack>,
}

pub(crate) fn plan(
    intent: &EdgeIntent,
    observed: &Observed,
    installation: &Installation,
) -> RecordsPlan {
    let mut plan = RecordsPlan {
        unwanted_kept: (intent.policy == Policy::KeepRecords).then(BTreeSet::new),
        ..RecordsPlan::default()
    };
    let lost_to = intent.dns.lost_to.iter();
    plan.hostnames.extend(lost_to.map(|(hostname, by)| {
        let by = by.clone();
        (hostname.clone(), HostnameOutcome::Claimed { by })
    }));
    let unmanaged = intent.hostnames.iter().filter(|h| !intent.dns.manages(h));
    let unmanaged = unmanaged.map(|h| (h.clone(), HostnameOutcome::NotManaged));
    plan.hostnames.extend(unmanaged);
    match &observed.zones {
        Err(error) => {
            let failed = managed(intent).map(|h| (h.clone(), outcome_of(error)));
            plan.hostnames.extend(failed);
            plan.unwanted_kept = None;
        }
        Ok(zones) => plan.add_zones(intent, observed, installation, zones),
    }
    // Zones that gain a record first: see the module's text. The sort is stable.
    plan.changes.sort_by_key(|zone| {
        zone.changes
            .iter()
            .all(|change| change.hostname().is_none())
    });
    plan
}

impl RecordsPlan {
    fn add_zones(
        &mut self,
        intent: &EdgeIntent,
        observed: &Observed,
        installation: &Installation,
        zones: &[ObservedZone],
    ) {
        let owners = Owners::of(intent, observed, installation);
        let by_zone = HostnamesByZone::of(intent, zones);
        let outside = observed
            .unseen
            .as_ref()
            .map_or(HostnameOutcome::NoZone, outcome_of);
        let names = by_zone.outside.iter();
        self.hostnames
            .extend(names.map(|h| ((*h).clone(), outside.clone())));
        if observed.unseen.as_ref().is_some_and(may_hide_records) {
            self.unwanted_kept = None;
        }
        let planners = in_order(zones).into_iter().map(|zone| ZonePlanner {
            intent,
            zone,
            judge: Judge {
                intent,
                owners: &owners,
                had: &observed.had,
            },
            wanted: by_zone.in_zone(&zone.zone),
        });
        let planners: Vec<_> = planners.collect();
        for planner in &planners {
            self.add_wanted(planner);
        }
        match self.drifted(intent) {
            Some(because) => self.pause(&because),
            None => self.add_leftovers(intent, &planners),
        }
    }

    fn add_wanted(&mut self, planner: &ZonePlanner<'_>) {
        let zone = &planner.zone.zone;
        if !planner.wanted.is_empty() {
            let (name, state) = (zone.name.clone(), zone.state);
            self.zones.insert(ZoneStatus { name, state });
        }
        let mut changes = Vec::new();
        for (hostname, plan) in planner.plan() {
            changes.extend(plan.change);
            let repaired = plan.repaired.map(|repaired| (hostname.clone(), repaired));
            self.repaired.extend(repaired);
            self.hostnames.insert(hostname, plan.outcome);
        }
        self.add(&zone.id, changes);
        if let Some(mut all) = self.unwanted_kept.take() {
            self.unwanted_kept = planner.unwanted_names().map(|names| {
                all.extend(names);
                all
            });
        }
    }

    fn add(&mut self, zone: &ZoneId, changes: Vec<RecordChange>) {
        if changes.is_empty() {
            return;
        }
        let there = self.changes.iter().position(|known| known.zone == *zone);
        let place = there.unwrap_or_else(|| {
            let zone = zone.clone();
            let changes = Vec::new();
            self.changes.push(ZoneChanges { zone, changes });
            self.changes.len() - 1
        });
        let known = &mut self.changes[place].changes;
        known.extend(changes);
        known.sort();
    }

    /// A name whose record drifted, where that pauses the others.
    fn drifted(&self, intent: &EdgeIntent) -> Option<Hostname> {
        if intent.dns.records.drift != DriftPolicy::Pause {
            return None;
        }
        let is_drifted =
            |outcome: &HostnameOutcome| matches!(outcome, HostnameOutcome::Drifted { .. });
        let mut outcomes = self.hostnames.iter();
        let drifted = outcomes.find(|(_, outcome)| is_drifted(outcome));
        drifted.map(|(hostname, _)| hostname.clone())
    }

    /// Changes no record.
    fn pause(&mut self, because: &Hostname) {
        for change in self.changes.drain(..).flat_map(|zone| zone.changes) {
            if let Some(hostname) = change.hostname() {
                let because = because.clone();
                self.hostnames
                    .insert(hostname.clone(), HostnameOutcome::Paused { because });
            }
        }
    }

    /// Removes records of names that are not wanted, unless these are so many that somebody must confirm it.
    fn add_leftovers(&mut self, intent: &EdgeIntent, planners: &[ZonePlanner<'_>]) {
        let wanted: BTreeSet<&Hostname> = managed(intent).collect();
        let leftovers: Vec<_> = planners
            .iter()
            .map(|planner| (planner, planner.leftovers()))
            .collect();
        let removed = leftovers.iter().flat_map(|(_, leftovers)| leftovers);
        let removed = removed.filter_map(|(name, _)| Hostname::parse(name).ok());
        let removed: BTreeSet<_> = removed.filter(|name| !wanted.contains(name)).collect();
        let mut own = BTreeSet::new();
        for planner in planners {
            own.extend(planner.own_names());
        }
        let confirmed = intent.dns.records.confirmed_removal.as_deref();
        self.held_back = HeldBack::guard(&intent.gateway, removed, own.len(), confirmed);
        let held = self.held_back.as_ref().map(|held| held.names.clone());
        let stays = |name: &str| held.as_ref().is_some_and(|held| held.contains(name));
        for (planner, leftovers) in leftovers {
            let goes = leftovers.into_iter().filter(|(name, _)| !stays(name));
            let deletes = goes.map(|(_, id)| RecordChange::Delete(id));
            self.add(&planner.zone.zone.id, deletes.collect());
        }
    }
}

/// Whether a failed search for zones may have hidden one with records of ours. With a token that may not look at a zone
/// nothing was made in it.
fn may_hide_records(error: &PortError) -> bool {
    error.kind != PortErrorKind::Forbidden
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
    judge: Judge<'a>,
    /// Names whose record belongs into this zone.
    wanted: BTreeSet<&'a Hostname>,
}

impl ZonePlanner<'_> {
    fn plan(&self) -> Vec<(Hostname, NamePlan)> {
        let unread = match &self.zone.records {
            ZoneRecords::Read(records) => {
                let by_name = occupied(&self.zone.zone, records);
                let wanted = self.wanted.iter();
                let judged = wanted.map(|hostname| {
                    let there = by_name.get(hostname.as_str());
                    let there = there.map_or(&[][..], Vec::as_slice);
                    ((*hostname).clone(), self.judge.judge(hostname, there))
                });
                return judged.collect();
            }
            ZoneRecords::Failed(error) => outcome_of(error),
            ZoneRecords::Skipped => HostnameOutcome::Unknown {
                message: format!("the records of zone {} were not read", self.zone.zone.name),
            },
        };
        let wanted = self.wanted.iter();
        let left = wanted.map(|hostname| ((*hostname).clone(), NamePlan::leave(unread.clone())));
        left.collect()
    }

    /// Records of this Gateway whose name is neither wanted here nor granted to another.
    fn leftovers(&self) -> Vec<(String, RecordId)> {
        let ZoneRecords::Read(records) = &self.zone.records else {
            return Vec::new();
        };
        if self.intent.policy != Policy::Sync {
            return Vec::new();
        }
        let lost_to = &self.intent.dns.lost_to;
        let by_name = occupied(&self.zone.zone, records);
        let unwanted = self.unwanted(&by_name);
        unwanted
            .filter(|(name, _)| !lost_to.contains_key(*name))
            .map(|(name, record)| (name.to_owned(), record.id.clone()))
            .collect()
    }

    /// Names with a record of this Gateway.
    fn own_names(&self) -> BTreeSet<&str> {
        let records = match &self.zone.records {
            ZoneRecords::Read(records) => &records[..],
            ZoneRecords::Failed(_) | ZoneRecords::Skipped => &[],
        };
        let own = records
            .iter()
            .filter(|record| self.judge.owners.is_own(record));
        own.map(|record| record.data.name.as_str()).collect()
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
            .filter(|(_, record)| self.judge.owners.is_own(record))
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
