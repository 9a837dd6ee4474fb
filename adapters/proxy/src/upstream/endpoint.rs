//! One endpoint: its connections, and how busy it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use domain::route_table::{UpstreamEndpoint, UpstreamProtocol};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::dial::Reach;
use super::http1::{self, Http1Pool};
use super::http2::{Http2Pool, Place, Speaks, StreamSlot};
use super::outlier::Record;
use super::stream::Stream;
use super::tls::{Offer, Tls};
use super::{ConnectFailure, RequestBody, dial};
use crate::Limits;

/// An endpoint with its connections. It outlives the table that named it for as long as requests use it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    at: UpstreamEndpoint,
    reach: Reach,
    /// How it is spoken to over TLS; `None` for clear text.
    tls: Option<Arc<Tls>>,
    limits: Arc<Limits>,
    in_flight: AtomicUsize,
    /// No table names it any more: connections are closed as they fall idle.
    retired: AtomicBool,
    /// Milliseconds after `born` up to which it is avoided.
    suspect_until: AtomicU64,
    /// For [`outlier`](super::outlier).
    pub(super) record: Record,
    /// Requests that wait for a connection to be opened.
    pending: AtomicUsize,
    born: Instant,
    connections: Connections,
    sweeping: AtomicBool,
}

#[derive(Debug)]
enum Connections {
    Http1(Http1Pool),
    Http2(Http2Pool),
    Negotiated(Box<Negotiated>),
}

/// Connections of an endpoint that chooses by ALPN.
#[derive(Debug, Default)]
struct Negotiated {
    http1: Http1Pool,
    http2: Http2Pool,
    /// What it chose last: [`HTTP1`] or [`HTTP2`]; 0 before.
    chosen: AtomicU8,
}

const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

impl Negotiated {
    fn chose(&self, http2: bool) {
        self.chosen
            .store(if http2 { HTTP2 } else { HTTP1 }, Relaxed);
    }
}

impl Speaks for Negotiated {
    fn is_not_http2(&self) -> bool {
        self.chosen.load(Relaxed) == HTTP1
    }

    fn is_http2(&self, stream: &Stream) -> bool {
        let http2 = stream.chose_http2();
        self.chose(http2);
        http2
    }
}

/// Of an endpoint that is known to speak HTTP/2.
struct PriorKnowledge;

impl Speaks for PriorKnowledge {
    fn is_not_http2(&self) -> bool {
        false
    }

    fn is_http2(&self, stream: &Stream) -> bool {
        matches!(stream, Stream::Clear(_)) || stream.chose_http2()
    }
}

impl Connections {
    fn http1(&self) -> Option<&Http1Pool> {
        match self {
            Self::Http1(pool) => Some(pool),
            Self::Negotiated(pools) => Some(&pools.http1),
            Self::Http2(_) => None,
        }
    }

    fn clear(&self) {
        match self {
            Self::Http1(pool) => pool.clear(),
            Self::Http2(pool) => pool.clear(),
            Self::Negotiated(pools) => {
                pools.http1.clear();
                pools.http2.clear();
            }
        }
    }

    fn sweep(&self, max_age: Duration) -> usize {
        match self {
            Self::Http1(pool) => pool.sweep(max_age),
            Self::Http2(pool) => pool.sweep(max_age),
            Self::Negotiated(pools) => pools.http1.sweep(max_age) + pools.http2.sweep(max_age),
        }
    }
}

impl Endpoint {
    /// An endpoint without connections yet.
    pub(crate) fn new(
        at: UpstreamEndpoint,
        protocol: UpstreamProtocol,
        tls: Option<Arc<Tls>>,
        reach: Reach,
        limits: Arc<Limits>,
    ) -> Self {
        Self {
            at,
            reach,
            limits,
            in_flight: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            suspect_until: AtomicU64::new(0),
            record: Record::default(),
            pending: AtomicUsize::new(0),
            born: Instant::now(),
            connections: match protocol {
                UpstreamProtocol::Http1 => Connections::Http1(Http1Pool::default()),
                UpstreamProtocol::H2c => Connections::Http2(Http2Pool::default()),
                UpstreamProtocol::Negotiated if tls.is_none() => {
                    Connections::Http1(Http1Pool::default())
                }
                UpstreamProtocol::Negotiated => Connections::Negotiated(Box::default()),
            },
            tls,
            sweeping: AtomicBool::new(false),
        }
    }

    /// Where it listens.
    pub(crate) fn at(&self) -> &UpstreamEndpoint {
        &self.at
    }

    /// Requests that it works on, those waiting for a connection included.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Whether it refused a connection a moment ago.
    pub(crate) fn is_suspect(&self) -> bool {
        let until = self.suspect_until.load(Relaxed);
        until != 0 && self.age() < until
    }

    /// Has it avoided for a moment, because it could not be connected to.
    pub(crate) fn suspect(&self) {
        self.avoid_for(self.limits.suspicion());
    }

    pub(super) fn avoid_for(&self, time: Duration) {
        let until = self.born.elapsed().saturating_add(time);
        self.suspect_until.store(millis(until), Relaxed);
    }

    /// Milliseconds since it was made.
    pub(super) fn age(&self) -> u64 {
        millis(self.born.elapsed())
    }

    /// Counts a request that waits for a connection to be opened, unless too many do.
    fn wait(&self) -> Result<Pending<'_>, ConnectFailure> {
        let before = self.pending.fetch_add(1, Relaxed);
        let pending = Pending(&self.pending);
        match before < self.limits.max_pending_per_endpoint {
            true => Ok(pending),
            false => Err(ConnectFailure::Full),
        }
    }

    /// Closes what is idle, and everything else as soon as its requests are done.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.connections.clear();
    }

    /// Counts a request in. Nothing is connected yet.
    pub(crate) fn claim(endpoint: &Arc<Self>) -> Claim {
        endpoint.in_flight.fetch_add(1, Relaxed);
        Claim {
            endpoint: Arc::clone(endpoint),
        }
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Keeps an HTTP/1.1 connection for the next request, at once or when it is ready for one.
    fn check_in(self: &Arc<Self>, mut sender: http1::Sender) {
        if sender.is_ready() {
            self.keep(sender);
        } else if !sender.is_closed()
            && !self.is_retired()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // The answer's end was seen before the connection settled, or the request still flows.
            let endpoint = Arc::clone(self);
            runtime.spawn(async move {
                if sender.ready().await.is_ok() {
                    endpoint.keep(sender);
                }
            });
        }
    }

    fn keep(self: &Arc<Self>, sender: http1::Sender) {
        if let Some(pool) = self.connections.http1() {
            pool.put(sender, self.limits.max_idle_per_endpoint, || {
                self.is_retired()
            });
            self.sweep_later();
        }
    }

    /// Sees to it that idle connections are closed in time. One task per endpoint, and only while there
    /// is something to close.
    fn sweep_later(self: &Arc<Self>) {
        if self.sweeping.load(Relaxed) || self.sweeping.swap(true, Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.sweeping.store(false, Relaxed);
            return;
        };
        let endpoint = Arc::downgrade(self);
        let max_age = self.limits.idle_timeout;
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(max_age / 2).await;
                let Some(endpoint) = endpoint.upgrade() else {
                    return;
                };
                if endpoint.connections.sweep(max_age) == 0 {
                    endpoint.sweeping.store(false, Relaxed);
                    return;
                }
            }
        });
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Which connection of an endpoint a request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Any that is open and free; else a new one.
    Any,
    /// HTTP/1.1: a new one. HTTP/2: as `Any`, because one that failed a request takes no more.
    New,
    /// A new one that takes no other request meanwhile.
    Own,
}

/// A request that waits for a connection to be opened; dropping it counts it out.
struct Pending<'e>(&'e AtomicUsize);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One request's claim on an endpoint; dropping it counts the request out.
#[derive(Debug)]
pub(crate) struct Claim {
    endpoint: Arc<Endpoint>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A claim with one of the endpoint's connections. Dropping it gives the connection up;
/// [`release`](Self::release) keeps it for the next request.
#[derive(Debug)]
pub(crate) struct Lease {
    claim: Claim,
    carrier: Carrier,
    /// The connection carried requests before.
    pub(crate) reused: bool,
}

#[derive(Debug)]
enum Carrier {
    Http1(http1::Taken),
    Http2(StreamSlot),
}

/// Why a request got no answer on an open connection.
#[derive(Debug)]
pub(crate) struct SendFailure {
    /// What went wrong; `None` where the connection had ended before.
    error: Option<hyper::Error>,
    /// The request, if no byte of it was sent.
    pub(crate) unsent: Option<Request<RequestBody>>,
}

impl SendFailure {
    /// Whether the endpoint says that it did nothing with the request: an HTTP/2 GOAWAY that leaves its stream out, or
    /// a stream reset with REFUSED_STREAM (RFC 9113 §6.8, §8.7). h2 gives the first error to streams above the last
    /// one that the endpoint processed, and to no other.
    pub(crate) fn is_refused(&self) -> bool {
        let error = self.error.as_ref();
        let mut source = error.and_then(|error| std::error::Error::source(error));
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                let refused =
                    error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
                return error.is_remote() && (error.is_go_away() || refused);
            }
            source = error.source();
        }
        false
    }

    /// Whether the answer's head is malformed.
    pub(crate) fn is_parse(&self) -> bool {
        self.error.as_ref().is_some_and(hyper::Error::is_parse)
    }

    /// Whether the answer's head is too large.
    pub(crate) fn is_parse_too_large(&self) -> bool {
        let error = self.error.as_ref();
        error.is_some_and(hyper::Error::is_parse_too_large)
    }
}

impl std::fmt::Display for SendFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error {
            Some(error) => error.fmt(f),
            None => f.write_str("the connection had ended"),
        }
    }
}

impl Claim {
    /// Takes a connection from the pool, or opens one. `needs_http1` asks for HTTP/1.1 where the endpoint chooses.
    pub(crate) async fn connect(
        self,
        choice: Choice,
        needs_http1: bool,
    ) -> Result<Lease, ConnectFailure> {
        let endpoint = &self.endpoint;
        let (carrier, reused) = match &endpoint.connections {
            Connections::Http1(pool) => endpoint.over_http1(pool, choice, None).await?,
            Connections::Http2(pool) => {
                let placed = endpoint
                    .over_http2(pool, choice, &PriorKnowledge, Offer::Http2)
                    .await?;
                match placed {
                    Place::Slot(slot, reused) => (Carrier::Http2(slot), reused),
                    Place::NotHttp2(_) => {
                        let at = &endpoint.at;
                        tracing::debug!(?at, "the endpoint does not choose HTTP/2 by ALPN");
                        return Err(ConnectFailure::Refused);
                    }
                }
            }
            Connections::Negotiated(pools) if needs_http1 || pools.is_not_http2() => {
                endpoint.over_http1(&pools.http1, choice, None).await?
            }
            Connections::Negotiated(pools) => {
                let placed = endpoint
                    .over_http2(&pools.http2, choice, &**pools, Offer::Both)
                    .await?;
                match placed {
                    Place::Slot(slot, reused) => (Carrier::Http2(slot), reused),
                    Place::NotHttp2(stream) => {
                        endpoint.over_http1(&pools.http1, choice, stream).await?
                    }
                }
            }
        };
        Ok(Lease {
            claim: self,
            carrier,
            reused,
        })
    }
}

impl Endpoint {
    async fn open(&self, offer: Offer) -> Result<Stream, ConnectFailure> {
        let tls = self.tls.as_deref().map(|tls| (tls, offer));
        dial::dial(&self.at, &self.limits, &self.reach, tls).await
    }

    /// A connection for one request, on this new stream where one was opened. The flag tells whether it carried requests
    /// before.
    async fn over_http1(
        &self,
        pool: &Http1Pool,
        choice: Choice,
        opened: Option<Stream>,
    ) -> Result<(Carrier, bool), ConnectFailure> {
        let kept = match (choice, &opened) {
            (Choice::Any, None) => pool.take(self.limits.idle_timeout),
            _ => None,
        };
        let reused = kept.is_some();
        let sender = match (kept, opened) {
            (Some(sender), _) => sender,
            (None, Some(stream)) => http1::start(stream).await?,
            (None, None) => {
                let _pending = self.wait()?;
                http1::start(self.open(Offer::Http1).await?).await?
            }
        };
        Ok((Carrier::Http1(http1::Taken::by_a_request(sender)), reused))
    }

    /// A place for one request.
    async fn over_http2(
        self: &Arc<Self>,
        pool: &Http2Pool,
        choice: Choice,
        speaks: &impl Speaks,
        offer: Offer,
    ) -> Result<Place, ConnectFailure> {
        if choice == Choice::Own {
            let _pending = self.wait()?;
            let stream = self.open(offer).await?;
            return Ok(match speaks.is_http2(&stream) {
                true => Place::Slot(pool.own_slot(stream).await?, false),
                false => Place::NotHttp2(Some(stream)),
            });
        }
        // One that gave up on a request takes no more, so what the pool has is fresh enough.
        let limit = self.limits.max_streams_per_connection;
        let open = || self.open(offer);
        let wait = || self.wait();
        let placed = pool.slot(limit, || self.is_retired(), speaks, wait, open);
        let placed = placed.await?;
        self.sweep_later();
        Ok(placed)
    }
}

impl Lease {
    /// Sends a request on the connection and waits for the head of the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let answer = match &mut self.carrier {
            Carrier::Http1(connection) => connection.send(request).await,
            Carrier::Http2(slot) => match slot.send(request) {
                Ok(answer) => Ok(answer.await),
                Err(request) => Err(request),
            },
        };
        match answer {
            Ok(answer) => answer.map_err(|mut failed| SendFailure {
                unsent: failed.take_message(),
                error: Some(failed.into_error()),
            }),
            Err(unsent) => Err(SendFailure {
                unsent: Some(*unsent),
                error: None,
            }),
        }
    }

    /// The answer has ended well: its connection may take the next request. The claim is left to the caller, because
    /// the rest of the request's body may still be on its way.
    pub(crate) fn release(self) -> Claim {
        if let Carrier::Http1(connection) = self.carrier
            && let Some(sender) = connection.release()
        {
            self.claim.endpoint.check_in(sender);
        }
        self.claim
    }

    /// Whether answers on this connection say where they end, so that one without an end was cut.
    pub(crate) fn tells_end(&self) -> bool {
        self.is_http2()
    }

    /// Whether the connection is one of HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.carrier, Carrier::Http2(_))
    }

    /// Whether the endpoint has closed the connection, as far as it is known.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.carrier {
            Carrier::Http1(connection) => connection.is_closed(),
            Carrier::Http2(slot) => slot.is_closed(),
        }
    }

    /// The connection has failed a request: it takes no further one.
    pub(crate) fn give_up(self) {
        if let Carrier::Http2(slot) = &self.carrier {
            slot.spend();
        }
    }
}
