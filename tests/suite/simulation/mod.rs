//! Thousands of histories, each of which follows from a seed: a cluster changes while calls fail, processes crash, two
//! processes lead at once, reads lag, snapshots are incomplete, and foreign records are added and removed. In every
//! fifth an hour passes, and a second cluster has Gateways and hostnames of the same names in the same account: one of
//! another installation, or another instance that was given the same name. The domain is the real one: the passes over
//! the direct edge. Cloudflare and the cluster are the domain's own in-memory fakes, and the history may stop before
//! every call to them.
//!
//! At every step: no foreign record or tunnel is changed, nor one that the other cluster uses; nothing is deleted unless
//! the snapshot in force shows that it is not wanted; nothing is changed in a zone whose read failed; a tunnel is deleted
//! after its records; no Gateway has two tunnels; a name resolves only after a proxy has its table. While reads do not
//! lag, one process leads and our objects are not edited by hand: each record of ours points to a tunnel that exists.
//! All rules are in `rules.rs`.
//!
//! In the end, [`CONVERGED_WITHIN`] passes after the last fault: one tunnel, one proxy and one table for each
//! Gateway, one record for each name, nothing else of ours, and a further pass writes nothing. Of two clusters each does
//! so twice, as one finds at its next resync what the other let go.
//!
//! A pass does not depend on time: its caller decides when to retry and to resync. The clock of creation
//! times jumps, because the older claim wins.
//!
//! `SIMULATION_HISTORIES` sets the number of histories; `SIMULATION_SEED` runs a single one and prints each
//! step of it.

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
mod ports;
mod process;
pub(crate) mod random;
mod rules;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Passes after the last fault until everything is as expected, the first of them a resync.
const CONVERGED_WITHIN: usize = 3;

/// Histories in every run of the tests.
const HISTORIES: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

/// Runs the history of one seed and prints all of it where a rule was broken.
fn show(seed: u64) {
    match history::run(seed, true) {
        Ok(()) => println!("SIMULATION_SEED={seed}: no rule was broken"),
        Err(failure) => panic!(
            "{}\n\nSIMULATION_SEED={seed}: {:?}: {}",
            failure.log.join("\n"),
            failure.rule,
            failure.what
        ),
    }
}

/// The smallest seed below `histories` whose history breaks a rule.
fn first_failure(histories: u64) -> Option<u64> {
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= histories || seed > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    if history::run(seed, false).is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

#[test]
fn every_history_of_faults_and_crashes_ends_with_exactly_what_is_expected() {
    if let Some(seed) = number("SIMULATION_SEED") {
        return show(seed);
    }
    let histories = number("SIMULATION_HISTORIES").unwrap_or(HISTORIES);
    let start = Instant::now();
    if let Some(seed) = first_failure(histories) {
        show(seed);
    }
    println!("{histories} histories in {:.1?}", start.elapsed());
}
