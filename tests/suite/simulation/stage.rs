//! What all processes of a history share: Cloudflare, the faults that happen to calls, and what was found
//! to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use domain::edge::objects::{DnsRecord, RecordData, Tunnel};
use domain::edge::ownership::{self, RecordMark};
use domain::ports::{PortError, PortErrorKind};
use domain::testing::{
    FakeCloudflare, FakeFinalizer, FakeWorkloads, Moment, installation, instance_of,
};
use domain::{Installation, ObjectKey, RecordId, TunnelId, ZoneId};

use super::dice::Dice;
use super::town::{GATEWAYS, NAMES, ZONES, host, key};
use super::wishes::zone_of;

pub(crate) static INSTALLATION: LazyLock<Installation> = LazyLock::new(|| installation("home"));
static NEIGHBOUR: LazyLock<Installation> = LazyLock::new(|| installation("home-2"));
static NAMESAKE: LazyLock<Installation> = LazyLock::new(|| instance_of("home", 2));

/// Whose record a comment makes it.
static MARKS: LazyLock<BTreeMap<String, ObjectKey>> = LazyLock::new(|| {
    let gateways = GATEWAYS.iter().map(|name| key(name));
    gateways
        .map(|gateway| (RecordMark::of(&INSTALLATION, &gateway).to_string(), gateway))
        .collect()
});

/// What others write into the comments of their records: nothing, another installation's mark, one of our
/// name's, and what is nearly ours.
static FOREIGN_COMMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let own = RecordMark::of(&INSTALLATION, &key(GATEWAYS[0])).to_string();
    vec![
        String::new(),
        RecordMark::of(&NEIGHBOUR, &key(GATEWAYS[0])).to_string(),
        RecordMark::of(&NAMESAKE, &key(GATEWAYS[0])).to_string(),
        format!("{own} copied"),
    ]
});

pub(crate) fn zone_id(zone: &str) -> ZoneId {
    ZoneId::new(format!("zone-{zone}"))
}

/// The Gateway whose record this is, if it is one of ours.
pub(crate) fn owner(record: &RecordData) -> Option<&'static ObjectKey> {
    MARKS
        .get(&record.comment)
        .filter(|_| record.kind == "CNAME")
}

/// The kinds of trouble of one history. Each history has some of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble {
    /// Of 100 calls to Cloudflare, how many fail.
    pub(crate) failing_calls: usize,
    /// Of 100 calls to other ports, how many fail.
    pub(crate) failing_ports: usize,
    pub(crate) crashes: bool,
    /// Snapshots in which something is missing.
    pub(crate) poor_sight: bool,
    /// Reads that lag behind writes.
    pub(crate) lag: bool,
    /// A new leader begins before the old one knows.
    pub(crate) two_leaders: bool,
    /// People change our records and tunnels by hand.
    pub(crate) meddling: bool,
    /// Other people's records come and go.
    pub(crate) foreign_records: bool,
}

impl Trouble {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            failing_calls: *dice.pick(&[0, 5, 20]),
            failing_ports: *dice.pick(&[0, 0, 10]),
            crashes: dice.chance(50),
            poor_sight: dice.chance(40),
            lag: dice.chance(20),
            two_leaders: dice.chance(25),
            meddling: dice.chance(25),
            foreign_records: dice.chance(50),
        }
    }

    /// Whether each process sees the edge as it is and is alone there. Then no moment may be wrong, however
    /// calls fail; otherwise the end must be right.
    pub(crate) fn is_alone_and_sees(&self) -> bool {
        !(self.lag || self.two_leaders || self.meddling)
    }
}

pub(crate) struct Stage {
    pub(crate) trouble: Trouble,
    pub(crate) cloudflare: FakeCloudflare,
    /// Whether it is a cluster: finalizers, proxies that outlive a controller, two replicas.
    pub(crate) in_cluster: bool,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    calm: bool,
    foreign_records: BTreeMap<RecordId, RecordData>,
    foreign_tunnels: Vec<Tunnel>,
    wrong: Vec<String>,
    /// What happened; only kept where somebody will read it.
    told: Option<Vec<String>>,
}

impl Stage {
    pub(crate) fn new(dice: &mut Dice, telling: bool) -> Arc<Self> {
        let cloudflare = FakeCloudflare::with_zones(&ZONES);
        for others in [&NEIGHBOUR, &NAMESAKE] {
            let name = ownership::tunnel_name(others, &key(GATEWAYS[0]));
            cloudflare.add_tunnel("acme", &name, true);
        }
        cloudflare.add_tunnel("acme", "somebody's", false);
        let state = State {
            dice: dice.split(),
            calm: false,
            foreign_records: BTreeMap::new(),
            foreign_tunnels: cloudflare.tunnels(),
            wrong: Vec::new(),
            told: telling.then(Vec::new),
        };
        Arc::new(Self {
            trouble: Trouble::draw(dice),
            in_cluster: dice.chance(60),
            cloudflare,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.state().told {
            told.push(what());
        }
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.state().told.take().unwrap_or_default()
    }

    /// Notes that a rule was broken.
    pub(crate) fn wrong(&self, what: String) {
        self.tell(|| format!("WRONG: {what}"));
        self.state().wrong.push(what);
    }

    pub(crate) fn require(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    pub(crate) fn first_wrong(&self) -> Option<String> {
        self.state().wrong.first().cloned()
    }

    /// Nothing fails from now on.
    pub(crate) fn calm(&self) {
        self.state().calm = true;
        self.cloudflare.lag(0);
    }

    /// What happens to the next call to Cloudflare.
    pub(crate) fn next_fault(&self) -> Option<(Moment, PortError)> {
        let mut state = self.state();
        if state.calm || !state.dice.chance(self.trouble.failing_calls) {
            return None;
        }
        let unavailable = |message: &str| PortError::unavailable(message);
        Some(match state.dice.below(6) {
            0 => (Moment::Before, unavailable("500")),
            1 => (Moment::Before, unavailable("timeout")),
            2 => (Moment::After, unavailable("timeout")),
            3 => (Moment::After, unavailable("connection cut")),
            4 => (Moment::Before, unavailable("one page is missing")),
            _ => {
                let mut busy = PortError::new(PortErrorKind::RateLimited, "429");
                busy.retry_after = Some(Duration::from_secs(1));
                (Moment::Before, busy)
            }
        })
    }

    /// What happens to the next call to a port other than Cloudflare.
    pub(crate) fn next_port_fault(&self) -> Option<Moment> {
        let mut state = self.state();
        if state.calm || !state.dice.chance(self.trouble.failing_ports) {
            return None;
        }
        Some(*state.dice.pick(&[Moment::Before, Moment::After]))
    }

    /// Somebody else's record comes, or one goes.
    pub(crate) fn change_foreign_records(&self, dice: &mut Dice) {
        let mut state = self.state();
        let there: Vec<RecordId> = state.foreign_records.keys().cloned().collect();
        if !there.is_empty() && dice.chance(40) {
            let gone = dice.pick(&there);
            state.foreign_records.remove(gone);
            self.cloudflare.remove_record(gone);
            drop(state);
            return self.tell(|| format!("foreign record {gone} is gone"));
        }
        let name = *dice.pick(&NAMES);
        let Some(zone) = zone_of(&host(name)) else {
            return;
        };
        let free = self.cloudflare.records_named(name).is_empty();
        let kind = if free {
            *dice.pick(&["A", "CNAME", "TXT"])
        } else {
            "TXT"
        };
        let id = RecordData {
            name: name.to_owned(),
            kind: kind.to_owned(),
            content: "192.0.2.1".to_owned(),
            proxied: false,
            ttl: 300,
            comment: dice.pick(&FOREIGN_COMMENTS).clone(),
        };
        let data = id.clone();
        let id = self.cloudflare.add_record(&zone_id(zone), id);
        state.foreign_records.insert(id, data);
        drop(state);
        self.tell(|| format!("foreign {kind} record {name} is added"));
    }

    /// Somebody changes what is ours in the dashboard. A record can be made theirs only while no pass is
    /// between reading and writing it (`quiet`): the API has no way to write only what did not change.
    pub(crate) fn meddle(&self, dice: &mut Dice, quiet: bool) {
        let records = self.our_records();
        let tunnels = self.our_tunnels();
        if dice.chance(30) && !tunnels.is_empty() {
            let (gateway, tunnel) = dice.pick(&tunnels).clone();
            self.cloudflare.remove_tunnel(tunnel);
            return self.tell(|| format!("somebody deletes the tunnel of {gateway}"));
        }
        if records.is_empty() {
            return;
        }
        let (_, record) = dice.pick(&records).clone();
        let name = &record.data.name;
        match dice.below(3) {
            0 => {
                self.cloudflare.remove_record(&record.id);
                self.tell(|| format!("somebody deletes our record {name}"));
            }
            1 => {
                let edit = |data: &mut RecordData| data.content = "192.0.2.2".to_owned();
                self.cloudflare.edit_record(&record.id, edit);
                self.tell(|| format!("somebody leads our record {name} elsewhere"));
            }
            _ if !quiet || self.trouble.lag => {}
            _ => {
                let mut data = record.data.clone();
                data.comment = "mine now".to_owned();
                let taken = data.clone();
                self.cloudflare
                    .edit_record(&record.id, |there| *there = taken);
                self.state().foreign_records.insert(record.id, data);
                self.tell(|| format!("somebody makes our record {name} theirs"));
            }
        }
    }

    /// Our records, each with its Gateway.
    pub(crate) fn our_records(&self) -> Vec<(ObjectKey, DnsRecord)> {
        let records = self.cloudflare.records().into_iter();
        records
            .filter_map(|record| Some((owner(&record.data)?.clone(), record)))
            .collect()
    }

    /// Our tunnels, each with its Gateway.
    pub(crate) fn our_tunnels(&self) -> Vec<(ObjectKey, TunnelId)> {
        let tunnels = self.cloudflare.tunnels().into_iter();
        tunnels
            .filter_map(|tunnel| {
                let gateway = ownership::gateway_of_tunnel(&INSTALLATION, &tunnel.name)?;
                Some((gateway, tunnel.id))
            })
            .collect()
    }

    /// As the proxies of a Gateway do when they end.
    pub(crate) fn close_connections(&self, gateway: &ObjectKey) {
        for (owner, tunnel) in self.our_tunnels() {
            if owner == *gateway {
                self.cloudflare.disconnect_all(tunnel);
            }
        }
    }

    /// Whether anything of a Gateway is at the edge.
    pub(crate) fn has(&self, gateway: &ObjectKey) -> bool {
        self.our_tunnels().iter().any(|(owner, _)| owner == gateway)
            || self.our_records().iter().any(|(owner, _)| owner == gateway)
    }

    /// Checks what holds at every moment, where the last step may have changed it.
    pub(crate) fn check_after_writes(&self) {
        if self.cloudflare.writes() > 0 {
            self.cloudflare.forget_calls();
            self.check();
        }
    }

    /// What holds at every moment.
    pub(crate) fn check(&self) {
        let all = self.cloudflare.records();
        let changed = self.state().foreign_records.iter().find_map(|(id, data)| {
            let found = all.iter().find(|record| record.id == *id);
            (found.map(|record| &record.data) != Some(data)).then(|| data.name.clone())
        });
        if let Some(name) = changed {
            self.wrong(format!("the foreign record {name} was touched"));
        }
        let tunnels = self.cloudflare.tunnels();
        let kept = {
            let foreign = &self.state().foreign_tunnels;
            foreign.iter().all(|tunnel| tunnels.contains(tunnel))
        };
        self.require(kept, || "a foreign tunnel was touched".to_owned());
        let names: BTreeSet<_> = tunnels.iter().map(|tunnel| &tunnel.name).collect();
        self.require(names.len() == tunnels.len(), || {
            "a Gateway has two tunnels".to_owned()
        });
        if self.trouble.is_alone_and_sees() {
            self.check_targets(&tunnels);
        }
    }

    /// No record of ours leads nowhere.
    pub(crate) fn check_targets(&self, tunnels: &[Tunnel]) {
        for (gateway, record) in self.our_records() {
            let leads = |tunnel: &Tunnel| tunnel.id.address() == record.data.content;
            self.require(tunnels.iter().any(leads), || {
                format!(
                    "{} of {gateway} points to a tunnel that does not exist",
                    record.data.name
                )
            });
        }
    }
}

/// What outlives a controller in a cluster.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) finalizer: Arc<FakeFinalizer>,
    pub(crate) workloads: Arc<FakeWorkloads>,
}
