//! A stream of the edge over QUIC.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_connector::fuzzing::quic_request(input));
