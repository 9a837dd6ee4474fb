//! Hundreds of histories, each of which follows from a seed: two brokers work on one store for two tenants that want the same
//! hostnames, while calls to Cloudflare and to the store fail before or after their effect, clocks differ by minutes and are set,
//! brokers stand still for longer than another one waits, crash, and begin again. A worker may stop before every call. The work
//! is the real one (`pass::carry_out` over the direct edge), so are the store (SQLite), the time of the store that brokers go by,
//! and the hold that ends their writes. Cloudflare is the domain's fake. What an engine does when is done here as it does it, on
//! a clock that is told.
//!
//! The rules are in `rules.rs`. That they find what is wrong is shown by faults that are planted (`Planted`).
//!
//! `BROKER_HISTORIES` sets how many histories there are; `BROKER_SEED` runs a single one and prints each step of it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod brokers;
mod clusters;
mod harness;
mod history;
#[path = "../../../../tests/suite/simulation/random.rs"]
#[allow(dead_code, reason = "it is shared")]
mod random;
mod rules;
mod store;

use harness::Planted;
use rules::Rule;

/// Histories in every run of the tests.
const HISTORIES: u64 = 12;

/// Histories within which each planted fault is found.
const MOST_HISTORIES: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn two_brokers_of_one_store_lose_nothing_and_go_back_nowhere_whatever_clocks_show() {
    let one = number("BROKER_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("BROKER_HISTORIES").unwrap_or(HISTORIES),
    };
    let mut steps = 0;
    for seed in seeds {
        let ran = history::run(seed, None);
        steps += ran.steps;
        if let Some((rule, what)) = ran.failure {
            panic!(
                "{}\n\nBROKER_SEED={seed}: {rule:?}: {what}",
                ran.log.join("\n")
            );
        }
        if one.is_some() {
            println!("{}", ran.log.join("\n"));
        }
    }
    println!("{steps} steps");
}

#[test]
fn what_is_planted_in_a_broker_or_its_store_is_found_by_a_rule() {
    for (planted, from, rules) in [
        (
            Planted::FinishIsNotFenced,
            0,
            &[
                Rule::ConvergesAndStays,
                Rule::KeepsWhatWasStated,
                Rule::FinishesOnlyWhatItHas,
            ][..],
        ),
        (Planted::OwnClock, 0, &[Rule::TakesOnlyWhatIsFree]),
        (
            Planted::ClaimsWithoutTheLock,
            0,
            &[Rule::OneClusterForAName],
        ),
        // None of the histories before that one shows it.
        (Planted::WritesWithoutAHold, 25, &[Rule::NeverGoesBack]),
        (Planted::ReadsAStandby, 0, &[Rule::NeverGoesBack]),
        (
            Planted::AnswersBeforeItWrites,
            0,
            &[Rule::KeepsWhatWasStated],
        ),
    ] {
        let found = (from..from + MOST_HISTORIES).find_map(|seed| {
            let failure = history::run(seed, Some(planted)).failure;
            failure.map(|(rule, what)| (seed, rule, what))
        });
        let (seed, rule, what) = found.unwrap_or_else(|| panic!("{planted:?} is not found"));
        println!("{planted:?}: seed {seed}: {rule:?}: {what}");
        assert!(rules.contains(&rule), "{planted:?}: {rule:?}: {what}");
    }
}
