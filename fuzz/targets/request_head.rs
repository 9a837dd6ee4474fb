//! What a request's head says of its way: authority and path, in two lines.
#![no_main]

use domain::route_table::{Arrival, Scheme, canonical_path};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (authority, path) = text.split_once('\n').unwrap_or((text, "/"));
    if let Some(arrival) = Arrival::new(Scheme::Https, authority, None) {
        let written = format!("{}:{}", arrival.host, arrival.port);
        assert_eq!(Arrival::new(Scheme::Https, &written, None), Some(arrival));
    }
    if let Ok(once) = canonical_path(path) {
        assert!(!once.contains("//"));
        let twice = canonical_path(&once).expect("a canonical path is not ambiguous");
        assert_eq!(once, twice);
    }
});
