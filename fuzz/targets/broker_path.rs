//! Namespace and name in a path of the broker, in two lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (namespace, name) = text.split_once('\n').unwrap_or((text, ""));
    adapter_broker::fuzzing::path(namespace, name);
});
