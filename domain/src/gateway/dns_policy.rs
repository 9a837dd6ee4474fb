//! For which hostnames DNS records are made.

use crate::names::Hostname;

/// For which hostnames DNS records are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DnsPolicy {
    /// All that lie in a zone that the credentials can see.
    #[default]
    All,
    /// Only names directly below one of these (`x.zone`, `*.zone`), as `spec.dns.zones` says.
    Below(Vec<Hostname>),
    Off,
}

impl DnsPolicy {
    /// Whether records are made for this hostname.
    pub fn manages(&self, hostname: &Hostname) -> bool {
        match self {
            Self::All => true,
            Self::Off => false,
            Self::Below(zones) => {
                let parent = hostname.as_str().split_once('.').map(|(_, parent)| parent);
                zones.iter().any(|zone| parent == Some(zone.as_str()))
            }
        }
    }
}
