//! A Gateway whose credentials open another account than before. Its tunnel there is made at once, its records there wait
//! until a proxy has joined that tunnel: a name must not lead to a tunnel that nobody serves while the former one is
//! served. What it has in the former account stays until no proxy is there any more ([`sweep`](super::sweep)).

use super::{DirectEdge, Work};
use crate::edge::cache::CachedApi;
use crate::edge::observed::Observed;
use crate::edge::tunnel;
use crate::error::PortError;
use crate::names::{ObjectKey, TunnelId};
use crate::secret::CloudflareCredentials;

/// Where a Gateway was served before it moved.
#[derive(Clone)]
pub(super) struct MovedFrom {
    credentials: CloudflareCredentials,
    tunnel: TunnelId,
}

/// Why a Gateway is not settled yet.
pub(super) fn waits(tunnel: TunnelId) -> PortError {
    PortError::unavailable(format!(
        "the Gateway has moved to another account; its records there wait until a proxy has joined tunnel {tunnel}"
    ))
}

impl DirectEdge {
    /// The account that a Gateway is on its way from, as far as this process knows.
    pub(super) fn moved_from(
        &self,
        gateway: &ObjectKey,
        now: &CloudflareCredentials,
    ) -> Option<MovedFrom> {
        let memory = self.memory();
        let before = memory.gateways.get(gateway)?;
        match before.credentials.account == now.account {
            true => before.moved_from.clone(),
            false => Some(MovedFrom {
                credentials: before.credentials.clone(),
                tunnel: before.tunnel,
            }),
        }
    }

    /// Whether only the former tunnel is served. Where nobody can tell there is nothing to wait for.
    pub(super) async fn must_wait(
        &self,
        api: &CachedApi,
        work: &Work<'_>,
        observed: &Observed,
    ) -> Result<bool, PortError> {
        let Some(former) = &work.moved_from else {
            return Ok(false);
        };
        let before = self.open(&former.credentials, "");
        let served = tunnel::apply::connected(&before, former.tunnel).await;
        if served.unwrap_or(0) == 0 {
            return Ok(false);
        }
        match &observed.tunnel {
            None => Ok(true),
            Some(tunnel) => Ok(tunnel::apply::connected(api, tunnel.id).await? == 0),
        }
    }
}
