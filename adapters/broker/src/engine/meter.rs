//! What clusters spend of the accounts' budgets, until it is written down.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use domain::broker::budget::{Budget, Spent};
use domain::broker::{AccountName, ClusterName};
use domain::ports::Clock;
use parking_lot::Mutex;

/// Counts the calls of all clusters in all accounts.
pub struct Meters {
    budget: Budget,
    clock: Arc<dyn Clock>,
    spent: Mutex<Spent>,
}

impl Meters {
    /// Nothing is spent. `budget` is that of each account.
    pub fn new(budget: Budget, clock: Arc<dyn Clock>) -> Self {
        Self {
            budget,
            clock,
            spent: Mutex::default(),
        }
    }

    /// The budget of each account.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// What was spent since this was asked last.
    pub fn spent(&self) -> Spent {
        let spent = std::mem::take(&mut *self.spent.lock());
        Spent {
            budget: self.budget,
            ..spent
        }
    }

    /// The meter of one cluster in one account.
    pub fn of(self: &Arc<Self>, cluster: &ClusterName, account: &AccountName) -> Meter {
        Meter {
            meters: self.clone(),
            key: (account.clone(), cluster.clone()),
        }
    }
}

/// Counts the calls of one cluster in one account.
pub struct Meter {
    meters: Arc<Meters>,
    key: (AccountName, ClusterName),
}

impl Meter {
    /// A call was made. `pause`: for how long Cloudflare wants none in the account.
    pub fn count(&self, pause: Option<Duration>) {
        let now = self.meters.clock.now();
        let mut spent = self.meters.spent.lock();
        *spent.calls.entry(self.key.clone()).or_default() += 1;
        if let Some(pause) = pause {
            let (account, _) = &self.key;
            let until = Timestamp(now.0.saturating_add_unsigned(pause.as_secs()));
            let paused = spent.paused.entry(account.clone()).or_insert(until);
            *paused = until.max(*paused);
        }
    }
}
