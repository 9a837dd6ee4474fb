//! What must be true at the edge for one Gateway.

use std::collections::BTreeSet;

use super::certificates::CertificateIntent;
use super::dns::DnsIntent;
use super::tunnel::DashboardPaths;
use crate::names::{Hostname, ObjectKey};

/// What must be true at the edge for one Gateway: a part for each resource, each with a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeIntent {
    pub gateway: ObjectKey,
    /// Hostnames that it serves. Its tunnel shows them, and it may have a record for each.
    pub hostnames: BTreeSet<Hostname>,
    /// Paths of these hostnames that its tunnel shows; where a hostname is missing, it is shown without paths.
    pub paths: DashboardPaths,
    /// What may be taken away on the way there.
    pub policy: Policy,
    /// For which of the hostnames there are records.
    pub dns: DnsIntent,
    /// Certificates that the edge should show in place of its own; `None` where they are not known, and what
    /// is there stays.
    pub certificates: Option<BTreeSet<CertificateIntent>>,
}

impl EdgeIntent {
    /// A tunnel and nothing else.
    pub fn new(gateway: ObjectKey) -> Self {
        Self {
            gateway,
            hostnames: BTreeSet::new(),
            paths: DashboardPaths::new(),
            policy: Policy::default(),
            dns: DnsIntent::default(),
            certificates: None,
        }
    }
}

/// What a reconcile may take away of what the intent lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    #[default]
    Sync,
    /// All but the Gateway's own records: it is not known yet for which names it has any, and each may be one that
    /// another Gateway is to take over. [`EdgeStatus::unwanted_kept`](super::EdgeStatus) names them.
    KeepRecords,
    /// Nothing, and no name changes hands, because the cluster was seen in part only. What is wanted is still added.
    UpsertOnly,
}

impl Policy {
    /// For a Gateway of which all was read or not, and whose records are known or not.
    pub(crate) fn of(all_read: bool, records_known: bool) -> Self {
        match (all_read, records_known) {
            (false, _) => Self::UpsertOnly,
            (true, false) => Self::KeepRecords,
            (true, true) => Self::Sync,
        }
    }

    /// Whether to state an intent with this policy has done all that one with the `wanted` policy would do.
    /// `has_kept`: whether records were kept that are not wanted.
    pub(crate) fn covers(self, wanted: Self, has_kept: bool) -> bool {
        match self {
            Self::Sync => wanted != Self::KeepRecords,
            Self::KeepRecords => wanted == Self::KeepRecords || !has_kept,
            Self::UpsertOnly => wanted == Self::UpsertOnly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Policy::{self, KeepRecords, Sync, UpsertOnly};

    #[test]
    fn records_are_kept_until_they_are_known_and_everything_while_not_all_is_read() {
        for (all_read, records_known, expected) in [
            (true, true, Sync),
            (true, false, KeepRecords),
            (false, true, UpsertOnly),
            (false, false, UpsertOnly),
        ] {
            let policy = Policy::of(all_read, records_known);
            assert_eq!(policy, expected, "{all_read} {records_known}");
        }
    }

    #[test]
    fn an_intent_is_stated_again_where_another_policy_may_take_more_away() {
        for (stated, wanted, has_kept, covers) in [
            (Sync, Sync, false, true),
            (Sync, KeepRecords, false, false),
            (Sync, UpsertOnly, false, true),
            (KeepRecords, Sync, true, false),
            (KeepRecords, Sync, false, true),
            (KeepRecords, KeepRecords, true, true),
            (KeepRecords, UpsertOnly, true, false),
            (KeepRecords, UpsertOnly, false, true),
            (UpsertOnly, Sync, false, false),
            (UpsertOnly, KeepRecords, false, false),
            (UpsertOnly, UpsertOnly, false, true),
        ] {
            let found = stated.covers(wanted, has_kept);
            assert_eq!(found, covers, "{stated:?} {wanted:?} {has_kept}");
        }
    }
}
