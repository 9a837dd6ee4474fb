//! What was read of the edge for one Gateway.

use std::collections::BTreeSet;

use super::objects::{DnsRecord, IngressDocument, Tunnel, Zone};
use crate::error::PortError;
use crate::names::{Hostname, TunnelId};

/// What is at the edge for one Gateway, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The Gateway's tunnel, if it has one. An edge whose tunnels cannot be listed cannot be planned for.
    pub tunnel: Option<ObservedTunnel>,
    /// The zones that could be found, in any order: every one that the credentials can see, or, where these may not be
    /// listed, those of the names that matter.
    pub zones: Result<Vec<ObservedZone>, PortError>,
    /// Why a name outside of these zones may have a zone all the same; `None` where they are all.
    pub unseen: Option<PortError>,
    /// The tunnel that the Gateway is known to have had, if it is another now: somebody removed it, or gave it another name.
    pub former: Option<TunnelId>,
    /// Hostnames that are known to have had a record of the Gateway.
    pub had: BTreeSet<Hostname>,
    /// Every tunnel of the account, listed after the records, to tell a former instance's records from those of a
    /// namesake that is there, and an address of a tunnel that is gone from one that somebody wrote. `None` where no
    /// record is judged by it.
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
