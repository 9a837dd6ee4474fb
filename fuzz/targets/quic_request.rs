#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Most streams carry a request, and nothing else begins like one.
    let preamble = b"\x0A\x36\xCD\x12\xA1\x3E01";
    adapter_connector::fuzzing::quic_request(&[preamble, bytes].concat());
    adapter_connector::fuzzing::quic_request(bytes);
});
