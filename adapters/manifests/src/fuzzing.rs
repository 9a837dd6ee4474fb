//! A door to the reader of files for the fuzz targets, which live outside the workspace.

use std::path::Path;

use crate::file::ManifestFile;

/// Reads a text as a file of manifests, and again after itself. Returns the number of objects in it.
///
/// # Panics
/// Where the second reading finds other objects.
pub fn manifest(text: &str) -> usize {
    let path = Path::new("fuzz.yaml");
    let first = ManifestFile::read(path, text, 0, None);
    let again = ManifestFile::read(path, text, 0, Some(&first));
    assert_eq!(
        first.objects.len(),
        again.objects.len(),
        "the same text says the same"
    );
    first.objects.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec:\n  \
        ports: [{name: http, port: 80}]\n---\n# none\n---\nkind: List\nitems: [&x {kind: Secret}, *x]\n";

    /// The seed changed, cut and repeated at each of its bytes.
    #[test]
    fn whatever_becomes_of_a_file_it_reads_the_same_twice() {
        manifest(SEED);
        let seed = SEED.as_bytes();
        for at in 0..seed.len() {
            for byte in b"\n:{[&*-\"\0" {
                let mut changed = seed.to_vec();
                changed[at] = *byte;
                manifest(&String::from_utf8_lossy(&changed));
            }
            manifest(&SEED[..at]);
            manifest(&[&SEED[..at], SEED].concat());
        }
    }
}
