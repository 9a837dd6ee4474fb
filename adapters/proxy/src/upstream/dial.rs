//! Opening connections to endpoints.

use std::io;
use std::time::Duration;

use domain::gateway::EndpointHost;
use domain::route_table::UpstreamEndpoint;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Limits;

/// For how long an endpoint may be silent before it is asked whether it is still there, how often it is asked, and
/// how many questions in a row may go without an answer. One whose node lost power says no word of it, and HTTP/1.1
/// has no question of its own as HTTP/2 has.
const SILENCE: Duration = Duration::from_secs(10);
const QUESTION_INTERVAL: Duration = Duration::from_secs(5);
const QUESTIONS: u32 = 3;

/// For how long bytes of a request may go unacknowledged. While there are any the kernel asks no questions but sends
/// them again, without this limit for a quarter of an hour. A connection whose endpoint is there but takes nothing
/// of a body for so long, with all buffers full, ends as well, so this is no shorter than what endpoints are used to:
/// nginx gives them a minute between two writes.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

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
            if let Err(error) = notice_silence(&stream) {
                tracing::debug!(?at, %error, "it will not be noticed when the endpoint falls silent");
            }
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

/// Has the kernel end the connection of an endpoint that is not there any more. Requests on it then go on as on any
/// other connection that ended.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let questions = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(QUESTION_INTERVAL)
        .with_retries(QUESTIONS);
    socket.set_tcp_keepalive(&questions)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_to_an_endpoint_that_dies_in_silence_ends_within_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let by_address = EndpointHost::Address(address.ip());
        for host in [by_address, EndpointHost::Name("localhost".into())] {
            let at = UpstreamEndpoint {
                host,
                port: address.port(),
            };
            let stream = dial(&at, &Limits::default()).await.unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap(), "{at:?}");
            let idle = socket.tcp_keepalive_time().unwrap();
            let interval = socket.tcp_keepalive_interval().unwrap();
            let retries = socket.tcp_keepalive_retries().unwrap();
            assert_eq!(idle + interval * retries, Duration::from_secs(25), "{at:?}");
            #[cfg(target_os = "linux")]
            assert_eq!(
                socket.tcp_user_timeout().unwrap(),
                Some(Duration::from_secs(60)),
                "{at:?}"
            );
        }
    }
}
