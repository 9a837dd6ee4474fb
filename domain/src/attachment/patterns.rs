//! What the routes of one Gateway take of its budget for regular expressions: each of its proxies holds all of them.

use super::Refusal;
use crate::gateway::{PatternRoom, Route};
use crate::names::ObjectKey;
use crate::status::Reason;

/// What the routes attached so far take.
#[derive(Debug, Default)]
pub(super) struct PatternShares {
    taken: PatternRoom,
    /// Position of the route that was counted last; a route may have several parentRefs to one Gateway.
    last: Option<usize>,
}

impl PatternShares {
    /// Bytes for the regular expressions of all routes of a Gateway.
    const LARGEST: PatternRoom = PatternRoom(8 * 1024 * 1024);

    /// Why a route has no room beside the older ones.
    pub(super) fn refusal(
        &self,
        position: usize,
        route: &Route,
        gateway: &ObjectKey,
    ) -> Option<Refusal> {
        let counted = self.last == Some(position);
        if counted || self.taken + route.pattern_room <= Self::LARGEST {
            return None;
        }
        let message = format!(
            "{route}: spec.rules: Too many: the regular expressions of all routes of Gateway {gateway} may take {} KiB when they are compiled; older routes take {} KiB and this one {} KiB; use fewer or smaller ones, or another Gateway",
            kibibytes(Self::LARGEST),
            kibibytes(self.taken),
            kibibytes(route.pattern_room),
        );
        Some(Refusal::new(Reason::UnsupportedValue, message))
    }

    /// Counts a route that was attached.
    pub(super) fn take(&mut self, position: usize, route: &Route) {
        if self.last != Some(position) {
            self.taken = self.taken + route.pattern_room;
            self.last = Some(position);
        }
    }
}

fn kibibytes(room: PatternRoom) -> usize {
    room.0.div_ceil(1024)
}
