//! What was read of the edge for one Gateway.

use super::objects::{DnsRecord, IngressDocument, Tunnel, Zone};
use crate::error::PortError;
use crate::names::TunnelId;

/// What is at the edge for one Gateway, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The Gateway's tunnel, if it has one. An edge whose tunnels cannot be listed cannot be planned for.
    pub tunnel: Option<ObservedTunnel>,
    /// Every zone that the credentials can see, in any order.
    pub zones: Result<Vec<ObservedZone>, PortError>,
    /// Every tunnel of the account, listed after the records, to tell a former instance's records from those of a
    /// namesake that is there. `None` where no wanted name has a record of either.
    pub tunnels: Option<Result<Vec<Tunnel>, PortError>>,
}

/// A tunnel of the Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTunnel {
    pub id: TunnelId,
    /// Its ingress document; `None` where none was ever put.
    pub ingress: Result<Option<IngressDocument>, PortError>,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedZone {
    pub zone: Zone,
    pub records: ZoneRecords,
}

/// What is in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneRecords {
    /// All of its records, in any order.
    Read(Vec<DnsRecord>),
    /// Not known, for this reason.
    Failed(PortError),
    /// Not asked for: no wanted name lies in it and nothing of ours was ever there.
    Skipped,
}
