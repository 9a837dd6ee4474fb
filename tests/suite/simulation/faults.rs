//! What goes wrong in a history.

use std::time::Duration;

use domain::ports::{PortError, PortErrorKind};
use domain::testing::Moment;

use super::random::Random;

/// The kinds of faults in one history. Each history has some of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Of 100 calls to Cloudflare, how many fail.
    pub(crate) failing_calls: usize,
    /// Of 100 calls to other ports, how many fail.
    pub(crate) failing_ports: usize,
    pub(crate) crashes: bool,
    /// Snapshots in which objects are missing.
    pub(crate) incomplete_views: bool,
    /// Reads that lag behind writes.
    pub(crate) lag: bool,
    /// A new leader begins before the old one has stopped.
    pub(crate) two_leaders: bool,
    /// Our records and tunnels are changed by hand.
    pub(crate) manual_edits: bool,
    /// Foreign records are added and removed.
    pub(crate) foreign_records: bool,
    /// Gateways move between two accounts.
    pub(crate) moves: bool,
}

impl Faults {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let lag = random.chance(20);
        Self {
            failing_calls: *random.pick(&[0, 5, 20]),
            failing_ports: *random.pick(&[0, 0, 10]),
            crashes: random.chance(50),
            incomplete_views: random.chance(40),
            lag,
            two_leaders: random.chance(25),
            manual_edits: random.chance(25),
            foreign_records: random.chance(50),
            moves: random.chance(25) && !lag,
        }
    }

    /// Whether each process reads the edge as it is and is the only one of its cluster that writes. Then the rules hold
    /// at every step, also where calls fail; otherwise only at the end.
    pub(crate) fn is_strict(&self) -> bool {
        !(self.lag || self.two_leaders || self.manual_edits)
    }

    /// How the next call to Cloudflare fails, if it does.
    pub(crate) fn of_call(&self, random: &mut Random) -> Option<(Moment, PortError)> {
        if !random.chance(self.failing_calls) {
            return None;
        }
        let unavailable = |message: &str| PortError::unavailable(message);
        Some(match random.below(6) {
            0 => (Moment::Before, unavailable("500")),
            1 => (Moment::Before, unavailable("timeout")),
            2 => (Moment::After, unavailable("timeout")),
            3 => (Moment::After, unavailable("connection cut")),
            4 => (Moment::Before, unavailable("one page is missing")),
            _ => {
                let mut busy = PortError::new(PortErrorKind::RateLimited, "429");
                busy.retry_after = Some(Duration::from_secs(1));
                (Moment::Before, busy)
            }
        })
    }

    /// How the next call to a port other than Cloudflare fails, if it does.
    pub(crate) fn of_port(&self, random: &mut Random) -> Option<Moment> {
        let fails = random.chance(self.failing_ports);
        fails.then(|| *random.pick(&[Moment::Before, Moment::After]))
    }
}
