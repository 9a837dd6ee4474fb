//! Retries that a rule asks for (GEP-1731), and when they are due.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use domain::gateway::Retry;
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::attempts::Answered;
use crate::metrics::GatewayMetrics;
use crate::upstream::{RetryBudget, random_number};

/// How much of an answer that no client gets is read, and for how long, so that its connection may be used again.
const MOST_DISCARDED: usize = 16 * 1024;
const DISCARDING: Duration = Duration::from_secs(1);

/// Whether a request is sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granted {
    Yes,
    /// What it got last is the answer.
    No,
    /// The budget that a policy asks for is spent: the answer is 503 (GEP-3388).
    Spent,
}

/// The retries of one request. After the wait of the rule, and while the budget of the upstream lasts, it is sent once more
///
/// - after an answer with one of the rule's codes, whatever its method: the rule's author asked for it;
/// - after the time for an attempt (`backendRequest`), likewise;
/// - where no endpoint could be connected to;
/// - where an endpoint broke off without an answer, if its method is idempotent.
///
/// Nothing is retried whose body is not kept from its beginning.
pub(super) struct Retries<'a> {
    policy: &'a Retry,
    budget: &'a RetryBudget,
    left: u32,
}

impl<'a> Retries<'a> {
    /// The retries of a request that comes now.
    pub(super) fn begin(policy: &'a Retry, budget: &'a RetryBudget) -> Self {
        budget.count_request(Instant::now());
        Self {
            policy,
            budget,
            left: policy.attempts,
        }
    }

    /// Whether the rule says that nothing is sent once more.
    pub(super) fn is_never(&self) -> bool {
        self.policy.attempts == 0
    }

    /// Whether an answer with this status is retried.
    pub(super) fn are_for(&self, status: StatusCode) -> bool {
        self.policy.codes.contains(&status.as_u16())
    }

    /// Takes one of them, if there is one and the budget of the upstream has one.
    pub(super) fn take(&mut self, metrics: &GatewayMetrics) -> Granted {
        if self.left == 0 {
            return Granted::No;
        }
        if self.budget.take(Instant::now()) {
            self.left -= 1;
            return Granted::Yes;
        }
        metrics.denied_retries.fetch_add(1, Relaxed);
        match self.budget.is_asked_for() {
            true => Granted::Spent,
            false => Granted::No,
        }
    }

    /// Takes one of them without budget: the endpoint has closed a connection that it was kept alive on.
    pub(super) fn take_free(&mut self) -> bool {
        let has_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_one
    }

    /// Gives back one that reached no endpoint.
    pub(super) fn give_back(&mut self) {
        self.left += 1;
    }

    /// How long to wait before the one that was taken.
    pub(super) fn wait(&self) -> Duration {
        let made = self.policy.attempts.saturating_sub(self.left + 1);
        self.policy.wait(made, random_number())
    }
}

/// Lets go of an answer that no client gets.
pub(super) fn discard(answered: Answered) {
    let Answered {
        response, lease, ..
    } = answered;
    let mut body = response.into_body();
    if body.is_end_stream() {
        drop(lease.release());
        return;
    }
    tokio::spawn(timeout(DISCARDING, async move {
        let mut left = MOST_DISCARDED;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, bytes::Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return,
            }
        }
        if body.is_end_stream() {
            drop(lease.release());
        }
    }));
}
