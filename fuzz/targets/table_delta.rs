//! What the controller says to a proxy: a frame, and from the second line on a table to which it is applied.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_table_stream::fuzzing::table_delta(input));
