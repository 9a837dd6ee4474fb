//! The rules for each call, checked before it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::edge::objects::{DnsRecord, RecordBatch, RecordData};
use domain::edge::ownership::{self, RecordMark};
use domain::status::StatusUpdate;
use domain::testing::{ApiCall, Call};
use domain::{ObjectKey, RecordId, TunnelId, ZoneId};

use super::cluster_model::{OTHER_ZONE, ZONES, host};
use super::expected::{Expected, account_of};
use super::harness::zone_id;
use super::installations::{Owner, led_to};
use super::ports::Actor;
use super::rules::Rule;

impl Actor {
    fn acting_on(&self) -> Arc<Expected> {
        self.notes.lock().unwrap().acting_on.clone()
    }

    fn orphans(&self) -> BTreeSet<ObjectKey> {
        self.persistent.orphans.kept()
    }

    /// Checks a call to Cloudflare.
    pub(crate) fn check(&self, call: &Call<'_>) {
        if call.kind.is_write() {
            self.check_leads(call.kind);
        }
        if let Some(name) = call.name {
            self.check_creation(name);
        }
        if let (Some(zone), Some(batch)) = (call.zone, call.batch) {
            self.check_batch(zone, batch);
        }
        if let Some(tunnel) = call.tunnel.filter(|_| call.kind.is_write()) {
            self.check_tunnel(call.kind, tunnel);
        }
    }

    /// Nothing is written at the edge in a pass that began without leadership.
    fn check_leads(&self, what: ApiCall) {
        let led = self.notes.lock().unwrap().led;
        self.harness.require(Rule::WritesOnlyAsLeader, led, || {
            format!("{what:?} by {}, which did not lead", self.name)
        });
    }

    /// Nothing is written for a Gateway that was suspended when the edge pass began.
    pub(crate) fn check_write(&self, gateway: &ObjectKey, what: &str) {
        let may_write = !self.acting_on().is_suspended(gateway);
        let rule = Rule::WritesNothingWhileSuspended;
        self.harness.require(rule, may_write, || {
            format!("{what} is written for {gateway}, which is suspended")
        });
    }

    /// What is left by a Gateway that goes runs on.
    pub(crate) fn check_stop(&self, gateway: &ObjectKey) {
        let may_stop = self.acting_on().may_remove(gateway, &self.orphans());
        self.harness
            .require(Rule::StopsNoWantedProxy, may_stop, || {
                format!("the proxy of {gateway} is stopped")
            });
    }

    pub(crate) fn check_statuses(&self, updates: &[StatusUpdate]) {
        // A Gateway that is not suspended any more may be told so before passes act on it.
        let (now, in_force) = (
            self.expected_now(),
            self.notes.lock().unwrap().in_force.clone(),
        );
        let is_suspended = |gateway: &ObjectKey| match now.gateways.contains_key(gateway) {
            true => now.is_suspended(gateway),
            false => in_force.is_suspended(gateway),
        };
        let parts = updates.iter().flat_map(|update| &update.parts);
        for part in parts.filter(|part| !part.conditions.is_empty()) {
            let gateway = part.gateway.as_ref();
            let suspended = gateway.filter(|key| is_suspended(key));
            let rule = Rule::WritesNothingWhileSuspended;
            self.harness.require(rule, suspended.is_none(), || {
                format!("a status is written for {suspended:?}, which is suspended")
            });
        }
    }

    fn expected_now(&self) -> Expected {
        Expected::of(&self.notes.lock().unwrap().seen)
    }

    /// The account of a Gateway when the edge pass began, and the present one: credentials are read when they are used.
    fn accounts(&self, gateway: &ObjectKey) -> [&'static str; 2] {
        let now = self.expected_now();
        [self.acting_on().account(gateway), now.account(gateway)]
    }

    /// Whether a Gateway is served from another account than that of a zone.
    fn has_moved_from(&self, gateway: &ObjectKey, zone: &ZoneId) -> bool {
        let zones = ZONES.iter().chain([&OTHER_ZONE]);
        let mut these = zones.filter(|known| zone_id(known) == *zone);
        let account = these.next().map(|zone| account_of(zone));
        let mut accounts = self.accounts(gateway).into_iter();
        let is_shown = self.acting_on().gateways.contains_key(gateway);
        is_shown && accounts.any(|home| Some(home) != account)
    }

    /// The finalizer comes before the first write at the edge.
    fn check_creation(&self, name: &str) {
        let gateway = ownership::gateway_of_tunnel(self.cluster_id.installation(), name);
        let with_finalizer = self.persistent.finalizer.gateways();
        let has_finalizer = gateway
            .as_ref()
            .is_some_and(|gateway| with_finalizer.contains(gateway));
        let holds = has_finalizer || !self.harness.faults.is_strict();
        self.harness.require(Rule::FinalizerComesFirst, holds, || {
            format!("the tunnel {name} is made while its Gateway has no finalizer")
        });
    }

    /// The finalizer goes when nothing is left at the edge, or what is left is known to stay.
    pub(crate) fn check_release(&self, gateway: &ObjectKey) {
        let harness = &self.harness;
        // What it left in an account that it moved away from is found later.
        let is_over = harness.faults.moves
            || self.orphans().contains(gateway)
            || !harness.has(self.cluster_id, gateway);
        let holds = is_over || !harness.faults.is_strict();
        harness.require(Rule::FinalizerGoesLast, holds, || {
            format!("{gateway} loses its finalizer while something of it is at the edge")
        });
    }

    /// A tunnel that is written to is of this very installation. The tunnel of a namesake that is not used any more may be
    /// adopted.
    fn check_tunnel(&self, call: ApiCall, id: TunnelId) {
        let tunnels = self.harness.cloudflare.tunnels();
        let Some(tunnel) = tunnels.iter().find(|tunnel| tunnel.id == id) else {
            return;
        };
        let Some(owner) = Owner::of_tunnel(&tunnel.name) else {
            let what = format!("{call:?} of the foreign tunnel {}", tunnel.name);
            return self.harness.fail(Rule::LeavesForeignAlone, what);
        };
        let is_adopted = call == ApiCall::AdoptTunnel
            && tunnel.is_down()
            && owner.cluster.is_namesake_of(self.cluster_id);
        let holds = owner.cluster == self.cluster_id || is_adopted;
        self.harness
            .require(Rule::LeavesOtherClustersAlone, holds, || {
                format!("{call:?} of the tunnel {}", tunnel.name)
            });
        if call == ApiCall::DeleteTunnel {
            self.check_removal(&owner.gateway, id);
            self.reconnect(id);
        }
    }

    /// A tunnel is deleted after its records, and only when its Gateway is known not to be wanted.
    fn check_removal(&self, gateway: &ObjectKey, id: TunnelId) {
        let (harness, expected) = (&self.harness, self.acting_on());
        let is_there = |account| {
            let tunnels = harness.tunnels_in(account, self.cluster_id);
            tunnels.iter().any(|(_, tunnel)| *tunnel == id)
        };
        let is_shown = expected.gateways.contains_key(gateway);
        let has_moved = is_shown && !self.accounts(gateway).into_iter().all(is_there);
        let may_remove = has_moved || expected.may_remove(gateway, &self.orphans());
        harness.require(Rule::RemovesNothingWanted, may_remove, || {
            format!("the tunnel of {gateway} is removed, which was not known to be unwanted")
        });
        let records = harness.records_of(self.cluster_id).into_iter();
        let mut own = records.filter(|(owner, _)| owner == gateway);
        let is_last = own.all(|(_, record)| record.data.content != id.address());
        let holds = is_last || !harness.faults.is_strict();
        harness.require(Rule::RecordsGoBeforeTunnel, holds, || {
            format!("the tunnel of {gateway} is removed before its records")
        });
    }

    /// A batch deletes only records that are ours, were read and are not wanted, and adds only names for which the
    /// proxy has a table.
    fn check_batch(&self, zone: &ZoneId, batch: &RecordBatch) {
        let there = self.harness.cloudflare.records();
        let found = |id: &RecordId| there.iter().find(|record| record.id == *id);
        for record in batch.deletes.iter().filter_map(found) {
            if let Some(owner) = self.check_owner(record) {
                self.check_deletion(zone, &owner.gateway, &record.data);
            }
        }
        self.check_cut(zone, batch.deletes.iter().filter_map(found));
        for (id, data) in &batch.puts {
            if let Some(owner) = found(id).and_then(|before| self.check_owner(before)) {
                self.check_take_over(&owner.gateway, data);
            }
        }
        let is_read = !self.notes.lock().unwrap().failed_reads.contains(zone);
        self.harness
            .require(Rule::ChangesNothingUnread, is_read, || {
                format!("zone {zone} is changed, whose read failed")
            });
        let puts = batch.puts.iter().map(|(_, data)| data);
        for data in puts.chain(&batch.posts) {
            self.check_addition(data);
        }
    }

    /// Many names of a Gateway that stays go only where somebody confirmed it.
    fn check_cut<'r>(&self, zone: &ZoneId, deleted: impl Iterator<Item = &'r DnsRecord>) {
        let (expected, orphans) = (self.acting_on(), self.orphans());
        let mut gone: BTreeMap<&ObjectKey, BTreeSet<&str>> = BTreeMap::new();
        for record in deleted {
            if let Some(owner) = Owner::of_record(&record.data) {
                let names = gone.entry(&owner.gateway).or_default();
                names.insert(&record.data.name);
            }
        }
        let stays = |gateway: &ObjectKey| {
            !expected.may_remove(gateway, &orphans)
                && !expected.confirmed.contains(gateway)
                && !self.has_moved_from(gateway, zone)
        };
        for (gateway, gone) in gone.into_iter().filter(|(gateway, _)| stays(gateway)) {
            let records = self.harness.records_of(self.cluster_id).into_iter();
            let records = records.filter(|(owner, _)| owner == gateway);
            let all: BTreeSet<String> = records.map(|(_, record)| record.data.name).collect();
            let is_few = gone.len() <= 5 || gone.len() * 100 <= all.len() * 30;
            let holds = is_few || !self.harness.faults.is_strict();
            self.harness.require(Rule::HoldsBigCutsBack, holds, || {
                let (gone, all) = (gone.len(), all.len());
                format!("{gone} of {all} names of {gateway} are deleted, and nobody confirmed it")
            });
        }
    }

    /// Whose record it is that is about to be changed; `None` unless it is this cluster's. Only one of a namesake may be
    /// changed besides, where nobody uses the tunnel that it leads to any more.
    fn check_owner(&self, record: &DnsRecord) -> Option<&'static Owner> {
        let harness = &self.harness;
        let name = &record.data.name;
        let Some(owner) = Owner::of_record(&record.data) else {
            self.check_adoption(record);
            return None;
        };
        let is_ours = owner.cluster == self.cluster_id;
        let tunnels = harness.cloudflare.tunnels();
        let is_used = led_to(&record.data, &tunnels).is_some_and(|tunnel| !tunnel.is_down());
        let is_namesake = owner.cluster.is_namesake_of(self.cluster_id);
        let is_left = is_namesake && !is_used;
        // Between the read and the write somebody may have led the record to another tunnel.
        let holds = is_ours || is_left || (is_namesake && !harness.faults.is_strict());
        harness.require(Rule::LeavesOtherClustersAlone, holds, || {
            format!("the record {name} of {owner:?} is changed")
        });
        is_ours.then_some(owner)
    }

    /// A foreign record gives way where somebody asked for it by name, and nobody else's installation made it.
    fn check_adoption(&self, record: &DnsRecord) {
        let name = &record.data.name;
        let is_asked = self.acting_on().adopted.contains(&host(name));
        let is_marked = RecordMark::parse(&record.data.comment).is_some();
        let holds = is_asked && !is_marked;
        self.harness.require(Rule::LeavesForeignAlone, holds, || {
            format!("the foreign record {name} is changed")
        });
        self.harness
            .with_foreign_records(|foreign| foreign.remove(&record.id));
    }

    /// The name of a record resolves only after the proxy has its table.
    fn check_addition(&self, data: &RecordData) {
        let owner = Owner::of_record(data).filter(|owner| owner.cluster == self.cluster_id);
        let gateway = owner.map(|owner| &owner.gateway);
        if let Some(gateway) = gateway {
            self.check_write(gateway, &data.name);
        }
        let served = gateway.is_some_and(|gateway| self.data_plane.table(gateway).is_some());
        self.harness
            .require(Rule::ServesBeforeItResolves, served, || {
                format!("{} resolves before a proxy has its table", data.name)
            });
    }

    /// A name of a Gateway that keeps what it has does not go to one with a younger claim.
    fn check_take_over(&self, before: &ObjectKey, data: &RecordData) {
        let name = &data.name;
        let owner = Owner::of_record(data).map(|owner| &owner.gateway);
        let takes = owner.filter(|gateway| *gateway != before);
        let strict = self.harness.faults.is_strict();
        let stolen = takes.is_some_and(|gateway| {
            strict && self.acting_on().keeps_from(before, gateway, &host(name))
        });
        self.harness.require(Rule::KeepsOlderClaims, !stolen, || {
            format!("{name} of {before}, which is kept as it is, goes to a younger claim")
        });
    }

    fn check_deletion(&self, zone: &ZoneId, gateway: &ObjectKey, data: &RecordData) {
        let name = &data.name;
        let unread = self.notes.lock().unwrap().unread.contains(zone);
        self.harness
            .require(Rule::ChangesNothingUnread, !unread, || {
                format!("the record {name} is deleted in a zone whose read failed")
            });
        let expected = self.acting_on();
        if self.has_moved_from(gateway, zone) {
            return;
        }
        let strict = self.harness.faults.is_strict();
        // The Gateway that gets the name may be deleted by now, and its credentials with it.
        let now = self.expected_now();
        let holder = expected.holder(&host(name));
        let vanishes = strict && holder.is_some_and(|holder| now.wants(holder, &host(name)));
        // A removal waits for two resyncs at most.
        let waited = {
            let notes = self.notes.lock().unwrap();
            notes.unwanted_for.get(gateway).copied()
        };
        let vanishes = vanishes && waited.is_none_or(|resyncs| resyncs < 2);
        self.harness.require(Rule::HandsNamesOver, !vanishes, || {
            format!("the record {name} of {gateway} is deleted, though another is to have the name")
        });
        // A read that lags can show a record as this Gateway's although another one has it by now.
        let released = self.harness.faults.lag
            || expected.may_remove_record(gateway, &host(name), &self.orphans());
        self.harness
            .require(Rule::RemovesNothingWanted, released, || {
                format!(
                    "the record {name} of {gateway} is deleted, which was not known to be unwanted"
                )
            });
    }
}
