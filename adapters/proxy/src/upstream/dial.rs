//! Opening connections to endpoints.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::endpoint_policy::{EndpointPolicy, refusal, refusal_outside};
use domain::gateway::EndpointHost;
use domain::route_table::{OutsideRules, UpstreamEndpoint};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::names;
use super::stream::Stream;
use super::tls::{Offer, Tls};
use crate::Limits;

/// For how long an endpoint may be silent before it is asked whether it is still there, how often it is asked, and
/// how many questions in a row may go without an answer. One whose node lost power says no word of it. HTTP/2 has
/// questions of its own, which gRPC servers punish.
const SILENCE: Duration = Duration::from_secs(10);
const QUESTION_INTERVAL: Duration = Duration::from_secs(5);
const QUESTIONS: u32 = 3;

/// For how long bytes of a request may go unacknowledged. While there are any the kernel asks no questions but sends
/// them again, without this limit for a quarter of an hour. A connection whose endpoint is there but takes nothing
/// of a body for so long, with all buffers full, ends as well, so this is no shorter than what endpoints are used to:
/// nginx gives them a minute between two writes.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Bytes of a body that the kernel holds for an endpoint that does not take them. It would make room for up to 4 MiB
/// (`tcp_wmem`), which counts as the container's memory. Does not bound what is on its way.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// Bytes of an answer that the kernel holds for a client that does not take them, where it would make room for up to
/// 6 MiB (`tcp_rmem`); it may need twice as much for them. With a millisecond to an endpoint that is 1 Gbit/s.
const UNREAD: usize = 128 << 10;

/// Addresses of one name that are tried for a connection.
const MOST_ADDRESSES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectFailure {
    /// The name does not resolve, the endpoint refused, or its certificate is not taken.
    Refused,
    /// It took longer than [`Limits::connect_timeout`].
    TimedOut,
    /// It took longer than [`Limits::patience`], and there are others.
    Slow,
    /// As many requests wait for a connection to it as may.
    Full,
    /// The proxy does not connect to any address of it ([`domain::endpoint_policy`]).
    Forbidden,
}

/// Which addresses an endpoint may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reach {
    pub(crate) policy: EndpointPolicy,
    /// Where it is a host outside of the cluster.
    pub(crate) outside: Option<Arc<OutsideRules>>,
}

impl Reach {
    fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
        match &self.outside {
            Some(outside) => refusal_outside(address.ip(), &outside.cluster_ranges),
            None => refusal(address.ip(), self.policy),
        }
    }
}

/// Opens a connection, over TLS where that is given. A name is resolved for each, by the system's resolver; its
/// addresses are tried in turn. Those of a host outside of the cluster are remembered for as long as its name servers say.
pub(super) async fn dial(
    at: &UpstreamEndpoint,
    limits: &Limits,
    reach: &Reach,
    tls: Option<(&Tls, Offer)>,
) -> Result<Stream, ConnectFailure> {
    let connected = timeout(limits.connect_timeout, async {
        let stream = connect(at, reach).await?;
        prepare(at, &stream);
        match tls {
            Some((tls, offer)) => tls.start(stream, offer).await,
            None => Ok(Stream::Clear(stream)),
        }
    });
    connected.await.unwrap_or_else(|_| {
        tracing::debug!(?at, "endpoint did not accept the connection in time");
        Err(ConnectFailure::TimedOut)
    })
}

fn prepare(at: &UpstreamEndpoint, stream: &TcpStream) {
    // Small writes must not wait for an acknowledgement. Where it fails, they do.
    let _ = stream.set_nodelay(true);
    if let Err(error) = notice_silence(stream) {
        tracing::debug!(?at, %error, "it will not be noticed when the endpoint falls silent");
    }
    if let Err(error) = bound_buffers(stream) {
        tracing::debug!(?at, %error, "the kernel decides how much it holds of bodies");
    }
}

async fn connect(at: &UpstreamEndpoint, reach: &Reach) -> Result<TcpStream, ConnectFailure> {
    match &at.host {
        EndpointHost::Address(address) => {
            connect_to(SocketAddr::new(*address, at.port), reach).await
        }
        EndpointHost::Name(name) => {
            let addresses = match reach.outside {
                Some(_) => names::addresses(name, at.port).await,
                None => lookup_host((name.as_str(), at.port))
                    .await
                    .map(Iterator::collect),
            };
            let addresses: Vec<SocketAddr> = addresses.map_err(|error| {
                tracing::debug!(?at, %error, "the endpoint's name does not resolve");
                ConnectFailure::Refused
            })?;
            let mut failure = ConnectFailure::Refused;
            for address in addresses.into_iter().take(MOST_ADDRESSES) {
                match connect_to(address, reach).await {
                    Ok(stream) => return Ok(stream),
                    Err(reason) => failure = reason,
                }
            }
            Err(failure)
        }
    }
}

/// Connects to the very address that was judged.
async fn connect_to(address: SocketAddr, reach: &Reach) -> Result<TcpStream, ConnectFailure> {
    if let Some(reason) = reach.refusal(address) {
        tracing::debug!(%address, reason, "the proxy does not connect to this address");
        return Err(ConnectFailure::Forbidden);
    }
    let stream = TcpStream::connect(address).await.map_err(|error| {
        tracing::debug!(%address, %error, "endpoint refused the connection");
        ConnectFailure::Refused
    })?;
    if reach.policy == EndpointPolicy::Cluster && leads_to_ourselves(&stream) {
        tracing::debug!(%address, "the proxy does not connect to itself");
        return Err(ConnectFailure::Forbidden);
    }
    Ok(stream)
}

/// Whether the other end has our own address: in a cluster that is the proxy's own pod, with its ports for metrics and
/// probes. The kernel gives a connection to an own address that same address on this side.
fn leads_to_ourselves(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip(),
        _ => false,
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

/// Has the kernel hold little of what is not read.
fn bound_buffers(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_recv_buffer_size(UNREAD)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use tokio::net::TcpListener;

    fn reach(policy: EndpointPolicy) -> Reach {
        Reach {
            policy,
            outside: None,
        }
    }

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
            let limits = Limits::default();
            let reach = reach(EndpointPolicy::Standalone);
            let stream = dial(&at, &limits, &reach, None).await.unwrap();
            let socket = SockRef::from(stream.tcp());
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

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_holds_little_of_what_an_endpoint_or_a_client_does_not_take() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let at = UpstreamEndpoint {
            host: EndpointHost::Address(address.ip()),
            port: address.port(),
        };
        let limits = Limits::default();
        let reach = reach(EndpointPolicy::Standalone);
        let stream = dial(&at, &limits, &reach, None).await.unwrap();
        let socket = SockRef::from(stream.tcp());
        // Linux makes it twice as large, for what it needs besides (socket(7)).
        assert_eq!(socket.recv_buffer_size().unwrap(), 2 * UNREAD);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
    }

    /// Where this machine is reached by others, as a pod is by its own address.
    async fn own_address() -> Option<IpAddr> {
        // Nothing is sent: connecting a UDP socket only chooses the address.
        let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.ok()?;
        socket.connect("192.0.2.1:9").await.ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    #[tokio::test]
    async fn what_is_no_pod_is_not_connected_to() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let name = |name: &str| EndpointHost::Name(name.into());
        let address = |address: &str| EndpointHost::Address(address.parse().unwrap());
        let mut cases = vec![
            (address("127.0.0.1"), true),
            (address("::ffff:127.0.0.1"), true),
            (address("169.254.169.254"), false),
            (address("0.0.0.0"), false),
            // Names that are addresses, and a name that leads to one.
            (name("127.0.0.1"), true),
            (name("localhost"), true),
            (name("169.254.169.254"), false),
            (name("0.0.0.0"), false),
        ];
        if let Some(own) = own_address().await {
            cases.push((EndpointHost::Address(own), true));
        }
        let limits = Limits::default();
        for (host, for_the_owner) in cases {
            let at = UpstreamEndpoint { host, port };
            let in_cluster = dial(&at, &limits, &reach(EndpointPolicy::Cluster), None).await;
            let failure = in_cluster.err();
            assert_eq!(failure, Some(ConnectFailure::Forbidden), "{at:?}");
            let standalone = dial(&at, &limits, &reach(EndpointPolicy::Standalone), None).await;
            assert_eq!(standalone.is_ok(), for_the_owner, "{at:?}");
        }
    }

    #[tokio::test]
    async fn a_host_outside_is_not_connected_to_inside_whatever_its_name_leads_to() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let limits = Limits::default();
        let mut cases = vec![
            EndpointHost::Name("localhost".into()),
            EndpointHost::Address("127.0.0.1".parse().unwrap()),
            EndpointHost::Address("169.254.169.254".parse().unwrap()),
            EndpointHost::Address("10.96.0.1".parse().unwrap()),
            EndpointHost::Address("::ffff:10.96.0.1".parse().unwrap()),
            EndpointHost::Address("fd00::1".parse().unwrap()),
        ];
        let own = own_address().await;
        let own = own.filter(|own| refusal_outside(*own, &[]).is_some());
        cases.extend(own.map(EndpointHost::Address));
        for policy in [EndpointPolicy::Cluster, EndpointPolicy::Standalone] {
            for host in cases.clone() {
                let at = UpstreamEndpoint { host, port };
                let reach = Reach {
                    policy,
                    outside: Some(Arc::default()),
                };
                let failure = dial(&at, &limits, &reach, None).await.err();
                assert_eq!(failure, Some(ConnectFailure::Forbidden), "{at:?}");
            }
        }
    }
}
