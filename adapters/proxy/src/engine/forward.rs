//! Sending a request to an endpoint, and to another one where that is safe.

use std::sync::atomic::Ordering::Relaxed;

use domain::route_table::UpstreamProtocol;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;

use super::headers::name_te;
use super::respond::Refusal;
use crate::metrics::GatewayMetrics;
use crate::upstream::{
    ConnectFailure, Delivered, Endpoint, Lease, RequestBody, SendFailure, Tried, UploadFault,
    UploadHandle, Upstream,
};

/// How often a request may reach an endpoint, whole or in part.
const MAX_SENDS: u32 = 3;

/// How many endpoints a request waits for in vain to be connected to.
const MAX_TIMEOUTS: u32 = 3;

/// An endpoint's answer, its head only, with the connection that its body comes on.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
}

/// Sends a request to one endpoint after the other until one answers:
///
/// - one that cannot be connected to is passed over, whatever the request;
/// - a request of which no byte was sent goes out again;
/// - so does one whose connection ended before an answer, if the endpoint cannot have acted on it, or
///   acting twice does no harm: its body was not read at all, or it has none, or an empty one, and its method is
///   idempotent (RFC 9110 §9.2.2). After a connection that was kept alive the same endpoint gets it on a new one.
///   [`MAX_SENDS`] bounds how many endpoints a request that breaks them can reach. One that takes no new connection
///   then was going away by itself, and does not count.
pub(super) async fn send(
    upstream: &Upstream,
    head: Parts,
    upload: Option<&UploadHandle>,
    metrics: &GatewayMetrics,
) -> Result<Answered, Refusal> {
    let mut attempts = Attempts {
        upstream,
        upload,
        metrics,
        head: Some(fitting(head, upstream.protocol, upload)),
        tried: Tried::default(),
        again: None,
        sends: 0,
        excusable: false,
        timeouts: 0,
    };
    let mut outcome = Refusal::NoEndpoint;
    while let Some((index, fresh)) = attempts.next_endpoint() {
        if outcome != Refusal::NoEndpoint {
            metrics.retries.fetch_add(1, Relaxed);
        }
        match attempts.attempt(index, fresh).await {
            Attempt::Answered(answered) => return Ok(answered),
            Attempt::Again(refusal) => outcome = refusal,
            Attempt::Failed(refusal) => return Err(refusal),
        }
    }
    Err(outcome)
}

struct Attempts<'a> {
    upstream: &'a Upstream,
    upload: Option<&'a UploadHandle>,
    metrics: &'a GatewayMetrics,
    /// The head, while it is not under way.
    head: Option<Parts>,
    tried: Tried,
    /// The endpoint to be tried once more, on a new connection.
    again: Option<usize>,
    /// How often the request has reached an endpoint.
    sends: u32,
    /// Whether the last send counts only if its endpoint still takes a new connection.
    excusable: bool,
    /// How many endpoints did not answer to a connection in time.
    timeouts: u32,
}

enum Attempt {
    Answered(Answered),
    /// The next endpoint may be tried; if there is none, this is the answer.
    Again(Refusal),
    Failed(Refusal),
}

impl Attempts<'_> {
    fn next_endpoint(&mut self) -> Option<(usize, bool)> {
        match self.again.take() {
            Some(index) => Some((index, true)),
            None => Some((self.upstream.pick(&self.tried)?, false)),
        }
    }

    async fn attempt(&mut self, index: usize, fresh: bool) -> Attempt {
        let endpoint = &self.upstream.endpoints[index];
        let mut lease = match Endpoint::claim(endpoint).connect(fresh).await {
            Ok(lease) => lease,
            Err(failure) => {
                self.metrics.connect_failures.fetch_add(1, Relaxed);
                endpoint.suspect();
                return self.after_no_connection(index, failure);
            }
        };
        let Some(head) = self.head.take() else {
            return Attempt::Failed(Refusal::BrokenAnswer);
        };
        if self.upload.is_some() || head.method.is_idempotent() {
            self.head = Some(head.clone());
        }
        let body = match self.upload {
            Some(upload) => RequestBody::Upload(upload.body()),
            None => RequestBody::Empty,
        };
        match lease.send(Request::from_parts(head, body)).await {
            Ok(response) => Attempt::Answered(Answered { response, lease }),
            Err(failure) => self.after(index, fresh, lease, failure),
        }
    }

    fn after_no_connection(&mut self, index: usize, failure: ConnectFailure) -> Attempt {
        let excusable = std::mem::take(&mut self.excusable);
        match failure {
            ConnectFailure::Refused if excusable => self.sends -= 1,
            ConnectFailure::Refused => {}
            ConnectFailure::TimedOut => self.timeouts += 1,
        }
        match self.timeouts < MAX_TIMEOUTS {
            true => self.elsewhere(index, failure.into()),
            false => Attempt::Failed(failure.into()),
        }
    }

    /// What to do after a connection ended without an answer.
    fn after(&mut self, index: usize, fresh: bool, lease: Lease, failure: SendFailure) -> Attempt {
        tracing::debug!(error = %failure.error, lease.reused, "no answer from an endpoint");
        match self.upload.and_then(UploadHandle::fault) {
            Some(UploadFault::TooLarge) => return Attempt::Failed(Refusal::BodyTooLarge),
            Some(UploadFault::Broken) => return Attempt::Failed(Refusal::BrokenRequest),
            None => {}
        }
        let kept_alive = lease.reused && !fresh;
        self.excusable = kept_alive && failure.unsent.is_none();
        if let Some(unsent) = failure.unsent {
            self.head = Some(unsent.into_parts().0);
        } else {
            self.sends += 1;
            if failure.error.is_parse_too_large() {
                return Attempt::Failed(Refusal::AnswerTooLarge);
            }
            if failure.error.is_parse() || self.sends == MAX_SENDS || !self.is_repeatable() {
                self.head = None;
            }
        }
        if self.head.is_none() {
            return Attempt::Failed(Refusal::BrokenAnswer);
        }
        lease.give_up();
        if kept_alive {
            self.again = Some(index);
            Attempt::Again(Refusal::BrokenAnswer)
        } else {
            self.elsewhere(index, Refusal::BrokenAnswer)
        }
    }

    /// Whether the request that has just failed may go out again. Its body is taken back for that.
    fn is_repeatable(&self) -> bool {
        match self.upload.map(UploadHandle::take_back) {
            // Without a body, the head was kept for a repetition only where the method allows one.
            None | Some(Delivered::Nothing) => true,
            Some(Delivered::Some) => false,
            Some(Delivered::EmptyWhole) => {
                let head = self.head.as_ref();
                head.is_some_and(|head| head.method.is_idempotent())
            }
        }
    }

    fn elsewhere(&mut self, index: usize, refusal: Refusal) -> Attempt {
        if self.tried.add(index) {
            Attempt::Again(refusal)
        } else {
            Attempt::Failed(refusal)
        }
    }
}

impl From<ConnectFailure> for Refusal {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::Refused => Self::Unreachable,
            ConnectFailure::TimedOut => Self::ConnectTimeout,
        }
    }
}

/// Gives a head the form that its protocol wants. Path and query stay as they came, byte by byte.
fn fitting(mut head: Parts, protocol: UpstreamProtocol, upload: Option<&UploadHandle>) -> Parts {
    head.extensions.clear();
    head.version = Version::HTTP_11;
    if protocol == UpstreamProtocol::Http1
        && let Some(upload) = upload
        && !head.headers.contains_key(CONTENT_LENGTH)
        && !upload.has_known_length()
    {
        // Without a word on it hyper takes a GET or HEAD for one without a body and drops what the client sent.
        let chunked = HeaderValue::from_static("chunked");
        head.headers.insert(TRANSFER_ENCODING, chunked);
    }
    if protocol == UpstreamProtocol::Http1 {
        name_te(&mut head.headers);
    }
    match protocol {
        UpstreamProtocol::Http1 if head.uri.authority().is_none() => {}
        UpstreamProtocol::Http1 => {
            let path = head.uri.path_and_query().cloned();
            head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
        UpstreamProtocol::H2c => {
            let host = head.headers.remove(HOST);
            let authority = host.and_then(|host| Authority::from_maybe_shared(host).ok());
            let mut parts = std::mem::take(&mut head.uri).into_parts();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = authority.or(parts.authority);
            if parts.path_and_query.is_none() {
                parts.path_and_query = Some(PathAndQuery::from_static("/"));
            }
            head.uri = Uri::from_parts(parts).unwrap_or_default();
        }
    }
    head
}
