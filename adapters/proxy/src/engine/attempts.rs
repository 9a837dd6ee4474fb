//! Sending a request to an endpoint, and to another one where that is safe.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use domain::route_table::UpstreamProtocol;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::headers::name_te;
use super::timing::Timing;
use crate::Limits;
use crate::local_reply::LocalReply;
use crate::metrics::GatewayMetrics;
use crate::upstream::{
    Choice, ConnectFailure, Endpoint, Lease, RequestBody, SendFailure, Tried, UploadFault,
    UploadHandle, Upstream,
};

/// How often a request may reach an endpoint, whole or in part.
const MAX_SENDS: u32 = 3;

/// How many endpoints a request waits for in vain to be connected to, for the whole of the time that they have.
const MAX_TIMEOUTS: u32 = 3;

/// How long a new connection is looked at before a request that another endpoint broke off on is sent on it. Endpoints
/// that go away may still be connected to and then close at once: they are passed over, and do not count as reached.
const LOOK: Duration = Duration::from_millis(50);

/// How often endpoints may say that they did nothing with a request; and after how often of one endpoint another one is
/// asked, where there is one. A connection that is used up refuses all of the requests that were sent on it too late.
const MAX_REFUSALS: u32 = 8;
const MAX_REFUSALS_IN_A_ROW: u32 = 4;

/// An endpoint's answer, its head only, with the connection that its body comes on.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    /// When its body has to be complete, if at all.
    pub(super) end: Option<Instant>,
}

/// Sends a request to one endpoint after the other until one answers. What an endpoint may have acted upon is not sent
/// again, unless acting twice does no harm:
///
/// - one that cannot be connected to is passed over, whatever the request;
/// - a request of which no byte was sent goes out again;
/// - so does one that the endpoint says it did nothing with ([`SendFailure::is_refused`]), if all of its body that was
///   sent is still kept. The same endpoint gets it on another connection, at last on one of its own. [`MAX_REFUSALS`]
///   bounds that;
/// - so does one whose connection ended before an answer, if its method is idempotent (RFC 9110 §9.2.2) and nothing of its
///   body is missing. After a connection that was kept alive the same endpoint gets it on a new one. [`MAX_SENDS`] bounds
///   how many endpoints a request that breaks them can reach. One that takes no new connection then was going away by
///   itself, and does not count.
pub(super) async fn send(
    upstream: &Upstream,
    mut head: Parts,
    upload: Option<&UploadHandle>,
    limits: &Limits,
    metrics: &GatewayMetrics,
    timing: Timing,
) -> Result<Answered, LocalReply> {
    fit(&mut head, upstream.protocol, upload);
    let mut attempts = Attempts {
        upstream,
        upload,
        limits,
        metrics,
        timing,
        head: Some(head),
        tried: Tried::default(),
        again: None,
        sends: 0,
        excusable: false,
        timeouts: 0,
        refusals: 0,
    };
    let Some(end) = timing.request_end else {
        return attempts.run().await;
    };
    timeout_at(end, attempts.run()).await.unwrap_or_else(|_| {
        metrics.answer_timeouts.fetch_add(1, Relaxed);
        Err(LocalReply::RequestTimeout)
    })
}

struct Attempts<'a> {
    upstream: &'a Upstream,
    upload: Option<&'a UploadHandle>,
    limits: &'a Limits,
    metrics: &'a GatewayMetrics,
    timing: Timing,
    /// The head, while it is not under way; a copy of it, where the request may go out again.
    head: Option<Parts>,
    tried: Tried,
    /// The endpoint to be tried once more, and on which connection.
    again: Option<(usize, Choice)>,
    /// How often the request has reached an endpoint.
    sends: u32,
    /// Whether the last send counts only if its endpoint still takes a new connection.
    excusable: bool,
    /// How many endpoints did not answer to a connection in time.
    timeouts: u32,
    /// How often an HTTP/2 endpoint did nothing with the request.
    refusals: u32,
}

#[allow(
    clippy::large_enum_variant,
    reason = "most attempts are answered, and a box would be allocated for each"
)]
enum AttemptOutcome {
    Answered(Answered),
    /// The next endpoint may be tried; if there is none, this is the answer.
    Again(LocalReply),
    Failed(LocalReply),
}

impl Attempts<'_> {
    async fn run(&mut self) -> Result<Answered, LocalReply> {
        let mut outcome = LocalReply::NoEndpoint;
        while let Some((index, choice)) = self.next_endpoint() {
            if outcome != LocalReply::NoEndpoint {
                self.metrics.retries.fetch_add(1, Relaxed);
            }
            match self.attempt(index, choice).await {
                AttemptOutcome::Answered(answered) => return Ok(answered),
                AttemptOutcome::Again(reply) => outcome = reply,
                AttemptOutcome::Failed(reply) => return Err(reply),
            }
        }
        Err(outcome)
    }

    fn next_endpoint(&mut self) -> Option<(usize, Choice)> {
        match self.again.take() {
            Some(again) => Some(again),
            None => Some((self.upstream.pick(&self.tried)?, Choice::Any)),
        }
    }

    async fn attempt(&mut self, index: usize, choice: Choice) -> AttemptOutcome {
        let mut lease = match self.connect(index, choice).await {
            Ok(lease) => lease,
            Err(failure) => {
                self.metrics.connect_failures.fetch_add(1, Relaxed);
                self.upstream.endpoints[index].suspect();
                return self.after_no_connection(index, failure);
            }
        };
        let Some(head) = self.head.take() else {
            return AttemptOutcome::Failed(LocalReply::BrokenAnswer);
        };
        if self.upstream.protocol == UpstreamProtocol::H2c || head.method.is_idempotent() {
            self.head = Some(head.clone());
        }
        let body = match self.upload {
            Some(upload) => RequestBody::Upload(upload.body()),
            None => RequestBody::Empty,
        };
        let sent = Instant::now();
        let attempt_end = self.timing.attempt_end(sent);
        let answer = lease.send(Request::from_parts(head, body));
        match self.in_time(answer, sent, attempt_end).await {
            Ok(Ok(response)) => {
                if let Some(upload) = self.upload {
                    upload.answered();
                }
                AttemptOutcome::Answered(Answered {
                    response,
                    lease,
                    end: self.timing.answer_end(attempt_end),
                })
            }
            Ok(Err(failure)) => self.after(index, choice, lease, failure),
            Err(reply) => AttemptOutcome::Failed(reply),
        }
    }

    async fn connect(&self, index: usize, choice: Choice) -> Result<Lease, ConnectFailure> {
        let connecting = Endpoint::claim(&self.upstream.endpoints[index]).connect(choice);
        let lease = if self.upstream.has_other(&self.tried, index) {
            let connected = timeout(self.limits.patience(), connecting).await;
            connected.unwrap_or(Err(ConnectFailure::Slow))?
        } else {
            connecting.await?
        };
        if self.sends > 0 && !lease.reused {
            sleep(LOOK).await;
            if lease.is_closed() {
                return Err(ConnectFailure::Refused);
            }
        }
        Ok(lease)
    }

    /// Waits for an answer, for as long as something of the request moves and for a while after, but not beyond `end`.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = T>,
        sent: Instant,
        end: Option<Instant>,
    ) -> Result<T, LocalReply> {
        let (silence, idle) = (self.timing.silence, self.limits.body_idle_timeout);
        let until_end = |at: Instant| end.map_or(at, |end| end.min(at));
        let mut answer = pin!(answer);
        let mut timer = pin!(sleep_until(until_end(sent + silence.min(idle))));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = &mut timer => {}
            }
            let now = Instant::now();
            let (moved, awaits_client) = self.upload.map_or((sent, false), UploadHandle::silence);
            let since = moved.max(sent);
            if awaits_client && since + idle <= now {
                return Err(LocalReply::SlowRequest);
            }
            let is_silent = !awaits_client && since + silence <= now;
            if is_silent || end.is_some_and(|end| end <= now) {
                self.metrics.answer_timeouts.fetch_add(1, Relaxed);
                return Err(match is_silent {
                    true => LocalReply::AnswerTimeout,
                    false => LocalReply::BackendTimeout,
                });
            }
            // What the client is waited for may come at any moment, and then the endpoint is waited for, and the other way
            // round.
            let next = if awaits_client {
                (since + idle).min(now + silence)
            } else {
                (since + silence).min(now + idle)
            };
            timer.as_mut().reset(until_end(next));
        }
    }

    fn after_no_connection(&mut self, index: usize, failure: ConnectFailure) -> AttemptOutcome {
        if std::mem::take(&mut self.excusable) {
            self.sends -= 1;
        }
        if failure == ConnectFailure::TimedOut {
            self.timeouts += 1;
        }
        match self.timeouts < MAX_TIMEOUTS {
            true => self.elsewhere(index, failure.into()),
            false => AttemptOutcome::Failed(failure.into()),
        }
    }

    /// What to do after a connection ended without an answer.
    fn after(
        &mut self,
        index: usize,
        choice: Choice,
        lease: Lease,
        failure: SendFailure,
    ) -> AttemptOutcome {
        tracing::debug!(error = %failure, lease.reused, "no answer from an endpoint");
        match self.upload.and_then(UploadHandle::fault) {
            Some(UploadFault::TooLarge) => return AttemptOutcome::Failed(LocalReply::BodyTooLarge),
            Some(UploadFault::NoMemory) => return AttemptOutcome::Failed(LocalReply::NoMemory),
            Some(UploadFault::Broken) => return AttemptOutcome::Failed(LocalReply::BrokenRequest),
            None => {}
        }
        let kept_alive = lease.reused && choice == Choice::Any;
        let is_refused = failure.is_refused();
        lease.give_up();
        if let Some(unsent) = failure.unsent {
            self.excusable = false;
            self.head = Some(unsent.into_parts().0);
            if self.upstream.protocol == UpstreamProtocol::H2c {
                // The connection's last request overtook it, even on a connection that it opened itself.
                let takes_none = choice == Choice::Own;
                return self.after_refusal(index, takes_none);
            }
        } else if is_refused {
            return self.after_refusal(index, false);
        } else {
            self.excusable = kept_alive;
            self.sends += 1;
            if failure.is_parse_too_large() {
                return AttemptOutcome::Failed(LocalReply::AnswerTooLarge);
            }
            if failure.is_parse() || self.sends == MAX_SENDS || !self.is_repeatable() {
                return AttemptOutcome::Failed(LocalReply::BrokenAnswer);
            }
        }
        if kept_alive {
            self.again = Some((index, Choice::New));
            AttemptOutcome::Again(LocalReply::BrokenAnswer)
        } else {
            self.elsewhere(index, LocalReply::BrokenAnswer)
        }
    }

    /// What to do after an HTTP/2 endpoint said that it did nothing with the request, or ended the connection before it
    /// was sent. Where it ends even a connection that no other request uses, it takes none: that is no refusal.
    fn after_refusal(&mut self, index: usize, takes_none: bool) -> AttemptOutcome {
        self.excusable = false;
        self.refusals += 1;
        if !self.upload.is_none_or(UploadHandle::rewind) {
            return AttemptOutcome::Failed(LocalReply::NotKept);
        }
        if takes_none && self.upstream.endpoints.len() > 1 {
            self.refusals = 0;
            self.upstream.endpoints[index].suspect();
            return self.elsewhere(index, LocalReply::BrokenAnswer);
        }
        if self.refusals == MAX_REFUSALS {
            return AttemptOutcome::Failed(LocalReply::BrokenAnswer);
        }
        if self.refusals == MAX_REFUSALS_IN_A_ROW && self.upstream.endpoints.len() > 1 {
            return self.elsewhere(index, LocalReply::BrokenAnswer);
        }
        // On a connection that others use too they may use up what it still takes, again and again.
        let choice = match self.refusals % MAX_REFUSALS_IN_A_ROW {
            1 => Choice::Any,
            _ => Choice::Own,
        };
        self.again = Some((index, choice));
        AttemptOutcome::Again(LocalReply::BrokenAnswer)
    }

    /// Whether the request that has just failed may go out again although its endpoint may have acted upon it. Its body
    /// is taken back for that.
    fn is_repeatable(&self) -> bool {
        let head = self.head.as_ref();
        head.is_some_and(|head| head.method.is_idempotent())
            && self.upload.is_none_or(UploadHandle::rewind)
    }

    fn elsewhere(&mut self, index: usize, reply: LocalReply) -> AttemptOutcome {
        if self.tried.add(index) {
            AttemptOutcome::Again(reply)
        } else {
            AttemptOutcome::Failed(reply)
        }
    }
}

impl From<ConnectFailure> for LocalReply {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::Refused => Self::Unreachable,
            ConnectFailure::TimedOut | ConnectFailure::Slow => Self::ConnectTimeout,
            ConnectFailure::Forbidden => Self::ForbiddenAddress,
        }
    }
}

/// Gives a head the form that its protocol wants. Path and query stay as they came, byte by byte.
fn fit(head: &mut Parts, protocol: UpstreamProtocol, upload: Option<&UploadHandle>) {
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
}
