//! How much memory requests may hold, so that a flood is answered with 503 and does not end the process.
//!
//! Two measures decide on a new request:
//! - what the requests under way are **counted** to hold: a fixed cost each, their heads, a large body or answer while it
//!   is under way, what is kept of a body. It is known at once, and bounds how many requests there are;
//! - what the process **really** holds, its sockets included where its cgroup counts them, read every 100 ms. It knows
//!   also what waits to be sent to visitors that do not read.
//!
//! While memory is short, bodies of answers under way get on more slowly: each has one frame at a time on its way to the
//! visitor (`unsent.rs`).
//!
//! The allocator may keep what was freed, so the second measure alone could refuse for ever. While the requests under
//! way are counted to hold next to nothing, it does not count.

mod limit;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::request::Parts;

pub use limit::limit_of_this_process;

/// What a request holds besides its head: tasks, the connection to its endpoint and that one's buffers.
const EACH_REQUEST: usize = 16 * 1024;

/// A request that is counted to hold more is a large one. One with a head of 8 KiB is not.
const LARGE: usize = 40 * 1024;

/// A head is held as it was read, as it was parsed and as it is sent.
const COPIES_OF_HEAD: usize = 3;

/// What a body or an answer holds at most while it is under way, beyond its first bytes: what waits in either
/// connection and in their sockets. Of a body also its share of what the edge may send before it is taken.
pub(crate) const LARGE_BODY: usize = 512 * 1024;

/// How often the process's memory is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// The memory that the requests of a process share.
#[derive(Debug)]
pub struct Memory {
    /// What requests may be counted to hold.
    budget: usize,
    /// Above this the process takes no new request.
    mark: usize,
    held: AtomicUsize,
    /// Whether the process held more than `mark` when it was last looked at.
    is_short: AtomicBool,
}

/// Memory that a request is counted to hold; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// A process that may hold `limit` bytes: half of them are for what is counted, and above three quarters no new
    /// request is taken. The rest is for the kernel's buffers, which count in a container too.
    pub fn of(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            budget: limit / 2,
            mark: limit / 4 * 3,
            held: AtomicUsize::new(0),
            is_short: AtomicBool::new(false),
        })
    }

    /// Without a limit.
    pub fn unlimited() -> Arc<Self> {
        Self::of(usize::MAX)
    }

    /// Looks at the memory of this process again and again, on a thread of its own: it must not wait for the requests
    /// that it is to hold back. The thread ends when nothing else uses the value.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn watch(self: &Arc<Self>) -> std::io::Result<()> {
        let memory = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("memory".into())
            .spawn(move || watch(&memory))?;
        Ok(())
    }

    /// Bytes that requests are counted to hold.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Counts a request in. `None` where it has no room. The last quarter of it is not for large requests, so that a
    /// flood of those leaves room for everybody else's.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize) -> Option<HeldMemory> {
        let is_admitted = self.take(bytes);
        let memory = Arc::clone(self);
        // Dropped where it is too much.
        let request = HeldMemory { memory, bytes };
        is_admitted.then_some(request)
    }

    /// Counts bytes; returns whether there is room for them.
    fn take(&self, bytes: usize) -> bool {
        let held = self.held.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let most = if self.is_short() {
            self.next_to_nothing()
        } else if bytes > LARGE {
            self.for_large()
        } else {
            self.budget
        };
        held <= most
    }

    /// Whether the process holds more than it should.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Relaxed)
    }

    /// Whether one more large body or answer has room.
    pub(crate) fn has_room_for_large(&self) -> bool {
        self.held().saturating_add(LARGE_BODY) <= self.for_large()
    }

    /// What may be held when a large request is admitted.
    fn for_large(&self) -> usize {
        self.budget / 4 * 3
    }

    /// What may be held whatever the process holds.
    fn next_to_nothing(&self) -> usize {
        self.budget / 16
    }

    /// Takes note of what the process holds.
    pub fn observe(&self, resident: usize) {
        let is_short = resident > self.mark;
        if is_short != self.is_short.swap(is_short, Relaxed) {
            let (held, mark) = (self.held(), self.mark);
            if is_short {
                tracing::warn!(
                    resident,
                    mark,
                    held,
                    "memory is short: new requests get 503"
                );
            } else {
                tracing::info!(resident, mark, held, "memory is no longer short");
            }
        }
    }
}

/// What a request with this head is counted to hold.
pub(crate) fn cost(head: &Parts) -> usize {
    let uri = head
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let headers: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    EACH_REQUEST + COPIES_OF_HEAD * (uri + headers)
}

fn watch(memory: &Weak<Memory>) {
    while let Some(memory) = memory.upgrade() {
        if let Some(held) = limit::held() {
            memory.observe(held);
        }
        drop(memory);
        std::thread::sleep(INTERVAL);
    }
}

impl HeldMemory {
    /// Counts more for the same request, which was admitted already.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.memory.held.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
    }

    /// Counts more where there is room for it, as [`Memory::admit`] does.
    fn try_grow(&mut self, bytes: usize) -> bool {
        let has_room = self.memory.take(bytes);
        if has_room {
            self.bytes += bytes;
        } else {
            self.memory.held.fetch_sub(bytes, Relaxed);
        }
        has_room
    }

    /// Whether the process holds more than it should.
    pub(crate) fn is_short(&self) -> bool {
        self.memory.is_short()
    }

    /// Counts nothing any more.
    pub(crate) fn clear(&mut self) {
        self.memory
            .held
            .fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }

    /// Counts a body or an answer of which so many bytes are known to come or to wait, once. `false` where there is no
    /// room for it.
    pub(crate) fn try_hold(&mut self, bytes: u64) -> bool {
        let bytes = usize::try_from(bytes).map_or(LARGE_BODY, |bytes| bytes.min(LARGE_BODY));
        self.bytes > 0 || self.try_grow(bytes)
    }

    /// A count of its own, for a part of the request that may end sooner.
    pub(crate) fn part(&self) -> Self {
        Self {
            memory: Arc::clone(&self.memory),
            bytes: 0,
        }
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn requests_are_admitted_up_to_the_budget_and_again_when_others_end() {
        let memory = Memory::of(1000);
        let first = memory.admit(300).unwrap();
        let second = memory.admit(200).unwrap();
        assert!(memory.admit(1).is_none(), "half of the limit is held");
        assert_eq!(memory.held(), 500, "a refused request holds nothing");
        drop(second);
        let mut third = memory.admit(100).unwrap();
        assert!(!third.try_grow(101));
        assert_eq!(memory.held(), 400, "what has no room is not counted");
        assert!(third.try_grow(100));
        third.grow(1000);
        assert!(memory.admit(0).is_none());
        drop((first, third));
        assert_eq!(memory.held(), 0);
        assert!(memory.admit(500).is_some());
    }

    #[test]
    fn large_requests_leave_room_for_others() {
        let memory = Memory::of(8 * LARGE);
        let large = || memory.admit(LARGE + 1);
        let flood: Vec<_> = std::iter::from_fn(large).collect();
        assert_eq!(flood.len(), 2, "three quarters of the half");
        assert!(!memory.has_room_for_large());
        assert!(memory.admit(LARGE).is_some());
    }

    #[test]
    fn a_process_above_its_mark_takes_requests_only_while_they_hold_next_to_nothing() {
        let memory = Memory::of(1600);
        memory.observe(1200);
        let admitted = memory.admit(51);
        assert!(admitted.is_some(), "at the mark");
        memory.observe(1201);
        assert!(memory.admit(1).is_none(), "above the mark");
        drop(admitted);
        assert!(
            memory.admit(50).is_some(),
            "what is left is the allocator's"
        );
        memory.observe(1200);
        assert!(memory.admit(51).is_some(), "below it again");
    }

    #[test]
    fn a_request_costs_more_with_a_larger_head() {
        let of = |value: &str| {
            let request = Request::get("/").header("x", value).body(()).unwrap();
            cost(&request.into_parts().0)
        };
        assert_eq!(of("") - 3 * 2, 16 * 1024);
        assert_eq!(of(&"v".repeat(1000)) - of(""), 3000);
    }

    #[test]
    fn without_a_limit_everything_is_admitted() {
        let memory = Memory::unlimited();
        memory.observe(1 << 40);
        assert!(memory.admit(1 << 30).is_some());
        assert!(memory.has_room_for_large());
    }
}
