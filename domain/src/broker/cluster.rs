//! How a cluster comes to be known, and for how long it has not been heard of.
//!
//! ```text
//!            offer a code          redeem it, with a key        accept that key
//!   (none) ───────────────▶ Invited ───────────────▶ Asking ───────────────▶ Admitted
//!                              ▲                                             │      │
//!                              └──────────── offer a code again ─────────────┤      │ quarantine
//!                                                                     revoke ▼      ▼
//!                                                                        Revoked  Quarantined
//! ```
//!
//! Both sides agree before anything is served: whoever runs the broker gives out a code, which proves that the cluster
//! was meant to come, and then accepts the key that came with it, which proves that it was that cluster and nobody who
//! saw the code. The key is made in the cluster and never leaves it.

use std::fmt;
use std::time::Duration;

use super::names::{ClusterName, TenantName};
use super::refusal::{Code, Refusal};
use crate::names::{InstanceId, Timestamp};

/// How long an enrolment code can be redeemed, at most.
pub const LONGEST_CODE: Duration = Duration::from_secs(15 * 60);

/// How long a session lasts, at most.
pub const LONGEST_SESSION: Duration = Duration::from_secs(10 * 60);

/// The thumbprint of a public key (RFC 7638, SHA-256), in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// Takes 43 characters of base64url.
    pub fn parse(text: &str) -> Option<Self> {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (text.len() == 43 && text.bytes().all(known)).then(|| Self(text.to_owned()))
    }

    /// The 43 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By what a cluster is known: its key, and which of the clusters that may have a copy of that key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub key: Thumbprint,
    pub instance: InstanceId,
}

/// Where a cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A code was given out and not redeemed yet.
    Invited,
    /// It redeemed the code and waits to be accepted.
    Asking(Identity),
    Admitted(Identity),
    /// It is refused; its tunnels go on serving.
    Revoked(Identity),
    /// It is refused, and its connectors too: their tokens were replaced.
    Quarantined(Identity),
    /// It was given up, and what it had was removed.
    Tombstoned,
}

/// A cluster that a broker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub name: ClusterName,
    pub tenant: TenantName,
    pub standing: Standing,
    /// Sessions of an earlier epoch are over.
    pub epoch: u64,
    /// The newest term that one of its controllers began, so that one that was deposed writes nothing.
    pub term: u64,
    pub last_contact: Option<Timestamp>,
    pub when_expired: WhenExpired,
}

impl Cluster {
    /// One to which a code is to be given.
    pub fn invited(name: ClusterName, tenant: TenantName, when_expired: WhenExpired) -> Self {
        Self {
            name,
            tenant,
            standing: Standing::Invited,
            epoch: 0,
            term: 0,
            last_contact: None,
            when_expired,
        }
    }

    /// A code is given out again, for a cluster that lost its key or comes back.
    pub fn invite_again(&mut self) {
        self.standing = Standing::Invited;
        self.epoch += 1;
    }

    /// The code was redeemed, with this identity.
    pub fn ask(&mut self, identity: Identity) -> Result<(), Refusal> {
        match self.standing {
            Standing::Invited => {
                self.standing = Standing::Asking(identity);
                Ok(())
            }
            _ => Err(unknown_code()),
        }
    }

    /// Whoever runs the broker accepts the key that they were told of.
    pub fn accept(&mut self, key: &Thumbprint) -> Result<(), Refusal> {
        let name = &self.name;
        match &self.standing {
            Standing::Asking(identity) if identity.key == *key => {
                self.standing = Standing::Admitted(identity.clone());
                Ok(())
            }
            Standing::Admitted(identity) if identity.key == *key => Ok(()),
            Standing::Asking(_) => Err(Refusal::new(
                Code::KeyMismatch,
                format!(
                    "cluster {name} asks with another key than {key}; compare the thumbprint in its controller's log, and invite it again if they differ"
                ),
            )),
            _ => Err(Refusal::new(
                Code::NotAccepted,
                format!(
                    "cluster {name} does not ask to be accepted; invite it and redeem the code first"
                ),
            )),
        }
    }

    /// Ends all sessions; the next call of the cluster fails.
    pub fn revoke(&mut self) {
        if let Some(identity) = self.identity().cloned() {
            self.standing = Standing::Revoked(identity);
        }
        self.epoch += 1;
    }

    /// The same, and its connectors are to be refused as well.
    pub fn quarantine(&mut self) {
        if let Some(identity) = self.identity().cloned() {
            self.standing = Standing::Quarantined(identity);
        }
        self.epoch += 1;
    }

    /// It was given up. What it had is being removed.
    pub fn give_up(&mut self) {
        self.standing = Standing::Tombstoned;
        self.epoch += 1;
    }

    /// By what it is known, once it asked.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.standing {
            Standing::Asking(identity)
            | Standing::Admitted(identity)
            | Standing::Revoked(identity)
            | Standing::Quarantined(identity) => Some(identity),
            Standing::Invited | Standing::Tombstoned => None,
        }
    }

    /// Whether whoever proved that they have this identity's key is served.
    pub fn admit(&self, shown: &Identity) -> Result<(), Refusal> {
        let name = &self.name;
        match &self.standing {
            Standing::Tombstoned => Err(Refusal::new(
                Code::Tombstoned,
                "this cluster was given up and what it had was removed; enrol it again",
            )),
            Standing::Invited => Err(Refusal::new(
                Code::NotAccepted,
                "redeem the enrolment code first",
            )),
            standing => {
                let known = self.identity().map(|identity| &identity.key);
                if known != Some(&shown.key) {
                    return Err(Refusal::new(
                        Code::Forbidden,
                        "this key is not the cluster's; enrol it again",
                    ));
                }
                match standing {
                    Standing::Admitted(known) if known.instance == shown.instance => Ok(()),
                    Standing::Admitted(_) => Err(Refusal::new(
                        Code::IdentityConflict,
                        format!(
                            "another cluster has the key of {name}, so one of the two is a copy; revoke it, and enrol each with a name of its own"
                        ),
                    )),
                    Standing::Asking(_) => Err(Refusal::new(
                        Code::NotAccepted,
                        format!(
                            "the broker has not accepted the key {} yet: `cfgw broker accept {name} --key {}`",
                            shown.key, shown.key
                        ),
                    )),
                    _ => Err(Refusal::new(
                        Code::ClusterRevoked,
                        "the broker does not serve this cluster any more; ask whoever runs it",
                    )),
                }
            }
        }
    }
}

/// The refusal of every code that cannot be redeemed: it does not tell whether there was one.
pub fn unknown_code() -> Refusal {
    Refusal::new(
        Code::CodeInvalid,
        "no cluster can be enrolled with this code: it was used, is older than 15 minutes, or never was one; ask for a new one",
    )
}

/// What becomes of what a cluster has once it was not heard of for [`Patience::expired`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum WhenExpired {
    #[default]
    Keep,
    /// Its records go, its tunnels stay: it can come back as it was.
    Unpublish,
    /// All goes; it has to be enrolled again.
    Delete,
}

/// For how long silence means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub stale: Duration,
    pub expired: Duration,
}

impl Default for Patience {
    /// Ten minutes and seven days.
    fn default() -> Self {
        Self {
            stale: Duration::from_secs(600),
            expired: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Whether a cluster is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Contact {
    Live,
    /// It is shown and told, nothing else.
    Stale,
    /// [`WhenExpired`] says what follows.
    Expired,
}

impl Contact {
    /// Of a cluster that was last heard of at that time. One whose connectors hold connections is there, whatever its
    /// controller does, and does not expire. `None` for connectors that could not be counted: they may be there.
    pub fn of(
        last: Timestamp,
        now: Timestamp,
        patience: Patience,
        connectors: Option<usize>,
    ) -> Self {
        let silent = Duration::from_secs(u64::try_from(now.0 - last.0).unwrap_or(0));
        if silent < patience.stale {
            Self::Live
        } else if silent < patience.expired || connectors != Some(0) {
            Self::Stale
        } else {
            Self::Expired
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: char) -> Thumbprint {
        Thumbprint::parse(&letter.to_string().repeat(43)).unwrap()
    }

    fn identity(letter: char, instance: u8) -> Identity {
        Identity {
            key: key(letter),
            instance: InstanceId::from_bytes([instance; 16]),
        }
    }

    fn cluster() -> Cluster {
        let name = ClusterName::parse("east").unwrap();
        let tenant = TenantName::parse("acme").unwrap();
        Cluster::invited(name, tenant, WhenExpired::Keep)
    }

    fn admitted() -> Cluster {
        let mut cluster = cluster();
        cluster.ask(identity('a', 1)).unwrap();
        cluster.accept(&key('a')).unwrap();
        cluster
    }

    #[test]
    fn a_cluster_is_served_once_both_sides_agreed() {
        let mut cluster = cluster();
        let shown = identity('a', 1);
        let code = |cluster: &Cluster| cluster.admit(&identity('a', 1)).map_err(|it| it.code);
        assert_eq!(code(&cluster), Err(Code::NotAccepted));
        assert_eq!(
            cluster.accept(&shown.key).map_err(|it| it.code),
            Err(Code::NotAccepted)
        );
        cluster.ask(shown.clone()).unwrap();
        assert_eq!(code(&cluster), Err(Code::NotAccepted));
        assert_eq!(
            cluster.accept(&key('b')).map_err(|it| it.code),
            Err(Code::KeyMismatch)
        );
        assert_eq!(code(&cluster), Err(Code::NotAccepted));
        cluster.accept(&shown.key).unwrap();
        assert_eq!(code(&cluster), Ok(()));
        assert_eq!(cluster.accept(&shown.key), Ok(()), "twice is as once");
    }

    #[test]
    fn a_code_is_redeemed_once() {
        let mut cluster = cluster();
        cluster.ask(identity('a', 1)).unwrap();
        for mut standing in [cluster, admitted()] {
            let before = standing.clone();
            let refused = standing.ask(identity('b', 1)).map_err(|it| it.code);
            assert_eq!(refused, Err(Code::CodeInvalid));
            assert_eq!(standing, before);
        }
    }

    #[test]
    fn another_key_another_instance_and_a_cluster_that_was_turned_away_are_refused() {
        let changed = |change: fn(&mut Cluster)| {
            let mut cluster = admitted();
            change(&mut cluster);
            cluster
        };
        for (cluster, shown, code) in [
            (admitted(), identity('b', 1), Code::Forbidden),
            (admitted(), identity('a', 2), Code::IdentityConflict),
            (
                changed(Cluster::revoke),
                identity('a', 1),
                Code::ClusterRevoked,
            ),
            (changed(Cluster::revoke), identity('b', 1), Code::Forbidden),
            (
                changed(Cluster::quarantine),
                identity('a', 1),
                Code::ClusterRevoked,
            ),
            (
                changed(Cluster::invite_again),
                identity('a', 1),
                Code::NotAccepted,
            ),
            (
                changed(Cluster::give_up),
                identity('a', 1),
                Code::Tombstoned,
            ),
        ] {
            let refused = cluster.admit(&shown).map_err(|it| it.code);
            assert_eq!(refused, Err(code), "{cluster:?} {shown:?}");
        }
    }

    #[test]
    fn whatever_turns_a_cluster_away_ends_its_sessions() {
        for turn_away in [
            Cluster::revoke,
            Cluster::quarantine,
            Cluster::give_up,
            Cluster::invite_again,
        ] {
            let mut cluster = admitted();
            let epoch = cluster.epoch;
            turn_away(&mut cluster);
            assert_eq!(cluster.epoch, epoch + 1);
        }
    }

    #[test]
    fn silence_means_something_after_a_time_and_nothing_while_connectors_are_there() {
        let patience = Patience {
            stale: Duration::from_secs(10),
            expired: Duration::from_secs(100),
        };
        for (silent, connectors, contact) in [
            (0, Some(0), Contact::Live),
            (9, Some(0), Contact::Live),
            (-5, Some(0), Contact::Live),
            (10, Some(0), Contact::Stale),
            (99, Some(0), Contact::Stale),
            (100, Some(0), Contact::Expired),
            (100, Some(1), Contact::Stale),
            (100, None, Contact::Stale),
        ] {
            let (last, now) = (Timestamp(1000), Timestamp(1000 + silent));
            let found = Contact::of(last, now, patience, connectors);
            assert_eq!(found, contact, "{silent} {connectors:?}");
        }
    }

    #[test]
    fn a_thumbprint_is_43_characters_of_base64url() {
        let good = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert!(Thumbprint::parse(good).is_some());
        for bad in ["", &good[1..], &good.replace('-', "+"), &format!("{good}=")] {
            assert!(Thumbprint::parse(bad).is_none(), "{bad}");
        }
    }
}
