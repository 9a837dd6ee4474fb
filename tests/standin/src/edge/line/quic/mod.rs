//! A line over QUIC. The connector opens one stream, for control; every request and every
//! configuration push is a stream that the edge opens.

mod endpoint;
mod exchange;
pub(in crate::edge) mod metadata;
mod socket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response};
use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

pub(in crate::edge) use self::endpoint::{Endpoint, Incoming, server_config};
use self::socket::LostPeers;
use super::{Control, RPC_BUFFER, RequestKind, SendFailure};
use crate::cloud::TunnelConfiguration;
use crate::edge::Shared;
use crate::edge::body::{self, Body, BoxError};
use crate::edge::control::{ConfigurationPush, Rpc};
use crate::edge::registry::Confirmation;

/// How long the connector may take for the handshake, and then for opening the control stream.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);
/// Application error code of an orderly end.
const CLOSED: VarInt = VarInt::from_u32(0);
/// Application error code of an end without notice.
const CUT: VarInt = VarInt::from_u32(1);

/// A connection over QUIC.
pub(in crate::edge) struct QuicLine {
    connection: quinn::Connection,
    lost: LostPeers,
    frozen: AtomicBool,
    rpc: mpsc::UnboundedSender<Rpc>,
}

impl QuicLine {
    pub(super) async fn establish(
        shared: &Shared,
        incoming: Incoming,
    ) -> anyhow::Result<(Self, Control)> {
        let Incoming { incoming, lost } = incoming;
        let connection = timeout(HANDSHAKE_WITHIN, incoming);
        let connection = connection.await.context("handshake timed out")??;
        let opened = timeout(HANDSHAKE_WITHIN, connection.accept_bi());
        let (send, recv) = opened.await.context("control stream timed out")??;
        let line = Self {
            connection,
            lost,
            frozen: AtomicBool::new(false),
            rpc: shared.rpc.clone(),
        };
        Ok((line, control(send, recv)))
    }

    pub(super) async fn send(
        &self,
        kind: RequestKind,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendFailure> {
        let Ok(stream) = self.connection.open_bi().await else {
            return Err(SendFailure::Unsent(Box::new(request)));
        };
        match exchange::exchange(stream, kind, request).await {
            Err(SendFailure::StreamFailed(_)) if self.connection.close_reason().is_some() => {
                Err(SendFailure::ConnectionEnded)
            }
            outcome => outcome,
        }
    }

    pub(super) async fn configure(
        &self,
        configuration: &TunnelConfiguration,
    ) -> Result<Confirmation, BoxError> {
        let (mut send, recv) = self.connection.open_bi().await?;
        send.write_all(&metadata::RPC_SIGNATURE).await?;
        let (ours, io) = tokio::io::duplex(RPC_BUFFER);
        let (from_client, mut to_client) = tokio::io::split(ours);
        let _sending = AbortOnDropHandle::new(tokio::spawn(carry(from_client, send)));
        let _receiving = AbortOnDropHandle::new(tokio::spawn(async move {
            body::write_to(body::from_reader(recv), &mut to_client).await
        }));
        let (answer, answered) = oneshot::channel();
        let push = ConfigurationPush {
            io,
            version: configuration.version,
            document: configuration.document.to_string(),
            answer,
        };
        self.rpc.send(Rpc::Configure(push)).map_err(|_| ENDING)?;
        Ok(answered.await.map_err(|_| ENDING)??)
    }

    pub(super) fn close(&self) {
        self.connection.close(CLOSED, b"");
    }

    pub(super) fn cut(&self) {
        if self.frozen.swap(false, Ordering::AcqRel) {
            self.lost.find(self.peer());
        }
        self.connection.close(CUT, b"");
    }

    pub(super) fn freeze(&self) {
        if self.connection.close_reason().is_none() {
            self.frozen.store(true, Ordering::Release);
            self.lost.lose(self.peer());
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    pub(super) async fn ended(&self) {
        self.connection.closed().await;
    }

    fn peer(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

/// Why an RPC that nobody answers failed.
const ENDING: &str = "the edge is ending";

fn control(send: SendStream, recv: RecvStream) -> Control {
    let (ours, io) = tokio::io::duplex(RPC_BUFFER);
    let (from_server, to_server) = tokio::io::split(ours);
    tokio::spawn(carry(from_server, send));
    Control {
        io,
        from_connector: body::from_reader(recv),
        to_server,
    }
}

/// Carries RPC messages to the connector until the RPC system ends, or nobody listens any more.
async fn carry(mut messages: impl AsyncRead + Unpin, mut send: SendStream) {
    let deaf = send.stopped();
    tokio::select! {
        carried = tokio::io::copy(&mut messages, &mut send) => {
            if let Err(error) = carried {
                tracing::debug!(%error, "RPC stream");
            }
            // It fails only for a stream that has ended already.
            let _ = send.shutdown().await;
        }
        _ = deaf => {}
    }
}
