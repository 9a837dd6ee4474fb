//! What all processes of a history share: Cloudflare, the faults of calls, and the rules that were broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use domain::edge::objects::{DnsRecord, RecordData, Tunnel};
use domain::edge::ownership::{self, RecordMark};
use domain::ports::{PortError, PortErrorKind};
use domain::testing::{
    FakeCloudflare, FakeFinalizer, FakeOrphans, FakeRotations, FakeWorkloads, FixedClock,
    FixedEntropy, Moment, installation, instance_of,
};
use domain::{Installation, ObjectKey, RecordId, TunnelId, ZoneId};

use super::cluster_model::{GATEWAYS, NAMES, ZONES, host, key};
use super::expected::zone_of;
use super::random::Random;

pub(crate) static INSTALLATION: LazyLock<Installation> = LazyLock::new(|| installation("home"));
static NEIGHBOUR: LazyLock<Installation> = LazyLock::new(|| installation("home-2"));
static NAMESAKE: LazyLock<Installation> = LazyLock::new(|| instance_of("home", 2));

/// The Gateway of each ownership mark that is ours.
static MARKS: LazyLock<BTreeMap<String, ObjectKey>> = LazyLock::new(|| {
    let gateways = GATEWAYS.iter().map(|name| key(name));
    gateways
        .map(|gateway| (RecordMark::of(&INSTALLATION, &gateway).to_string(), gateway))
        .collect()
});

/// Comments of foreign records: none, the mark of another installation, that of another instance with our
/// name, and one that only begins with our mark.
static FOREIGN_COMMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let own = RecordMark::of(&INSTALLATION, &key(GATEWAYS[0])).to_string();
    vec![
        String::new(),
        RecordMark::of(&NEIGHBOUR, &key(GATEWAYS[0])).to_string(),
        RecordMark::of(&NAMESAKE, &key(GATEWAYS[0])).to_string(),
        format!("{own}0"),
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

/// The kinds of faults in one history. Each history has some of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Of 100 calls to Cloudflare, how many fail.
    pub(crate) failing_calls: usize,
    /// Of 100 calls to other ports, how many fail.
    pub(crate) failing_ports: usize,
    pub(crate) crashes: bool,
    /// Snapshots in which objects are missing.
    pub(crate) incomplete_views: bool,
    /// Reads that lag behind writes.
    pub(crate) lag: bool,
    /// A new leader begins before the old one has stopped.
    pub(crate) two_leaders: bool,
    /// Our records and tunnels are changed by hand.
    pub(crate) manual_edits: bool,
    /// Foreign records are added and removed.
    pub(crate) foreign_records: bool,
}

impl Faults {
    fn draw(random: &mut Random) -> Self {
        Self {
            failing_calls: *random.pick(&[0, 5, 20]),
            failing_ports: *random.pick(&[0, 0, 10]),
            crashes: random.chance(50),
            incomplete_views: random.chance(40),
            lag: random.chance(20),
            two_leaders: random.chance(25),
            manual_edits: random.chance(25),
            foreign_records: random.chance(50),
        }
    }

    /// Whether each process reads the edge as it is and is the only one that writes. Then the rules hold at
    /// every step, also where calls fail; otherwise only at the end.
    pub(crate) fn is_strict(&self) -> bool {
        !(self.lag || self.two_leaders || self.manual_edits)
    }
}

pub(crate) struct Harness {
    pub(crate) faults: Faults,
    pub(crate) cloudflare: FakeCloudflare,
    /// Whether it is a cluster: finalizers, proxies that outlive a controller, two replicas.
    pub(crate) in_cluster: bool,
    state: Mutex<State>,
}

struct State {
    random: Random,
    faults_stopped: bool,
    foreign_records: BTreeMap<RecordId, RecordData>,
    foreign_tunnels: Vec<Tunnel>,
    failures: Vec<String>,
    /// Each step, where it will be printed.
    log: Option<Vec<String>>,
}

impl Harness {
    pub(crate) fn new(random: &mut Random, keeps_log: bool) -> Arc<Self> {
        let cloudflare = FakeCloudflare::with_zones(&ZONES);
        for others in [&NEIGHBOUR, &NAMESAKE] {
            let name = ownership::tunnel_name(others, &key(GATEWAYS[0]));
            cloudflare.add_tunnel("acme", &name, true);
        }
        cloudflare.add_tunnel("acme", "somebody's", false);
        let state = State {
            random: random.split(),
            faults_stopped: false,
            foreign_records: BTreeMap::new(),
            foreign_tunnels: cloudflare.tunnels(),
            failures: Vec::new(),
            log: keeps_log.then(Vec::new),
        };
        Arc::new(Self {
            faults: Faults::draw(random),
            in_cluster: random.chance(60),
            cloudflare,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn log(&self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.state().log {
            log.push(what());
        }
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        self.state().log.take().unwrap_or_default()
    }

    /// Notes that a rule was broken.
    pub(crate) fn fail(&self, what: String) {
        self.log(|| format!("WRONG: {what}"));
        self.state().failures.push(what);
    }

    pub(crate) fn require(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    pub(crate) fn first_failure(&self) -> Option<String> {
        self.state().failures.first().cloned()
    }

    /// Nothing fails from now on.
    pub(crate) fn stop_faults(&self) {
        self.state().faults_stopped = true;
        self.cloudflare.lag(0);
    }

    /// What happens to the next call to Cloudflare.
    pub(crate) fn next_fault(&self) -> Option<(Moment, PortError)> {
        let mut state = self.state();
        if state.faults_stopped || !state.random.chance(self.faults.failing_calls) {
            return None;
        }
        let unavailable = |message: &str| PortError::unavailable(message);
        Some(match state.random.below(6) {
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
        if state.faults_stopped || !state.random.chance(self.faults.failing_ports) {
            return None;
        }
        Some(*state.random.pick(&[Moment::Before, Moment::After]))
    }

    /// Adds a foreign record or removes one.
    pub(crate) fn change_foreign_records(&self, random: &mut Random) {
        let mut state = self.state();
        let there: Vec<RecordId> = state.foreign_records.keys().cloned().collect();
        if !there.is_empty() && random.chance(40) {
            let gone = random.pick(&there);
            state.foreign_records.remove(gone);
            self.cloudflare.remove_record(gone);
            drop(state);
            return self.log(|| format!("foreign record {gone} is gone"));
        }
        let name = *random.pick(&NAMES);
        let Some(zone) = zone_of(&host(name)) else {
            return;
        };
        let free = self.cloudflare.records_named(name).is_empty();
        let kind = if free {
            *random.pick(&["A", "CNAME", "TXT"])
        } else {
            "TXT"
        };
        let id = RecordData {
            name: name.to_owned(),
            kind: kind.to_owned(),
            content: "192.0.2.1".to_owned(),
            proxied: false,
            ttl: 300,
            comment: random.pick(&FOREIGN_COMMENTS).clone(),
        };
        let data = id.clone();
        let id = self.cloudflare.add_record(&zone_id(zone), id);
        state.foreign_records.insert(id, data);
        drop(state);
        self.log(|| format!("foreign {kind} record {name} is added"));
    }

    /// Changes a record or tunnel of ours, as a user of the dashboard may. A record becomes a foreign one only
    /// while no pass is between its read and its write (`quiet`): the API has no conditional write.
    pub(crate) fn edit_by_hand(&self, random: &mut Random, quiet: bool) {
        let records = self.our_records();
        let tunnels = self.our_tunnels();
        if random.chance(30) && !tunnels.is_empty() {
            let (gateway, tunnel) = random.pick(&tunnels).clone();
            self.cloudflare.remove_tunnel(tunnel);
            return self.log(|| format!("by hand: deletes the tunnel of {gateway}"));
        }
        if records.is_empty() {
            return;
        }
        let (_, record) = random.pick(&records).clone();
        let name = &record.data.name;
        match random.below(3) {
            0 => {
                self.cloudflare.remove_record(&record.id);
                self.log(|| format!("by hand: deletes our record {name}"));
            }
            1 => {
                let edits: [fn(&mut RecordData); 3] = [
                    |data| data.content = "192.0.2.2".to_owned(),
                    |data| data.proxied = false,
                    |data| data.ttl = 60,
                ];
                self.cloudflare
                    .edit_record(&record.id, *random.pick(&edits));
                self.log(|| format!("by hand: our record {name} is changed"));
            }
            _ if !quiet || self.faults.lag => {}
            _ => {
                let mut data = record.data.clone();
                data.comment = "mine now".to_owned();
                let taken = data.clone();
                self.cloudflare
                    .edit_record(&record.id, |there| *there = taken);
                self.state().foreign_records.insert(record.id, data);
                self.log(|| format!("by hand: our record {name} becomes a foreign one"));
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

    /// Closes the connections of the proxies of a Gateway, as their end does.
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

    /// Checks the rules for every step, if the last step wrote something.
    pub(crate) fn check_after_writes(&self) {
        if self.cloudflare.writes() > 0 {
            self.cloudflare.forget_calls();
            self.check();
        }
    }

    /// Checks the rules for every step.
    pub(crate) fn check(&self) {
        let all = self.cloudflare.records();
        let changed = self.state().foreign_records.iter().find_map(|(id, data)| {
            let found = all.iter().find(|record| record.id == *id);
            (found.map(|record| &record.data) != Some(data)).then(|| data.name.clone())
        });
        if let Some(name) = changed {
            self.fail(format!("the foreign record {name} was touched"));
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
        if self.faults.is_strict() {
            self.check_targets(&tunnels);
        }
    }

    /// Each record of ours points to a tunnel that exists.
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

/// What stays in a cluster when a controller ends.
#[derive(Clone, Default)]
pub(crate) struct Persistent {
    pub(crate) finalizer: Arc<FakeFinalizer>,
    pub(crate) workloads: Arc<FakeWorkloads>,
    pub(crate) rotations: Arc<FakeRotations>,
    pub(crate) orphans: Arc<FakeOrphans>,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) entropy: Arc<FixedEntropy>,
}
