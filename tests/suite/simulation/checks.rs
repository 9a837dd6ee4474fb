//! The rules for each call, checked before it is made, and those for the end of a history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::edge::objects::{RecordBatch, RecordData};
use domain::edge::ownership::{self, RecordMark};
use domain::edge::plan::wanted_record;
use domain::rotation::Stage;
use domain::status::StatusUpdate;
use domain::{Hostname, ObjectKey, TunnelId, ZoneId};

use super::cluster_model::{GATEWAYS, host, key};
use super::expected::Expected;
use super::harness::{Harness, INSTALLATION, owner};
use super::ports::Actor;

impl Actor {
    fn acting_on(&self) -> Arc<Expected> {
        self.notes.lock().unwrap().acting_on.clone()
    }

    fn orphans(&self) -> BTreeSet<ObjectKey> {
        self.persistent.orphans.kept()
    }

    /// Nothing is written for a Gateway that was suspended when the edge pass began.
    pub(crate) fn check_write(&self, gateway: &ObjectKey, what: &str) {
        let may_write = !self.acting_on().is_suspended(gateway);
        self.harness.require(may_write, || {
            format!("{what} is written for {gateway}, which is suspended")
        });
    }

    /// What is left by a Gateway that goes runs on.
    pub(crate) fn check_stop(&self, gateway: &ObjectKey) {
        let may_stop = self.acting_on().may_remove(gateway, &self.orphans());
        self.harness
            .require(may_stop, || format!("the proxy of {gateway} is stopped"));
    }

    pub(crate) fn check_statuses(&self, updates: &[StatusUpdate]) {
        let expected = self.notes.lock().unwrap().in_force.clone();
        let parts = updates.iter().flat_map(|update| &update.parts);
        for part in parts.filter(|part| !part.conditions.is_empty()) {
            let suspended = part
                .gateway
                .as_ref()
                .filter(|key| expected.is_suspended(key));
            self.harness.require(suspended.is_none(), || {
                format!("a status is written for {suspended:?}, which is suspended")
            });
        }
    }

    fn expected_now(&self) -> Expected {
        Expected::of(&self.notes.lock().unwrap().seen)
    }

    /// The finalizer comes before the first write at the edge.
    pub(crate) fn check_creation(&self, name: &str) {
        let gateway = ownership::gateway_of_tunnel(&INSTALLATION, name);
        let with_finalizer = self.persistent.finalizer.gateways();
        let has_finalizer = gateway
            .as_ref()
            .is_some_and(|gateway| with_finalizer.contains(gateway));
        let strict = self.harness.faults.is_strict();
        self.harness.require(has_finalizer || !strict, || {
            format!("the tunnel {name} is made while its Gateway has no finalizer")
        });
    }

    /// A tunnel is deleted after its records, and only when its Gateway is known not to be wanted.
    pub(crate) fn check_removal(&self, tunnel: TunnelId) {
        let tunnels = self.harness.our_tunnels();
        let Some((gateway, _)) = tunnels.iter().find(|(_, id)| *id == tunnel) else {
            return;
        };
        self.harness.require(
            self.acting_on().may_remove(gateway, &self.orphans()),
            || format!("the tunnel of {gateway} is removed, which was not known to be unwanted"),
        );
        let records = self.harness.our_records();
        let is_last = records.iter().all(|(owner, _)| owner != gateway);
        let strict = self.harness.faults.is_strict();
        self.harness.require(is_last || !strict, || {
            format!("the tunnel of {gateway} is removed before its records")
        });
    }

    /// A batch deletes only records that are ours, were read and are not wanted, and adds only names for which the
    /// proxy has a table.
    pub(crate) fn check_batch(&self, zone: &ZoneId, batch: &RecordBatch) {
        let harness = &self.harness;
        let there = harness.cloudflare.records();
        for id in &batch.deletes {
            let Some(record) = there.iter().find(|record| record.id == *id) else {
                continue;
            };
            self.check_deletion(zone, &record.data);
        }
        for (id, data) in &batch.puts {
            let before = there.iter().find(|record| record.id == *id);
            if let Some(before) = before.and_then(|record| owner(&record.data)) {
                self.check_take_over(before, data);
            }
        }
        let puts = batch.puts.iter().map(|(_, data)| data);
        for data in puts.chain(&batch.posts) {
            let gateway = owner(data);
            if let Some(gateway) = gateway {
                self.check_write(gateway, &data.name);
            }
            let served = gateway.is_some_and(|gateway| self.data_plane.table(gateway).is_some());
            harness.require(served, || {
                format!("{} resolves before a proxy has its table", data.name)
            });
        }
    }

    /// A name of a Gateway that keeps what it has does not go to one with a younger claim.
    fn check_take_over(&self, before: &ObjectKey, data: &RecordData) {
        let name = &data.name;
        let takes = owner(data).filter(|gateway| *gateway != before);
        let strict = self.harness.faults.is_strict();
        let stolen = takes.is_some_and(|gateway| {
            strict && self.acting_on().keeps_from(before, gateway, &host(name))
        });
        self.harness.require(!stolen, || {
            format!("{name} of {before}, which is kept as it is, goes to a younger claim")
        });
    }

    fn check_deletion(&self, zone: &ZoneId, data: &RecordData) {
        let name = &data.name;
        let Some(gateway) = owner(data) else {
            return self
                .harness
                .fail(format!("the foreign record {name} is deleted"));
        };
        let unread = self.notes.lock().unwrap().unread.contains(zone);
        self.harness.require(!unread, || {
            format!("the record {name} is deleted in a zone whose read failed")
        });
        let expected = self.acting_on();
        let strict = self.harness.faults.is_strict();
        // The Gateway that gets the name may be deleted by now, and its credentials with it.
        let now = self.expected_now();
        let holder = expected.holder(&host(name));
        let vanishes = strict && holder.is_some_and(|holder| now.wants(holder, &host(name)));
        // A removal waits for two resyncs at most.
        let waited = self
            .notes
            .lock()
            .unwrap()
            .unwanted_for
            .get(gateway)
            .copied();
        let vanishes = vanishes && waited.is_none_or(|resyncs| resyncs < 2);
        self.harness.require(!vanishes, || {
            format!("the record {name} of {gateway} is deleted, though another is to have the name")
        });
        // A read that lags can show a record as this Gateway's although another one has it by now.
        let released = self.harness.faults.lag
            || expected.may_remove_record(gateway, &host(name), &self.orphans());
        self.harness.require(released, || {
            format!("the record {name} of {gateway} is deleted, which was not known to be unwanted")
        });
    }
}

/// One record: its name, its content, its comment.
type Fields = (String, String, String);

/// Whether exactly what is expected is there: one tunnel each, one record each, one proxy each, no more.
pub(crate) fn check_end(harness: &Harness, expected: &Expected, actor: &Actor) {
    let served: BTreeSet<ObjectKey> = expected.served().map(|(key, _, _)| key.clone()).collect();
    // Gateways that are gone and left what they had.
    let shown: BTreeSet<&ObjectKey> = expected.gateways.keys().collect();
    let mut left = actor.persistent.orphans.kept();
    left.retain(|key| !shown.contains(key));
    let mut tunnels = harness.our_tunnels();
    tunnels.retain(|(key, _)| !left.contains(key));
    let equal = |what: &str, found: BTreeSet<ObjectKey>| {
        harness.require(found == served, || {
            format!("{what} in the end: {found:?}, wanted {served:?}")
        });
    };
    equal(
        "tunnels",
        tunnels.iter().map(|(key, _)| key.clone()).collect(),
    );
    let keys = || {
        let all = GATEWAYS.iter().map(|name| key(name));
        all.filter(|key| !left.contains(key))
    };
    let tunnels: BTreeMap<_, _> = tunnels.into_iter().collect();
    let runs = |key: &ObjectKey| {
        let proxy = actor.persistent.workloads.proxy(key);
        proxy.is_some_and(|(tunnel, _)| tunnels.get(key) == Some(&tunnel))
    };
    let proxies = || keys().filter(|key| actor.persistent.workloads.proxy(key).is_some());
    equal("proxies", proxies().collect());
    equal("proxies of the right tunnel", keys().filter(runs).collect());
    let has_table = |key: &ObjectKey| actor.data_plane.table(key).is_some();
    equal("tables", keys().filter(has_table).collect());
    if harness.in_cluster {
        equal(
            "Gateways with the finalizer",
            actor.persistent.finalizer.gateways(),
        );
    }
    check_tokens(actor, &tunnels);
    check_records(harness, expected, &tunnels, &left);
    check_documents(harness, expected, &tunnels);
}

/// Each proxy has the present token, and no token was replaced that was not kept before as the one to be replaced.
fn check_tokens(actor: &Actor, tunnels: &BTreeMap<ObjectKey, TunnelId>) {
    let (harness, persistent) = (&actor.harness, &actor.persistent);
    for (gateway, tunnel) in tunnels {
        let held = persistent.workloads.proxy(gateway);
        let held = held.map(|(_, token)| token.hash());
        let present = harness.cloudflare.token(*tunnel);
        let present = present.map(|token| token.hash());
        harness.require(held == present, || {
            format!("the proxy of {gateway} has another token than its tunnel")
        });
        let kept = persistent.rotations.kept(gateway);
        let is_over = kept.is_some_and(|kept| kept.stage == Stage::Idle);
        harness.require(is_over, || {
            format!("a rotation of the token of {gateway} does not end")
        });
        let begun = persistent.rotations.begun(gateway);
        let replaced = harness.cloudflare.replaced_tokens(*tunnel);
        let strict = harness.faults.is_strict();
        harness.require(replaced <= begun || !strict, || {
            format!(
                "the token of {gateway} was replaced {replaced} times, though {begun} were begun"
            )
        });
    }
}

fn check_records(
    harness: &Harness,
    expected: &Expected,
    tunnels: &BTreeMap<ObjectKey, TunnelId>,
    left: &BTreeSet<ObjectKey>,
) {
    let fields = |data: RecordData| (data.name, data.content, data.comment);
    let found: Vec<Fields> = harness
        .our_records()
        .into_iter()
        .filter(|(owner, _)| !left.contains(owner))
        .map(|(_, record)| fields(record.data))
        .collect();
    let there = harness.cloudflare.records();
    let is_taken = |name: &Hostname| {
        let mut foreign = there.iter().filter(|record| owner(&record.data).is_none());
        foreign.any(|record| record.data.name == name.as_str() && record.data.kind != "TXT")
    };
    let names = expected.names().into_iter().filter(|name| !is_taken(name));
    let wanted: BTreeSet<Fields> = names
        .filter_map(|name| {
            let holder = expected.holder(name)?;
            let mark = RecordMark::of(&INSTALLATION, holder);
            Some(fields(wanted_record(name, *tunnels.get(holder)?, mark)))
        })
        .collect();
    let set: BTreeSet<Fields> = found.iter().cloned().collect();
    harness.require(set == wanted && set.len() == found.len(), || {
        format!("records in the end: {found:?}, wanted {wanted:?}")
    });
}

fn check_documents(
    harness: &Harness,
    expected: &Expected,
    tunnels: &BTreeMap<ObjectKey, TunnelId>,
) {
    for (gateway, _, names) in expected.served() {
        let Some(tunnel) = tunnels.get(gateway) else {
            continue;
        };
        let document = harness
            .cloudflare
            .configuration(*tunnel)
            .unwrap_or_default();
        let found: BTreeSet<_> = document
            .rules
            .into_iter()
            .map(|rule| rule.hostname)
            .collect();
        let granted =
            |name: &&Hostname| expected.holder(name).is_none_or(|holder| holder == gateway);
        let wanted: BTreeSet<_> = names.keys().filter(granted).cloned().collect();
        harness.require(found == wanted, || {
            format!("the document of {gateway} shows {found:?}, wanted {wanted:?}")
        });
    }
}
