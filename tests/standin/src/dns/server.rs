//! The name server on UDP and TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::EdgeRegion;
use super::resolve::Resolver;
use crate::cloud::Cloud;

/// What a client without EDNS takes over UDP, in bytes (RFC 1035, section 2.3.4).
const PLAIN_UDP_LIMIT: u16 = 512;
/// An idle TCP client is let go after this.
const TCP_IDLE: Duration = Duration::from_secs(30);

/// How to start the name server.
#[derive(Debug, Clone)]
pub struct DnsOptions {
    /// Where it listens, over UDP and TCP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The edge as connectors discover it: two regions.
    pub regions: Vec<EdgeRegion>,
}

/// A running name server. It stops when dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl NameServer {
    /// Binds and starts to answer.
    pub async fn start(cloud: Cloud, options: DnsOptions) -> io::Result<Self> {
        let (udp, tcp) = bind(options.listen).await?;
        let address = tcp.local_addr()?;
        let resolver = Arc::new(Resolver {
            cloud,
            regions: options.regions,
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let serve_udp = serve_udp(udp, resolver.clone());
        let serve_tcp = serve_tcp(tcp, resolver, tasks.clone(), stop.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(serve_udp));
        tasks.spawn(stop.clone().run_until_cancelled_owned(serve_tcp));
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Where it answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits until it is gone.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The same port for both; a free TCP port may be taken over UDP, so this tries some.
async fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 20;
    loop {
        let tcp = TcpListener::bind(listen).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if listen.port() != 0 || tries == 0 => return Err(error),
            Err(_) => tries -= 1,
        }
    }
}

async fn serve_udp(socket: UdpSocket, resolver: Arc<Resolver>) {
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // The error of an earlier answer, like an unreachable port: it says nothing about us.
            continue;
        };
        let Ok(query) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let limit = match &query.edns {
            Some(edns) => edns.max_payload().max(PLAIN_UDP_LIMIT),
            None => PLAIN_UDP_LIMIT,
        };
        let reply = resolver.reply(&query);
        let bytes = match reply.to_vec() {
            Ok(bytes) if bytes.len() > usize::from(limit) => reply.truncate().to_vec(),
            other => other,
        };
        if let Ok(bytes) = bytes {
            // A client that is gone needs no answer.
            let _ = socket.send_to(&bytes, from).await;
        }
    }
}

async fn serve_tcp(
    listener: TcpListener,
    resolver: Arc<Resolver>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let serve = serve_stream(stream, resolver.clone());
        let stop = stop.clone();
        tasks.spawn(async move {
            // It ends with an error when the client goes away, which is how clients end.
            let _ = stop.run_until_cancelled(serve).await;
        });
    }
}

/// Messages with two bytes of length before each (RFC 1035, section 4.2.2).
async fn serve_stream(mut stream: TcpStream, resolver: Arc<Resolver>) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await?;
        let query = Message::from_vec(&bytes).map_err(io::Error::other)?;
        let answer = resolver.reply(&query).to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_u16(length).await?;
        stream.write_all(&answer).await?;
    }
}
