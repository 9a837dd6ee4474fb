//! Addresses that a Gateway asks for.

use crate::names::Hostname;

/// One of `Gateway.spec.addresses` that can be served.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestedAddress {
    /// No value is written: the tunnel's own address is meant.
    Any,
    /// A hostname of one of the account's zones. The Gateway is to have its record.
    Hostname(Hostname),
}

impl RequestedAddress {
    /// The hostname, where one is written.
    pub fn hostname(&self) -> Option<&Hostname> {
        match self {
            Self::Any => None,
            Self::Hostname(hostname) => Some(hostname),
        }
    }
}
