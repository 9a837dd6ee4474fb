//! What the connector hands requests to.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::capabilities::EdgeKind;
use domain::route_table::Arrival;

use crate::body::{BoxError, RequestBody};
use crate::stalls::Stalls;

/// Answers the requests of a tunnel.
pub trait RequestHandler: Send + Sync + 'static {
    /// The body of an answer. An error of it resets the request's stream, so that the client does not
    /// take a part for the whole.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers a request. The future is dropped when the client goes away.
    ///
    /// A WebSocket comes with `Connection: Upgrade` and `Upgrade: websocket`, its body being the client's
    /// byte stream; where it is accepted the answer is a 101 whose body is the byte stream to the client.
    /// A panic becomes a 502 for this request alone.
    fn handle(
        &self,
        arrival: Arrival,
        request: http::Request<RequestBody>,
    ) -> impl Future<Output = http::Response<Self::Body>> + Send;

    /// What the edge tells. [`EdgeKind::TellingArrival`]: the port that a client came to and the server name of its TLS
    /// handshake, in `Cf-Arrival-Port` and `Cf-Arrival-Server-Name`; and it closes the connection of a client whose answer
    /// has the extension [`ConnectionRefused`](domain::route_table::ConnectionRefused), which is told in
    /// `Cf-Arrival-Refused`. Cloudflare's does none of this, and hands on what a client wrote there.
    fn edge(&self) -> EdgeKind {
        EdgeKind::Cloudflare
    }

    /// How long a client may take nothing of an answer, as things are now; then its request is given up. It is asked
    /// twice a second.
    fn patience(&self) -> Duration {
        Duration::MAX
    }
}

/// The stalls of a connection whose requests go to `handler`.
pub(crate) fn stalls_of<H: RequestHandler>(handler: &Arc<H>) -> Arc<Stalls> {
    let handler = Arc::clone(handler);
    Stalls::watched(move || handler.patience())
}
