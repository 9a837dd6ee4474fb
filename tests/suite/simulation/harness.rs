//! What all processes of a history share: Cloudflare, the faults of calls, and the rules that were broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use domain::edge::objects::{DnsRecord, RecordData, Tunnel};
use domain::edge::ownership;
use domain::ports::{Clock, PortError};
use domain::testing::{FakeCloudflare, FixedClock, Moment};
use domain::{ObjectKey, RecordId, Timestamp, TunnelId, ZoneId};

use super::cluster_model::{GATEWAYS, OTHER_ZONE, ZONES, key};
use super::faults::Faults;
use super::installations::{CLUSTERS, ClusterId, ELSEWHERE, Owner, led_to};
use super::planted::Planted;
use super::random::Random;
use super::rules::Rule;

/// The accounts of a history; the second one only where Gateways move.
pub(crate) const ACCOUNTS: [&str; 2] = ["acme", "other"];

pub(crate) fn zone_id(zone: &str) -> ZoneId {
    ZoneId::new(format!("zone-{zone}"))
}

pub(crate) struct Harness {
    planted: Option<Planted>,
    pub(crate) faults: Faults,
    pub(crate) cloudflare: FakeCloudflare,
    pub(crate) clock: Arc<FixedClock>,
    /// Whether it is a cluster: finalizers, proxies that outlive a controller, two replicas.
    pub(crate) in_cluster: bool,
    state: Mutex<State>,
}

struct State {
    random: Random,
    faults_stopped: bool,
    /// Steps taken so far.
    steps: u64,
    foreign_records: BTreeMap<RecordId, RecordData>,
    foreign_tunnels: Vec<Tunnel>,
    failures: Vec<(Rule, String)>,
    /// Each step, where it will be printed.
    log: Option<Vec<String>>,
}

impl Harness {
    pub(crate) fn new(random: &mut Random, keeps_log: bool, planted: Option<Planted>) -> Arc<Self> {
        let cloudflare = FakeCloudflare::with_zones(&ZONES);
        cloudflare.add_zone(ACCOUNTS[1], OTHER_ZONE);
        for others in ELSEWHERE.iter() {
            let name = ownership::tunnel_name(others, &key(GATEWAYS[0]));
            cloudflare.add_tunnel("acme", &name, true);
        }
        cloudflare.add_tunnel("acme", "somebody's", false);
        let state = State {
            random: random.split(),
            faults_stopped: false,
            steps: 0,
            foreign_records: BTreeMap::new(),
            foreign_tunnels: cloudflare.tunnels(),
            failures: Vec::new(),
            log: keeps_log.then(Vec::new),
        };
        Arc::new(Self {
            planted,
            faults: Faults::draw(random),
            in_cluster: random.chance(60),
            cloudflare,
            clock: Arc::default(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn planted(&self) -> Option<Planted> {
        self.planted
    }

    /// Whether this fault is planted.
    pub(crate) fn plants(&self, fault: Planted) -> bool {
        self.planted == Some(fault)
    }

    pub(crate) fn log(&self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.state().log {
            log.push(what());
        }
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        self.state().log.take().unwrap_or_default()
    }

    /// Counts a step: something happens, or a process runs up to its next call.
    pub(crate) fn step(&self) {
        self.state().steps += 1;
    }

    pub(crate) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Notes that a rule was broken.
    pub(crate) fn fail(&self, rule: Rule, what: String) {
        self.log(|| format!("WRONG: {what}"));
        self.state().failures.push((rule, what));
    }

    pub(crate) fn require(&self, rule: Rule, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(rule, what());
        }
    }

    pub(crate) fn first_failure(&self) -> Option<(Rule, String)> {
        self.state().failures.first().cloned()
    }

    pub(crate) fn let_time_pass(&self, seconds: i64) {
        self.clock.set(Timestamp(self.clock.now().0 + seconds));
    }

    /// Nothing fails from now on.
    pub(crate) fn stop_faults(&self) {
        self.state().faults_stopped = true;
        self.cloudflare.lag(0);
    }

    /// What happens to the next call to Cloudflare.
    pub(crate) fn next_fault(&self) -> Option<(Moment, PortError)> {
        let mut state = self.state();
        let fails = !state.faults_stopped;
        fails
            .then(|| self.faults.of_call(&mut state.random))
            .flatten()
    }

    /// What happens to the next call to a port other than Cloudflare.
    pub(crate) fn next_port_fault(&self) -> Option<Moment> {
        let mut state = self.state();
        let fails = !state.faults_stopped;
        fails
            .then(|| self.faults.of_port(&mut state.random))
            .flatten()
    }

    /// Calls with the records that are foreign.
    pub(crate) fn with_foreign_records<T>(
        &self,
        act: impl FnOnce(&mut BTreeMap<RecordId, RecordData>) -> T,
    ) -> T {
        act(&mut self.state().foreign_records)
    }

    /// Records of a cluster, each with its Gateway.
    pub(crate) fn records_of(&self, cluster: ClusterId) -> Vec<(ObjectKey, DnsRecord)> {
        let records = self.cloudflare.records().into_iter();
        records
            .filter_map(|record| {
                let owner = Owner::of_record(&record.data)?;
                (owner.cluster == cluster).then(|| (owner.gateway.clone(), record))
            })
            .collect()
    }

    /// Tunnels of a cluster in one account, each with its Gateway.
    pub(crate) fn tunnels_in(
        &self,
        account: &str,
        cluster: ClusterId,
    ) -> Vec<(ObjectKey, TunnelId)> {
        let mut tunnels = self.tunnels_of(cluster);
        let there = self.cloudflare.tunnels_in(account);
        tunnels.retain(|(_, id)| there.iter().any(|tunnel| tunnel.id == *id));
        tunnels
    }

    /// Tunnels of a cluster, each with its Gateway.
    pub(crate) fn tunnels_of(&self, cluster: ClusterId) -> Vec<(ObjectKey, TunnelId)> {
        let tunnels = self.cloudflare.tunnels().into_iter();
        tunnels
            .filter_map(|tunnel| {
                let gateway = ownership::gateway_of_tunnel(cluster.installation(), &tunnel.name)?;
                Some((gateway, tunnel.id))
            })
            .collect()
    }

    /// Closes the connections of the proxies of a Gateway, as their end does.
    pub(crate) fn close_connections(&self, cluster: ClusterId, gateway: &ObjectKey) {
        for (owner, tunnel) in self.tunnels_of(cluster) {
            if owner == *gateway {
                self.cloudflare.disconnect_all(tunnel);
            }
        }
    }

    /// Whether anything of a Gateway is at the edge.
    pub(crate) fn has(&self, cluster: ClusterId, gateway: &ObjectKey) -> bool {
        let mut tunnels = self.tunnels_of(cluster).into_iter();
        let mut records = self.records_of(cluster).into_iter();
        tunnels.any(|(owner, _)| owner == *gateway) || records.any(|(owner, _)| owner == *gateway)
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
        let changed = self.with_foreign_records(|foreign| {
            foreign.iter().find_map(|(id, data)| {
                let found = all.iter().find(|record| record.id == *id);
                (found.map(|record| &record.data) != Some(data)).then(|| data.name.clone())
            })
        });
        if let Some(name) = changed {
            let what = format!("the foreign record {name} was touched");
            self.fail(Rule::LeavesForeignAlone, what);
        }
        let tunnels = self.cloudflare.tunnels();
        let kept = {
            let foreign = &self.state().foreign_tunnels;
            foreign.iter().all(|tunnel| tunnels.contains(tunnel))
        };
        self.require(Rule::LeavesForeignAlone, kept, || {
            "a foreign tunnel was touched".to_owned()
        });
        let is_one_each = ACCOUNTS.iter().all(|account| {
            let tunnels = self.cloudflare.tunnels_in(account);
            let names: BTreeSet<_> = tunnels.iter().map(|tunnel| &tunnel.name).collect();
            names.len() == tunnels.len()
        });
        self.require(Rule::OneTunnelEach, is_one_each, || {
            "a Gateway has two tunnels".to_owned()
        });
        if self.faults.is_strict() {
            self.check_targets(&tunnels);
        }
    }

    /// Each record of ours points to a tunnel that exists.
    fn check_targets(&self, tunnels: &[Tunnel]) {
        for cluster in CLUSTERS {
            for (gateway, record) in self.records_of(cluster) {
                let leads = led_to(&record.data, tunnels).is_some();
                self.require(Rule::RecordsLeadSomewhere, leads, || {
                    let name = &record.data.name;
                    format!("{name} of {gateway} points to a tunnel that does not exist")
                });
            }
        }
    }
}
