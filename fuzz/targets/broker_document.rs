//! Documents between clusters and the broker.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_broker::fuzzing::broker_document(input));
