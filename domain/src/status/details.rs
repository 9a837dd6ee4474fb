//! What a CloudflareGatewayStatus tells of its Gateway besides conditions. It is written to be read by people: nothing
//! is decided by it, and nothing is lost with it.

use super::{Reason, Truth};
use crate::names::{Hostname, TunnelId};
use crate::rotation::{Request, RotationFacts};
use crate::workload::{ConnectedReplica, ManagedObject};

/// How many hostnames are listed at most: those that are not as they should be first. The status of a Gateway with
/// 10,000 hostnames would be larger than the API server takes (1.5 MiB).
pub const LISTED_HOSTNAMES: usize = 256;

/// Longest message of a hostname, in characters.
pub const LONGEST_MESSAGE: usize = 256;

/// How many connectors are listed at most: more than Cloudflare's 25 of a tunnel are there while they are replaced.
pub const LISTED_CONNECTORS: usize = 50;

/// How many objects are listed at most.
pub const LISTED_OBJECTS: usize = 512;

/// Everything but conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayDetails {
    /// `None` as long as the edge has named none.
    pub tunnel: Option<TunnelDetails>,
    /// Proxies that take traffic.
    pub ready_replicas: u32,
    /// Proxies that are connected to the tunnel; at most [`LISTED_CONNECTORS`]. `None` as long as one that takes
    /// traffic has not told of its connections: what was written stays.
    pub connectors: Option<Vec<ConnectedReplica>>,
    /// `None` as long as nothing is known of the token.
    pub rotation: Option<RotationFacts>,
    /// Whether records are made for the Gateway's hostnames.
    pub manages_dns: bool,
    pub hostnames: HostnameDetails,
    /// What was made in the cluster for the Gateway; at most [`LISTED_OBJECTS`]. `None` as long as it is not known:
    /// what was written stays.
    pub inventory: Option<Vec<ManagedObject>>,
    /// The last comparison with the edge that somebody asked for and that was made.
    pub handled: Option<Request>,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelDetails {
    pub id: TunnelId,
    /// As Cloudflare's dashboard shows it.
    pub name: String,
}

/// What became of hostnames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostnameDetails {
    /// How many the Gateway has.
    pub total: usize,
    /// How many of them lead to the tunnel.
    pub applied: usize,
    /// At most [`LISTED_HOSTNAMES`], those that are not as they should be first, then by name.
    pub listed: Vec<HostnameDetail>,
}

/// What became of one hostname.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostnameDetail {
    pub hostname: Hostname,
    /// The zone that it lies in, where that is known.
    pub zone: Option<String>,
    /// The record that leads it to the tunnel, or the one of somebody else that is in its place, as type and content.
    pub record: Option<String>,
    /// Which certificate its visitors are shown, where its zone is known.
    pub certificate: Option<CertificateCoverage>,
    /// Whether it has its record.
    pub truth: Truth,
    pub reason: Reason,
    /// Empty where it has its record; at most [`LONGEST_MESSAGE`] characters.
    pub message: String,
}

/// Which certificate the edge shows for a hostname.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateCoverage {
    /// One that was uploaded for a listener.
    Uploaded,
    /// Cloudflare's Universal certificate, which in a partial zone each proxied name has for itself.
    Universal,
    /// None of these. What other certificates the zone has cannot be seen with the permissions of the token.
    NotCovered,
}
