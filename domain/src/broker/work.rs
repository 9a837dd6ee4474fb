//! What is to be done for Gateways: at most one piece of work for each, which makes true what was stated last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::budget::{Budget, Level, Spending};
use super::held::{Errands, Held, Wanted};
use super::names::{AccountName, ClusterName};
use crate::names::{ObjectKey, Timestamp};

/// What comes first where not all can be done at once ([`Queue::next`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Something is to be taken away, or a token is to stop working.
    Withdraw,
    Publish,
    /// Nothing was stated anew: whether others changed something is to be seen.
    Repair,
}

impl Priority {
    /// Of what a Gateway has to be done.
    pub fn of(held: &Held) -> Self {
        let errands = &held.errands;
        match (&held.wanted, held.is_settled()) {
            (Wanted::Gone, _) | (Wanted::Tunnel, false) => Self::Withdraw,
            _ if *errands != Errands::default() => Self::Withdraw,
            (_, true) => Self::Repair,
            (_, false) => Self::Publish,
        }
    }
}

/// A piece of work that a broker took. Nobody else takes it until its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub cluster: ClusterName,
    pub gateway: ObjectKey,
    /// How often it was tried in vain.
    pub attempts: u32,
    pub holder: Holder,
    /// The Gateway as it was when the work was taken, so that no read that is older decides what is done; `None` where nothing is
    /// left of it.
    pub held: Option<Held>,
}

/// Who has a piece of work: a text that nobody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub String);

/// Pieces of work of one cluster that are under way at a time, over all brokers: whatever its account does, others go on.
pub const OF_ONE_CLUSTER: usize = 4;

/// Work of one cluster that is due: all that is of one urgency, for Gateways in the same accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub cluster: ClusterName,
    /// Where the Gateways have their tunnels; empty where that is not decided yet.
    pub accounts: BTreeSet<AccountName>,
    pub priority: Priority,
    /// When the first of it became due.
    pub since: Timestamp,
}

/// Work of one cluster that is under way, for Gateways in the same accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    pub cluster: ClusterName,
    pub accounts: BTreeSet<AccountName>,
    pub number: u64,
}

/// All that counts for what is taken next.
#[derive(Debug)]
pub struct Queue {
    levels: BTreeMap<AccountName, Level>,
    /// The accounts in which each cluster spent something.
    spent: BTreeMap<ClusterName, Vec<AccountName>>,
    /// By cluster, wherever it is.
    under_way: BTreeMap<ClusterName, u64>,
}

impl Queue {
    /// `spending` is that of all accounts in which something was spent.
    pub fn new(
        budget: Budget,
        now: Timestamp,
        mut spending: BTreeMap<AccountName, Spending>,
        under_way: &[UnderWay],
    ) -> Self {
        let mut of_account: BTreeMap<&AccountName, Vec<_>> = BTreeMap::new();
        let mut of_cluster = BTreeMap::new();
        for work in under_way {
            *of_cluster.entry(work.cluster.clone()).or_insert(0) += work.number;
            for account in &work.accounts {
                spending.entry(account.clone()).or_default();
                let here = of_account.entry(account).or_default();
                here.push((&work.cluster, work.number));
            }
        }
        let (mut levels, mut spent) = (BTreeMap::new(), BTreeMap::new());
        for (account, spending) in spending {
            let here = of_account.remove(&account).unwrap_or_default();
            let level = spending.level(budget, now, here);
            for cluster in level.spenders() {
                let accounts: &mut Vec<_> = spent.entry(cluster.clone()).or_default();
                accounts.push(account.clone());
            }
            levels.insert(account, level);
        }
        Self {
            levels,
            spent,
            under_way: of_cluster,
        }
    }

    /// What is taken next, of what the budgets permit: the most urgent; of that, what is of the cluster that has the fewest pieces
    /// of work under way; then of the one that spent least; then what is due longest.
    pub fn next<'d>(&self, due: &'d [Due]) -> Option<&'d Due> {
        let may_begin = due.iter().filter(|due| self.may_begin(due));
        may_begin.min_by_key(|due| {
            let under_way = self.under_way_of(&due.cluster);
            let spent = self.spent_by(&due.cluster);
            (due.priority, under_way, spent, due.since, &due.cluster)
        })
    }

    fn may_begin(&self, due: &Due) -> bool {
        let Due {
            cluster, priority, ..
        } = due;
        if self.under_way_of(cluster) >= OF_ONE_CLUSTER as u64 {
            return false;
        }
        if due.accounts.is_empty() {
            // Wherever it will be, the cluster must not have spent its share already.
            let mut levels = self.levels_of(cluster);
            return levels.all(|level| level.share(cluster, *priority).is_ok());
        }
        // An account that has to wait keeps nothing from what can be done in another one.
        due.accounts.iter().any(|account| {
            let level = self.levels.get(account);
            level.is_none_or(|level| level.admit(cluster, *priority).is_ok())
        })
    }

    fn under_way_of(&self, cluster: &ClusterName) -> u64 {
        self.under_way.get(cluster).copied().unwrap_or_default()
    }

    fn spent_by(&self, cluster: &ClusterName) -> u64 {
        let levels = self.levels_of(cluster);
        levels.map(|level| level.spent_by(cluster)).sum()
    }

    /// Of the accounts in which it spent something.
    fn levels_of(&self, cluster: &ClusterName) -> impl Iterator<Item = &Level> {
        let accounts = self.spent.get(cluster).into_iter().flatten();
        accounts.filter_map(|account| self.levels.get(account))
    }
}

/// How long to wait after so many failed attempts: 1 s, 2 s, 4 s … five minutes; longer where Cloudflare says so.
pub fn again_after(attempts: u32, retry_after: Option<Duration>) -> Duration {
    const LONGEST: Duration = Duration::from_secs(300);
    let doubled = Duration::from_secs(1 << attempts.min(9));
    doubled.min(LONGEST).max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::budget::Spent;
    use super::super::held::{Place, Statement};
    use super::*;
    use crate::edge::{EdgeIntent, EdgeStatus};

    #[test]
    fn what_takes_away_comes_before_what_adds_and_repairs_come_last() {
        let key = ObjectKey::new("default", "one");
        let intent = Statement::Intent(Box::new(EdgeIntent::new(key.clone())));
        let mut settled = Held::new(key);
        settled.state(intent, Place::default(), None).unwrap();
        assert_eq!(Priority::of(&settled), Priority::Publish);
        let none = std::collections::BTreeSet::new();
        settled.finish(1, &none, Ok(EdgeStatus::default()), Timestamp(0));
        assert_eq!(Priority::of(&settled), Priority::Repair);
        for statement in [Statement::Remove, Statement::CloseConnections] {
            let mut held = settled.clone();
            held.state(statement, Place::default(), None).unwrap();
            assert_eq!(Priority::of(&held), Priority::Withdraw);
        }
        assert!([Priority::Withdraw, Priority::Publish, Priority::Repair].is_sorted());
    }

    fn due(cluster: &str, account: &str, priority: Priority, since: i64) -> Due {
        Due {
            cluster: ClusterName::parse(cluster).unwrap(),
            accounts: accounts(account),
            priority,
            since: Timestamp(since),
        }
    }

    fn accounts(names: &str) -> BTreeSet<AccountName> {
        let names = names.split_whitespace();
        names
            .map(|name| AccountName::parse(name).unwrap())
            .collect()
    }

    #[test]
    fn what_is_taken_next_is_urgent_and_of_whoever_has_had_least() {
        use Priority::{Publish, Repair, Withdraw};
        let spent = |of: &[(&str, &str, u64)], paused: &str| {
            let calls = of.iter().map(|(account, cluster, calls)| {
                let account = AccountName::parse(account).unwrap();
                ((account, ClusterName::parse(cluster).unwrap()), *calls)
            });
            let paused = accounts(paused).into_iter();
            Spent {
                calls: calls.collect(),
                paused: paused.map(|name| (name, Timestamp(9))).collect(),
                ..Spent::default()
            }
        };
        let none = || spent(&[], "");
        let busy = spent(&[("one", "east", 150), ("two", "west", 1)], "");
        // Work due, how many pieces `east` and `west` have under way in account `two`, what was spent, and what is next.
        let table = [
            (vec![], [0, 0], none(), None),
            (
                vec![
                    due("east", "one", Repair, 1),
                    due("east", "one", Publish, 2),
                    due("west", "one", Withdraw, 3),
                ],
                [0, 1],
                none(),
                Some(2),
            ),
            (
                vec![
                    due("east", "one", Publish, 1),
                    due("west", "one", Publish, 2),
                ],
                [1, 0],
                none(),
                Some(1),
            ),
            (
                vec![
                    due("west", "one", Publish, 1),
                    due("north", "one", Publish, 2),
                ],
                [0, 0],
                busy.clone(),
                Some(1),
            ),
            (
                vec![
                    due("west", "one", Publish, 2),
                    due("north", "one", Publish, 1),
                ],
                [0, 0],
                none(),
                Some(1),
            ),
            // It has four under way.
            (vec![due("east", "one", Withdraw, 1)], [4, 0], none(), None),
            // It spent its share of that account, and of no other one.
            (
                vec![due("east", "one", Withdraw, 1)],
                [0, 0],
                busy.clone(),
                None,
            ),
            (
                vec![due("east", "two", Publish, 1)],
                [0, 0],
                busy.clone(),
                Some(0),
            ),
            (
                vec![due("east", "one two", Publish, 1)],
                [0, 0],
                busy.clone(),
                Some(0),
            ),
            (vec![due("east", "", Publish, 1)], [0, 0], busy, None),
            // A pause is one account's.
            (
                vec![
                    due("east", "one", Withdraw, 1),
                    due("east", "two", Repair, 2),
                ],
                [0, 0],
                spent(&[], "one"),
                Some(1),
            ),
            (
                vec![due("east", "one two", Publish, 1)],
                [0, 0],
                spent(&[], "one"),
                Some(0),
            ),
            (
                vec![due("east", "", Publish, 1)],
                [0, 0],
                spent(&[], "one"),
                Some(0),
            ),
        ];
        for (due, [east, west], spent, expected) in table {
            let spending = accounts("one two").into_iter().map(|account| {
                let mut spending = Spending::default();
                spending.add(&account, &spent, Timestamp(0));
                (account, spending)
            });
            let under_way = [("east", east), ("west", west)].map(|(cluster, number)| UnderWay {
                cluster: ClusterName::parse(cluster).unwrap(),
                accounts: accounts("two"),
                number,
            });
            let spending = spending.collect();
            let queue = Queue::new(Budget::default(), Timestamp(0), spending, &under_way);
            let expected = expected.map(|index: usize| &due[index]);
            assert_eq!(queue.next(&due), expected, "{due:?}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes_and_is_as_long_as_cloudflare_says() {
        let seconds = Duration::from_secs;
        for (attempts, told, wait) in [
            (0, None, 1),
            (1, None, 2),
            (8, None, 256),
            (9, None, 300),
            (u32::MAX, None, 300),
            (0, Some(17), 17),
            (9, Some(17), 300),
            (0, Some(900), 900),
        ] {
            let found = again_after(attempts, told.map(seconds));
            assert_eq!(found, seconds(wait), "{attempts} {told:?}");
        }
    }
}
