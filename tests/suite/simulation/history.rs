//! One history: everything that happens follows from its seed.

use std::sync::Arc;

use super::CONVERGED_WITHIN;
use super::cluster::Cluster;
use super::harness::Harness;
use super::installations::ClusterId;
use super::planted::Planted;
use super::random::Random;
use super::rules::Rule;

/// Of 100 histories, how many have two clusters.
const WITH_TWO_CLUSTERS: usize = 20;

/// An hour passes in a history with two clusters, as each of its steps takes this long.
const STEPS_OF_AN_HOUR: usize = 240;
const SECONDS_OF_A_STEP: i64 = 15;

/// A history that broke a rule: which one, and all its steps where they were kept.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) rule: Rule,
    pub(crate) what: String,
    pub(crate) log: Vec<String>,
}

/// A history that was run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) steps: u64,
    pub(crate) failure: Option<Failure>,
}

struct History {
    random: Random,
    harness: Arc<Harness>,
    /// One, or two with one account.
    clusters: Vec<Cluster>,
}

/// Runs the history of a seed, with a fault of the product that is planted.
pub(crate) fn run(seed: u64, keeps_log: bool, planted: Option<Planted>) -> Ran {
    let mut random = Random::new(seed);
    let harness = Harness::new(&mut random, keeps_log, planted);
    harness.log(|| format!("in a cluster: {}; {:?}", harness.in_cluster, harness.faults));
    let mut clusters = vec![ClusterId::First];
    if random.chance(WITH_TWO_CLUSTERS) {
        clusters.push(*random.pick(&[ClusterId::Stranger, ClusterId::Namesake]));
    }
    let clusters = clusters.into_iter().map(|id| Cluster::new(id, &harness));
    let mut history = History {
        clusters: clusters.collect(),
        random,
        harness: harness.clone(),
    };
    history.run();
    let failure = harness.first_failure();
    Ran {
        steps: harness.steps(),
        failure: failure.map(|(rule, what)| Failure {
            rule,
            what,
            log: harness.take_log(),
        }),
    }
}

impl History {
    fn run(&mut self) {
        for cluster in &mut self.clusters {
            for _ in 0..4 {
                cluster.edit(&mut self.random);
            }
            cluster.deliver_to_all();
        }
        for _ in 0..self.length() {
            self.next_event();
            self.harness.check_after_writes();
            if self.harness.first_failure().is_some() {
                return;
            }
        }
        self.end();
    }

    fn has_two_clusters(&self) -> bool {
        self.clusters.len() > 1
    }

    fn length(&mut self) -> usize {
        let least = match self.has_two_clusters() {
            true => STEPS_OF_AN_HOUR,
            false => 30,
        };
        least + self.random.below(80)
    }

    fn next_event(&mut self) {
        self.harness.step();
        if self.has_two_clusters() {
            self.harness.let_time_pass(SECONDS_OF_A_STEP);
        }
        let faults = self.harness.faults;
        let which = self.random.below(self.clusters.len());
        let quiet = self.clusters.iter().all(Cluster::is_quiet);
        let (cluster, random) = (&mut self.clusters[which], &mut self.random);
        match random.below(100) {
            0..=5 => {
                cluster.edit(random);
                // Most changes are seen at once.
                if random.chance(70) {
                    cluster.deliver_to_all();
                }
            }
            6..=10 => cluster.deliver(random),
            11 | 12 if faults.incomplete_views => cluster.change_view(random),
            13 | 14 if faults.foreign_records => self.harness.change_foreign_records(random),
            15 | 16 if faults.manual_edits => cluster.edit_by_hand(random, quiet),
            17 | 18 if faults.crashes => cluster.crash(random),
            19 | 20 if self.harness.in_cluster => cluster.change_leader(random),
            21 | 22 if faults.lag => self.lag(),
            23 => self.let_time_pass(),
            _ => cluster.step(random),
        }
    }

    fn lag(&mut self) {
        let calls = *self.random.pick(&[0, 3, 8]);
        self.harness.log(|| format!("reads lag by {calls} calls"));
        self.harness.cloudflare.lag(calls);
    }

    /// Past the next comparison of a Gateway with an interval of its own, now and then past a rotation by schedule.
    fn let_time_pass(&mut self) {
        let seconds = *self.random.pick(&[1_000, 1_000, 1_000, 600_000]);
        self.harness.let_time_pass(seconds);
        self.harness.log(|| format!("{seconds} seconds pass"));
    }

    /// The faults stop: everything must be as expected within [`CONVERGED_WITHIN`] passes, and stay. What one cluster
    /// lets go, the other finds at its next resync.
    fn end(&mut self) {
        self.harness.log(|| "faults stop".to_owned());
        self.harness.stop_faults();
        for cluster in &mut self.clusters {
            cluster.repair(&mut self.random);
        }
        let rounds = self.clusters.len() + usize::from(self.harness.faults.moves);
        for _ in 0..rounds {
            // Past every interval, so that the first of the passes is a comparison for all.
            self.harness.let_time_pass(1_000);
            for pass in 0..CONVERGED_WITHIN {
                for cluster in &mut self.clusters {
                    cluster.converge(pass == 0);
                }
            }
            for cluster in &mut self.clusters {
                cluster.confirm();
                cluster.converge(false);
            }
        }
        for cluster in &self.clusters {
            cluster.check_end();
        }
        self.harness.check();
        for cluster in &mut self.clusters {
            cluster.check_rest();
        }
    }
}
