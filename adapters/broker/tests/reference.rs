//! The documents in docs/api say what the code says.

use std::path::Path;

#[test]
fn the_documents_of_the_api_are_up_to_date() {
    for (file, document) in [("broker.json", adapter_broker::openapi::cluster_plane())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/api")
            .join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &document).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == document,
            "docs/api/{file} differs from the code; run UPDATE_DOCS=1 cargo test --workspace --test reference"
        );
    }
}
