//! What the edge says on a connection over HTTP/2, after its preface.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_connector::fuzzing::http2_requests(input));
