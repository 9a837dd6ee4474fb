//! Thousands of small histories, each of them the work of a seed: a cluster that changes while calls fail,
//! processes crash, two of them lead at once, reads lag, views are incomplete, and other people's records
//! come and go. The domain is real: the passes over the direct edge. Cloudflare and the cluster are the
//! domain's own in-memory fakes, and every call to them is a step that the history may stop at.
//!
//! At every step: no foreign record or tunnel is touched, nothing is deleted that the view in force does not
//! show to be unwanted, nothing is deleted in a zone whose read failed, a tunnel goes after its records, no
//! Gateway has two tunnels, a name resolves only once a proxy knows it. While reads do not lag, one process
//! leads and nobody changes our objects by hand, no record of ours points to a tunnel that is not there.
//!
//! In the end, [`CONVERGED_WITHIN`] passes after the last fault: one tunnel, one proxy and one table for each
//! Gateway, one record for each name, nothing else of ours, and a further pass writes nothing.
//!
//! Time plays no part in a pass: retries and resyncs are the caller's. The clock that creation times come
//! from jumps, because claims go by age.
//!
//! `SIMULATION_HISTORIES` sets how many histories there are, `SIMULATION_SEED` runs a single one and tells
//! all that happened in it.

pub(crate) mod dice;
mod history;
mod judge;
mod ports;
mod stage;
mod town;
mod wishes;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Passes after the last fault until everything is as wished, the first of them a resync.
const CONVERGED_WITHIN: usize = 3;

/// Histories in every run of the tests.
const HISTORIES: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

/// Says all of a history that went wrong.
fn tell(seed: u64) {
    match history::happen(seed, true) {
        Ok(()) => println!("SIMULATION_SEED={seed}: all is right"),
        Err(wrong) => panic!(
            "{}\n\nSIMULATION_SEED={seed}: {}",
            wrong.told.join("\n"),
            wrong.what
        ),
    }
}

/// The first seed whose history goes wrong, of those below `histories`.
fn first_wrong(histories: u64) -> Option<u64> {
    let next = AtomicU64::new(0);
    let wrong = AtomicU64::new(u64::MAX);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= histories || seed > wrong.load(Ordering::Relaxed) {
                        return;
                    }
                    if history::happen(seed, false).is_err() {
                        wrong.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(wrong.into_inner()).filter(|seed| *seed != u64::MAX)
}

#[test]
fn every_history_of_faults_and_crashes_ends_with_exactly_what_is_wished() {
    if let Some(seed) = number("SIMULATION_SEED") {
        return tell(seed);
    }
    let histories = number("SIMULATION_HISTORIES").unwrap_or(HISTORIES);
    let start = Instant::now();
    if let Some(seed) = first_wrong(histories) {
        tell(seed);
    }
    println!("{histories} histories in {:.1?}", start.elapsed());
}
