//! HTTPRoute and GRPCRoute on one hostname of one listener.

use crate::gateway::RouteKind;
use crate::names::Hostname;

/// A route on a listener.
#[derive(Debug)]
pub(super) struct Seat {
    /// Position among the routes.
    pub(super) route: usize,
    pub(super) kind: RouteKind,
    /// Effective hostnames; empty for every name.
    pub(super) hostnames: Vec<Hostname>,
}

/// The routes on one listener, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Vec<Seat>,
    http: usize,
    grpc: usize,
}

impl Seats {
    /// Seats a route, unless one of the other kind is there with a hostname in common; then that one's
    /// position. Routes must come oldest first: of two such routes exactly one is accepted, the older,
    /// then the first by namespace and name (Gateway API, `GRPCRoute`).
    pub(super) fn take(&mut self, seat: Seat) -> Result<(), usize> {
        if self
            .taken
            .last()
            .is_some_and(|last| last.route == seat.route)
        {
            return Ok(());
        }
        let others = match seat.kind {
            RouteKind::Http => self.grpc,
            RouteKind::Grpc => self.http,
        };
        if others > 0 {
            let in_the_way = |other: &&Seat| other.kind != seat.kind && overlap(other, &seat);
            if let Some(other) = self.taken.iter().find(in_the_way) {
                return Err(other.route);
            }
        }
        match seat.kind {
            RouteKind::Http => self.http += 1,
            RouteKind::Grpc => self.grpc += 1,
        }
        self.taken.push(seat);
        Ok(())
    }

    pub(super) fn taken(&self) -> &[Seat] {
        &self.taken
    }
}

fn overlap(one: &Seat, other: &Seat) -> bool {
    one.hostnames.is_empty()
        || other.hostnames.is_empty()
        || one
            .hostnames
            .iter()
            .any(|a| other.hostnames.iter().any(|b| a.intersection(b).is_some()))
}
