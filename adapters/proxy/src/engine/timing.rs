//! How long a request and each of its attempts may take (GEP-1742).

use std::time::Duration;

use domain::gateway::Timeouts;
use tokio::time::Instant;

use crate::Limits;

/// Longer than any request lasts.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// When the answer has to be complete.
    pub(super) request_end: Option<Instant>,
    /// How long one attempt may take, from its first byte until its answer is complete.
    backend_request: Option<Duration>,
    /// How long an endpoint may be silent before its answer begins.
    pub(super) silence: Duration,
}

impl Timing {
    /// The times of a request whose head has just come. A rule that says how long its requests may take does so in place of
    /// [`Limits::answer_timeout`].
    pub(super) fn begin(timeouts: &Timeouts, limits: &Limits) -> Self {
        let Timeouts {
            request,
            backend_request,
        } = timeouts;
        let bounded = |time: &Option<Duration>| time.filter(|time| !time.is_zero());
        Self {
            request_end: bounded(request).map(|time| Instant::now() + time),
            backend_request: bounded(backend_request),
            silence: match (request, backend_request) {
                (None, None) => limits.answer_timeout,
                _ => NEVER,
            },
        }
    }

    /// Of what has to be answered by then, however it is tried.
    pub(super) fn until(end: Instant, limits: &Limits) -> Self {
        Self {
            request_end: Some(end),
            backend_request: None,
            silence: limits.answer_timeout,
        }
    }

    /// When an attempt that is sent now has to be over by the time for attempts.
    pub(super) fn attempt_end(&self, sent: Instant) -> Option<Instant> {
        self.backend_request.map(|time| sent + time)
    }

    /// When the answer to an attempt with this end has to be complete.
    pub(super) fn answer_end(&self, attempt_end: Option<Instant>) -> Option<Instant> {
        let ends = [self.request_end, attempt_end];
        ends.into_iter().flatten().min()
    }
}
