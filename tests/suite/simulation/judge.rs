//! What a process may not do, judged at the moment of each call, and what must be true in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::edge::objects::{RecordBatch, RecordData};
use domain::edge::ownership::{self, RecordMark};
use domain::edge::plan::wanted_record;
use domain::{Hostname, ObjectKey, TunnelId, ZoneId};

use super::ports::Actor;
use super::stage::{INSTALLATION, Stage, owner};
use super::town::{GATEWAYS, host, key};
use super::wishes::Wishes;

impl Actor {
    fn acting_on(&self) -> Arc<Wishes> {
        self.notes.lock().unwrap().acting_on.clone()
    }

    fn now_wished(&self) -> Wishes {
        Wishes::of(&self.notes.lock().unwrap().seen)
    }

    /// The finalizer comes before the first write at the edge.
    pub(crate) fn judge_creation(&self, name: &str) {
        let gateway = ownership::gateway_of_tunnel(&INSTALLATION, name);
        let with_finalizer = self.around.finalizer.gateways();
        let has_finalizer = gateway
            .as_ref()
            .is_some_and(|gateway| with_finalizer.contains(gateway));
        let alone = self.stage.trouble.is_alone_and_sees();
        self.stage.require(has_finalizer || !alone, || {
            format!("the tunnel {name} is made while its Gateway has no finalizer")
        });
    }

    /// A tunnel goes last, and only when its Gateway is known to be unwanted.
    pub(crate) fn judge_removal(&self, tunnel: TunnelId) {
        let tunnels = self.stage.our_tunnels();
        let Some((gateway, _)) = tunnels.iter().find(|(_, id)| *id == tunnel) else {
            return;
        };
        self.stage.require(self.acting_on().releases(gateway), || {
            format!("the tunnel of {gateway} is removed, which was not known to be unwanted")
        });
        let records = self.stage.our_records();
        let is_last = records.iter().all(|(owner, _)| owner != gateway);
        let alone = self.stage.trouble.is_alone_and_sees();
        self.stage.require(is_last || !alone, || {
            format!("the tunnel of {gateway} is removed before its records")
        });
    }

    /// Deletes only what is ours, read and unwanted; makes only names that the proxy knows.
    pub(crate) fn judge_batch(&self, zone: &ZoneId, batch: &RecordBatch) {
        let stage = &self.stage;
        let there = stage.cloudflare.records();
        for id in &batch.deletes {
            let Some(record) = there.iter().find(|record| record.id == *id) else {
                continue;
            };
            self.judge_deletion(zone, &record.data);
        }
        for (id, data) in &batch.puts {
            let before = there.iter().find(|record| record.id == *id);
            if let Some(before) = before.and_then(|record| owner(&record.data)) {
                self.judge_take_over(before, data);
            }
        }
        let puts = batch.puts.iter().map(|(_, data)| data);
        for data in puts.chain(&batch.posts) {
            let gateway = owner(data);
            let served = gateway.is_some_and(|gateway| self.data_plane.table(gateway).is_some());
            stage.require(served, || {
                format!("{} resolves before a proxy knows it", data.name)
            });
        }
    }

    /// What a Gateway has that is refused for now goes to none with a younger claim.
    fn judge_take_over(&self, before: &ObjectKey, data: &RecordData) {
        let name = &data.name;
        let takes = owner(data).filter(|gateway| *gateway != before);
        let alone = self.stage.trouble.is_alone_and_sees();
        let stolen = takes.is_some_and(|gateway| {
            alone && self.acting_on().keeps_from(before, gateway, &host(name))
        });
        self.stage.require(!stolen, || {
            format!("{name} of {before}, which is kept as it is, goes to a younger claim")
        });
    }

    fn judge_deletion(&self, zone: &ZoneId, data: &RecordData) {
        let name = &data.name;
        let Some(gateway) = owner(data) else {
            return self
                .stage
                .wrong(format!("the foreign record {name} is deleted"));
        };
        let unread = self.notes.lock().unwrap().unread.contains(zone);
        self.stage.require(!unread, || {
            format!("the record {name} is deleted in a zone whose read failed")
        });
        let wishes = self.acting_on();
        let alone = self.stage.trouble.is_alone_and_sees();
        // Whoever was to have it may be gone by now, and its credentials with it.
        let now = self.now_wished();
        let holder = wishes.holder(&host(name));
        let vanishes = alone && holder.is_some_and(|holder| now.asks(holder, &host(name)));
        // A removal does not wait for good.
        let waited = self
            .notes
            .lock()
            .unwrap()
            .unwanted_for
            .get(gateway)
            .copied();
        let vanishes = vanishes && waited.is_none_or(|resyncs| resyncs < 2);
        self.stage.require(!vanishes, || {
            format!("the record {name} of {gateway} is deleted, though another is to have the name")
        });
        // A read that lags can show a record as the Gateway's that another has taken over since.
        let released = self.stage.trouble.lag || wishes.releases_name(gateway, &host(name));
        self.stage.require(released, || {
            format!("the record {name} of {gateway} is deleted, which was not known to be unwanted")
        });
    }
}

/// One record: its name, its content, its comment.
type Said = (String, String, String);

/// Whether exactly what is wished is there: one tunnel each, one record each, one proxy each, no more.
pub(crate) fn judge_end(stage: &Stage, wishes: &Wishes, actor: &Actor) {
    let served: BTreeSet<ObjectKey> = wishes.served().map(|(key, _, _)| key.clone()).collect();
    let tunnels = stage.our_tunnels();
    let equal = |what: &str, found: BTreeSet<ObjectKey>| {
        stage.require(found == served, || {
            format!("{what} in the end: {found:?}, wanted {served:?}")
        });
    };
    equal(
        "tunnels",
        tunnels.iter().map(|(key, _)| key.clone()).collect(),
    );
    let keys = || GATEWAYS.iter().map(|name| key(name));
    let tunnels: BTreeMap<_, _> = tunnels.into_iter().collect();
    let runs = |key: &ObjectKey| {
        let proxy = actor.around.workloads.proxy(key);
        proxy.is_some_and(|(tunnel, _)| tunnels.get(key) == Some(&tunnel))
    };
    let proxies = || keys().filter(|key| actor.around.workloads.proxy(key).is_some());
    equal("proxies", proxies().collect());
    equal("proxies of the right tunnel", keys().filter(runs).collect());
    let has_table = |key: &ObjectKey| actor.data_plane.table(key).is_some();
    equal("tables", keys().filter(has_table).collect());
    if stage.in_cluster {
        equal(
            "Gateways with the finalizer",
            actor.around.finalizer.gateways(),
        );
    }
    judge_records(stage, wishes, &tunnels);
    judge_documents(stage, wishes, &tunnels);
}

fn judge_records(stage: &Stage, wishes: &Wishes, tunnels: &BTreeMap<ObjectKey, TunnelId>) {
    let said = |data: RecordData| (data.name, data.content, data.comment);
    let found: Vec<Said> = stage
        .our_records()
        .into_iter()
        .map(|(_, record)| said(record.data))
        .collect();
    let there = stage.cloudflare.records();
    let is_taken = |name: &Hostname| {
        let mut foreign = there.iter().filter(|record| owner(&record.data).is_none());
        foreign.any(|record| record.data.name == name.as_str() && record.data.kind != "TXT")
    };
    let names = wishes.names().into_iter().filter(|name| !is_taken(name));
    let wanted: BTreeSet<Said> = names
        .filter_map(|name| {
            let holder = wishes.holder(name)?;
            let mark = RecordMark::of(&INSTALLATION, holder);
            Some(said(wanted_record(name, *tunnels.get(holder)?, mark)))
        })
        .collect();
    let set: BTreeSet<Said> = found.iter().cloned().collect();
    stage.require(set == wanted && set.len() == found.len(), || {
        format!("records in the end: {found:?}, wanted {wanted:?}")
    });
}

fn judge_documents(stage: &Stage, wishes: &Wishes, tunnels: &BTreeMap<ObjectKey, TunnelId>) {
    for (gateway, _, names) in wishes.served() {
        let Some(tunnel) = tunnels.get(gateway) else {
            continue;
        };
        let document = stage.cloudflare.configuration(*tunnel).unwrap_or_default();
        let found: BTreeSet<_> = document
            .rules
            .into_iter()
            .map(|rule| rule.hostname)
            .collect();
        let granted = |name: &&Hostname| wishes.holder(name).is_none_or(|holder| holder == gateway);
        let wanted: BTreeSet<_> = names.keys().filter(granted).cloned().collect();
        stage.require(found == wanted, || {
            format!("the document of {gateway} shows {found:?}, wanted {wanted:?}")
        });
    }
}
