//! HTTP/1.1 connections of one endpoint: one request at a time, kept alive in between.

mod paced;

use std::pin::pin;
use std::time::Duration;

use http::Request;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::ConnectFailure;
use super::stream::Stream;
use super::upload::{Answer, RequestBody};
use crate::limits::{MAX_ANSWER_HEADERS, MAX_ANSWER_LINES};

pub(crate) use paced::Paced;

/// A connection's sending side.
#[derive(Debug)]
pub(super) struct Sender {
    requests: SendRequest<RequestBody>,
    connection: AbortHandle,
}

/// A connection that a request has, until it has ended. Dropping it closes the connection at once; hyper would wait until
/// the endpoint has taken what there is to send.
#[derive(Debug)]
pub(super) struct Taken(Option<Sender>);

/// Bytes of an answer's head as it comes, line ends included. It leaves room for 8,192 lines beside as many bytes of
/// names and values as there may be.
const MAX_HEAD: usize = MAX_ANSWER_HEADERS + 32 * 1024;
/// A head that is too large must be distinguished from one that is not there yet.
const BUFFER: usize = MAX_HEAD + 8 * 1024;

/// Unused connections, the last used one on top: what is not needed grows old at the bottom.
#[derive(Debug, Default)]
pub(super) struct Http1Pool {
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Http1Pool {
    /// Takes the connection that was used last, passing over closed ones.
    pub(super) fn take(&self, max_age: Duration) -> Option<Sender> {
        let mut idle = self.idle.lock();
        while let Some(Idle { sender, since }) = idle.pop() {
            if sender.is_ready() && since.elapsed() < max_age {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection, unless there are enough or `closed` holds; that is asked under the same lock
    /// that [`clear`](Self::clear) takes.
    pub(super) fn put(&self, sender: Sender, limit: usize, closed: impl FnOnce() -> bool) {
        let since = Instant::now();
        let mut idle = self.idle.lock();
        if idle.len() < limit && !closed() {
            idle.push(Idle { sender, since });
        }
    }

    /// Closes connections that are too old or were closed by the endpoint; returns how many are left.
    pub(super) fn sweep(&self, max_age: Duration) -> usize {
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.sender.is_ready() && idle.since.elapsed() < max_age);
        idle.shrink_to_fit();
        idle.len()
    }

    /// Closes all of them.
    pub(super) fn clear(&self) {
        *self.idle.lock() = Vec::new();
    }
}

impl Sender {
    pub(super) fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        self.requests.ready().await
    }
}

impl Taken {
    pub(super) fn by_a_request(sender: Sender) -> Self {
        Self(Some(sender))
    }

    /// Sends a request and waits for the head of the answer. The request comes back where the connection has ended.
    ///
    /// The sender is let go of when the connection ends: a request that is given to it at that very moment may stay in
    /// hyper's channel for as long as there is a sender, and then comes back as unsent.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Answer, Box<Request<RequestBody>>> {
        let Some(sender) = &mut self.0 else {
            return Err(Box::new(request));
        };
        let mut answer = pin!(sender.requests.try_send_request(request));
        tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer),
            Err(_ended) = sender.ready() => {}
        }
        self.0 = None;
        Ok(answer.await)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.as_ref().is_none_or(Sender::is_closed)
    }

    /// The request has ended well. `None` where the connection has ended.
    pub(super) fn release(mut self) -> Option<Sender> {
        self.0.take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(sender) = &self.0 {
            sender.connection.abort();
        }
    }
}

/// Speaks HTTP/1.1 on a new connection.
pub(super) async fn start(stream: Stream) -> Result<Sender, ConnectFailure> {
    let (requests, connection) = Builder::new()
        .max_buf_size(BUFFER)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_ANSWER_LINES)
        .handshake(TokioIo::new(Paced::new(stream)))
        .await
        .map_err(|_| ConnectFailure::Refused)?;
    let connection = tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to an endpoint ended");
        }
    });
    Ok(Sender {
        requests,
        connection: connection.abort_handle(),
    })
}
