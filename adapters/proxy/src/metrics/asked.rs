//! Requests that authorizers were asked about: what became of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What an authorizer said of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthOutcome {
    Permitted,
    Denied,
    /// Nothing that could be understood, or nothing in time.
    Failed,
}

impl AuthOutcome {
    const ALL: [Self; 3] = [Self::Permitted, Self::Denied, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Requests of one Gateway.
#[derive(Debug, Default)]
pub(crate) struct AskedAbout([AtomicU64; AuthOutcome::ALL.len()]);

impl AskedAbout {
    pub(crate) fn count(&self, outcome: AuthOutcome) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    /// How many had each outcome.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let outcomes = AuthOutcome::ALL.into_iter();
        outcomes.map(|outcome| (outcome.name(), self.0[outcome as usize].load(Relaxed)))
    }
}
