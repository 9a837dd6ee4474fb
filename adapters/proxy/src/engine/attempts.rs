//! Sending a request to an endpoint, and to another one where that is safe.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use domain::route_table::UpstreamProtocol;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::fit::fit;
use super::retry::{Granted, Retries, discard};
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

/// Where a request goes, and how often and how long it is tried.
pub(super) struct Target<'t> {
    pub(super) upstream: &'t Upstream,
    pub(super) timing: Timing,
    /// What the rule says of retries.
    pub(super) retries: Option<Retries<'t>>,
    /// The endpoint of the request's session, which is tried first, even if it drains.
    pub(super) sticky: Option<usize>,
}

/// An endpoint's answer, its head only, with the connection that its body comes on.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// Which endpoint of the upstream it is from.
    pub(super) endpoint: usize,
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
///
/// Where the rule has retries, their number takes the place of [`MAX_SENDS`], and they come after these: see [`Retries`].
pub(super) async fn send(
    target: Target<'_>,
    mut head: Parts,
    needs_http1: bool,
    upload: Option<&UploadHandle>,
    limits: &Limits,
    metrics: &GatewayMetrics,
) -> Result<Answered, LocalReply> {
    let Target {
        upstream,
        timing,
        retries,
        sticky,
    } = target;
    head.extensions.clear();
    match upstream.protocol {
        UpstreamProtocol::Http1 => fit(&mut head, false, upstream.is_tls, upload),
        UpstreamProtocol::H2c => fit(&mut head, true, upstream.is_tls, upload),
        // Not before the endpoint has chosen.
        UpstreamProtocol::Negotiated => {}
    }
    let mut attempts = Attempts {
        upstream,
        needs_http1,
        upload,
        limits,
        metrics,
        timing,
        retries,
        head: Some(head),
        tried: Tried::default(),
        again: sticky.map(|index| (index, Choice::Any)),
        sticky,
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
    /// Whether it can go over HTTP/1.1 alone, where the endpoint chooses.
    needs_http1: bool,
    upload: Option<&'a UploadHandle>,
    limits: &'a Limits,
    metrics: &'a GatewayMetrics,
    timing: Timing,
    retries: Option<Retries<'a>>,
    /// The head, while it is not under way; a copy of it, where the request may go out again.
    head: Option<Parts>,
    tried: Tried,
    /// The endpoint to be tried once more, and on which connection.
    again: Option<(usize, Choice)>,
    sticky: Option<usize>,
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
    /// The rule may have the request sent once more; if it does not, this is the answer.
    Retry(LocalReply),
    Failed(LocalReply),
}

impl Attempts<'_> {
    async fn run(&mut self) -> Result<Answered, LocalReply> {
        let mut outcome = LocalReply::NoEndpoint;
        loop {
            let Some((index, choice)) = self.next_endpoint() else {
                if outcome == LocalReply::NoEndpoint {
                    return Err(outcome);
                }
                self.retry_after(outcome, None).await?;
                continue;
            };
            if outcome != LocalReply::NoEndpoint {
                self.metrics.retries.fetch_add(1, Relaxed);
            }
            match self.attempt(index, choice).await {
                AttemptOutcome::Answered(answered) => {
                    let granted = match self.is_unwanted(&answered) {
                        true => self.may_retry(Some(index)),
                        false => Granted::No,
                    };
                    if granted == Granted::No {
                        if let Some(upload) = self.upload {
                            upload.answered();
                        }
                        return Ok(answered);
                    }
                    discard(answered);
                    if granted == Granted::Spent {
                        return Err(LocalReply::RetryBudgetSpent);
                    }
                    outcome = LocalReply::BrokenAnswer;
                    self.back_off().await;
                }
                AttemptOutcome::Again(reply) => outcome = reply,
                AttemptOutcome::Retry(reply) => {
                    self.retry_after(reply, Some(index)).await?;
                    outcome = reply;
                }
                AttemptOutcome::Failed(reply) => return Err(reply),
            }
        }
    }

    /// Waits for the next attempt after a failure, where the rule has one; else that is the answer.
    async fn retry_after(
        &mut self,
        reply: LocalReply,
        failed: Option<usize>,
    ) -> Result<(), LocalReply> {
        match self.may_retry(failed) {
            Granted::Yes => {
                self.back_off().await;
                Ok(())
            }
            Granted::No => Err(reply),
            Granted::Spent => Err(LocalReply::RetryBudgetSpent),
        }
    }

    /// Whether the rule asks for another answer than this one.
    fn is_unwanted(&self, answered: &Answered) -> bool {
        let status = answered.response.status();
        let retries = self.retries.as_ref();
        retries.is_some_and(|retries| retries.are_for(status))
    }

    /// Whether the rule has the request sent once more. If so, its body is taken back, and it goes to another endpoint than
    /// the one that `failed`, where there is one and the request has no session with that.
    fn may_retry(&mut self, failed: Option<usize>) -> Granted {
        let Some(retries) = &mut self.retries else {
            return Granted::No;
        };
        if !self.upload.is_none_or(UploadHandle::is_kept) {
            return Granted::No;
        }
        let granted = retries.take(self.metrics);
        if granted != Granted::Yes {
            return granted;
        }
        if !self.upload.is_none_or(UploadHandle::rewind) {
            return Granted::No;
        }
        (self.timeouts, self.refusals, self.excusable) = (0, 0, false);
        if failed.is_some() && failed == self.sticky {
            self.again = failed.map(|index| (index, Choice::Any));
            return Granted::Yes;
        }
        let has_other = failed.is_some_and(|index| {
            self.tried.add(index) && self.upstream.pick(&self.tried).is_some()
        });
        if !has_other {
            self.tried = Tried::default();
        }
        if let Some(index) = failed.filter(|_| !has_other && self.upstream.open > 1) {
            self.tried.add(index);
        }
        Granted::Yes
    }

    async fn back_off(&self) {
        if let Some(retries) = &self.retries {
            sleep(retries.wait()).await;
        }
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
            Err(ConnectFailure::Full) => return self.elsewhere(index, LocalReply::Busy),
            Err(failure) => {
                self.metrics.connect_failures.fetch_add(1, Relaxed);
                self.upstream.endpoints[index].suspect();
                return self.after_no_connection(index, failure);
            }
        };
        let Some(mut head) = self.head.take() else {
            return AttemptOutcome::Failed(LocalReply::BrokenAnswer);
        };
        // Where endpoints choose, the next one may choose otherwise: the head is kept as it came.
        if lease.is_http2()
            || self.is_negotiated()
            || head.method.is_idempotent()
            || self.retries.is_some()
        {
            self.head = Some(head.clone());
        }
        if self.is_negotiated() {
            fit(&mut head, lease.is_http2(), true, self.upload);
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
                let is_ejected = self.upstream.answered(index, response.status());
                self.note_ejection(is_ejected);
                AttemptOutcome::Answered(Answered {
                    response,
                    endpoint: index,
                    lease,
                    end: self.timing.answer_end(attempt_end),
                })
            }
            Ok(Err(failure)) => self.after(index, choice, lease, failure),
            Err(reply) => self.after_silence(index, reply),
        }
    }

    fn note_ejection(&self, is_ejected: bool) {
        if is_ejected {
            self.metrics.ejections.fetch_add(1, Relaxed);
        }
    }

    /// What to do when a time was over before an answer.
    fn after_silence(&self, index: usize, reply: LocalReply) -> AttemptOutcome {
        if reply != LocalReply::SlowRequest {
            self.note_ejection(self.upstream.failed(index));
        }
        match reply {
            LocalReply::BackendTimeout => AttemptOutcome::Retry(reply),
            reply => AttemptOutcome::Failed(reply),
        }
    }

    async fn connect(&self, index: usize, choice: Choice) -> Result<Lease, ConnectFailure> {
        let claim = Endpoint::claim(&self.upstream.endpoints[index]);
        let connecting = claim.connect(choice, self.needs_http1);
        let stays = self.retries.as_ref().is_some_and(Retries::is_never);
        let lease = if !stays && self.upstream.has_other(&self.tried, index) {
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
            if let Some(retries) = &mut self.retries {
                retries.give_back();
            }
        }
        if failure == ConnectFailure::TimedOut {
            self.timeouts += 1;
        }
        match self.timeouts < MAX_TIMEOUTS {
            true => self.elsewhere(index, failure.into()),
            false => AttemptOutcome::Retry(failure.into()),
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
        let is_http2 = lease.is_http2();
        lease.give_up();
        if let Some(unsent) = failure.unsent {
            self.excusable = false;
            if !self.is_negotiated() {
                self.head = Some(unsent.into_parts().0);
            }
            if is_http2 {
                // The connection's last request overtook it, even on a connection that it opened itself.
                let takes_none = choice == Choice::Own;
                return self.after_refusal(index, takes_none);
            }
        } else if is_refused {
            return self.after_refusal(index, false);
        } else {
            self.excusable = kept_alive;
            self.sends += 1;
            if !kept_alive {
                self.note_ejection(self.upstream.failed(index));
            }
            if failure.is_parse_too_large() {
                return AttemptOutcome::Failed(LocalReply::AnswerTooLarge);
            }
            if failure.is_parse() || !self.is_repeatable() {
                return AttemptOutcome::Failed(LocalReply::BrokenAnswer);
            }
            if let Some(retries) = &mut self.retries {
                if !kept_alive || !retries.take_free() {
                    return AttemptOutcome::Retry(LocalReply::BrokenAnswer);
                }
            } else if self.sends == MAX_SENDS {
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
        if takes_none && self.upstream.open > 1 {
            self.refusals = 0;
            self.upstream.endpoints[index].suspect();
            return self.elsewhere(index, LocalReply::BrokenAnswer);
        }
        if self.refusals == MAX_REFUSALS {
            return AttemptOutcome::Failed(LocalReply::BrokenAnswer);
        }
        if self.refusals == MAX_REFUSALS_IN_A_ROW && self.upstream.open > 1 {
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

    fn is_negotiated(&self) -> bool {
        self.upstream.protocol == UpstreamProtocol::Negotiated
    }

    fn elsewhere(&mut self, index: usize, reply: LocalReply) -> AttemptOutcome {
        if self.retries.as_ref().is_some_and(Retries::is_never) {
            return AttemptOutcome::Failed(reply);
        }
        if self.tried.add(index) {
            AttemptOutcome::Again(reply)
        } else {
            AttemptOutcome::Retry(reply)
        }
    }
}

impl From<ConnectFailure> for LocalReply {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::Refused => Self::Unreachable,
            ConnectFailure::Full => Self::Busy,
            ConnectFailure::TimedOut | ConnectFailure::Slow => Self::ConnectTimeout,
            ConnectFailure::Forbidden => Self::ForbiddenAddress,
        }
    }
}
