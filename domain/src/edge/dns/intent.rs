//! Which records a Gateway is to have.

use std::collections::BTreeMap;

use crate::gateway::{DnsPolicy, RecordSettings};
use crate::names::{Hostname, ObjectKey};

/// For which of the intent's hostnames there is a record. Without any entry: for all in a zone that the credentials see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsIntent {
    pub managed: DnsPolicy,
    /// Hostnames that an older claim of another Gateway holds, with that Gateway: those that this one asks for,
    /// and those that it is known to have a record for. Its plan leaves their records alone: the new holder
    /// takes them over in place.
    pub lost_to: BTreeMap<Hostname, ObjectKey>,
    /// How they are treated.
    pub records: RecordSettings,
}

impl DnsIntent {
    /// Whether DNS is managed for a hostname.
    pub fn manages(&self, hostname: &Hostname) -> bool {
        self.managed.manages(hostname)
    }
}

impl From<DnsPolicy> for DnsIntent {
    /// No name is lost to another Gateway.
    fn from(managed: DnsPolicy) -> Self {
        Self {
            managed,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_alone_takes_no_name_from_a_gateway() {
        let intent = DnsIntent::from(DnsPolicy::Off);
        assert_eq!(intent.managed, DnsPolicy::Off);
        assert!(intent.lost_to.is_empty());
    }
}
