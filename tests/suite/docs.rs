//! What pages of docs/ say of the tests is true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of all functions below these folders.
fn functions(mut folders: Vec<PathBuf>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(path).expect("a source");
                let declared = text.split("fn ").skip(1);
                names.extend(declared.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
            }
        }
    }
    names
}

/// A name of a test: a sentence of several words.
fn is_test(word: &str) -> bool {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.chars().all(is_name) && word.matches('_').count() >= 2
}

#[test]
fn every_test_that_the_parity_page_names_is_there() {
    let page = std::fs::read_to_string(workspace().join("docs/parity.md")).expect("the page");
    let named: BTreeSet<&str> = page.split('`').filter(|word| is_test(word)).collect();
    assert!(named.len() > 50, "{named:?}");
    let parts = ["domain", "adapters", "app", "config", "tests"];
    let there = functions(parts.map(|part| workspace().join(part)).into());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !there.contains(**name))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/parity.md: no such tests: {missing:?}"
    );
}

/// An example without the comments at its head.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn examples_of_autoscaling_are_on_their_page_as_they_are_tested() {
    let page = std::fs::read_to_string(workspace().join("docs/gateway-parameters.md"));
    let page = page.expect("the page");
    for name in ["keda.yaml", "prometheus-adapter.yaml"] {
        let path = workspace().join("docs/examples/autoscaling").join(name);
        let example = std::fs::read_to_string(path).expect("the example");
        let shown = format!("```yaml\n{}```\n", without_comments(&example));
        assert!(page.contains(&shown), "{name} is not shown:\n{shown}");
    }
}
