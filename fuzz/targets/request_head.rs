//! What a request's head says of its way: authority and path, in two lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| domain::fuzzing::request_head(input));
