//! TLS towards an upstream, and what visitors have to show.

use std::collections::BTreeSet;

use crate::certificate::{CaBundle, Fingerprint};
use crate::gateway::SubjectName;
use crate::names::{Hostname, ObjectKey};

/// How the endpoints of an upstream are spoken to over TLS. Connections that were made by one such value carry no request
/// of another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpstreamTls {
    pub trust: Trust,
    /// The name that is asked for (SNI, RFC 6066).
    pub hostname: Hostname,
    /// A certificate must be for one of these; where there is none, for `hostname`.
    pub names: Vec<SubjectName>,
    /// The certificate that is shown to endpoints. Its key is not here: it reaches proxies apart from the table. Not written
    /// where there is none.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub client: Option<ClientCertificate>,
}

/// A certificate by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClientCertificate {
    /// The Secret that holds it.
    pub secret: ObjectKey,
    /// Tells it from those that the Secret held before.
    pub fingerprint: Fingerprint,
}

/// Who may have issued the certificate of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Trust {
    /// The certificate authorities that the proxy's image has.
    System,
    /// These. They are public, so that they are in the table itself.
    Bundles(Vec<CaBundle>),
}

/// Visitors of these ports have to show a certificate; over HTTP nobody is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClientValidation {
    pub ports: BTreeSet<u16>,
    /// Who may have issued it. Empty: every request is refused.
    pub authorities: Vec<CaBundle>,
}
