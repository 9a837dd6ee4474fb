//! Statuses for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::directory::StatusDirectory;
use super::document::{StatusDocument, WrittenCondition, WrittenParentRef};

/// One condition of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// The object, and which part of it, e.g. `Gateway default/web, listener https`.
    pub object: String,
    /// Type of the condition.
    pub condition: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as a word.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
}

/// Why statuses cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path}: {source}; remove the file, it will be written again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Reads every status in a state directory, sorted by kind, namespace and name; none where the directory
/// is not there.
///
/// # Errors
/// A file cannot be read, or something else wrote it.
pub fn read_statuses(state: &Path) -> Result<Vec<StatusRow>, StatusError> {
    let mut rows = Vec::new();
    for path in StatusDirectory::new(state.to_owned()).files() {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            // Removed since the directory was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(StatusError::Unreadable { path, source }),
        };
        match serde_json::from_slice(&text) {
            Ok(document) => add_rows(&document, &mut rows),
            Err(source) => return Err(StatusError::Malformed { path, source }),
        }
    }
    Ok(rows)
}

fn add_rows(document: &StatusDocument, rows: &mut Vec<StatusRow>) {
    let metadata = &document.metadata;
    let object = match metadata.namespace.as_str() {
        "" => format!("{} {}", document.kind, metadata.name),
        namespace => format!("{} {namespace}/{}", document.kind, metadata.name),
    };
    let mut add = |object: &str, conditions: &[WrittenCondition]| {
        rows.extend(conditions.iter().map(|condition| StatusRow {
            object: object.to_owned(),
            condition: condition.r#type.clone(),
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }));
    };
    add(&object, &document.status.conditions);
    for listener in &document.status.listeners {
        let part = format!("{object}, listener {}", listener.name);
        add(&part, &listener.conditions);
    }
    for parent in &document.status.parents {
        let part = format!(
            "{object}, at {}",
            parent_name(&parent.parent_ref, &metadata.namespace)
        );
        add(&part, &parent.conditions);
    }
}

fn parent_name(parent: &WrittenParentRef, own_namespace: &str) -> String {
    let namespace = parent.namespace.as_deref().unwrap_or(own_namespace);
    let mut name = format!("{} {namespace}/{}", parent.kind, parent.name);
    if let Some(section) = &parent.section_name {
        write!(name, " listener {section}").expect("a String takes everything");
    }
    if let Some(port) = parent.port {
        write!(name, " port {port}").expect("a String takes everything");
    }
    name
}

/// Rows as a table with a heading; each message stays on one line.
pub fn render(rows: &[StatusRow]) -> String {
    let heading = ["OBJECT", "CONDITION", "STATUS", "REASON", "MESSAGE"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(heading)
        .chain(rows.iter().map(|row| {
            let message = row.message.split_whitespace().collect::<Vec<_>>().join(" ");
            let (object, condition) = (row.object.clone(), row.condition.clone());
            [
                object,
                condition,
                row.status.clone(),
                row.reason.clone(),
                message,
            ]
        }))
        .collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut table = String::new();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(widths) {
            write!(text, "{cell:width$}  ").expect("a String takes everything");
        }
        text.push_str(&line[4]);
        table.push_str(text.trim_end());
        table.push('\n');
    }
    table
}
