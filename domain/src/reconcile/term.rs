//! What was done in one term of leadership.

use std::collections::BTreeSet;

use super::Queue;
use crate::names::ObjectKey;

/// A new one takes its place whole: another instance may have worked in between.
#[derive(Default)]
pub(super) struct Term {
    /// `None` before the first.
    pub(super) number: Option<u64>,
    /// Queues of which an edge pass came to its end.
    pub(super) passed: BTreeSet<Queue>,
    /// Whether all places were seen where Gateways leave something.
    pub(super) saw_all: bool,
    /// Gateways that have a tunnel which the credentials of the cluster show.
    pub(super) seen_at_edge: BTreeSet<ObjectKey>,
    /// Whether it is known whose things stay when they go.
    pub(super) orphans_read: bool,
    pub(super) search: Search,
    /// While records that nothing leads to stay until other Gateways have taken names over: how many resyncs had begun
    /// before.
    pub(super) sweep_waits: Option<u32>,
}

/// The search for what Gateways left: once in each term, and at each resync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Search {
    /// It is to be made.
    Due,
    /// It was made. Records that nothing leads to are still to be removed.
    Searched,
    #[default]
    Swept,
}

impl Term {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number: Some(number),
            ..Self::default()
        }
    }

    /// Unless the next resync has begun meanwhile.
    pub(super) fn swept(&mut self) {
        if self.search == Search::Searched {
            self.search = Search::Swept;
        }
    }
}
