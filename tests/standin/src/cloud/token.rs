//! API tokens and what they may do.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Whether a token works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    /// It works.
    Active,
    /// Switched off by its owner.
    Disabled,
    /// Its time is over.
    Expired,
}

impl TokenStatus {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

/// Whom a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenOwner {
    /// A user; verified under `/user`.
    User,
    /// The account itself; verified under `/accounts/{account}`.
    Account,
}

/// One thing that a token may do. To edit includes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Account: Cloudflare Tunnel, edit.
    TunnelEdit,
    /// Account: Cloudflare Tunnel, read.
    TunnelRead,
    /// Zone: DNS, edit.
    DnsEdit,
    /// Zone: DNS, read.
    DnsRead,
    /// Zone: Zone, read.
    ZoneRead,
    /// Zone: SSL and Certificates, edit.
    CertificatesEdit,
}

/// Zones that the token's zone permissions hold for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneScope {
    /// Every zone of its account.
    All,
    /// These, by id.
    Only(BTreeSet<String>),
}

/// An API token of an account.
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// 32 hexadecimal digits; shown in the log of calls.
    pub id: String,
    /// What a client sends. Never shown.
    pub value: SecretString,
    /// The account that its permissions hold in.
    pub account: String,
    /// Whom it belongs to.
    pub owner: TokenOwner,
    /// Whether it works.
    pub status: TokenStatus,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// Where its zone permissions hold.
    pub zones: ZoneScope,
}

impl ApiToken {
    /// An active token with every permission on every zone of the account.
    pub fn all_powerful(account: &str, value: impl Into<String>) -> Self {
        use Permission::{CertificatesEdit, DnsEdit, TunnelEdit, ZoneRead};
        Self {
            id: super::new_object_id(),
            value: SecretString::from(value.into()),
            account: account.to_owned(),
            owner: TokenOwner::User,
            status: TokenStatus::Active,
            permissions: BTreeSet::from([TunnelEdit, DnsEdit, ZoneRead, CertificatesEdit]),
            zones: ZoneScope::All,
        }
    }

    /// The same with these permissions only.
    pub fn allowed(mut self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.permissions = permissions.into_iter().collect();
        self
    }

    /// The same for these zones only.
    pub fn only_zones(mut self, zones: impl IntoIterator<Item = String>) -> Self {
        self.zones = ZoneScope::Only(zones.into_iter().collect());
        self
    }

    /// The same in this state.
    pub fn in_state(mut self, status: TokenStatus) -> Self {
        self.status = status;
        self
    }

    /// The same, belonging to the account itself.
    pub fn of_the_account(mut self) -> Self {
        self.owner = TokenOwner::Account;
        self
    }

    /// Whether a client that sent this text has the token.
    pub fn is(&self, text: &str) -> bool {
        self.value.expose_secret() == text
    }

    /// Whether it has the permission, by itself or within a wider one.
    pub fn may(&self, permission: Permission) -> bool {
        let wider = match permission {
            Permission::TunnelRead => Some(Permission::TunnelEdit),
            Permission::DnsRead => Some(Permission::DnsEdit),
            _ => None,
        };
        self.permissions.contains(&permission)
            || wider.is_some_and(|wider| self.permissions.contains(&wider))
    }

    /// Whether its zone permissions hold for a zone of its account.
    pub fn reaches(&self, zone: &str) -> bool {
        match &self.zones {
            ZoneScope::All => true,
            ZoneScope::Only(zones) => zones.contains(zone),
        }
    }
}
