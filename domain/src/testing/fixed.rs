//! Ports that give what they were given.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::edge::{CredentialSets, Partial};
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, Installation, InstallationName, InstanceId, ObjectKey, Timestamp};
use crate::ports::{Clock, Credentials, Entropy, Leadership};
use crate::secret::CloudflareCredentials;

/// The installation of a name that a test is about: its first instance.
pub fn installation(name: &str) -> Installation {
    instance_of(name, 1)
}

/// One of several installations of a name.
pub fn instance_of(name: &str, number: u8) -> Installation {
    Installation {
        name: InstallationName::parse(name).expect("a DNS label"),
        instance: InstanceId::from_bytes([number; 16]),
    }
}

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
    /// `None` for a Gateway that refers to credentials which are not there.
    of: Mutex<BTreeMap<Option<ObjectKey>, Option<CloudflareCredentials>>>,
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
        match account {
            None => {
                self.of.lock().expect("lock").remove(&gateway);
            }
            Some(account) => self.set_token(gateway, account, &format!("token of {account}")),
        }
    }

    /// Gives a Gateway (or all others) this token for an account.
    pub fn set_token(&self, gateway: Option<ObjectKey>, account: &str, token: &str) {
        let credentials = CloudflareCredentials {
            account: AccountId::new(account),
            token: SecretString::from(token),
        };
        let mut of = self.of.lock().expect("lock");
        of.insert(gateway, Some(credentials));
    }

    /// Lets a Gateway refer to credentials that are not there.
    pub fn lose(&self, gateway: ObjectKey) {
        self.of.lock().expect("lock").insert(Some(gateway), None);
    }
}

fn none_for(gateway: &ObjectKey) -> PortError {
    let message = format!("Gateway {gateway} has no credentials");
    PortError::new(PortErrorKind::Credentials, message)
}

#[async_trait]
impl Credentials for StaticCredentials {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, PortError> {
        let of = self.of.lock().expect("lock");
        let own = of.get(&Some(gateway.clone()));
        let found = own.or_else(|| of.get(&None)).cloned().flatten();
        found.ok_or_else(|| none_for(gateway))
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        let mut sets = CredentialSets::default();
        for (gateway, credentials) in &*self.of.lock().expect("lock") {
            let missing = || none_for(gateway.as_ref().expect("only a Gateway loses them"));
            sets.add(credentials.clone().ok_or_else(missing));
        }
        sets.all()
    }
}
