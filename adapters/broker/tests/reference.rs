//! The documents of docs/api are those of the code. `UPDATE_DOCS=1` writes them.

use std::path::Path;

#[test]
fn the_document_of_the_api_for_clusters_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/broker.json");
    let document = adapter_broker::openapi::cluster_plane();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &document).expect("docs/api can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == document,
        "docs/api/broker.json is not current; run UPDATE_DOCS=1 cargo test --workspace --test reference"
    );
}
