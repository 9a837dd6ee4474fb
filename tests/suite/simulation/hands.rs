//! What others do at Cloudflare meanwhile: people at the dashboard, and other tools.

use domain::RecordId;
use domain::edge::objects::{DnsRecord, RecordData};

use super::cluster_model::{NAMES, host};
use super::expected::zone_of;
use super::harness::{Harness, zone_id};
use super::installations::{ClusterId, FOREIGN_COMMENTS};
use super::random::Random;

/// What somebody may change in a record of ours without knowing what it is.
const CHANGES: [fn(&mut RecordData); 3] = [
    |data| data.content = "192.0.2.2".to_owned(),
    |data| data.proxied = false,
    |data| data.ttl = 60,
];

impl Harness {
    /// Adds a foreign record or removes one.
    pub(crate) fn change_foreign_records(&self, random: &mut Random) {
        let there: Vec<RecordId> =
            self.with_foreign_records(|foreign| foreign.keys().cloned().collect());
        if !there.is_empty() && random.chance(40) {
            let gone = random.pick(&there);
            self.with_foreign_records(|foreign| foreign.remove(gone));
            self.cloudflare.remove_record(gone);
            return self.log(|| format!("foreign record {gone} is gone"));
        }
        let name = *random.pick(&NAMES);
        let Some(zone) = zone_of(&host(name)) else {
            return;
        };
        let free = self.cloudflare.records_named(name).is_empty();
        let kind = match free {
            true => *random.pick(&["A", "CNAME", "TXT"]),
            false => "TXT",
        };
        let data = RecordData {
            name: name.to_owned(),
            kind: kind.to_owned(),
            content: "192.0.2.1".to_owned(),
            proxied: false,
            ttl: 300,
            comment: random.pick(&FOREIGN_COMMENTS).clone(),
        };
        let id = self.cloudflare.add_record(&zone_id(zone), data.clone());
        self.with_foreign_records(|foreign| foreign.insert(id, data));
        self.log(|| format!("foreign {kind} record {name} is added"));
    }

    /// Changes a record or tunnel of a cluster, as a user of the dashboard may. A record becomes a foreign one only
    /// while no pass is between its read and its write (`quiet`): the API has no conditional write.
    pub(crate) fn edit_by_hand(&self, cluster: ClusterId, random: &mut Random, quiet: bool) {
        let records = self.records_of(cluster);
        let tunnels = self.tunnels_of(cluster);
        if random.chance(30) && !tunnels.is_empty() {
            let (gateway, tunnel) = random.pick(&tunnels).clone();
            self.cloudflare.remove_tunnel(tunnel);
            return self.log(|| format!("by hand: deletes the tunnel of {gateway}"));
        }
        if !records.is_empty() {
            let (_, record) = random.pick(&records).clone();
            self.edit_record_by_hand(&record, random, quiet);
        }
    }

    fn edit_record_by_hand(&self, record: &DnsRecord, random: &mut Random, quiet: bool) {
        let name = &record.data.name;
        match random.below(3) {
            0 => {
                self.cloudflare.remove_record(&record.id);
                self.log(|| format!("by hand: deletes our record {name}"));
            }
            1 => {
                let change = *random.pick(&CHANGES);
                self.cloudflare.edit_record(&record.id, change);
                self.log(|| format!("by hand: our record {name} is changed"));
            }
            _ if !quiet || self.faults.lag => {}
            _ => {
                let mut data = record.data.clone();
                data.comment = "mine now".to_owned();
                let taken = data.clone();
                self.cloudflare
                    .edit_record(&record.id, |there| *there = taken);
                self.with_foreign_records(|foreign| foreign.insert(record.id.clone(), data));
                self.log(|| format!("by hand: our record {name} becomes a foreign one"));
            }
        }
    }
}
