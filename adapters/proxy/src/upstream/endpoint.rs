//! One endpoint: its connections, and how busy it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use domain::endpoint_policy::EndpointPolicy;
use domain::route_table::{UpstreamEndpoint, UpstreamProtocol};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::http1::{self, Http1Pool};
use super::http2::{Http2Pool, StreamSlot};
use super::{ConnectFailure, RequestBody, dial};
use crate::Limits;

/// An endpoint with its connections. It outlives the table that named it for as long as requests use it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    at: UpstreamEndpoint,
    policy: EndpointPolicy,
    limits: Arc<Limits>,
    in_flight: AtomicUsize,
    /// No table names it any more: connections are closed as they fall idle.
    retired: AtomicBool,
    /// Milliseconds after `born` up to which it is avoided.
    suspect_until: AtomicU64,
    born: Instant,
    connections: Connections,
    sweeping: AtomicBool,
}

#[derive(Debug)]
enum Connections {
    Http1(Http1Pool),
    Http2(Http2Pool),
}

impl Endpoint {
    /// An endpoint without connections yet.
    pub(crate) fn new(
        at: UpstreamEndpoint,
        protocol: UpstreamProtocol,
        policy: EndpointPolicy,
        limits: Arc<Limits>,
    ) -> Self {
        Self {
            at,
            policy,
            limits,
            in_flight: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            suspect_until: AtomicU64::new(0),
            born: Instant::now(),
            connections: match protocol {
                UpstreamProtocol::Http1 => Connections::Http1(Http1Pool::default()),
                UpstreamProtocol::H2c => Connections::Http2(Http2Pool::default()),
            },
            sweeping: AtomicBool::new(false),
        }
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

    /// Has it avoided for a moment.
    pub(crate) fn suspect(&self) {
        let until = self.born.elapsed().saturating_add(self.limits.suspicion());
        self.suspect_until.store(millis(until), Relaxed);
    }

    fn age(&self) -> u64 {
        millis(self.born.elapsed())
    }

    /// Closes what is idle, and everything else as soon as its requests are done.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
        match &self.connections {
            Connections::Http1(pool) => pool.clear(),
            Connections::Http2(pool) => pool.clear(),
        }
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
        if let Connections::Http1(pool) = &self.connections {
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
                let left = match &endpoint.connections {
                    Connections::Http1(pool) => pool.sweep(max_age),
                    Connections::Http2(pool) => pool.sweep(max_age),
                };
                if left == 0 {
                    endpoint.sweeping.store(false, Relaxed);
                    return;
                }
            }
        });
    }
}

fn millis(duration: Duration) -> u64 {
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
    /// Takes a connection from the pool, or opens one.
    pub(crate) async fn connect(self, choice: Choice) -> Result<Lease, ConnectFailure> {
        let endpoint = &self.endpoint;
        let limits = &endpoint.limits;
        let open = || dial::dial(&endpoint.at, limits, endpoint.policy);
        let (carrier, reused) = match &endpoint.connections {
            Connections::Http1(pool) => {
                let kept = match choice {
                    Choice::Any => pool.take(limits.idle_timeout),
                    Choice::New | Choice::Own => None,
                };
                let reused = kept.is_some();
                let sender = match kept {
                    Some(sender) => sender,
                    None => http1::start(open().await?).await?,
                };
                let taken = http1::Taken::by_a_request(sender);
                (Carrier::Http1(taken), reused)
            }
            Connections::Http2(pool) if choice == Choice::Own => {
                (Carrier::Http2(pool.own_slot(open().await?).await?), false)
            }
            Connections::Http2(pool) => {
                // One that gave up on a request takes no more, so what the pool has is fresh enough.
                let (slot, reused) = pool
                    .slot(
                        limits.max_streams_per_connection,
                        || endpoint.is_retired(),
                        open,
                    )
                    .await?;
                endpoint.sweep_later();
                (Carrier::Http2(slot), reused)
            }
        };
        Ok(Lease {
            claim: self,
            carrier,
            reused,
        })
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
