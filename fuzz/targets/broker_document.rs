//! Documents between clusters and the broker.
#![no_main]

use adapter_broker::fuzzing;

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    fuzzing::request(json);
    fuzzing::answer(json);
});
