//! docs/configuration.md says what the code says.

use std::path::Path;

use config::ProgramSettings;

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
    let (rest, broker) = page.split_once("\n## `cfgw broker`\n").unwrap();
    let (rest, standalone) = rest.split_once("\n## `cfgw standalone`\n").unwrap();
    let (controller, proxy) = rest.split_once("\n## `cfgw proxy`\n").unwrap();
    for (part, least) in [
        (controller, 31),
        (proxy, 14),
        (standalone, 17),
        (broker, 12),
    ] {
        let rows = rows(part);
        assert!(rows.len() >= least, "{part}");
        for [_, _, _, meaning] in &rows {
            assert!(meaning.len() > 20, "{rows:?}");
        }
    }
    // Some settings are needed, so that no program starts with its defaults alone.
    assert_defaults_lack(standalone, "installation", |env| {
        let settings = config::StandaloneSettings::load(None, env, ());
        settings
            .and_then(|settings| settings.installation_name().cloned())
            .err()
    });
    assert_defaults_lack(broker, "keys_file", |env| {
        config::BrokerSettings::load(None, env, ()).err()
    });
    assert_defaults_lack(controller, "installation", |env| {
        config::ControllerSettings::load(None, env, ()).err()
    });
    assert_defaults_lack(proxy, "token_file", |env| {
        config::ProxySettings::load(None, env, ()).err()
    });
}

/// With each default given by the environment, all that is wrong is that this key is missing.
fn assert_defaults_lack(
    part: &str,
    missing: &str,
    load: impl Fn(std::iter::Once<(String, String)>) -> Option<config::SettingsError>,
) {
    for [key, default, variable, _] in rows(part) {
        if default != "none" {
            let env = std::iter::once((variable.to_owned(), default.to_owned()));
            let refused = load(env).expect("a key is missing").to_string();
            assert!(
                refused.contains(&format!("`{missing}`")),
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
