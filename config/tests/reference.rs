//! docs/configuration.md says what the code says.

use std::path::Path;

#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = config::reference::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md differs from the code; run UPDATE_DOCS=1 cargo test -p config"
    );
}

#[test]
fn every_key_is_explained_and_its_default_can_be_set() {
    let page = config::reference::page();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.split(" | ")
                .map(|cell| cell.trim_matches(['|', ' ', '`']))
                .collect()
        })
        .collect();
    assert!(rows.len() >= 17, "{page}");
    for row in &rows {
        let [_, default, variable, meaning] = row.as_slice() else {
            panic!("{row:?}");
        };
        assert!(meaning.len() > 20, "{row:?}");
        if *default != "none" {
            let env = [((*variable).to_owned(), (*default).to_owned())];
            let loaded = config::StandaloneSettings::load(None, env.into_iter(), ());
            assert_eq!(loaded, Ok(config::StandaloneSettings::default()), "{row:?}");
        }
    }
}
