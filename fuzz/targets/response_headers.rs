//! Response headers on their way to the edge and back: lines of `name:value`, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let pairs: Vec<_> = input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        })
        .collect();
    adapter_connector::fuzzing::response_headers(&pairs);
});
