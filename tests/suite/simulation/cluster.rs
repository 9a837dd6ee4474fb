//! A cluster of a history: what users write into it, what stays in it, and the controllers that run there.

use std::sync::Arc;

use super::cluster_model::{ClusterModel, View};
use super::ends::check_end;
use super::expected::Expected;
use super::harness::Harness;
use super::installations::ClusterId;
use super::process::{Persistent, Process};
use super::random::Random;
use super::rules::Rule;
use super::told::Told;

pub(crate) struct Cluster {
    id: ClusterId,
    harness: Arc<Harness>,
    model: ClusterModel,
    persistent: Persistent,
    processes: Vec<Process>,
    /// Terms given so far.
    terms: u64,
    /// The process that goes on alone once the faults have stopped.
    last: usize,
}

/// Names of the processes of a cluster, for the log.
fn names(id: ClusterId) -> [&'static str; 2] {
    match id {
        ClusterId::First => ["first", "second"],
        ClusterId::Stranger => ["stranger's first", "stranger's second"],
        ClusterId::Namesake => ["namesake's first", "namesake's second"],
    }
}

impl Cluster {
    pub(crate) fn new(id: ClusterId, harness: &Arc<Harness>) -> Self {
        let persistent = Persistent::default();
        let [first, second] = names(id);
        let mut processes = vec![Process::start(first, id, harness, &persistent, Some(1))];
        if harness.in_cluster {
            processes.push(Process::start(second, id, harness, &persistent, None));
        }
        Self {
            id,
            harness: harness.clone(),
            model: ClusterModel::new(harness.in_cluster, harness.faults.moves),
            persistent,
            processes,
            terms: 1,
            last: 0,
        }
    }

    fn log(&self, what: impl FnOnce() -> String) {
        self.harness.log(|| format!("{:?}: {}", self.id, what()));
    }

    /// An object changes.
    pub(crate) fn edit(&mut self, random: &mut Random) {
        let with_finalizer = self.persistent.finalizer.gateways();
        let told = self.told();
        let line = self.model.edit(random, &with_finalizer, &told);
        self.log(|| line);
        self.note_objects();
    }

    pub(crate) fn deliver(&self, random: &mut Random) {
        random.pick(&self.processes).see(&self.model);
    }

    pub(crate) fn deliver_to_all(&self) {
        for process in &self.processes {
            process.see(&self.model);
        }
    }

    pub(crate) fn change_view(&mut self, random: &mut Random) {
        let who = random.below(self.processes.len());
        let process = &mut self.processes[who];
        process.view = View::draw(random);
        let process = &self.processes[who];
        self.log(|| format!("{} sees {:?}", process.actor.name, process.view));
        process.see(&self.model);
    }

    /// Whether no process is between what it read at the edge and what it writes there.
    pub(crate) fn is_quiet(&self) -> bool {
        self.processes.iter().all(Process::is_quiet)
    }

    pub(crate) fn edit_by_hand(&self, random: &mut Random, quiet: bool) {
        self.harness.edit_by_hand(self.id, random, quiet);
    }

    /// One of the processes runs up to its next call.
    pub(crate) fn step(&mut self, random: &mut Random) {
        let who = random.below(self.processes.len());
        self.processes[who].step(random);
        self.remove_deleted();
    }

    fn remove_deleted(&mut self) {
        let with_finalizer = self.persistent.finalizer.gateways();
        self.model.remove_deleted(&with_finalizer);
        self.note_objects();
    }

    fn told(&self) -> Told {
        self.persistent.told.lock().unwrap().clone()
    }

    fn note_objects(&self) {
        *self.persistent.objects.lock().unwrap() = self.model.wanted();
    }

    /// A process ends between two calls, and a new one is started.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let who = random.below(self.processes.len());
        let crashed = &self.processes[who];
        let name = crashed.actor.name;
        let term = crashed.term().map(|term| match self.harness.in_cluster {
            true => self.terms + 1,
            false => term,
        });
        self.terms = self.terms.max(term.unwrap_or_default());
        self.log(|| format!("{name} crashes"));
        if !self.harness.in_cluster {
            self.lose_proxies();
        }
        let started = Process::start(name, self.id, &self.harness, &self.persistent, term);
        self.processes[who] = started;
        self.processes[who].see(&self.model);
    }

    /// The proxies ran in the same process; the state folder stays.
    fn lose_proxies(&mut self) {
        self.persistent = Persistent {
            objects: self.persistent.objects.clone(),
            told: self.persistent.told.clone(),
            rotations: self.persistent.rotations.clone(),
            orphans: self.persistent.orphans.clone(),
            entropy: self.persistent.entropy.clone(),
            ..Persistent::default()
        };
        for (gateway, _) in self.harness.tunnels_of(self.id) {
            self.harness.close_connections(self.id, &gateway);
        }
    }

    /// Leadership ends, or another process gets it; with `two_leaders` perhaps before the first one has lost it.
    pub(crate) fn change_leader(&mut self, random: &mut Random) {
        let two_leaders = self.harness.faults.two_leaders;
        let to = random.below(self.processes.len());
        let overlap = two_leaders && random.chance(60);
        for (index, process) in self.processes.iter_mut().enumerate() {
            if index != to && !overlap {
                process.lead(None);
                if !two_leaders {
                    process.drain();
                }
            }
        }
        self.terms += 1;
        let term = random.chance(80).then_some(self.terms);
        self.processes[to].lead(term);
        if !two_leaders && term.is_some() {
            self.processes[to].drain();
        }
        let name = self.processes[to].actor.name;
        self.log(|| format!("{name} leads in {term:?}, overlap {overlap}"));
    }

    /// The faults have stopped: what users left out is added, and one process goes on alone.
    pub(crate) fn repair(&mut self, random: &mut Random) {
        self.model.repair();
        self.last = random.below(self.processes.len());
        for (index, process) in self.processes.iter_mut().enumerate() {
            if index != self.last {
                process.lead(None);
            }
            process.drain();
        }
        let process = &mut self.processes[self.last];
        if self.harness.in_cluster {
            self.terms += 1;
            process.lead(Some(self.terms));
        }
        process.view = View::Whole;
    }

    /// Users confirm each removal that is held back.
    pub(crate) fn confirm(&mut self) {
        let told = self.told();
        self.model.confirm_all(&told);
    }

    /// One pass of the last process.
    pub(crate) fn converge(&mut self, resync: bool) {
        self.remove_deleted();
        let process = &mut self.processes[self.last];
        process.see(&self.model);
        process.whole_pass(resync);
        self.remove_deleted();
    }

    pub(crate) fn check_end(&self) {
        let expected = Expected::of(&self.model.snapshot(&View::Whole));
        self.log(|| format!("expected: {expected:?}"));
        check_end(&expected, &self.processes[self.last].actor);
    }

    /// A further pass has nothing to do.
    pub(crate) fn check_rest(&mut self) {
        let process = &mut self.processes[self.last];
        process.see(&self.model);
        self.harness.cloudflare.forget_calls();
        let report = process.whole_pass(true);
        let writes = self.harness.cloudflare.writes();
        self.harness.require(Rule::Settles, writes == 0, || {
            format!("a pass over what is right made {writes} writes")
        });
        let settled = report.is_some_and(|report| report.settled && report.removed.is_empty());
        self.harness.require(Rule::Settles, settled, || {
            "a pass over what is right is not settled".to_owned()
        });
    }
}
