//! The calls of Cloudflare's API that all clusters of an account share, and which of them may begin something.
//!
//! Cloudflare counts the calls of five minutes, and where they are too many it refuses all of them for up to five minutes
//! (developers.cloudflare.com/fundamentals/api/reference/limits). So what one cluster spends, the others lack.
//!
//! Half of a budget can be spent at once. What was spent comes back evenly, the other half in five minutes, and each cluster
//! that has spent something gets as much of it back as every other one. A cluster may begin something while it has spent less
//! than is left for all: one alone gets a half of what can be spent at once, two get a third each, and something is always
//! left for the next one that comes. Of what is left a part is kept for what is more urgent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::names::{AccountName, ClusterName};
use super::work::Priority;
use crate::error::{PortError, PortErrorKind};
use crate::names::Timestamp;

/// The time over which Cloudflare counts, in seconds.
const WINDOW: u64 = 300;

/// One call, in the thousandths that are reckoned with.
const CALL: u64 = 1000;

/// Calls that a piece of work is expected to cost. While it is under way, so many count as spent.
pub const EXPECTED: u64 = 8;

/// Calls of one account in five minutes, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(u32);

impl Budget {
    /// So many calls in five minutes.
    pub fn new(calls: u32) -> Self {
        Self(calls)
    }

    /// What can be spent at once, in thousandths.
    fn at_once(self) -> u64 {
        u64::from(self.0.max(1)) * CALL / 2
    }

    /// What comes back in so many seconds, in thousandths.
    fn back_in(self, seconds: u64) -> u64 {
        self.at_once().saturating_mul(seconds) / WINDOW
    }

    /// What is kept for what is more urgent, in thousandths.
    fn kept_from(self, priority: Priority) -> u64 {
        match priority {
            Priority::Withdraw => 0,
            Priority::Publish => self.at_once() / 8,
            Priority::Repair => self.at_once() / 4,
        }
    }
}

/// Half of what Cloudflare allows.
impl Default for Budget {
    fn default() -> Self {
        Self(600)
    }
}

/// What clusters have spent of the budget of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Spending {
    /// When it was reckoned.
    at: Timestamp,
    /// What has not come back yet, in thousandths of a call.
    spent: BTreeMap<ClusterName, u64>,
    /// Until then Cloudflare wants no call.
    paused_until: Timestamp,
}

/// What was spent since it was written down last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spent {
    pub budget: Budget,
    pub calls: BTreeMap<(AccountName, ClusterName), u64>,
    /// Accounts in which Cloudflare wants no call until then.
    pub paused: BTreeMap<AccountName, Timestamp>,
}

impl Spent {
    /// Whether there is nothing to write down.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.paused.is_empty()
    }

    /// The accounts that it is about.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountName> {
        let spent = self.calls.keys().map(|(account, _)| account);
        let all: BTreeSet<_> = spent.chain(self.paused.keys()).collect();
        all.into_iter()
    }
}

impl Spending {
    /// Adds what was spent in this account.
    pub fn add(&mut self, account: &AccountName, spent: &Spent, now: Timestamp) {
        self.reckon(spent.budget, now);
        for ((of, cluster), calls) in &spent.calls {
            if of == account {
                *self.spent.entry(cluster.clone()).or_default() += calls * CALL;
            }
        }
        if let Some(until) = spent.paused.get(account) {
            self.paused_until = self.paused_until.max(*until);
        }
    }

    /// Whether nothing would be lost if it were forgotten.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.spent.is_empty() && self.paused_until <= now
    }

    /// For how long Cloudflare wants no call.
    pub fn pause(&self, now: Timestamp) -> Option<Duration> {
        seconds(now, self.paused_until)
    }

    /// Gives back what has come back since: all that spent something get the same, as far as they spent that much.
    fn reckon(&mut self, budget: Budget, now: Timestamp) {
        let since = seconds(self.at, now).unwrap_or_default();
        self.at = self.at.max(now);
        let mut back = budget.back_in(since.as_secs());
        while !self.spent.is_empty() {
            let each = back / self.spent.len() as u64;
            let before = self.spent.len();
            for spent in self.spent.values_mut() {
                let given = each.min(*spent);
                *spent -= given;
                back -= given;
            }
            self.spent.retain(|_, spent| *spent > 0);
            if self.spent.len() == before {
                return;
            }
        }
    }

    /// How an account stands. `under_way`: how many pieces of work each cluster has under way there.
    pub fn level<'c>(
        mut self,
        budget: Budget,
        now: Timestamp,
        under_way: impl IntoIterator<Item = (&'c ClusterName, u64)>,
    ) -> Level {
        self.reckon(budget, now);
        for (cluster, number) in under_way {
            let expected = number * EXPECTED * CALL;
            *self.spent.entry(cluster.clone()).or_default() += expected;
        }
        Level {
            budget,
            pause: self.pause(now),
            total: self.spent.values().sum(),
            spent: self.spent,
        }
    }
}

/// How an account stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    budget: Budget,
    pause: Option<Duration>,
    /// In thousandths of a call, what is expected for work under way among it.
    spent: BTreeMap<ClusterName, u64>,
    total: u64,
}

impl Level {
    /// Whether a cluster may begin something now, or how long it waits at least.
    pub fn admit(&self, cluster: &ClusterName, priority: Priority) -> Result<(), Duration> {
        match self.pause {
            Some(pause) => Err(pause),
            None => self.share(cluster, priority),
        }
    }

    /// The same, whether Cloudflare wants calls now or not.
    pub fn share(&self, cluster: &ClusterName, priority: Priority) -> Result<(), Duration> {
        let taken = self.spent_by(cluster) + self.budget.kept_from(priority) + self.total;
        match taken.checked_sub(self.budget.at_once()) {
            None => Ok(()),
            Some(over) => {
                let a_second = self.budget.back_in(1).max(1);
                Err(Duration::from_secs(over / a_second + 1))
            }
        }
    }

    /// The clusters that have spent something.
    pub fn spenders(&self) -> impl Iterator<Item = &ClusterName> {
        self.spent.keys()
    }

    /// What a cluster has spent, in thousandths of a call.
    pub fn spent_by(&self, cluster: &ClusterName) -> u64 {
        self.spent.get(cluster).copied().unwrap_or_default()
    }
}

/// Told to a cluster that has to wait so long until it may begin something.
pub fn spent_share(wait: Duration) -> PortError {
    let message = "the cluster has made more calls of Cloudflare than its share is; they go on after the pause";
    PortError {
        retry_after: Some(wait),
        ..PortError::new(PortErrorKind::RateLimited, message)
    }
}

/// The time between two moments; `None` where the second one is not later.
fn seconds(from: Timestamp, to: Timestamp) -> Option<Duration> {
    let seconds = u64::try_from(to.0.saturating_sub(from.0)).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
