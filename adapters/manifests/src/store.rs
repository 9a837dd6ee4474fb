//! Files of the state folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Replaces a file as a whole: a reader sees the old text or the new one. Makes its folders.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    };
    fs::create_dir_all(folder)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    let beside: PathBuf = folder.join(hidden);
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

/// Whether a name can be one of Kubernetes' (RFC 1123 subdomain), which makes it one plain component of a path.
pub(crate) fn is_object_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            label.bytes().all(|b| inner(b) || b == b'-')
                && label.bytes().next().is_some_and(inner)
                && label.bytes().last().is_some_and(inner)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_of_a_path() {
        for good in ["a", "web-1", "v1.example.com", "0"] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in [
            "", ".", "..", "../x", "a/b", "a\\b", "A", "a..b", "-a", "a\0", ".a", "/etc",
        ] {
            assert!(!is_object_name(bad), "{bad:?}");
        }
    }
}
