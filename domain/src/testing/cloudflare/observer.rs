//! Calls as they are made, for who wants to see or disturb them.

use async_trait::async_trait;

use super::{ApiCall, Moment};
use crate::edge::objects::RecordBatch;
use crate::error::PortError;
use crate::names::{TunnelId, ZoneId};

/// Sees the calls of one client.
#[async_trait]
pub trait Observer: Send + Sync {
    /// Before a call. An error, and when: the call fails with it.
    async fn before(&self, call: &Call<'_>) -> Option<(Moment, PortError)>;

    fn after(&self, call: &Call<'_>, error: Option<&PortError>);
}

/// A call and what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub kind: ApiCall,
    pub tunnel: Option<TunnelId>,
    pub zone: Option<&'a ZoneId>,
    pub name: Option<&'a str>,
    pub batch: Option<&'a RecordBatch>,
}

impl<'a> Call<'a> {
    pub(super) fn of(kind: ApiCall) -> Self {
        Self {
            kind,
            tunnel: None,
            zone: None,
            name: None,
            batch: None,
        }
    }

    pub(super) fn of_tunnel(kind: ApiCall, tunnel: TunnelId) -> Self {
        let tunnel = Some(tunnel);
        Self {
            tunnel,
            ..Self::of(kind)
        }
    }

    pub(super) fn named(kind: ApiCall, name: &'a str) -> Self {
        let name = Some(name);
        Self {
            name,
            ..Self::of(kind)
        }
    }

    pub(super) fn in_zone(kind: ApiCall, zone: &'a ZoneId) -> Self {
        let zone = Some(zone);
        Self {
            zone,
            ..Self::of(kind)
        }
    }

    pub(super) fn batch(zone: &'a ZoneId, batch: &'a RecordBatch) -> Self {
        Self {
            batch: Some(batch),
            ..Self::in_zone(ApiCall::ChangeRecords, zone)
        }
    }
}
