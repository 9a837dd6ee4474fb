//! Texts that are compared with a file which a person can read.

use std::path::Path;

/// Compares a text with `golden/<name>.txt`; with `UPDATE=1` the file is written anew instead.
pub(crate) fn check(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cfgwctl/golden");
    let file = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{name}.txt: look at it after UPDATE=1");
}
