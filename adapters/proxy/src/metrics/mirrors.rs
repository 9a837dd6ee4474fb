//! Mirrored requests: how many there are, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What became of a mirrored request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirrorOutcome {
    /// Its backend answered.
    Answered,
    /// It was ended: it was too far behind the request, took too long, or the request's own body broke off.
    Cut,
    /// It was not sent, because there were too many or too little memory.
    Dropped,
    /// No endpoint took it, or none answered.
    Failed,
}

impl MirrorOutcome {
    const ALL: [Self; 4] = [Self::Answered, Self::Cut, Self::Dropped, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Cut => "cut",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// Mirrored requests of one Gateway.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    under_way: AtomicUsize,
    outcomes: [AtomicU64; MirrorOutcome::ALL.len()],
}

impl Mirrors {
    pub(crate) fn count(&self, outcome: MirrorOutcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// How many had each outcome.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let outcomes = MirrorOutcome::ALL.into_iter();
        outcomes.map(|outcome| {
            (
                outcome.name(),
                self.outcomes[outcome as usize].load(Relaxed),
            )
        })
    }
}

/// A mirrored request under way, counted for its Gateway and for its upstream; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct MirrorSlot {
    of_gateway: Arc<Mirrors>,
    of_upstream: Arc<AtomicUsize>,
}

impl MirrorSlot {
    /// Counts one in, unless there are enough for its Gateway or for its upstream.
    pub(crate) fn take(
        of_gateway: &Arc<Mirrors>,
        of_upstream: &Arc<AtomicUsize>,
        (most_of_gateway, most_of_upstream): (usize, usize),
    ) -> Option<Self> {
        let gateway = of_gateway.under_way.fetch_add(1, Relaxed);
        let upstream = of_upstream.fetch_add(1, Relaxed);
        let slot = Self {
            of_gateway: Arc::clone(of_gateway),
            of_upstream: Arc::clone(of_upstream),
        };
        // Dropped where there are too many.
        let has_room = gateway < most_of_gateway && upstream < most_of_upstream;
        has_room.then_some(slot)
    }

    pub(crate) fn mirrors(&self) -> &Arc<Mirrors> {
        &self.of_gateway
    }
}

impl Drop for MirrorSlot {
    fn drop(&mut self) {
        self.of_gateway.under_way.fetch_sub(1, Relaxed);
        self.of_upstream.fetch_sub(1, Relaxed);
    }
}
