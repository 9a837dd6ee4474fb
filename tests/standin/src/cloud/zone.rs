//! Accounts and zones.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lag::StaleViews;
use super::record_set::RecordSet;

/// What an account pays for, as far as it sets limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Free: no record tags, comments up to 100 characters, 200 operations in a batch.
    #[default]
    Free,
    /// Pro: 20 tags, comments up to 500 characters, 3,500 operations in a batch.
    Paid,
}

impl Plan {
    /// Operations in one batch of record changes.
    /// Cloudflare documentation: DNS, "Batch record changes".
    pub fn batch_limit(self) -> usize {
        match self {
            Self::Free => 200,
            Self::Paid => 3_500,
        }
    }

    /// Characters in a record's comment. Cloudflare documentation: DNS, "Record attributes".
    pub fn comment_limit(self) -> usize {
        match self {
            Self::Free => 100,
            Self::Paid => 500,
        }
    }

    /// Tags on a record. Cloudflare documentation: DNS, "Record attributes".
    pub fn tag_limit(self) -> usize {
        match self {
            Self::Free => 0,
            Self::Paid => 20,
        }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// 32 hexadecimal digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// Of all its zones.
    pub plan: Plan,
}

/// Whether a zone is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneStatus {
    /// Name servers point here.
    Active,
    /// They do not yet.
    Pending,
    /// They did and do not any more.
    Moved,
}

impl ZoneStatus {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Moved => "moved",
        }
    }
}

/// Who serves a zone's DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneKind {
    /// Cloudflare.
    #[default]
    Full,
    /// Another provider, which has CNAMEs to Cloudflare.
    /// Cloudflare documentation: DNS, "CNAME setup (Partial)".
    Partial,
}

impl ZoneKind {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

/// A zone with its records.
#[derive(Debug, Clone)]
pub struct Zone {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The domain, lower case, without a dot at the end.
    pub name: String,
    /// The account that holds it.
    pub account: String,
    /// Whether it is served.
    pub status: ZoneStatus,
    /// Whether Cloudflare proxies none of its names for now.
    pub paused: bool,
    /// Who serves its DNS.
    pub kind: ZoneKind,
    /// When it was made.
    pub created_on: Timestamp,
    /// Its records; a transaction replaces the whole set, so that a copy of the zone costs nothing.
    pub records: Arc<RecordSet>,
    /// How many records it may have; no limit when absent.
    pub record_quota: Option<usize>,
    /// What lists of its records still show.
    pub stale_lists: StaleViews<Arc<RecordSet>>,
}

impl Zone {
    /// Whether `name` (lower case) is the zone's own or below it.
    pub fn covers(&self, name: &str) -> bool {
        name == self.name
            || name
                .strip_suffix(&self.name)
                .is_some_and(|rest| rest.ends_with('.'))
    }
}
