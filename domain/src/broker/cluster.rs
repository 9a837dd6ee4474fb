//! How a cluster comes to be known, and how it goes.
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
//! From everywhere it can be given up, which makes it Tombstoned; one that asked can be released, and keeps what it has. A
//! code brings it back from there.
//!
//! Both sides agree before anything is served: whoever runs the broker gives out a code, which proves that the cluster
//! was meant to come, and then accepts the key that came with it, which proves that it was that cluster and nobody who
//! saw the code. The key is made in the cluster and never leaves it.

use std::fmt;
use std::time::Duration;

use super::attestation::Attestation;
use super::contact::Contact;
use super::departure::Departure;
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

    /// Of a hash.
    pub fn of(hash: [u8; 32]) -> Self {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letters = (0..43).map(|letter| {
            let six = (0..6).fold(0, |six, bit| {
                let at = letter * 6 + bit;
                let byte = hash.get(at / 8).copied().unwrap_or(0);
                six << 1 | usize::from(byte >> (7 - at % 8) & 1)
            });
            char::from(LETTERS[six])
        });
        Self(letters.collect())
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
    /// It was given up, and what it had is removed. Its identity is kept, so that it is told if it comes back.
    Tombstoned(Option<Identity>),
    /// It left with all that it has, which somebody else looks after now. Its identity is kept, so that it is told if it asks.
    Released(Identity),
}

/// A cluster that a broker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub name: ClusterName,
    pub tenant: TenantName,
    pub standing: Standing,
    /// Which cluster it last asked as: what it has at Cloudflare has this id. A new code ends its key, not this.
    pub instance: Option<InstanceId>,
    /// By what its tokens are verified; `None`: it is not attested, and its key is enough.
    pub attestation: Option<Attestation>,
    /// The [thumbprint](Attestation::thumbprint) of what whoever runs the broker consented to, and its next session brings.
    pub attest_anew: Option<Thumbprint>,
    /// Sessions of an earlier epoch are over.
    pub epoch: u64,
    /// The newest term that one of its controllers began, so that one that was deposed writes nothing.
    pub term: u64,
    pub last_contact: Option<Timestamp>,
    /// The version of the controller that it was heard of from last.
    pub controller: Option<String>,
    /// As it was last found.
    pub contact: Contact,
    pub when_expired: WhenExpired,
}

impl Cluster {
    /// One to which a code is to be given.
    pub fn invited(name: ClusterName, tenant: TenantName, when_expired: WhenExpired) -> Self {
        Self {
            name,
            tenant,
            standing: Standing::Invited,
            instance: None,
            attestation: None,
            attest_anew: None,
            epoch: 0,
            term: 0,
            last_contact: None,
            controller: None,
            contact: Contact::Live,
            when_expired,
        }
    }

    /// A code is given out again, for a cluster that lost its key or comes back. Its silence counts anew, and it is attested as it
    /// redeems that code.
    pub fn invite_again(&mut self) {
        self.standing = Standing::Invited;
        (self.attestation, self.attest_anew) = (None, None);
        self.epoch += 1;
        self.last_contact = None;
        self.contact = Contact::Live;
    }

    /// The code was redeemed, with this identity, in a cluster that is attested by that, if it is.
    pub fn ask(
        &mut self,
        identity: Identity,
        attestation: Option<Attestation>,
    ) -> Result<(), Refusal> {
        match self.standing {
            Standing::Invited => {
                self.attestation = attestation;
                self.instance = Some(identity.instance);
                self.standing = Standing::Asking(identity);
                Ok(())
            }
            _ => Err(unknown_code()),
        }
    }

    /// Whoever runs the broker accepts the key that they were told of, and where they say so, the attestation of this thumbprint
    /// in place of what the cluster is attested by.
    pub fn accept(
        &mut self,
        key: &Thumbprint,
        attest_anew: Option<&Thumbprint>,
    ) -> Result<(), Refusal> {
        self.accept_key(key)?;
        if attest_anew.is_some() {
            self.attest_anew = attest_anew.cloned();
        }
        Ok(())
    }

    fn accept_key(&mut self, key: &Thumbprint) -> Result<(), Refusal> {
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
    pub fn revoke(&mut self) -> Result<(), Refusal> {
        let identity = self.known()?.clone();
        // A quarantine is more than that.
        if !matches!(self.standing, Standing::Quarantined(_)) {
            self.standing = Standing::Revoked(identity);
        }
        self.epoch += 1;
        Ok(())
    }

    /// The same, and its connectors are to be refused as well. What its Gateways have to do for that, unless they did.
    pub fn quarantine(&mut self) -> Result<Option<Departure>, Refusal> {
        let quarantined = Standing::Quarantined(self.known()?.clone());
        let before = std::mem::replace(&mut self.standing, quarantined);
        self.epoch += 1;
        Ok((before != self.standing).then_some(Departure::ShutOut))
    }

    /// It is given up. What its Gateways have to do for that, unless they did.
    pub fn give_up(&mut self) -> Option<Departure> {
        self.epoch += 1;
        if matches!(self.standing, Standing::Tombstoned(_)) {
            return None;
        }
        self.standing = Standing::Tombstoned(self.identity().cloned());
        Some(Departure::Remove)
    }

    /// It leaves, and what it has at Cloudflare stays and is not looked after here any more. Whether that is news.
    pub fn release(&mut self) -> Result<bool, Refusal> {
        if matches!(self.standing, Standing::Released(_)) {
            return Ok(false);
        }
        self.standing = Standing::Released(self.known()?.clone());
        self.epoch += 1;
        Ok(true)
    }

    /// What becomes of it when it has expired, in place of what was seen. If it has, that is found once more.
    pub fn set_when_expired(
        &mut self,
        seen: WhenExpired,
        then: WhenExpired,
    ) -> Result<(), Refusal> {
        if self.when_expired != seen {
            return Err(Refusal::changed());
        }
        self.when_expired = then;
        if self.contact == Contact::Expired {
            self.contact = Contact::Stale;
        }
        Ok(())
    }

    /// It was heard of.
    pub fn hear(&mut self, at: Timestamp) {
        self.last_contact = Some(at);
        self.contact = Contact::Live;
    }

    /// Its contact was found to be this one. What its Gateways have to do for that.
    pub fn note_contact(&mut self, contact: Contact) -> Option<Departure> {
        self.contact = contact;
        match (contact, self.when_expired) {
            (Contact::Expired, WhenExpired::Unpublish) => Some(Departure::Unpublish),
            (Contact::Expired, WhenExpired::Delete) => self.give_up(),
            _ => None,
        }
    }

    /// By what it is known, once it asked.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.standing {
            Standing::Asking(identity)
            | Standing::Admitted(identity)
            | Standing::Revoked(identity)
            | Standing::Quarantined(identity)
            | Standing::Released(identity) => Some(identity),
            Standing::Tombstoned(identity) => identity.as_ref(),
            Standing::Invited => None,
        }
    }

    /// The identity of one that can be turned away.
    fn known(&self) -> Result<&Identity, Refusal> {
        let name = &self.name;
        match &self.standing {
            Standing::Tombstoned(_) => Err(Refusal::new(
                Code::Tombstoned,
                format!("cluster {name} was given up; nothing of it is served"),
            )),
            Standing::Invited => Err(Refusal::new(
                Code::NotAccepted,
                format!(
                    "cluster {name} has not redeemed its code, so it is not served; to remove what it had, give it up"
                ),
            )),
            Standing::Released(_) => Err(Refusal::new(
                Code::NotAccepted,
                format!("cluster {name} was released; the broker does not look after what it has"),
            )),
            Standing::Asking(identity)
            | Standing::Admitted(identity)
            | Standing::Revoked(identity)
            | Standing::Quarantined(identity) => Ok(identity),
        }
    }

    /// Whether it may write: it may have been turned away since its request was let in.
    pub fn require_served(&self) -> Result<(), Refusal> {
        match &self.standing {
            Standing::Admitted(_) => Ok(()),
            Standing::Tombstoned(_) => Err(given_up()),
            Standing::Released(_) => Err(released()),
            _ => Err(turned_away()),
        }
    }

    /// Whether whoever proved that they have this identity's key is served.
    pub fn admit(&self, shown: &Identity) -> Result<(), Refusal> {
        let name = &self.name;
        match &self.standing {
            Standing::Tombstoned(_) => Err(given_up()),
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
                    Standing::Released(_) => Err(released()),
                    _ => Err(turned_away()),
                }
            }
        }
    }
}

fn given_up() -> Refusal {
    Refusal::new(
        Code::Tombstoned,
        "this cluster was given up and what it had is removed; enrol it again",
    )
}

fn released() -> Refusal {
    Refusal::new(
        Code::NotAccepted,
        "this cluster was released and keeps what it has; give it Cloudflare credentials of its own, or enrol it again",
    )
}

fn turned_away() -> Refusal {
    Refusal::new(
        Code::ClusterRevoked,
        "the broker does not serve this cluster any more; ask whoever runs it",
    )
}

/// The refusal of every code that cannot be redeemed: it does not tell whether there was one.
pub fn unknown_code() -> Refusal {
    Refusal::new(
        Code::CodeInvalid,
        "no cluster can be enrolled with this code: it was used, is older than 15 minutes, or never was one; ask for a new one",
    )
}

/// What becomes of what a cluster has once it was not heard of for [`Patience::expired`](super::contact::Patience).
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

impl WhenExpired {
    /// Each once.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Unpublish, Self::Delete];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Unpublish => "unpublish",
            Self::Delete => "delete",
        }
    }

    /// Reads what [`WhenExpired::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|when| when.as_str() == text)
    }
}

#[cfg(test)]
mod tests;
