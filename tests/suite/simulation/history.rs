//! One history: everything that happens follows from its seed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use domain::edge::direct::DirectEdge;
use domain::gateway::CONTROLLER_NAME;
use domain::reconcile::{EdgePassReport, Ports, Reconciler};
use domain::testing::{FakeCluster, FakeDataPlane, FixedEntropy, FixedLeadership};

use super::CONVERGED_WITHIN;
use super::dice::Dice;
use super::judge::judge_end;
use super::ports::{Actor, Port};
use super::stage::{INSTALLATION, Stage, Surroundings};
use super::town::{Sight, Town};
use super::wishes::Wishes;

type Pass = Pin<Box<dyn Future<Output = Option<EdgePassReport>> + Send>>;

/// More polls than any pass of a small world takes.
const LONGEST_PASS: usize = 2_000;

/// A controller that runs. Dropping it is a crash.
struct Process {
    actor: Arc<Actor>,
    leadership: Arc<FixedLeadership>,
    reconciler: Arc<Reconciler>,
    sight: Sight,
    route_pass: Option<Pass>,
    edge_pass: Option<Pass>,
}

impl Process {
    fn start(name: &str, stage: &Arc<Stage>, around: &Surroundings, term: Option<u64>) -> Self {
        let actor = Arc::new(Actor {
            name: name.to_owned(),
            stage: stage.clone(),
            cluster: FakeCluster::default(),
            data_plane: FakeDataPlane::default(),
            around: around.clone(),
            notes: Default::default(),
        });
        let port = || Arc::new(Port(actor.clone()));
        let leadership = Arc::new(FixedLeadership::default());
        leadership.set(term);
        let edge = DirectEdge::new(
            port(),
            port(),
            Arc::new(FixedEntropy::default()),
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
        };
        Self {
            reconciler: Arc::new(Reconciler::new(ports, CONTROLLER_NAME)),
            actor,
            leadership,
            sight: Sight::Whole,
            route_pass: None,
            edge_pass: None,
        }
    }

    fn see(&self, town: &Town) {
        self.actor.cluster.show(town.snapshot(&self.sight));
    }

    fn begin_route_pass(&mut self) {
        let actor = self.actor.clone();
        let reconciler = self.reconciler.clone();
        self.route_pass = Some(Box::pin(async move {
            reconciler.route_pass().await;
            actor.put_in_force();
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

    /// Goes on to the next call, in one of the passes.
    fn step(&mut self, dice: &mut Dice) {
        if dice.chance(35) {
            if self.route_pass.is_some() {
                advance(&mut self.route_pass);
            } else if dice.chance(50) {
                self.begin_route_pass();
            }
        } else if self.edge_pass.is_some() {
            advance(&mut self.edge_pass);
        } else {
            self.begin_edge_pass(dice.chance(25));
        }
    }

    /// Brings both passes to their end.
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
            self.actor.stage.check_after_writes();
        }
        let name = &self.actor.name;
        self.actor
            .stage
            .wrong(format!("a pass of {name} does not end"));
        None
    }

    fn whole_pass(&mut self, resync: bool) -> Option<EdgePassReport> {
        self.begin_route_pass();
        self.drain();
        self.begin_edge_pass(resync);
        let edge_pass = self.edge_pass.take()?;
        let report = self.finish(edge_pass);
        self.actor.stage.tell(|| format!(" {report:?}"));
        report
    }
}

fn poll(pass: &mut Pass) -> Poll<Option<EdgePassReport>> {
    let mut context = Context::from_waker(Waker::noop());
    pass.as_mut().poll(&mut context)
}

/// To the next call of a pass that is under way, or to its end.
fn advance(pass: &mut Option<Pass>) {
    if pass.as_mut().is_some_and(|pass| poll(pass).is_ready()) {
        *pass = None;
    }
}

/// What came of a history that went wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) told: Vec<String>,
}

struct History {
    dice: Dice,
    stage: Arc<Stage>,
    town: Town,
    around: Surroundings,
    processes: Vec<Process>,
    /// Terms given so far.
    terms: u64,
}

/// Lets the history of a seed happen.
pub(crate) fn happen(seed: u64, telling: bool) -> Result<(), Wrong> {
    let mut dice = Dice::new(seed);
    let stage = Stage::new(&mut dice, telling);
    stage.tell(|| format!("in a cluster: {}; {:?}", stage.in_cluster, stage.trouble));
    let around = Surroundings::default();
    let mut processes = vec![Process::start("first", &stage, &around, Some(1))];
    if stage.in_cluster {
        processes.push(Process::start("second", &stage, &around, None));
    }
    let mut history = History {
        town: Town::new(stage.in_cluster),
        dice,
        stage: stage.clone(),
        around,
        processes,
        terms: 1,
    };
    history.go_on();
    match stage.first_wrong() {
        None => Ok(()),
        Some(what) => Err(Wrong {
            what,
            told: stage.told(),
        }),
    }
}

impl History {
    fn go_on(&mut self) {
        for _ in 0..4 {
            self.edit();
        }
        self.deliver_to_all();
        for _ in 0..30 + self.dice.below(80) {
            self.happening();
            self.stage.check_after_writes();
            if self.stage.first_wrong().is_some() {
                return;
            }
        }
        self.end();
    }

    fn happening(&mut self) {
        let trouble = self.stage.trouble;
        match self.dice.below(100) {
            0..=5 => self.edit(),
            6..=10 => self.deliver(),
            11 | 12 if trouble.poor_sight => self.see_otherwise(),
            13 | 14 if trouble.foreign_records => {
                self.stage.change_foreign_records(&mut self.dice);
            }
            15 | 16 if trouble.meddling => {
                let quiet = self.processes.iter().all(|p| p.edge_pass.is_none());
                self.stage.meddle(&mut self.dice, quiet);
            }
            17 | 18 if trouble.crashes => self.crash(),
            19 | 20 if self.stage.in_cluster => self.change_leader(),
            21 | 22 if trouble.lag => self.lag(),
            _ => {
                let who = self.dice.below(self.processes.len());
                self.processes[who].step(&mut self.dice);
                self.town.let_go(&self.around.finalizer.gateways());
            }
        }
    }

    fn edit(&mut self) {
        let held = self.around.finalizer.gateways();
        let told = self.town.edit(&mut self.dice, &held);
        self.stage.tell(|| told);
        // Most changes are seen at once.
        if self.dice.chance(70) {
            self.deliver_to_all();
        }
    }

    fn deliver(&mut self) {
        let who = self.dice.below(self.processes.len());
        self.processes[who].see(&self.town);
    }

    fn deliver_to_all(&mut self) {
        for process in &self.processes {
            process.see(&self.town);
        }
    }

    fn see_otherwise(&mut self) {
        let who = self.dice.below(self.processes.len());
        let process = &mut self.processes[who];
        process.sight = Sight::draw(&mut self.dice);
        let told = format!("{} sees {:?}", process.actor.name, process.sight);
        self.stage.tell(|| told);
        process.see(&self.town);
    }

    fn lag(&mut self) {
        let calls = *self.dice.pick(&[0, 3, 8]);
        self.stage.tell(|| format!("reads lag by {calls} calls"));
        self.stage.cloudflare.lag(calls);
    }

    /// A process ends where it is, and another takes its place.
    fn crash(&mut self) {
        let who = self.dice.below(self.processes.len());
        let crashed = &self.processes[who];
        let name = crashed.actor.name.clone();
        let term = domain::ports::Leadership::term(&*crashed.leadership);
        let term = term.map(|term| {
            if self.stage.in_cluster {
                self.terms += 1;
                self.terms
            } else {
                term
            }
        });
        self.stage.tell(|| format!("{name} crashes"));
        if !self.stage.in_cluster {
            // Its proxies were a part of it.
            self.around = Surroundings::default();
            for (gateway, _) in self.stage.our_tunnels() {
                self.stage.close_connections(&gateway);
            }
        }
        self.processes[who] = Process::start(&name, &self.stage, &self.around, term);
        self.processes[who].see(&self.town);
    }

    /// Leadership is lost, or goes to another; where the history has two leaders, before the first knows.
    fn change_leader(&mut self) {
        let to = self.dice.below(self.processes.len());
        let overlap = self.stage.trouble.two_leaders && self.dice.chance(60);
        let others = |index: usize| index != to;
        for (index, process) in self.processes.iter_mut().enumerate() {
            if others(index) && !overlap {
                process.leadership.set(None);
                if !self.stage.trouble.two_leaders {
                    process.drain();
                }
            }
        }
        self.terms += 1;
        let term = self.dice.chance(80).then_some(self.terms);
        self.processes[to].leadership.set(term);
        if !self.stage.trouble.two_leaders && term.is_some() {
            self.processes[to].drain();
        }
        let told = format!(
            "{} leads in {term:?}, overlap {overlap}",
            self.processes[to].actor.name
        );
        self.stage.tell(|| told);
    }

    /// All trouble stops: everything must be as wished within [`CONVERGED_WITHIN`] passes, and stay.
    fn end(&mut self) {
        self.stage.tell(|| "all trouble ends".to_owned());
        self.stage.calm();
        self.town.mend();
        let stays = self.dice.below(self.processes.len());
        for (index, process) in self.processes.iter_mut().enumerate() {
            if index != stays {
                process.leadership.set(None);
            }
            process.drain();
        }
        let process = &mut self.processes[stays];
        if self.stage.in_cluster {
            self.terms += 1;
            process.leadership.set(Some(self.terms));
        }
        process.sight = Sight::Whole;
        for pass in 0..CONVERGED_WITHIN {
            self.town.let_go(&self.around.finalizer.gateways());
            process.see(&self.town);
            process.whole_pass(pass == 0);
        }
        self.town.let_go(&self.around.finalizer.gateways());
        let wishes = Wishes::of(&self.town.snapshot(&Sight::Whole));
        self.stage.tell(|| format!("wishes: {wishes:?}"));
        judge_end(&self.stage, &wishes, &process.actor);
        self.stage.check();
        self.stage.check_targets(&self.stage.cloudflare.tunnels());
        process.see(&self.town);
        self.stage.cloudflare.forget_calls();
        let report = process.whole_pass(true);
        let writes = self.stage.cloudflare.writes();
        self.stage.require(writes == 0, || {
            format!("a pass over what is right made {writes} writes")
        });
        let settled = report.is_some_and(|report| report.settled && report.removed.is_empty());
        self.stage.require(settled, || {
            "a pass over what is right is not settled".to_owned()
        });
    }
}
