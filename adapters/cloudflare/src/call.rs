//! What one call asks for, and what is reported of it for metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{PortError, PortErrorKind};
use reqwest::Method;
use serde::Serialize;

/// Called for every request.
pub type CallHook = Arc<dyn Fn(&CallReport) + Send + Sync>;

/// Says whether a request that changes something may be sent.
pub type WriteGuard = fn() -> Result<(), PortError>;

/// Called with ray ids.
pub type RayHook = Arc<dyn Fn(&str) + Send + Sync>;

/// One request to the API, once its outcome is known. A list of three pages is three of them, and so is
/// a read that was sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallReport {
    /// What was asked, in words: `list DNS records`.
    pub name: &'static str,
    /// Whether it could change anything.
    pub kind: CallKind,
    pub outcome: CallOutcome,
    /// For how long Cloudflare wants no further one, where it said so.
    pub pause: Option<Duration>,
}

/// Whether a call can change anything at Cloudflare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    Read,
    Write,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallOutcome {
    Succeeded,
    /// It was sent and failed.
    Failed(PortErrorKind),
    /// It was not sent: the budget of the credentials is used up, or their token was refused.
    Withheld,
}

/// What a token must be allowed to do for a call. The names are those of the dashboard's token editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    Tunnels,
    Dns,
    Zones,
    Certificates,
    /// Every token may ask about itself.
    Own,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tunnels => "\"Cloudflare Tunnel: Edit\" for the account",
            Self::Dns => "\"DNS: Edit\" for the zone",
            Self::Zones => "\"Zone: Read\" for the zones of the account, or the parameters the id of each zone in spec.dns.zoneIDs",
            Self::Certificates => "\"SSL and Certificates: Edit\" for the zone",
            Self::Own => "to be used from this network address",
        })
    }
}

/// One call. It has no `Debug`: its body may hold a secret.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) permission: Permission,
    pub(crate) method: Method,
    /// Segments below the base URL, not yet escaped.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// Texts of the body that must not come back in an error.
    pub(crate) secrets: Vec<String>,
}

impl Call {
    pub(crate) fn new(
        name: &'static str,
        permission: Permission,
        method: Method,
        path: &[&str],
    ) -> Self {
        Self {
            name,
            permission,
            method,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: Vec::new(),
            body: None,
            secrets: Vec::new(),
        }
    }

    pub(crate) fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let text = serde_json::to_vec(body).expect("bodies are structs of text and numbers");
        self.body = Some(text);
        self
    }

    pub(crate) fn hiding(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    pub(crate) fn kind(&self) -> CallKind {
        if self.method == Method::GET {
            CallKind::Read
        } else {
            CallKind::Write
        }
    }
}
