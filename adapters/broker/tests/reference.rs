//! The documents of docs/api are those of the code. `UPDATE_DOCS=1` writes them.

use std::path::Path;

use adapter_broker::openapi::{cluster_plane, people_plane};

#[test]
fn the_documents_of_the_apis_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api");
    for (name, document) in [
        ("broker.json", cluster_plane()),
        ("broker-people.json", people_plane()),
    ] {
        let path = folder.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &document).expect("docs/api can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == document,
            "docs/api/{name} is not current; run UPDATE_DOCS=1 cargo test --workspace --test reference"
        );
    }
}
