//! An entry point to the reader of files for the fuzz targets, which are outside the workspace.

use std::path::Path;

use crate::file::ManifestFile;

/// Reads a text as a file of manifests, and again after itself.
///
/// # Panics
/// Where the second reading finds other objects.
pub fn manifest(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let path = Path::new("fuzz.yaml");
    let first = ManifestFile::read(path, text, 0, None);
    let again = ManifestFile::read(path, text, 0, Some(&first));
    assert_eq!(
        first.objects.len(),
        again.objects.len(),
        "the same text says the same"
    );
}

#[cfg(test)]
#[path = "../../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec:\n  \
        ports: [{name: http, port: 80}]\n---\n# none\n---\nkind: List\nitems: [&x {kind: Secret}, *x]\n";

    /// The seed changed, cut and repeated at each of its bytes.
    #[test]
    fn no_input_of_the_corpus_breaks_a_rule() {
        corpus::run(&[("manifest", manifest)]);
    }

    #[test]
    fn whatever_becomes_of_a_file_it_reads_the_same_twice() {
        let seed = SEED.as_bytes();
        manifest(seed);
        for at in 0..seed.len() {
            for byte in b"\n:{[&*-\"\0" {
                let mut changed = seed.to_vec();
                changed[at] = *byte;
                manifest(&changed);
            }
            manifest(&seed[..at]);
            manifest(&[&seed[..at], seed].concat());
        }
    }
}
