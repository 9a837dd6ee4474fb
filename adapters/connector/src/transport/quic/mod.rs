//! QUIC: the connector dials, opens the control stream first, and serves the streams that the edge opens.

pub(crate) mod request;
mod stream;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, IdleTimeout, TransportConfig};
use tokio_util::task::TaskTracker;

use crate::connection::{ConnectionAttempt, ConnectionError, Ended, Membership};
use crate::handler::{RequestHandler, stalls_of};
use crate::stalls::{CONNECTION_WINDOW, STREAM_WINDOW, Stalls};

use stream::NO_ERROR;

/// Streams that the edge may have open at once. The library keeps an entry for each one that it permits,
/// so this is no place for a number without meaning.
const MAX_STREAMS: u32 = 4096;
/// Datagrams carry nothing for this connector, but the edge expects that it could receive them.
const DATAGRAM_BUFFER: usize = 1 << 20;
/// Time for the handshake at most. There is no TCP to be waited for.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The round trip that is assumed before one was measured. A handshake that was lost, because the edge was
/// just away, is sent again after three of these; the library assumes a third of a second.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
/// The part of the time after which a silent connection counts as broken that passes before it is asked for a
/// sign of life, at most. The idle timeout has the rest: it begins anew with the first packet that is sent after
/// the silence has begun (RFC 9000 section 10.1).
const KEEP_ALIVE_SHARE: u32 = 4;
/// Time without any stream after which a connection that was unregistered is closed: what the edge had
/// sent before it heard of that has arrived then.
const LINGER: Duration = Duration::from_millis(250);
/// Time for the edge to hear that a connection is closed.
const CLOSING: Duration = Duration::from_millis(500);
/// Dials the address of an attempt and serves, as [`super::serve`] says.
pub(super) async fn serve<H: RequestHandler>(
    handler: Arc<H>,
    attempt: Arc<ConnectionAttempt>,
) -> Ended {
    let link = match Link::dial(&attempt).await {
        Ok(link) => link,
        Err(error) => return Ended::Lost(error),
    };
    attempt.membership.addresses.answered(attempt.edge);
    let streams = Streams {
        stalls: stalls_of(&handler),
        handler,
        membership: Arc::clone(&attempt.membership),
        open: TaskTracker::new(),
    };
    let ended = tokio::select! {
        ended = control_stream(&attempt, &link.connection) => ended,
        error = streams.accept(&link.connection) => return Ended::Lost(error.into()),
    };
    match ended {
        Ended::Refused(_) => {}
        Ended::Left | Ended::Moved(_) | Ended::Lost(_) => finish(link, streams),
    }
    ended
}

/// A QUIC connection on a socket of its own. Dropping it closes the connection at once.
struct Link {
    endpoint: Endpoint,
    connection: Connection,
}

impl Link {
    async fn dial(attempt: &ConnectionAttempt) -> Result<Self, ConnectionError> {
        let membership = &*attempt.membership;
        let edge = attempt.edge;
        let any = match edge {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = SocketAddr::new(any, 0);
        let endpoint = Endpoint::client(socket).map_err(ConnectionError::Socket)?;
        let connecting = endpoint
            .connect_with(settings(membership), edge, &membership.quic_edge_name)
            .map_err(|source| ConnectionError::QuicStart { edge, source })?;
        let limit = membership.options.dial_timeout.min(HANDSHAKE);
        let connection = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| ConnectionError::DialTimeout(edge))?
            .map_err(|source| ConnectionError::QuicHandshake { edge, source })?;
        Ok(Self {
            endpoint,
            connection,
        })
    }

    /// Closes the connection, and waits for a moment until the edge has the close.
    async fn close(self) {
        self.connection.close(NO_ERROR, b"");
        let told = self.endpoint.wait_idle();
        // If the edge does not get it, its own timeout ends the connection.
        let _ = tokio::time::timeout(CLOSING, told).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(NO_ERROR, b"");
    }
}

fn settings(membership: &Membership) -> ClientConfig {
    let silence = membership.options.silence;
    let keep_alive = silence / KEEP_ALIVE_SHARE;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(silence - keep_alive).ok())
        .initial_rtt(FIRST_ROUND_TRIP)
        .keep_alive_interval(Some(keep_alive))
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(CONNECTION_WINDOW.into())
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER));
    let mut settings = ClientConfig::new(Arc::clone(&membership.quic_tls) as Arc<_>);
    settings.transport_config(Arc::new(transport));
    settings
}

/// Opens the control stream and runs it. There is no signature on it: calls begin with its first byte.
async fn control_stream(attempt: &ConnectionAttempt, connection: &Connection) -> Ended {
    match connection.open_bi().await {
        Ok((send, recv)) => attempt.control(tokio::io::join(recv, send)).await,
        Err(error) => Ended::Lost(error.into()),
    }
}

/// Lets what is in flight on a connection end, for as long as it may take, and closes it.
fn finish<H: RequestHandler>(link: Link, streams: Streams<H>) {
    let membership = Arc::clone(&streams.membership);
    let tasks = membership.tasks.clone();
    tasks.spawn(async move {
        let finishing = async {
            tokio::select! {
                () = streams.ended() => {}
                _ = streams.accept(&link.connection) => {}
                () = tokio::time::sleep(membership.options.grace) => {}
            }
            link.close().await;
        };
        tokio::select! {
            () = finishing => {}
            () = membership.abort.cancelled() => {}
        }
    });
}

/// The streams that the edge opens on a connection.
struct Streams<H> {
    handler: Arc<H>,
    membership: Arc<Membership>,
    stalls: Arc<Stalls>,
    /// Those that have not ended.
    open: TaskTracker,
}

impl<H: RequestHandler> Streams<H> {
    /// Serves every stream that the edge opens, until the connection ends. A stream ends by itself
    /// when its connection does.
    async fn accept(&self, connection: &Connection) -> quinn::ConnectionError {
        loop {
            match connection.accept_bi().await {
                Ok((send, recv)) => {
                    let handler = Arc::clone(&self.handler);
                    let membership = Arc::clone(&self.membership);
                    let serving = stream::serve(handler, membership, send, recv);
                    self.open.spawn(self.stalls.run(serving));
                }
                Err(error) => return error,
            }
        }
    }

    /// Waits until no stream is open, and none has been for a moment.
    async fn ended(&self) {
        self.open.close();
        loop {
            self.open.wait().await;
            tokio::time::sleep(LINGER).await;
            if self.open.is_empty() {
                return;
            }
        }
    }
}
