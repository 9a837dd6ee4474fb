//! The connector as its user holds it.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::ConnectorToken;
use tokio::sync::watch;

use crate::connection::Membership;
use crate::handler::RequestHandler;
use crate::options::{ConnectorOptions, StartError};
use crate::status::ConnectorStatus;
use crate::supervisor;
use crate::token::Credentials;

/// Time beyond its limits that a shutdown may take before what is left is dropped.
const LEEWAY: Duration = Duration::from_secs(1);

/// A running connector: it keeps its connections to the edge and hands their requests to its handler.
/// Dropping it closes everything at once; [`Connector::shutdown`] leaves in good order.
pub struct Connector {
    membership: Arc<Membership>,
}

impl Connector {
    /// Starts a connector on the current tokio runtime. Returns before anything is connected.
    ///
    /// # Errors
    /// Where token or options cannot be used; the error never shows the token's content.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<H: RequestHandler>(
        token: &ConnectorToken,
        options: ConnectorOptions,
        handler: Arc<H>,
    ) -> Result<Self, StartError> {
        let credentials = Credentials::read(token)?;
        let membership = Arc::new(Membership::new(credentials, options)?);
        supervisor::start(&membership, handler);
        Ok(Self { membership })
    }

    /// The present status, and each later one.
    pub fn status(&self) -> watch::Receiver<ConnectorStatus> {
        self.membership.status.subscribe()
    }

    /// Says whether requests need trailers from now on, for a connector that chooses its transport by
    /// itself ([`TransportChoice::Auto`](crate::TransportChoice::Auto)).
    pub fn set_trailers_needed(&self, needed: bool) {
        self.membership.chooser.set_trailers_needed(needed);
    }

    /// Unregisters every connection, finishes what is in flight for as long as the grace period, and
    /// closes. Returns when all is done; may be called again.
    pub async fn shutdown(&self) {
        let membership = &*self.membership;
        membership.leave.cancel();
        membership.tasks.close();
        let limit = membership.options.rpc_timeout + membership.options.grace + LEEWAY;
        if tokio::time::timeout(limit, membership.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("closing connections that are still in use");
            membership.abort.cancel();
            membership.tasks.wait().await;
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.membership.abort.cancel();
        self.membership.tasks.close();
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("status", &*self.membership.status.borrow())
            .finish_non_exhaustive()
    }
}
