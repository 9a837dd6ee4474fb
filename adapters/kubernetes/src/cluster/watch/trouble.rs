//! Failures since reading last went well.

use std::time::Duration;

use tokio::time::Instant;

use super::super::times::WatchTimes;
use crate::failure::{is_absent, is_expired, told};

/// Why a list or a watch failed. Holds nothing of an object's text.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Failure {
    #[error("{}", told(.0))]
    Call(#[from] kube::Error),
    #[error("the version that was read last is too old")]
    Expired,
    #[error("{0}")]
    Answer(&'static str),
}

impl Failure {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Call(error) if is_absent(error))
    }

    /// Whether watching on from the same version is in vain.
    pub(super) fn needs_list(&self) -> bool {
        match self {
            Self::Call(error) => is_expired(error) || is_absent(error),
            Self::Expired => true,
            Self::Answer(_) => false,
        }
    }
}

/// How far reading had come when it failed. A failure is over once the same stage, or a later one, goes well: a
/// watch that begins well and breaks off again and again brings no news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    List,
    /// The head of the answer to a watch.
    Begin,
    Events,
}

#[derive(Debug)]
pub(super) struct Trouble {
    name: String,
    times: WatchTimes,
    since: Option<Instant>,
    stage: Stage,
    told: bool,
    pause: Duration,
}

impl Trouble {
    pub(super) fn new(name: String, times: WatchTimes) -> Self {
        Self {
            name,
            times,
            since: None,
            stage: Stage::List,
            told: false,
            pause: times.first_pause,
        }
    }

    /// Whether it has gone on for long enough to be reported.
    pub(super) fn lasts(&self) -> bool {
        self.since
            .is_some_and(|since| since.elapsed() >= self.times.unknown_after)
    }

    /// Whether it lasts and was reported.
    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    /// Forgets all failures.
    pub(super) fn end(&mut self) {
        *self = Self::new(std::mem::take(&mut self.name), self.times);
    }

    /// A stage went well. Whether that ends trouble which was reported.
    pub(super) fn passed(&mut self, stage: Stage) -> bool {
        let was_told = self.told;
        if stage < self.stage || self.since.is_none() {
            return false;
        }
        if was_told {
            tracing::info!(watched = self.name, "it is read again");
        }
        self.end();
        was_told
    }

    /// Counts a failure. How long to wait before the next attempt.
    pub(super) fn met(&mut self, stage: Stage, failure: &Failure) -> Duration {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.stage = self.stage.max(stage);
        tracing::debug!(watched = self.name, %failure, "a watch failed");
        let pause = self.pause;
        self.pause = (pause * 2).min(self.times.longest_pause);
        let left = (since + self.times.unknown_after).saturating_duration_since(Instant::now());
        if !left.is_zero() {
            // Not to be late with the news.
            return pause.min(left);
        }
        if !self.told {
            self.told = true;
            tracing::warn!(
                watched = self.name,
                %failure,
                "it cannot be read; what depends on it stays as it is until it can"
            );
        }
        pause
    }
}
