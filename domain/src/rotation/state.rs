//! How far the rotations of one Gateway's token are. Each state is kept before what follows from it is done, so that a
//! process that ends at any point is followed by one that does the rest and nothing twice:
//!
//! ```text
//! (never seen) ──▶ idle ──a trigger; every replica is ready──▶ replace(hash of the present token)
//!                   ▲                                            │ the edge: if the token has that hash, a new one
//!                   └──every replica holds the new token── roll out
//! ```

use super::{Request, RotationIntent};
use crate::names::Timestamp;
use crate::secret::TokenHash;

/// What is kept of the rotations of one Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RotationState {
    /// The schedule that [`Self::seen_until`] is about.
    pub schedule: Option<String>,
    /// Times of the schedule up to this moment call for nothing any more.
    pub seen_until: Timestamp,
    /// The request that was acted upon last, or that was there before the Gateway was.
    pub request: Option<Request>,
    /// When the token was replaced last.
    pub last: Option<Timestamp>,
    pub stage: Stage,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Stage {
    #[default]
    Idle,
    /// The edge is to replace the token with this hash, and no other.
    Replace(TokenHash),
    /// The token with this hash was replaced. Replicas take the new one.
    RollOut(TokenHash),
}

/// What users are shown of the rotations of one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationFacts {
    /// The token that the proxies were given last.
    pub token: Option<TokenHash>,
    /// When the token was replaced last.
    pub last: Option<Timestamp>,
    /// When the schedule calls for it next.
    pub next: Option<Timestamp>,
    /// The last request that is wholly done.
    pub handled: Option<Request>,
    /// Whether a new token is being made or taken.
    pub is_under_way: bool,
}

/// How far in the future a kept moment may be before the clock of whoever kept it is taken for wrong.
const CLOCKS_DIFFER_BY: i64 = 86_400;

impl RotationState {
    /// Of a Gateway of which nothing is kept. What was asked for before calls for nothing: its token is new, or whoever
    /// kept the state has lost it, and to rotate for each loss would be to rotate at random.
    pub fn first_seen(intent: &RotationIntent, now: Timestamp) -> Self {
        Self {
            schedule: written(intent),
            seen_until: now,
            request: intent.request.clone(),
            last: None,
            stage: Stage::Idle,
        }
    }

    /// The state under another schedule: it counts from the moment on at which it is seen. `None` where the schedule is
    /// the same.
    pub fn rescheduled(&self, intent: &RotationIntent, now: Timestamp) -> Option<Self> {
        let is_from_future = self.seen_until.0 > now.0.saturating_add(CLOCKS_DIFFER_BY);
        let is_same = self.schedule == written(intent) && !is_from_future;
        (!is_same).then(|| Self {
            schedule: written(intent),
            seen_until: now,
            ..self.clone()
        })
    }

    /// Whether a request or the schedule calls for a new token.
    pub fn is_due(&self, intent: &RotationIntent, now: Timestamp) -> bool {
        self.stage == Stage::Idle
            && (self.is_requested(intent) || self.next(intent).is_some_and(|next| next <= now))
    }

    /// Whether a rotation that is due waits for every replica to be ready.
    pub fn waits_for_replicas(&self, intent: &RotationIntent) -> bool {
        !(intent.is_forced && self.is_requested(intent))
    }

    /// Whether there is a request that was not acted upon yet.
    pub fn is_requested(&self, intent: &RotationIntent) -> bool {
        intent.request.is_some() && intent.request != self.request
    }

    /// The moment from which on the schedule calls for a new token.
    pub fn next(&self, intent: &RotationIntent) -> Option<Timestamp> {
        intent.schedule.as_ref()?.next_after(self.seen_until)
    }

    /// The token with this hash is to be replaced, for all that calls for it now.
    #[must_use]
    pub fn begun(&self, intent: &RotationIntent, present: TokenHash, now: Timestamp) -> Self {
        Self {
            seen_until: self.seen_until.max(now),
            // An annotation that is taken away and set again to the same value is the same request.
            request: intent.request.clone().or_else(|| self.request.clone()),
            stage: Stage::Replace(present),
            ..self.clone()
        }
    }

    /// The token was replaced.
    #[must_use]
    pub fn replaced(&self, retired: TokenHash, now: Timestamp) -> Self {
        Self {
            last: Some(now),
            stage: Stage::RollOut(retired),
            ..self.clone()
        }
    }

    /// Every replica holds the new token.
    #[must_use]
    pub fn finished(&self) -> Self {
        Self {
            stage: Stage::Idle,
            ..self.clone()
        }
    }

    /// What users are shown, of a Gateway with this token.
    pub fn facts(&self, intent: &RotationIntent, token: Option<TokenHash>) -> RotationFacts {
        let is_under_way = self.stage != Stage::Idle;
        RotationFacts {
            token,
            last: self.last,
            next: self.next(intent),
            handled: self.request.clone().filter(|_| !is_under_way),
            is_under_way,
        }
    }
}

fn written(intent: &RotationIntent) -> Option<String> {
    intent.schedule.as_ref().map(ToString::to_string)
}
