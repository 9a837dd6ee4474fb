//! A door to what is read of a request's head for the fuzz targets, which live outside the workspace.

use crate::route_table::{Arrival, Scheme, canonical_path};

/// Reads what a request's head says of its way: authority and path, in two lines.
///
/// # Panics
/// What was read is read otherwise once it is written again.
pub fn request_head(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
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
}

#[cfg(test)]
#[path = "../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_input_of_the_corpus_breaks_a_rule() {
        corpus::run(&[("request_head", request_head)]);
    }
}
