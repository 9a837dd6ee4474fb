//! Response headers on their way to the edge and back: lines of `name:value`, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_connector::fuzzing::response_headers(input));
