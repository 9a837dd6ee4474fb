//! Which certificates the edge is to show for a Gateway.

use std::collections::BTreeSet;

use crate::certificate::Fingerprint;
use crate::edge::objects::Zone;
use crate::names::{Hostname, ObjectKey};

/// A certificate that the edge should show, by reference. Its key is never part of an intent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateIntent {
    /// The Secret with the pair.
    pub secret: ObjectKey,
    /// Of the chain that the Secret held when it was looked at.
    pub fingerprint: Fingerprint,
    /// DNS names of the certificate.
    pub names: BTreeSet<Hostname>,
    /// Hostnames for which the Gateway wants it shown: those of the routes on the listeners that name it.
    pub hosts: BTreeSet<Hostname>,
    /// Whether it is shown for every name that it has, whoever has the records.
    pub any_name: bool,
}

impl CertificateIntent {
    /// The same, for those hostnames alone that the Gateway has the record of.
    pub fn with_records(&self, records: &BTreeSet<Hostname>) -> Self {
        Self {
            hosts: self.hosts.intersection(records).cloned().collect(),
            ..self.clone()
        }
    }

    /// Whether it is to be uploaded to a zone: it has names there, and the Gateway has each of them. Cloudflare
    /// shows a certificate to the visitors of all of its names in the zone, whoever serves them.
    pub fn is_for(&self, zone: &Zone) -> bool {
        self.names_in(zone).next().is_some() && self.without_record(zone).next().is_none()
    }

    /// Whether a browser takes it for a hostname: a wildcard of it is for one label (RFC 6125, 6.4.3).
    pub fn is_valid_for(&self, hostname: &Hostname) -> bool {
        let above = hostname.as_str().split_once('.').map(|(_, above)| above);
        let mut names = self.names.iter();
        names.any(|name| name == hostname || (above.is_some() && name.wildcard_suffix() == above))
    }

    /// Names that it has in a zone, and that the Gateway does not have.
    pub fn without_record(&self, zone: &Zone) -> impl Iterator<Item = Hostname> {
        let names = self.names_in(zone);
        names.filter(|name| !self.any_name && !self.hosts.contains(name))
    }

    /// Names that it has in a zone. Of a wildcard above the zone that is the zone's apex alone, as a wildcard is for
    /// one label.
    pub(super) fn names_in(&self, zone: &Zone) -> impl Iterator<Item = Hostname> {
        let above = zone.name.split_once('.').map(|(_, above)| above);
        self.names.iter().filter_map(move |name| {
            if above.is_some() && name.wildcard_suffix() == above {
                Hostname::parse(&zone.name).ok()
            } else {
                name.is_within(&zone.name).then(|| name.clone())
            }
        })
    }
}

/// What became of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateOutcome {
    /// It is at the edge, in these zones.
    Uploaded {
        /// Names of the zones.
        zones: Vec<String>,
    },
    /// No zone has a host that the certificate is for.
    NoZone,
    /// It is for names that the Gateway has no record of, so it is not shown where they are.
    WithoutRecord { names: BTreeSet<Hostname> },
    /// It could not be uploaded, or not everywhere.
    Failed {
        /// What failed, and what would help.
        message: String,
    },
    /// Who carries out the intent does not have its chain and key, and needs them.
    WithoutKey {
        /// Why.
        message: String,
    },
    /// A broker does not grant it.
    NotPermitted {
        /// Why, and what would help.
        message: String,
    },
    /// Who carries out the intent has no way to the Secret.
    NotAvailable,
}
