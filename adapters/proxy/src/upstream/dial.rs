//! Opening connections to endpoints.

use domain::gateway::EndpointHost;
use domain::route_table::UpstreamEndpoint;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Limits;

/// Why no connection could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectFailure {
    /// The name does not resolve, or the endpoint refused.
    Refused,
    /// It took longer than [`Limits::connect_timeout`].
    TimedOut,
}

/// Opens a connection. A name is resolved anew each time, by the system's resolver; its addresses are
/// tried in turn.
pub(super) async fn dial(
    at: &UpstreamEndpoint,
    limits: &Limits,
) -> Result<TcpStream, ConnectFailure> {
    let connect = async {
        match &at.host {
            EndpointHost::Address(address) => TcpStream::connect((*address, at.port)).await,
            EndpointHost::Name(name) => TcpStream::connect((name.as_str(), at.port)).await,
        }
    };
    match timeout(limits.connect_timeout, connect).await {
        Ok(Ok(stream)) => {
            // Small writes must not wait for an acknowledgement. Where it fails, they do.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => {
            tracing::debug!(?at, %error, "endpoint refused the connection");
            Err(ConnectFailure::Refused)
        }
        Err(_) => {
            tracing::debug!(?at, "endpoint did not accept the connection in time");
            Err(ConnectFailure::TimedOut)
        }
    }
}
