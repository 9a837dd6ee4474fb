//! HTTP/2 connections of one endpoint: many requests at a time on each.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::ConnectFailure;
use super::stream::Stream;
use super::upload::{Answer, RequestBody};
use crate::limits::{MAX_ANSWER_HEADERS, MAX_ANSWER_LINES};

/// Bytes that one answer may be ahead of its reader.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Size of an answer's head as HTTP/2 counts it, which adds 32 bytes to each line (RFC 9113 §6.5.2).
const MAX_HEAD: u32 = (MAX_ANSWER_HEADERS + 32 * MAX_ANSWER_LINES) as u32;

/// The connections of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Http2Pool {
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Who opens a connection holds it, so that a burst of requests opens one and not hundreds.
    opening: tokio::sync::Mutex<Option<ConnectFailure>>,
    /// Attempts to open one that failed: who waited through one shares its outcome.
    failures: AtomicU64,
}

#[derive(Debug)]
struct Connection {
    /// Gone once the connection takes no request any more. Nobody else keeps a clone, above all nobody who waits for an
    /// answer: a request that is given to the connection just as it ends may stay in hyper's channel until the last
    /// sender is gone, and then comes back as unsent.
    sender: Arc<Mutex<Option<SendRequest<RequestBody>>>>,
    streams: AtomicUsize,
    /// Streams that the endpoint allows, as far as it said.
    allowed: Arc<AtomicUsize>,
    /// Failed a request: takes no more.
    spent: AtomicBool,
    idle_since: Mutex<Instant>,
}

/// A place for one request on a connection; dropping it makes room.
#[derive(Debug)]
pub(super) struct StreamSlot(Arc<Connection>);

/// What came of asking for a place on a connection.
#[derive(Debug)]
pub(super) enum Place {
    /// The flag tells whether the connection was there before.
    Slot(StreamSlot, bool),
    /// The endpoint does not speak HTTP/2; a connection, where one was opened.
    NotHttp2(Option<Stream>),
}

/// What an endpoint speaks, as far as that is known.
pub(super) trait Speaks {
    /// Whether it is known that it does not speak HTTP/2.
    fn is_not_http2(&self) -> bool;

    /// Whether this new connection is one for HTTP/2.
    fn is_http2(&self, stream: &Stream) -> bool;
}

impl StreamSlot {
    /// Gives a request to the connection. It comes back where that takes none any more.
    pub(super) fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<impl Future<Output = Answer> + use<>, Box<Request<RequestBody>>> {
        match &mut *self.0.sender.lock() {
            Some(sender) => Ok(sender.try_send_request(request)),
            None => Err(Box::new(request)),
        }
    }

    /// Whether the connection takes no request any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Keeps further requests off the connection.
    pub(super) fn spend(&self) {
        self.0.spent.store(true, Relaxed);
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Relaxed) == 1 {
            *self.0.idle_since.lock() = Instant::now();
        }
    }
}

impl Connection {
    fn is_closed(&self) -> bool {
        self.sender
            .lock()
            .as_ref()
            .is_none_or(SendRequest::is_closed)
    }

    fn is_usable(&self) -> bool {
        !self.spent.load(Relaxed) && !self.is_closed()
    }
}

impl Http2Pool {
    /// A place on an open connection, else on a new one that `open` makes, after `wait` has let it.
    pub(super) async fn slot<F, W>(
        &self,
        limit: usize,
        closed: impl Fn() -> bool,
        speaks: &impl Speaks,
        wait: impl FnOnce() -> Result<W, ConnectFailure>,
        open: impl FnOnce() -> F,
    ) -> Result<Place, ConnectFailure>
    where
        F: Future<Output = Result<Stream, ConnectFailure>>,
    {
        if let Some(slot) = self.free_slot(limit) {
            return Ok(Place::Slot(slot, true));
        }
        let _waiting = wait()?;
        let failures = self.failures.load(Relaxed);
        let mut opening = self.opening.lock().await;
        if let Some(slot) = self.free_slot(limit) {
            return Ok(Place::Slot(slot, true));
        }
        if speaks.is_not_http2() {
            return Ok(Place::NotHttp2(None));
        }
        if self.failures.load(Relaxed) != failures
            && let Some(failure) = *opening
        {
            return Err(failure);
        }
        let opened = match open().await {
            Ok(stream) if !speaks.is_http2(&stream) => return Ok(Place::NotHttp2(Some(stream))),
            Ok(stream) => start(stream, limit).await,
            Err(failure) => Err(failure),
        };
        match opened {
            Ok(connection) => {
                let slot = StreamSlot(Arc::clone(&connection));
                let mut connections = self.connections.lock();
                if !closed() {
                    connections.push(connection);
                }
                Ok(Place::Slot(slot, false))
            }
            Err(failure) => {
                *opening = Some(failure);
                self.failures.fetch_add(1, Relaxed);
                Err(failure)
            }
        }
    }

    /// A place on a new connection that takes no other request. No other request can use up what its endpoint
    /// allows on one connection.
    pub(super) async fn own_slot(&self, stream: Stream) -> Result<StreamSlot, ConnectFailure> {
        let connection = start(stream, 1).await?;
        connection.spent.store(true, Relaxed);
        Ok(StreamSlot(connection))
    }

    /// A place on the first connection with room, so that those opened in a rush fall idle later.
    fn free_slot(&self, limit: usize) -> Option<StreamSlot> {
        let mut connections = self.connections.lock();
        connections.retain(|connection| connection.is_usable());
        let connection = connections.iter().find(|connection| {
            let allowed = connection.allowed.load(Relaxed).min(limit).max(1);
            connection.streams.load(Relaxed) < allowed
        })?;
        // Streams are only ever added under this lock.
        connection.streams.fetch_add(1, Relaxed);
        Some(StreamSlot(Arc::clone(connection)))
    }

    /// Closes connections that were idle for long; returns how many are left.
    pub(super) fn sweep(&self, max_age: Duration) -> usize {
        let mut connections = self.connections.lock();
        connections.retain(|connection| {
            let in_use = connection.streams.load(Relaxed) > 0;
            connection.is_usable() && (in_use || connection.idle_since.lock().elapsed() < max_age)
        });
        connections.shrink_to_fit();
        connections.len()
    }

    /// Lets go of all of them: each closes when its last request is done.
    pub(super) fn clear(&self) {
        *self.connections.lock() = Vec::new();
    }
}

/// Speaks HTTP/2 on a new connection, whose first stream the caller has.
///
/// It sends no pings: gRPC servers end a connection that pings more often than every five minutes. Whether the endpoint
/// is still there the kernel finds out (see `dial`).
async fn start(stream: Stream, limit: usize) -> Result<Arc<Connection>, ConnectFailure> {
    // Room for every stream to fill its window: one slow reader must not stop the others.
    let connection_window = u32::try_from(limit)
        .unwrap_or(u32::MAX)
        .saturating_mul(STREAM_WINDOW)
        .min(i32::MAX.unsigned_abs());
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_header_list_size(MAX_HEAD)
        .handshake::<_, RequestBody>(TokioIo::new(stream))
        .await
        .map_err(|_| ConnectFailure::Refused)?;
    let allowed = Arc::new(AtomicUsize::new(limit));
    let told = Arc::clone(&allowed);
    let sender = Arc::new(Mutex::new(Some(sender)));
    // The connection ends when the last sender is gone, so its own task must not keep one.
    let ended = Arc::downgrade(&sender);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let end = std::future::poll_fn(|cx| {
            let poll = connection.as_mut().poll(cx);
            if poll.is_pending() {
                told.store(connection.current_max_send_streams(), Relaxed);
            }
            poll
        });
        let end = end.await;
        let sender = ended.upgrade().and_then(|sender| sender.lock().take());
        drop(sender);
        if let Err(error) = end {
            tracing::debug!(%error, "connection to an endpoint ended");
        }
    });
    Ok(Arc::new(Connection {
        sender,
        streams: AtomicUsize::new(1),
        allowed,
        spent: AtomicBool::new(false),
        idle_since: Mutex::new(Instant::now()),
    }))
}
