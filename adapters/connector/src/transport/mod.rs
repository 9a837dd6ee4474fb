//! How a connection reaches the edge: a transport dials, hands its control stream to
//! [`ConnectionAttempt::control`], and gives every other stream of the edge to the handler.
//!
//! There are two: [`h2`] and [`quic`]. They have the same control stream (over QUIC without HTTP around
//! it) and the same requests in another framing. [`choice`] says which one a connection is made over,
//! [`probe`] finds out when TCP works again.

use std::sync::Arc;

use crate::connection::{ConnectionAttempt, Ended};
use crate::handler::RequestHandler;
use crate::transport_kind::TransportKind;

pub(crate) mod choice;
pub(crate) mod h2;
pub(crate) mod probe;
pub(crate) mod quic;

/// Dials the edge address of an attempt over its transport and serves until the connection is to take no new
/// requests. What is in flight then goes on by itself: until it is done, until the grace period is over, or until the
/// connector is dropped. Dropping the future closes the connection at once.
pub(crate) async fn serve<H: RequestHandler>(
    handler: Arc<H>,
    attempt: Arc<ConnectionAttempt>,
) -> Ended {
    match attempt.over {
        TransportKind::Http2 => h2::serve(handler, attempt).await,
        TransportKind::Quic => quic::serve(handler, attempt).await,
    }
}
