//! The table of values in a chart's README is made of the comments in values.yaml, and what values there are of its keys.

use std::collections::BTreeSet;

use serde_json::Value;

use super::helm::Chart;

const README_HEAD: &str = "| value | default | what it is |\n|---|---|---|\n";

/// One value as values.yaml has it.
struct Row {
    path: String,
    default: String,
    doc: String,
}

fn read(chart: Chart, name: &str) -> String {
    std::fs::read_to_string(chart.folder().join(name)).expect("a file of the chart")
}

/// Each value that has one, with the comment above it. What follows a line that begins a list is an example.
fn rows(text: &str) -> Vec<Row> {
    let (mut rows, mut path, mut doc) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let written = line.trim_start();
        if let Some(comment) = written.strip_prefix('#') {
            doc.push(comment.strip_prefix(' ').unwrap_or(comment));
            continue;
        }
        if let Some((key, default)) = written.split_once(':') {
            path.truncate((line.len() - written.len()) / 2);
            path.push(key);
            let default = default.trim();
            if !default.is_empty() {
                let words = doc.iter().take_while(|line| !line.starts_with("- "));
                rows.push(Row {
                    path: path.join("."),
                    default: default.to_owned(),
                    doc: words.copied().collect::<Vec<_>>().join(" "),
                });
            }
        }
        doc.clear();
    }
    rows
}

fn table(rows: &[Row]) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let lines = rows.iter().map(|row| {
        let (default, doc) = (cell(&row.default), cell(&row.doc));
        format!("| `{}` | `{default}` | {doc} |\n", row.path)
    });
    README_HEAD.to_owned() + &lines.collect::<String>()
}

#[test]
fn the_readmes_have_the_values_as_their_comments_say() {
    Chart::ALL.into_iter().for_each(is_told);
}

fn is_told(chart: Chart) {
    let rows = rows(&read(chart, "values.yaml"));
    let silent = rows.iter().filter(|row| row.doc.is_empty());
    let silent: Vec<&str> = silent.map(|row| row.path.as_str()).collect();
    assert_eq!(silent, [""; 0], "each value has a comment of its own");
    let readme = read(chart, "README.md");
    let begin = readme.find(README_HEAD).expect("the table");
    let rest = &readme[begin..];
    let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    let expected = table(&rows);
    if rest[..end] == expected {
        return;
    }
    let updated = format!("{}{expected}{}", &readme[..begin], &rest[end..]);
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "{chart:?}: the README differs from values.yaml; run UPDATE_DOCS=1 cargo test --workspace --test chart"
    );
    std::fs::write(chart.folder().join("README.md"), updated).expect("it is written");
}

/// The paths of a schema that have no properties of their own.
fn leaves(schema: &Value, path: &str, all: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            for (name, inner) in properties {
                leaves(inner, format!("{path}.{name}").trim_start_matches('.'), all);
            }
        }
        None => {
            all.insert(path.to_owned());
        }
    }
}

#[test]
fn the_schemas_know_each_value_and_no_other() {
    Chart::ALL.into_iter().for_each(is_known);
}

fn is_known(chart: Chart) {
    let schema: Value = serde_json::from_str(&read(chart, "values.schema.json")).expect("JSON");
    let mut known = BTreeSet::new();
    leaves(&schema, "", &mut known);
    let rows = rows(&read(chart, "values.yaml"));
    let there: BTreeSet<&str> = rows.iter().map(|row| row.path.as_str()).collect();
    let is_below = |path: &str| there.iter().any(|one| path.starts_with(&format!("{one}.")));
    // `global` is helm's own; what is in a value that is written as one is that value.
    let unwritten = known.iter().filter(|path| {
        !there.contains(path.as_str())
            && !is_below(path)
            && *path != "global"
            && *path != "resources"
    });
    assert_eq!(unwritten.collect::<Vec<_>>(), Vec::<&String>::new());
}
