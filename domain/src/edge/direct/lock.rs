//! One piece of work at a time: on a Gateway, in an account, at sweeping.

use super::DirectEdge;
use crate::edge::KeyedLock;
use crate::error::{PortError, PortErrorKind};
use crate::names::{AccountId, ObjectKey};

/// The right to work on a Gateway: two plans at a time for one Gateway could each undo the other's.
pub(super) struct GatewayLock<'a> {
    edge: &'a DirectEdge,
    gateway: ObjectKey,
}

impl Drop for GatewayLock<'_> {
    fn drop(&mut self) {
        self.edge.memory().busy.remove(&self.gateway);
    }
}

/// The right to sweep.
pub(super) struct SweepLock<'a>(&'a DirectEdge);

impl Drop for SweepLock<'_> {
    fn drop(&mut self) {
        self.0.memory().sweeping = false;
    }
}

impl DirectEdge {
    pub(super) fn lock_gateway(&self, gateway: &ObjectKey) -> Result<GatewayLock<'_>, PortError> {
        if self.memory().busy.insert(gateway.clone()) {
            let gateway = gateway.clone();
            return Ok(GatewayLock {
                edge: self,
                gateway,
            });
        }
        Err(PortError::new(
            PortErrorKind::Conflict,
            format!("Gateway {gateway} is being worked on at the edge already; try again"),
        ))
    }

    pub(super) fn lock_sweep(&self) -> Result<SweepLock<'_>, PortError> {
        if std::mem::replace(&mut self.memory().sweeping, true) {
            let message = "records are being swept at the edge already; try again";
            return Err(PortError::new(PortErrorKind::Conflict, message));
        }
        Ok(SweepLock(self))
    }

    /// The right to work in an account, for as long as it is kept. What is read in it stays true meanwhile, as far as
    /// it is up to this process: two calls at a time could each remove what the other has just made its own.
    ///
    /// Only for credentials that the account let in: anybody may write the id of another's account into a Secret.
    pub(super) async fn lock_account(&self, account: &AccountId) -> KeyedLock {
        self.account_locks.lock(account).await
    }
}
