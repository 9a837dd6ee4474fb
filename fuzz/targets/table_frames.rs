//! The body that a proxy sends to the controller: frames and what they say. The first byte says in which pieces the
//! rest comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_table_stream::fuzzing::table_frames(input));
