//! Tunnels and their configurations.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// Where the configuration of a tunnel lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// In a file beside the connector.
    Local,
    /// At Cloudflare, pushed to every connector.
    Cloudflare,
}

impl ConfigSource {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Cloudflare => "cloudflare",
        }
    }
}

/// What a connector proves that it belongs to a tunnel with. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct TunnelSecret(Vec<u8>);

impl TunnelSecret {
    /// 32 new random bytes.
    pub fn generate() -> Self {
        let mut bytes = Uuid::new_v4().as_bytes().to_vec();
        bytes.extend_from_slice(Uuid::new_v4().as_bytes());
        Self(bytes)
    }

    /// A secret given by the API's user: base64 of at least 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        (bytes.len() >= 32).then_some(Self(bytes))
    }

    /// The text that the API gives and takes.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// The bytes as a connector sends them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TunnelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelSecret(..)")
    }
}

/// A configuration document with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelConfiguration {
    /// Grows by one with every change; the first one put has version 1.
    pub version: i32,
    /// The document: `ingress`, `originRequest`, `warp-routing`.
    pub document: Value,
}

/// A tunnel of an account.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// Its id.
    pub id: Uuid,
    /// The account it belongs to.
    pub account: String,
    /// Unique among the account's tunnels that are not deleted.
    pub name: String,
    /// Who holds its configuration.
    pub config_src: ConfigSource,
    /// What connectors register with.
    pub secret: TunnelSecret,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted; deleted tunnels stay readable.
    pub deleted_at: Option<Timestamp>,
    /// Its document, where one was ever put.
    pub configuration: Option<TunnelConfiguration>,
    /// The address that stands for this tunnel at the edge.
    pub address: Ipv4Addr,
    /// A second one, where the stand-in gives IPv6 addresses.
    pub address_v6: Option<Ipv6Addr>,
    /// When its first present connection came up.
    pub active_since: Option<Timestamp>,
    /// When its last connection ended.
    pub inactive_since: Option<Timestamp>,
}

impl Tunnel {
    /// All addresses that stand for this tunnel at the edge.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let ipv6 = self.address_v6.map(IpAddr::V6);
        std::iter::once(IpAddr::V4(self.address)).chain(ipv6)
    }

    /// The connector token: base64 of JSON with account, tunnel and secret.
    pub fn token(&self) -> String {
        let fields = json!({
            "a": self.account,
            "t": self.id,
            "s": self.secret.to_base64(),
        });
        STANDARD.encode(fields.to_string())
    }
}
