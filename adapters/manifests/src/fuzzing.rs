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
