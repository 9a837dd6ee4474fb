//! What the controller says to a proxy: a frame, and from the second line on a table to which it is applied.
#![no_main]

use adapter_table_stream::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (frame, table) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    if let Ok(table) = serde_json::from_slice(table) {
        fuzzing::to_proxy(frame, &table);
    }
});
