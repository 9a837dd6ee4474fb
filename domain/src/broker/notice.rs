//! What a broker tells a cluster by itself, so that it need not wait for its next pass. The audit is another thing: it is for whoever
//! runs the broker.

use std::fmt;
use std::time::Duration;

use crate::names::{ObjectKey, Timestamp};

/// Notices of one cluster that are kept, at most.
pub const MOST: u64 = 256;

/// For how long one is kept.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Bytes of a detail, at most; what is longer is cut.
pub const LONGEST_DETAIL: usize = 1024;

/// Something that a cluster is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A grant of its tenant changed.
    GrantsChanged,
    /// An account in which it has Gateways has another token.
    CredentialReplaced,
    /// What others changed of a Gateway at Cloudflare was put right.
    DriftRepaired(ObjectKey),
    /// What came of a Gateway is something else than was answered, though nothing was stated.
    OutcomeChanged(ObjectKey),
    /// It is not served any more.
    Revoked,
    /// The same, and its connectors are shut out.
    Quarantined,
    /// The same, and what it has is removed.
    GivenUp,
}

impl Notice {
    /// What sort it is, as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::GrantsChanged => "grants_changed",
            Self::CredentialReplaced => "credential_replaced",
            Self::DriftRepaired(_) => "drift_repaired",
            Self::OutcomeChanged(_) => "outcome_changed",
            Self::Revoked => "revoked",
            Self::Quarantined => "quarantined",
            Self::GivenUp => "given_up",
        }
    }

    /// Which Gateway it is about; `None` where it is about all.
    pub fn gateway(&self) -> Option<&ObjectKey> {
        match self {
            Self::DriftRepaired(gateway) | Self::OutcomeChanged(gateway) => Some(gateway),
            _ => None,
        }
    }

    /// Reads a kind and a Gateway.
    pub fn read(kind: &str, gateway: Option<ObjectKey>) -> Option<Self> {
        Some(match (kind, gateway) {
            ("grants_changed", None) => Self::GrantsChanged,
            ("credential_replaced", None) => Self::CredentialReplaced,
            ("drift_repaired", Some(gateway)) => Self::DriftRepaired(gateway),
            ("outcome_changed", Some(gateway)) => Self::OutcomeChanged(gateway),
            ("revoked", None) => Self::Revoked,
            ("quarantined", None) => Self::Quarantined,
            ("given_up", None) => Self::GivenUp,
            _ => return None,
        })
    }

    /// Whether the cluster is not served after it.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Revoked | Self::Quarantined | Self::GivenUp)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gateway() {
            Some(gateway) => write!(f, "{} {gateway}", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

/// A notice in its place of the cluster's. Sequences count up from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub sequence: u64,
    pub at: Timestamp,
    pub notice: Notice,
    /// For people.
    pub detail: String,
}

/// What is kept after a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notices {
    pub told: Vec<Told>,
    /// The sequence of the last notice of the cluster.
    pub last: u64,
}

impl Notices {
    /// Whether there were others since that are not kept, or the store is one from before: what they said is not known.
    pub fn has_missed(&self, since: u64) -> bool {
        let came = self.last.checked_sub(since);
        came != Some(self.told.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let gateway = || ObjectKey::new("default", "one");
        for notice in [
            Notice::GrantsChanged,
            Notice::CredentialReplaced,
            Notice::DriftRepaired(gateway()),
            Notice::OutcomeChanged(gateway()),
            Notice::Revoked,
            Notice::Quarantined,
            Notice::GivenUp,
        ] {
            let read = Notice::read(notice.kind(), notice.gateway().cloned());
            assert_eq!(read, Some(notice.clone()));
            let other = match notice.gateway() {
                Some(_) => None,
                None => Some(gateway()),
            };
            assert_eq!(Notice::read(notice.kind(), other), None, "{notice}");
        }
    }

    #[test]
    fn whoever_was_away_for_long_knows_that_something_was_missed() {
        let told = |sequence| Told {
            sequence,
            at: Timestamp(0),
            notice: Notice::GrantsChanged,
            detail: String::new(),
        };
        for (since, sequences, last, has_missed) in [
            (0, vec![], 0, false),
            (7, vec![], 7, false),
            (7, vec![8, 9], 9, false),
            (7, vec![9], 9, true),
            (7, vec![], 9, true),
            (9, vec![], 7, true),
        ] {
            let notices = Notices {
                told: sequences.into_iter().map(told).collect(),
                last,
            };
            assert_eq!(notices.has_missed(since), has_missed, "{since} {notices:?}");
        }
    }
}
