//! Thousands of histories, each of which follows from a seed: a cluster changes while calls fail, processes crash, two
//! processes lead at once, reads lag, snapshots are incomplete, foreign records are added and removed, and Gateways
//! move between two accounts. In every fifth an hour passes, and a second cluster has Gateways and hostnames of the same
//! names in the same account: one of another installation, or another instance that was given the same name. The domain
//! is the real one: the passes over the direct edge. Cloudflare and the cluster are the domain's own in-memory fakes, and
//! the history may stop before every call to them. Users answer what statuses ask of them: they confirm adoptions of
//! foreign records, and removals of many names at once.
//!
//! At every step: no foreign record or tunnel is changed, nor one that the other cluster uses; nothing is deleted unless
//! the snapshot in force shows that it is not wanted; nothing is changed in a zone whose read failed; a tunnel is deleted
//! after its records; no Gateway has two tunnels; a name resolves only after a proxy has its table. While reads do not
//! lag, one process leads and our objects are not edited by hand: each record of ours points to a tunnel that exists.
//! All rules are in `rules.rs`.
//!
//! In the end, [`CONVERGED_WITHIN`] passes after the last fault and one after users have confirmed the removals that are
//! held back: one tunnel, one proxy and one table for each Gateway, one record for each name, nothing else of ours, and
//! a further pass writes nothing. Two clusters do so twice, as one finds at its next resync what the other let go; where
//! Gateways move it is once more.
//!
//! That these rules find what is wrong is shown by faults that are planted (`planted.rs`). `orders.rs` enumerates the
//! orders in which what a Gateway needs can go away while the Gateway is deleted.
//!
//! A pass does not depend on time: its caller decides when to retry and to resync. The clock of creation
//! times jumps, because the older claim wins.
//!
//! A step is something that happens, or a process that runs up to its next call. `SIMULATION_STEPS` sets the number of
//! steps after which no further history begins; `SIMULATION_SEED` runs a single history and prints each step of it.

mod checks;
mod cluster;
mod cluster_model;
mod ends;
mod expected;
mod faults;
mod hands;
mod harness;
mod history;
mod installations;
mod objects;
mod orders;
mod planted;
mod planted_api;
mod ports;
mod process;
pub(crate) mod random;
mod rules;
mod told;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use planted::Planted;

/// Passes after the last fault until everything is as expected, the first of them a resync.
const CONVERGED_WITHIN: usize = 3;

/// Steps in every run of the tests.
const STEPS: u64 = 1_000_000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

/// Runs the history of one seed and prints all of it where a rule was broken.
fn show(seed: u64) {
    match history::run(seed, true, None).failure {
        None => println!("SIMULATION_SEED={seed}: no rule was broken"),
        Some(failure) => panic!(
            "{}\n\nSIMULATION_SEED={seed}: {:?}: {}",
            failure.log.join("\n"),
            failure.rule,
            failure.what
        ),
    }
}

/// What many histories came to.
struct Search {
    histories: u64,
    steps: u64,
    /// The smallest seed whose history broke a rule.
    failed: Option<u64>,
}

/// Runs the histories of the seeds from 0 on until so many steps were taken or so many histories run, or a rule is
/// broken.
fn search(most_steps: u64, most_histories: u64, planted: Option<Planted>) -> Search {
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicU64::new(u64::MAX);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while steps.load(Ordering::Relaxed) < most_steps {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= most_histories || seed > failed.load(Ordering::Relaxed) {
                return;
            }
            let ran = history::run(seed, false, planted);
            steps.fetch_add(ran.steps, Ordering::Relaxed);
            if ran.failure.is_some() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    Search {
        histories: next.into_inner(),
        steps: steps.into_inner(),
        failed: Some(failed.into_inner()).filter(|seed| *seed != u64::MAX),
    }
}

#[test]
fn every_history_of_faults_and_crashes_ends_with_exactly_what_is_expected() {
    if let Some(seed) = number("SIMULATION_SEED") {
        return show(seed);
    }
    let start = Instant::now();
    let done = search(number("SIMULATION_STEPS").unwrap_or(STEPS), u64::MAX, None);
    if let Some(seed) = done.failed {
        show(seed);
    }
    let Search {
        histories, steps, ..
    } = done;
    println!(
        "{histories} histories, {steps} steps in {:.1?}",
        start.elapsed()
    );
}
