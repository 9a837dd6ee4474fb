#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| adapter_connector::fuzzing::http2_requests(bytes));
