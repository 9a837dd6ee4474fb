use proptest::prelude::*;

use super::*;

const BUDGET: Budget = Budget(600);

fn cluster(name: impl std::fmt::Display) -> ClusterName {
    ClusterName::parse(&format!("c{name}")).unwrap()
}

fn account() -> AccountName {
    AccountName::parse("main").unwrap()
}

/// So many calls of each cluster.
fn calls(of: &[(usize, u64)]) -> Spent {
    let calls = of
        .iter()
        .map(|(number, calls)| ((account(), cluster(number)), *calls));
    Spent {
        budget: BUDGET,
        calls: calls.collect(),
        ..Spent::default()
    }
}

fn spending(of: &[(usize, u64)]) -> Spending {
    let mut spending = Spending::default();
    spending.add(&account(), &calls(of), Timestamp(0));
    spending
}

fn level(spending: &Spending, now: i64) -> Level {
    spending.clone().level(BUDGET, Timestamp(now), [])
}

/// Calls that clusters have spent, and for which priorities the first one may begin something.
type Case = (&'static [(usize, u64)], [bool; 3]);

#[test]
fn a_cluster_begins_while_it_has_spent_less_than_is_left() {
    use Priority::{Publish, Repair, Withdraw};
    // 300 calls can be spent at once; 37.5 and 75 of these are kept from what is less urgent.
    let table: &[Case] = &[
        (&[], [true, true, true]),
        (&[(1, 112)], [true, true, true]),
        (&[(1, 113)], [true, true, false]),
        (&[(1, 131)], [true, true, false]),
        (&[(1, 132)], [true, false, false]),
        (&[(1, 149)], [true, false, false]),
        (&[(1, 150)], [false, false, false]),
        (&[(1, 99), (2, 99)], [true, false, false]),
        (&[(2, 150)], [true, true, true]),
        (&[(2, 230)], [true, true, false]),
        (&[(2, 300)], [false, false, false]),
    ];
    for (spent, expected) in table {
        let level = level(&spending(spent), 0);
        let admitted = [Withdraw, Publish, Repair].map(|it| level.admit(&cluster(1), it).is_ok());
        assert_eq!(admitted, *expected, "{spent:?}");
    }
}

#[test]
fn what_was_spent_comes_back_evenly_and_to_all_alike() {
    // One call comes back in a second.
    let before = spending(&[(1, 10), (2, 100), (3, 100)]);
    for (after, expected) in [
        (0, [10, 100, 100]),
        (15, [5, 95, 95]),
        (30, [0, 90, 90]),
        (90, [0, 60, 60]),
        (210, [0, 0, 0]),
    ] {
        let level = level(&before, after);
        let spent = [1, 2, 3].map(|number| level.spent_by(&cluster(number)) / CALL);
        assert_eq!(spent, expected, "{after}");
    }
    let mut over = before;
    over.add(&account(), &calls(&[]), Timestamp(210));
    assert!(over.is_over(Timestamp(210)));
}

#[test]
fn what_is_under_way_counts_before_it_is_known_what_it_cost() {
    let (one, none) = (cluster(1), Spending::default());
    for (under_way, is_admitted) in [(0, true), (16, true), (17, false)] {
        let level = none
            .clone()
            .level(BUDGET, Timestamp(0), [(&one, under_way)]);
        let admitted = level.admit(&one, Priority::Publish).is_ok();
        assert_eq!(admitted, is_admitted, "{under_way}");
    }
}

#[test]
fn a_pause_stops_everybody_and_a_shorter_one_ends_none() {
    let mut spending = Spending::default();
    for until in [60, 30] {
        let paused = Spent {
            paused: [(account(), Timestamp(until))].into(),
            ..Spent::default()
        };
        spending.add(&account(), &paused, Timestamp(0));
    }
    for (now, expected) in [(0, Err(60)), (59, Err(1)), (60, Ok(()))] {
        let level = level(&spending, now);
        let expected = expected.map_err(Duration::from_secs);
        assert_eq!(level.admit(&cluster(1), Priority::Withdraw), expected);
        assert_eq!(level.share(&cluster(1), Priority::Withdraw), Ok(()));
        assert_eq!(spending.is_over(Timestamp(now)), expected.is_ok());
    }
}

#[test]
fn whoever_waits_as_long_as_was_said_is_admitted() {
    for spent in [&[(1, 200)][..], &[(2, 300)], &[(1, 90), (2, 400)]] {
        let spending = spending(spent);
        let wait = level(&spending, 0).admit(&cluster(1), Priority::Publish);
        let wait = wait.unwrap_err().as_secs().try_into().unwrap();
        let later = level(&spending, wait);
        assert_eq!(later.admit(&cluster(1), Priority::Publish), Ok(()));
    }
}

#[test]
fn the_smallest_budget_lets_something_begin() {
    for calls in [0, 1, 2, 10] {
        let level = Spending::default().level(Budget(calls), Timestamp(0), []);
        assert_eq!(
            level.admit(&cluster(1), Priority::Repair),
            Ok(()),
            "{calls}"
        );
    }
}

/// Clusters begin whatever they may at every second, at this cost for one piece of work. How many calls each made.
fn greedy(costs: &[u64], seconds: i64) -> Vec<u64> {
    let (mut spending, mut made) = (Spending::default(), vec![0; costs.len()]);
    for now in 0..seconds {
        for (number, cost) in costs.iter().enumerate() {
            while level(&spending, now)
                .admit(&cluster(number), Priority::Publish)
                .is_ok()
            {
                spending.add(&account(), &calls(&[(number, *cost)]), Timestamp(now));
                made[number] += cost;
            }
        }
    }
    made
}

proptest! {
    // An hour, second by second: each case takes as long as ten of the next test.
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn all_that_want_as_much_as_they_can_get_get_the_same(
        costs in proptest::collection::vec(1u64..12, 2..12),
    ) {
        let made = greedy(&costs, 3000);
        let (least, most) = (made.iter().min().unwrap(), made.iter().max().unwrap());
        // The first burst goes to whoever comes first.
        prop_assert!(most - least <= 150 + 2 * 12, "{made:?}");
        let all: u64 = made.iter().sum();
        // A tenth is what nobody may take: it waits for one more cluster, and for removals.
        prop_assert!((2900..=3000 + 300 + 12 * 12).contains(&all), "{all}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn one_noisy_cluster_of_ten_takes_nothing_from_those_that_keep_within_their_part(
        starts in proptest::collection::vec(0i64..120, 9),
        noise in 1u64..12,
        urgency in 0..3usize,
    ) {
        let urgency = [Priority::Withdraw, Priority::Publish, Priority::Repair][urgency];
        let mut spending = Spending::default();
        for now in 0..1200 {
            while level(&spending, now).admit(&cluster(9), urgency).is_ok() {
                spending.add(&account(), &calls(&[(9, noise)]), Timestamp(now));
            }
            for (number, start) in starts.iter().enumerate() {
                if now % 120 == *start {
                    let admitted = level(&spending, now).admit(&cluster(number), Priority::Publish);
                    prop_assert_eq!(admitted, Ok(()), "cluster {} at {}", number, now);
                    spending.add(&account(), &calls(&[(number, EXPECTED)]), Timestamp(now));
                }
            }
        }
    }
}
