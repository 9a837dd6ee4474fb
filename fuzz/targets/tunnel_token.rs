//! Connector tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    adapter_connector::fuzzing::tunnel_token(text);
});
