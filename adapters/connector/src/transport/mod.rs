//! How a connection reaches the edge. This is the seam between what a connector does and what carries
//! it: a transport dials, hands its control stream to [`Attempt::control`], and gives every other stream
//! of the edge to the handler.
//!
//! HTTP/2 over TLS is the one transport there is. QUIC has the same control stream (without HTTP around
//! it) and the same requests in another framing, so it is one more implementation of [`Transport`].

use std::future::Future;
use std::sync::Arc;

use crate::connection::{Attempt, Ended};

pub(crate) mod h2;

/// A way to carry a connection.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Dials the edge address of the attempt and serves until the connection is to take no new requests.
    /// What is in flight then goes on by itself: until it is done, until the grace period is over, or
    /// until the connector is dropped. Dropping the future closes the connection at once.
    fn serve(&self, attempt: Arc<Attempt>) -> impl Future<Output = Ended> + Send;
}
