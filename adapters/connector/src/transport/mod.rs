//! How a connection reaches the edge. This is the seam between what a connector does and what carries
//! it: a transport dials, hands its control stream to [`Attempt::control`], and gives every other stream
//! of the edge to the handler.
//!
//! There are two: [`h2`] and [`quic`]. They have the same control stream (over QUIC without HTTP around
//! it) and the same requests in another framing. [`choice`] says which one a connection is made over,
//! [`probe`] finds out when TCP works again.

use std::future::Future;
use std::sync::Arc;

use crate::RequestHandler;
use crate::connection::{Attempt, Ended};

pub(crate) mod choice;
pub(crate) mod h2;
pub(crate) mod probe;
pub(crate) mod quic;

pub use choice::{TransportChoice, TransportKind};

/// A way to carry a connection.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Dials the edge address of the attempt and serves until the connection is to take no new requests.
    /// What is in flight then goes on by itself: until it is done, until the grace period is over, or
    /// until the connector is dropped. Dropping the future closes the connection at once.
    fn serve(&self, attempt: Arc<Attempt>) -> impl Future<Output = Ended> + Send;
}

/// Carries each attempt over the transport that was chosen for it.
pub(crate) struct Either<H> {
    http2: h2::Http2<H>,
    quic: quic::Quic<H>,
}

impl<H: RequestHandler> Either<H> {
    /// Requests go to `handler`.
    pub(crate) fn new(handler: Arc<H>) -> Self {
        Self {
            http2: h2::Http2::new(Arc::clone(&handler)),
            quic: quic::Quic::new(handler),
        }
    }
}

impl<H: RequestHandler> Transport for Either<H> {
    async fn serve(&self, attempt: Arc<Attempt>) -> Ended {
        match attempt.over {
            TransportKind::Http2 => self.http2.serve(attempt).await,
            TransportKind::Quic => self.quic.serve(attempt).await,
        }
    }
}
