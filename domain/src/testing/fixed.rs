//! Ports that give what they were given.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::edge::{EdgeError, EdgeErrorKind};
use crate::names::{AccountId, ObjectKey, Timestamp};
use crate::ports::{Clock, Credentials, Entropy, Leadership};
use crate::secret::CloudflareCredentials;

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// Stands at this moment.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves to this moment.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().expect("lock") = now;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("lock")
    }
}

/// Bytes that are all alike: 1 at the first call, 2 at the second.
#[derive(Debug, Default)]
pub struct FixedEntropy(AtomicU8);

impl Entropy for FixedEntropy {
    fn secret(&self) -> [u8; 32] {
        [self.0.fetch_add(1, Ordering::Relaxed) + 1; 32]
    }
}

/// Leadership that a test gives and takes; leads in term 1 by default.
#[derive(Debug)]
pub struct FixedLeadership(Mutex<Option<u64>>);

impl Default for FixedLeadership {
    fn default() -> Self {
        Self(Mutex::new(Some(1)))
    }
}

impl FixedLeadership {
    /// Leads in this term from now on, or not at all.
    pub fn set(&self, term: Option<u64>) {
        *self.0.lock().expect("lock") = term;
    }
}

impl Leadership for FixedLeadership {
    fn term(&self) -> Option<u64> {
        *self.0.lock().expect("lock")
    }
}

/// Credentials from a table; those given with [`StaticCredentials::for_all`] serve every Gateway that has
/// none of its own.
#[derive(Debug, Default)]
pub struct StaticCredentials {
    of: Mutex<BTreeMap<Option<ObjectKey>, CloudflareCredentials>>,
}

impl StaticCredentials {
    /// One account for all Gateways.
    pub fn for_all(account: &str) -> Self {
        let credentials = Self::default();
        credentials.set(None, Some(account));
        credentials
    }

    /// Gives a Gateway (or all others) the credentials of an account, or takes them away.
    pub fn set(&self, gateway: Option<ObjectKey>, account: Option<&str>) {
        let mut of = self.of.lock().expect("lock");
        match account {
            None => of.remove(&gateway),
            Some(account) => {
                let credentials = CloudflareCredentials {
                    account: AccountId::new(account),
                    token: SecretString::from(format!("token of {account}")),
                };
                of.insert(gateway, credentials)
            }
        };
    }
}

#[async_trait]
impl Credentials for StaticCredentials {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, EdgeError> {
        let of = self.of.lock().expect("lock");
        let own = of.get(&Some(gateway.clone()));
        own.or_else(|| of.get(&None)).cloned().ok_or_else(|| {
            EdgeError::new(
                EdgeErrorKind::Credentials,
                format!("Gateway {gateway} has no credentials"),
            )
        })
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, EdgeError> {
        let of = self.of.lock().expect("lock");
        let by_account: BTreeMap<_, _> = of
            .values()
            .map(|credentials| (&credentials.account, credentials))
            .collect();
        Ok(by_account.into_values().cloned().collect())
    }
}
