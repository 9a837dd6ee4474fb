//! The control stream: Cap'n Proto frames and what is read from their messages. The first byte says in which
//! pieces the rest comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_connector::fuzzing::tunnel_frame(input));
