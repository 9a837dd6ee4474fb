//! Answers of the API server: lists, events and Secrets. The first byte says what kind they are of, the second in
//! which pieces they come.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that reading may take for each byte that is read.
const FOR_EACH_BYTE: usize = 1000;

/// Bytes that it may take besides: a pattern that is compiled, and what is kept for the next time.
const BESIDES: usize = 16 << 20;

/// The system's allocator, which counts.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is passed on as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    adapter_kubernetes::fuzzing::api_json(input);
    let taken = PEAK.load(Ordering::Relaxed) - before;
    let most = FOR_EACH_BYTE * input.len() + BESIDES;
    assert!(
        taken <= most,
        "{taken} bytes were taken for {} read",
        input.len()
    );
});
