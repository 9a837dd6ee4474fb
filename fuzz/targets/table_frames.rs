//! The body that a proxy sends to the controller: frames and what they say. The first byte says in which pieces the
//! rest comes.
#![no_main]

use adapter_table_stream::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let [piece, bytes @ ..] = input {
        let frames = fuzzing::frames(bytes, usize::from(*piece));
        assert_eq!(frames, fuzzing::frames(bytes, usize::MAX));
        for frame in frames {
            fuzzing::to_controller(&frame);
        }
    }
});
