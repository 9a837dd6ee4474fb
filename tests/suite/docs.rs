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

fn page(name: &str) -> String {
    let path = workspace().join("docs").join(name);
    std::fs::read_to_string(path).expect("the page")
}

/// Panics where a page names a test that is not there.
fn assert_tests_are_there(name: &str, page: &str) {
    let named: BTreeSet<&str> = page.split('`').filter(|word| is_test(word)).collect();
    assert!(named.len() > 40, "{named:?}");
    let parts = ["domain", "adapters", "app", "config", "tests"];
    let there = functions(parts.map(|part| workspace().join(part)).into());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !there.contains(**name))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/{name}: no such tests: {missing:?}"
    );
}

#[test]
fn every_test_that_the_parity_page_names_is_there() {
    assert_tests_are_there("parity.md", &page("parity.md"));
}

#[test]
fn every_test_that_the_page_of_the_brokers_requirements_names_is_there() {
    let name = "broker-requirements.md";
    assert_tests_are_there(name, &page(name));
}

/// The page with the clauses of the Gateway API.
const CLAUSES: &str = "conformance-clauses.md";

#[test]
fn every_test_that_the_clauses_page_names_is_there() {
    let text = page(CLAUSES);
    assert_tests_are_there(CLAUSES, &text);
    let passing = workspace().join("tests/conformance/passing.txt");
    let passing = std::fs::read_to_string(passing).expect("the list");
    // A name stands before what its test needs.
    let names = passing
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let passing: BTreeSet<&str> = names.collect();
    let lists = text.split("suite: ").skip(1);
    let lists = lists.filter_map(|rest| rest.split(['|', ';', '.', '\n']).next());
    let named = lists.flat_map(|list| list.split(',')).map(str::trim);
    let missing: Vec<&str> = named
        .filter(|name| !name.is_empty() && !passing.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in passing.txt: {missing:?}");
}

/// What the ids of clauses begin with, and the object that they are of.
const OBJECTS: [(&str, &str); 7] = [
    ("HR", "HTTPRoute"),
    ("GR", "GRPCRoute"),
    ("GW", "Gateway"),
    ("GC", "GatewayClass"),
    ("LS", "ListenerSet"),
    ("RG", "ReferenceGrant"),
    ("BT", "BackendTLSPolicy"),
];

/// How many clauses there are: shown, not applicable, and neither of both.
#[derive(Default)]
struct Counted {
    shown: usize,
    not_applicable: usize,
    gap: usize,
}

impl Counted {
    fn all(&self) -> usize {
        self.shown + self.not_applicable + self.gap
    }

    fn count(&mut self, id: &str, shown_by: &str) {
        if shown_by.starts_with("n/a: ") {
            self.not_applicable += 1;
        } else if shown_by.starts_with("**GAP**: ") {
            self.gap += 1;
        } else {
            let mut signs = ["`", "suite: ", "]("].into_iter();
            let names_something = signs.any(|sign| shown_by.contains(sign));
            assert!(names_something, "{id} names neither a test nor a page");
            self.shown += 1;
        }
    }

    fn row(&self, name: &str) -> String {
        let Self {
            shown,
            not_applicable,
            gap,
        } = self;
        let all = self.all();
        format!("| {name} | {all} | {shown} | {not_applicable} | {gap} |")
    }
}

#[test]
fn the_numbers_of_the_clauses_page_are_those_of_its_tables() {
    let text = page(CLAUSES);
    let mut all = Counted::default();
    for (prefix, object) in OBJECTS {
        let mut counted = Counted::default();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", id, _, _, shown_by, ""] = cells.as_slice() else {
                continue;
            };
            if id.starts_with(&format!("{prefix}-")) {
                let next = format!("{prefix}-{:02}", counted.all() + 1);
                assert_eq!(*id, next, "ids follow each other");
                counted.count(id, shown_by);
                all.count(id, shown_by);
            }
        }
        let anchor = object.to_ascii_lowercase();
        let row = counted.row(&format!("[{object}](#{anchor})"));
        assert!(text.contains(&row), "{row}");
    }
    let row = all.row("all");
    assert!(text.contains(&row), "{row}");
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
