//! One budget for each set of credentials.
//!
//! Not for each account: a user may write the id of another's account into a Secret, with an invalid token, and
//! what comes of it must stop nobody else. Cloudflare counts by user and token, so two tokens of one user have a budget
//! each here and one limit there; half of the limit for each leaves room for that.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use domain::secret::CloudflareCredentials;
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use crate::budget::Budget;

/// Budgets that are remembered. Credentials beyond share one, until one of these has nothing to remember.
const BUDGETS: usize = 1024;

pub(crate) struct Budgets {
    requests_per_window: u32,
    /// Keyed at random in each process: the tokens are not kept, and no token can be chosen to share another's
    /// budget.
    hasher: RandomState,
    known: Mutex<HashMap<u64, Arc<Budget>>>,
    beyond: Arc<Budget>,
}

impl Budgets {
    pub(crate) fn new(requests_per_window: u32) -> Self {
        Self {
            requests_per_window,
            hasher: RandomState::new(),
            known: Mutex::default(),
            beyond: Arc::new(Budget::new(requests_per_window)),
        }
    }

    pub(crate) fn requests_per_window(&self) -> u32 {
        self.requests_per_window
    }

    pub(crate) fn of(&self, credentials: &CloudflareCredentials) -> Arc<Budget> {
        let token = credentials.token.expose_secret();
        let key = self.hasher.hash_one((credentials.account.as_str(), token));
        let mut known = self.known.lock();
        if known.len() >= BUDGETS && !known.contains_key(&key) {
            known.retain(|_, budget| !budget.is_idle());
            if known.len() >= BUDGETS {
                return self.beyond.clone();
            }
        }
        let budget = known.entry(key);
        budget
            .or_insert_with(|| Arc::new(Budget::new(self.requests_per_window)))
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use domain::AccountId;

    use super::*;

    fn of(account: &str, token: &str) -> CloudflareCredentials {
        CloudflareCredentials {
            account: AccountId::new(account),
            token: token.to_owned().into(),
        }
    }

    #[tokio::test]
    async fn only_so_many_budgets_are_remembered_and_those_in_use_are_kept() {
        let budgets = Budgets::new(600);
        let ours = budgets.of(&of("acme", "ours"));
        ours.pause(None);
        for i in 0..3 * BUDGETS {
            budgets.of(&of("acme", &format!("idle {i}")));
        }
        let still = budgets.of(&of("acme", "ours"));
        assert!(Arc::ptr_eq(&ours, &still), "it is paused, so it is kept");

        for i in 0..2 * BUDGETS {
            budgets.of(&of("acme", &format!("bad {i}"))).token_refused();
        }
        let still = budgets.of(&of("acme", "ours"));
        assert!(Arc::ptr_eq(&ours, &still));
        assert!(budgets.known.lock().len() <= BUDGETS);
        assert!(!budgets.beyond.is_idle(), "the rest share one");
    }
}
