//! Tunnel listeners: several edge addresses on one port, in two regions. Each takes HTTP/2 over TCP and
//! QUIC over UDP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::line::{Arriving, Endpoint};
use super::session::{self, Ends};

/// Attempts to find a port that is free at every address.
const PORT_ATTEMPTS: usize = 20;

/// One edge address.
pub(super) struct Door {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Door {
    /// Where it is.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Listens at every address. Those with port 0 get one and the same port, which the system chooses.
pub(super) async fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<Door>> {
    let mut outcome = bind_once(addresses).await;
    for _ in 1..PORT_ATTEMPTS {
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => break,
        }
        outcome = bind_once(addresses).await;
    }
    outcome
}

async fn bind_once(addresses: &[SocketAddr]) -> io::Result<Vec<Door>> {
    let mut doors = Vec::with_capacity(addresses.len());
    let mut chosen = 0;
    for address in addresses {
        let mut address = *address;
        let choose = address.port() == 0;
        if choose {
            address.set_port(chosen);
        }
        let tcp = TcpListener::bind(address).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?)?;
        if choose {
            chosen = tcp.local_addr()?.port();
        }
        doors.push(Door { tcp, udp });
    }
    Ok(doors)
}

/// Serves connectors until `stop`, which ends their connections too.
pub(super) fn open(
    door: Door,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<()> {
    let entrance = Entrance {
        shared: shared.clone(),
        edge_address: door.address()?,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let endpoint = Endpoint::new(door.udp, shared.quic.clone())?;
    tasks.spawn(entrance.clone().accept_udp(endpoint));
    tasks.spawn(entrance.accept_tcp(door.tcp));
    Ok(())
}

#[derive(Clone)]
struct Entrance {
    shared: Arc<Shared>,
    edge_address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Entrance {
    async fn accept_tcp(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    // Frames are written whole; waiting for more would hold them back.
                    let _ = tcp.set_nodelay(true);
                    self.serve(Arriving::Tcp(tcp), peer);
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting a connector");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn accept_udp(self, endpoint: Endpoint) {
        loop {
            let accepted = tokio::select! {
                accepted = endpoint.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            let Some(incoming) = accepted else { break };
            let peer = incoming.peer();
            self.serve(Arriving::Udp(Box::new(incoming)), peer);
        }
        endpoint.shut().await;
    }

    fn serve(&self, arriving: Arriving, peer: SocketAddr) {
        let edge_address = self.edge_address;
        let ends = Ends { edge_address, peer };
        let serving = session::serve(self.shared.clone(), arriving, ends, self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%peer, %error, "tunnel connection");
            }
        });
    }
}
