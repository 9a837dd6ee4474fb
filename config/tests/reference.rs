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
    let (standalone, broker) = page.split_once("\n## `cfgw broker`\n").unwrap();
    for (part, least) in [(standalone, 17), (broker, 12)] {
        let rows = rows(part);
        assert!(rows.len() >= least, "{part}");
        for [_, _, _, meaning] in &rows {
            assert!(meaning.len() > 20, "{rows:?}");
        }
    }
    for [key, default, variable, _] in rows(standalone) {
        if default != "none" {
            let env = [(variable.to_owned(), default.to_owned())];
            let loaded = config::StandaloneSettings::load(None, env.into_iter(), ());
            assert_eq!(loaded, Ok(config::StandaloneSettings::default()), "{key}");
        }
    }
    // Some of the broker's settings are needed, so that it does not start with its defaults alone.
    for [key, default, variable, _] in rows(broker) {
        if default != "none" {
            let env = [(variable.to_owned(), default.to_owned())];
            let refused = config::BrokerSettings::load(None, env.into_iter(), ());
            let refused = refused.unwrap_err().to_string();
            assert!(
                refused.contains("`credentials.account`"),
                "{key}: {refused}"
            );
        }
    }
}

/// Key, default, variable, meaning.
fn rows(page: &str) -> Vec<[&str; 4]> {
    page.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.split(" | ");
            let cells: Vec<_> = cells
                .map(|cell| cell.trim_matches(['|', ' ', '`']))
                .collect();
            cells.try_into().expect("a row of four cells")
        })
        .collect()
}
