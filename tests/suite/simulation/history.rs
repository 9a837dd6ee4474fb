//! One history: everything that happens follows from its seed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use domain::Timestamp;
use domain::edge::direct::DirectEdge;
use domain::gateway::CONTROLLER_NAME;
use domain::ports::Clock;
use domain::reconcile::{EdgePassReport, Ports, Reconciler};
use domain::testing::{FakeCluster, FakeDataPlane, FixedLeadership};

use super::CONVERGED_WITHIN;
use super::checks::check_end;
use super::cluster_model::{ClusterModel, View};
use super::expected::Expected;
use super::harness::{Harness, INSTALLATION, Persistent};
use super::ports::{Actor, Port};
use super::random::Random;

type Pass = Pin<Box<dyn Future<Output = Option<EdgePassReport>> + Send>>;

/// More polls than any pass takes over so few objects.
const LONGEST_PASS: usize = 2_000;

/// A controller that runs. Dropping it is a crash.
struct Process {
    actor: Arc<Actor>,
    leadership: Arc<FixedLeadership>,
    reconciler: Arc<Reconciler>,
    view: View,
    route_pass: Option<Pass>,
    edge_pass: Option<Pass>,
}

impl Process {
    fn start(
        name: &str,
        harness: &Arc<Harness>,
        persistent: &Persistent,
        term: Option<u64>,
    ) -> Self {
        let actor = Arc::new(Actor {
            name: name.to_owned(),
            harness: harness.clone(),
            cluster: FakeCluster::default(),
            data_plane: FakeDataPlane::default(),
            persistent: persistent.clone(),
            notes: Default::default(),
        });
        let port = || Arc::new(Port(actor.clone()));
        let leadership = Arc::new(FixedLeadership::default());
        leadership.set(term);
        let edge = DirectEdge::new(
            port(),
            port(),
            persistent.entropy.clone(),
            INSTALLATION.clone(),
        )
        .remembering();
        let ports = Ports {
            cluster: port(),
            statuses: port(),
            finalizer: port(),
            leadership: leadership.clone(),
            workloads: port(),
            data_plane: port(),
            edge: Arc::new(edge),
            rotations: port(),
            orphans: port(),
            events: port(),
            clock: persistent.clock.clone(),
        };
        Self {
            reconciler: Arc::new(Reconciler::new(ports, CONTROLLER_NAME)),
            actor,
            leadership,
            view: View::Whole,
            route_pass: None,
            edge_pass: None,
        }
    }

    fn see(&self, cluster_model: &ClusterModel) {
        self.actor.cluster.show(cluster_model.snapshot(&self.view));
    }

    fn begin_route_pass(&mut self) {
        let actor = self.actor.clone();
        let reconciler = self.reconciler.clone();
        self.route_pass = Some(Box::pin(async move {
            reconciler.route_pass().await;
            actor.use_last_snapshot();
            reconciler.status_pass().await;
            None
        }));
    }

    fn begin_edge_pass(&mut self, resync: bool) {
        let actor = self.actor.clone();
        let reconciler = self.reconciler.clone();
        self.edge_pass = Some(Box::pin(async move {
            actor.begin_edge_pass(resync);
            Some(reconciler.edge_pass(resync).await)
        }));
    }

    /// Runs one of the passes up to its next call.
    fn step(&mut self, random: &mut Random) {
        if random.chance(35) {
            if self.route_pass.is_some() {
                advance(&mut self.route_pass);
            } else if random.chance(50) {
                self.begin_route_pass();
            }
        } else if self.edge_pass.is_some() {
            advance(&mut self.edge_pass);
        } else {
            self.begin_edge_pass(random.chance(25));
        }
    }

    /// Runs both passes to their end.
    fn drain(&mut self) {
        let passes = [self.route_pass.take(), self.edge_pass.take()];
        for pass in passes.into_iter().flatten() {
            self.finish(pass);
        }
    }

    fn finish(&self, mut pass: Pass) -> Option<EdgePassReport> {
        for _ in 0..LONGEST_PASS {
            if let Poll::Ready(report) = poll(&mut pass) {
                return report;
            }
            self.actor.harness.check_after_writes();
        }
        let name = &self.actor.name;
        self.actor
            .harness
            .fail(format!("a pass of {name} does not end"));
        None
    }

    fn whole_pass(&mut self, resync: bool) -> Option<EdgePassReport> {
        self.begin_route_pass();
        self.drain();
        self.begin_edge_pass(resync);
        let edge_pass = self.edge_pass.take()?;
        let report = self.finish(edge_pass);
        self.actor.harness.log(|| format!(" {report:?}"));
        report
    }
}

fn poll(pass: &mut Pass) -> Poll<Option<EdgePassReport>> {
    let mut context = Context::from_waker(Waker::noop());
    pass.as_mut().poll(&mut context)
}

/// Runs a pass that has begun up to its next call, or to its end.
fn advance(pass: &mut Option<Pass>) {
    if pass.as_mut().is_some_and(|pass| poll(pass).is_ready()) {
        *pass = None;
    }
}

/// A history that broke a rule: which one, and all its steps where they were kept.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) log: Vec<String>,
}

struct History {
    random: Random,
    harness: Arc<Harness>,
    cluster_model: ClusterModel,
    persistent: Persistent,
    processes: Vec<Process>,
    /// Terms given so far.
    terms: u64,
}

/// Runs the history of a seed.
pub(crate) fn run(seed: u64, keeps_log: bool) -> Result<(), Failure> {
    let mut random = Random::new(seed);
    let harness = Harness::new(&mut random, keeps_log);
    harness.log(|| format!("in a cluster: {}; {:?}", harness.in_cluster, harness.faults));
    let persistent = Persistent::default();
    let mut processes = vec![Process::start("first", &harness, &persistent, Some(1))];
    if harness.in_cluster {
        processes.push(Process::start("second", &harness, &persistent, None));
    }
    let mut history = History {
        cluster_model: ClusterModel::new(harness.in_cluster),
        random,
        harness: harness.clone(),
        persistent,
        processes,
        terms: 1,
    };
    history.run();
    match harness.first_failure() {
        None => Ok(()),
        Some(what) => Err(Failure {
            what,
            log: harness.take_log(),
        }),
    }
}

impl History {
    fn run(&mut self) {
        for _ in 0..4 {
            self.edit();
        }
        self.deliver_to_all();
        for _ in 0..30 + self.random.below(80) {
            self.next_event();
            self.harness.check_after_writes();
            if self.harness.first_failure().is_some() {
                return;
            }
        }
        self.end();
    }

    fn next_event(&mut self) {
        let faults = self.harness.faults;
        match self.random.below(100) {
            0..=5 => self.edit(),
            6..=10 => self.deliver(),
            11 | 12 if faults.incomplete_views => self.change_view(),
            13 | 14 if faults.foreign_records => {
                self.harness.change_foreign_records(&mut self.random);
            }
            15 | 16 if faults.manual_edits => {
                let quiet = self.processes.iter().all(|p| p.edge_pass.is_none());
                self.harness.edit_by_hand(&mut self.random, quiet);
            }
            17 | 18 if faults.crashes => self.crash(),
            19 | 20 if self.harness.in_cluster => self.change_leader(),
            21 | 22 if faults.lag => self.lag(),
            23 => self.let_time_pass(),
            _ => {
                let who = self.random.below(self.processes.len());
                self.processes[who].step(&mut self.random);
                self.cluster_model
                    .remove_deleted(&self.persistent.finalizer.gateways());
            }
        }
    }

    fn edit(&mut self) {
        let with_finalizer = self.persistent.finalizer.gateways();
        let line = self.cluster_model.edit(&mut self.random, &with_finalizer);
        self.harness.log(|| line);
        // Most changes are seen at once.
        if self.random.chance(70) {
            self.deliver_to_all();
        }
    }

    fn deliver(&mut self) {
        let who = self.random.below(self.processes.len());
        self.processes[who].see(&self.cluster_model);
    }

    fn deliver_to_all(&mut self) {
        for process in &self.processes {
            process.see(&self.cluster_model);
        }
    }

    fn change_view(&mut self) {
        let who = self.random.below(self.processes.len());
        let process = &mut self.processes[who];
        process.view = View::draw(&mut self.random);
        let line = format!("{} sees {:?}", process.actor.name, process.view);
        self.harness.log(|| line);
        process.see(&self.cluster_model);
    }

    fn lag(&mut self) {
        let calls = *self.random.pick(&[0, 3, 8]);
        self.harness.log(|| format!("reads lag by {calls} calls"));
        self.harness.cloudflare.lag(calls);
    }

    /// Past the next comparison of a Gateway with an interval of its own, now and then past a rotation by schedule.
    fn let_time_pass(&mut self) {
        let seconds = *self.random.pick(&[1_000, 1_000, 1_000, 600_000]);
        let clock = &self.persistent.clock;
        clock.set(Timestamp(clock.now().0 + seconds));
        self.harness.log(|| format!("{seconds} seconds pass"));
    }

    /// A process ends between two calls, and a new one is started.
    fn crash(&mut self) {
        let who = self.random.below(self.processes.len());
        let crashed = &self.processes[who];
        let name = crashed.actor.name.clone();
        let term = domain::ports::Leadership::term(&*crashed.leadership);
        let term = term.map(|term| {
            if self.harness.in_cluster {
                self.terms += 1;
                self.terms
            } else {
                term
            }
        });
        self.harness.log(|| format!("{name} crashes"));
        if !self.harness.in_cluster {
            // The proxies ran in the same process; the state folder stays.
            self.persistent = Persistent {
                rotations: self.persistent.rotations.clone(),
                orphans: self.persistent.orphans.clone(),
                clock: self.persistent.clock.clone(),
                entropy: self.persistent.entropy.clone(),
                ..Persistent::default()
            };
            for (gateway, _) in self.harness.our_tunnels() {
                self.harness.close_connections(&gateway);
            }
        }
        self.processes[who] = Process::start(&name, &self.harness, &self.persistent, term);
        self.processes[who].see(&self.cluster_model);
    }

    /// Leadership ends, or another process gets it; with `two_leaders` perhaps before the first one has lost it.
    fn change_leader(&mut self) {
        let to = self.random.below(self.processes.len());
        let overlap = self.harness.faults.two_leaders && self.random.chance(60);
        let others = |index: usize| index != to;
        for (index, process) in self.processes.iter_mut().enumerate() {
            if others(index) && !overlap {
                process.leadership.set(None);
                if !self.harness.faults.two_leaders {
                    process.drain();
                }
            }
        }
        self.terms += 1;
        let term = self.random.chance(80).then_some(self.terms);
        self.processes[to].leadership.set(term);
        if !self.harness.faults.two_leaders && term.is_some() {
            self.processes[to].drain();
        }
        let line = format!(
            "{} leads in {term:?}, overlap {overlap}",
            self.processes[to].actor.name
        );
        self.harness.log(|| line);
    }

    /// The faults stop: everything must be as expected within [`CONVERGED_WITHIN`] passes, and stay.
    fn end(&mut self) {
        self.harness.log(|| "faults stop".to_owned());
        self.harness.stop_faults();
        self.cluster_model.repair();
        let stays = self.random.below(self.processes.len());
        for (index, process) in self.processes.iter_mut().enumerate() {
            if index != stays {
                process.leadership.set(None);
            }
            process.drain();
        }
        let process = &mut self.processes[stays];
        if self.harness.in_cluster {
            self.terms += 1;
            process.leadership.set(Some(self.terms));
        }
        process.view = View::Whole;
        // Past every interval, so that the first of the passes is a comparison for all.
        let clock = &self.persistent.clock;
        clock.set(Timestamp(clock.now().0 + 1_000));
        for pass in 0..CONVERGED_WITHIN {
            self.cluster_model
                .remove_deleted(&self.persistent.finalizer.gateways());
            process.see(&self.cluster_model);
            process.whole_pass(pass == 0);
        }
        self.cluster_model
            .remove_deleted(&self.persistent.finalizer.gateways());
        let expected = Expected::of(&self.cluster_model.snapshot(&View::Whole));
        self.harness.log(|| format!("expected: {expected:?}"));
        check_end(&self.harness, &expected, &process.actor);
        self.harness.check();
        self.harness
            .check_targets(&self.harness.cloudflare.tunnels());
        process.see(&self.cluster_model);
        self.harness.cloudflare.forget_calls();
        let report = process.whole_pass(true);
        let writes = self.harness.cloudflare.writes();
        self.harness.require(writes == 0, || {
            format!("a pass over what is right made {writes} writes")
        });
        let settled = report.is_some_and(|report| report.settled && report.removed.is_empty());
        self.harness.require(settled, || {
            "a pass over what is right is not settled".to_owned()
        });
    }
}
