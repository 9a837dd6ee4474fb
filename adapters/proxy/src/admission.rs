//! What a request is counted for while it is served.

use crate::memory::HeldMemory;
use crate::metrics::InFlight;

/// What a request takes up of the proxy's limits; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Admitted {
    _in_flight: InFlight,
    pub(crate) memory: HeldMemory,
    /// What is counted of its answer.
    answer: HeldMemory,
}

impl Admitted {
    /// A request that was counted, and the memory of its head.
    pub(crate) fn new(in_flight: InFlight, memory: HeldMemory) -> Self {
        Self {
            _in_flight: in_flight,
            answer: memory.part(),
            memory,
        }
    }

    /// Whether the process holds more memory than it should.
    pub(crate) fn is_short(&self) -> bool {
        self.memory.is_short()
    }

    /// Counts an answer of which so many bytes are known to come or to wait. `false` where there is no room for it.
    pub(crate) fn try_hold_answer(&mut self, bytes: u64) -> bool {
        self.answer.try_hold(bytes)
    }

    /// Nothing of the answer waits.
    pub(crate) fn release_answer(&mut self) {
        self.answer.clear();
    }
}
