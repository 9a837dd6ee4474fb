//! Tunnel listeners: several edge addresses on one port, in two regions.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Shared, session};

/// Attempts to find a port that is free at every address.
const PORT_ATTEMPTS: usize = 20;

/// Listens at every address. Those with port 0 get one and the same port, which the system chooses.
pub(super) async fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
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

async fn bind_once(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut chosen = 0;
    for address in addresses {
        let mut address = *address;
        let choose = address.port() == 0;
        if choose {
            address.set_port(chosen);
        }
        let listener = TcpListener::bind(address).await?;
        if choose {
            chosen = listener.local_addr()?.port();
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Accepts connectors until `stop`, which ends their connections too.
pub(super) async fn accept(
    listener: TcpListener,
    edge_address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting a connector");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Frames are written whole; waiting for more would hold them back.
        let _ = tcp.set_nodelay(true);
        let serving = session::serve(shared.clone(), tcp, peer, edge_address, stop.clone());
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%peer, %error, "tunnel connection");
            }
        });
    }
}
