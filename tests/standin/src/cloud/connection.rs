//! Connections that connectors hold at the edge.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

/// One registered connection of a connector, from registration until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Made by the edge at registration.
    pub connection: Uuid,
    /// The tunnel it serves.
    pub tunnel: Uuid,
    /// The connector process: the same on all its connections.
    pub connector: Uuid,
    /// Number of the connection within its connector, from 0.
    pub index: u8,
    /// Data centre that answered, like `sim01`.
    pub colo: String,
    /// What the connector said that it is.
    pub client_version: String,
    /// Its architecture, like `linux_amd64`.
    pub arch: String,
    /// Protocol features that it announced.
    pub features: Vec<String>,
    /// Where it dialled from.
    pub origin_ip: IpAddr,
    /// When it registered.
    pub opened_at: Timestamp,
}

/// What an accepted connector is told and the edge needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelRegistration {
    /// The tunnel.
    pub tunnel: Uuid,
    /// The account it belongs to.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Whether configurations are pushed to its connectors (`config_src` is `cloudflare`).
    pub remotely_managed: bool,
}

/// Why a connector was turned away. The fields are those of `ConnectionError` of the tunnel protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct RegistrationRefusal {
    /// Text for the connector; one that contains `Unauthorized` is retried by cloudflared, because a
    /// new tunnel takes a moment to be known everywhere.
    pub cause: String,
    /// How long to wait before the next attempt.
    pub retry_after: std::time::Duration,
    /// Whether another attempt makes sense.
    pub should_retry: bool,
}

/// Something that happened at the edge, for people and tests to read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EdgeEvent {
    /// When.
    pub time: Timestamp,
    /// The tunnel it is about, where there is one.
    pub tunnel: Option<Uuid>,
    /// What happened, in words.
    pub what: String,
}
