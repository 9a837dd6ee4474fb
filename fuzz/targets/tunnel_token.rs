//! Connector tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_connector::fuzzing::tunnel_token(input));
