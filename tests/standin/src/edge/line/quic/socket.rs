//! The UDP socket of an endpoint, which can be made to lose all packets of a peer.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Peers whose packets are lost, in both directions.
#[derive(Debug, Clone, Default)]
pub(super) struct LostPeers(Arc<Mutex<HashSet<SocketAddr>>>);

impl LostPeers {
    /// From now on this peer's packets are lost, until it begins a new connection.
    pub(super) fn lose(&self, peer: SocketAddr) {
        self.peers().insert(peer);
    }

    /// Its packets get through again.
    pub(super) fn find(&self, peer: SocketAddr) {
        self.peers().remove(&peer);
    }

    fn is_lost(&self, peer: SocketAddr) -> bool {
        self.peers().contains(&peer)
    }

    /// Whether a packet that came from this peer is lost. Connectors use one source port again and
    /// again, so one that begins anew must be heard: what an established connection sends has the
    /// short header (RFC 9000, section 17.3), and what begins one the long header.
    fn loses(&self, peer: SocketAddr, packet: &[u8]) -> bool {
        let mut peers = self.peers();
        let long_header = packet.first().is_some_and(|first| first & 0x80 != 0);
        if long_header {
            peers.remove(&peer);
        }
        peers.contains(&peer)
    }

    fn peers(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that loses packets.
pub(super) struct LossySocket {
    socket: Arc<dyn AsyncUdpSocket>,
    lost: LostPeers,
    /// Dropped after the socket.
    _released: DropGuard,
}

impl LossySocket {
    /// `released` is cancelled when the socket is closed.
    pub(super) fn new(
        socket: Arc<dyn AsyncUdpSocket>,
        lost: LostPeers,
        released: CancellationToken,
    ) -> Self {
        Self {
            socket,
            lost,
            _released: released.drop_guard(),
        }
    }
}

impl fmt::Debug for LossySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LossySocket").field(&self.socket).finish()
    }
}

impl AsyncUdpSocket for LossySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            poller: self.socket.clone().create_io_poller(),
            _socket: self,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.lost.is_lost(transmit.destination) {
            return Ok(());
        }
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        for (meta, buf) in meta.iter_mut().zip(bufs).take(count) {
            if self.lost.loses(meta.addr, &buf[..meta.len]) {
                // What is empty is skipped.
                meta.len = 0;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// Waits until the socket can be written to, and keeps it open.
#[derive(Debug)]
struct Poller {
    poller: Pin<Box<dyn UdpPoller>>,
    _socket: Arc<LossySocket>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poller.as_mut().poll_writable(cx)
    }
}
