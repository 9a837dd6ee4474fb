//! The state folder for people.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use adapter_gateway_api::StatusShape;

use super::{folder, kinds};
use crate::journal::PROBLEMS_FILE;
use crate::open_error::OpenError;

/// What the state folder says of one object, or of a part of it: a listener, a route's parent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectStatus {
    /// E.g. `Gateway default/web`, `Gateway default/web listener https`,
    /// `HTTPRoute default/app on default/web`; `manifests folder` for what could not be read.
    pub object: String,
    pub addresses: Vec<String>,
    /// Conditions, as they were written.
    pub conditions: Vec<ShownCondition>,
}

/// One condition, in the Gateway API's spelling.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ShownCondition {
    /// `type`, e.g. `Accepted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as a word.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    metadata: Metadata,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    namespace: Option<String>,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
    conditions: Vec<ShownCondition>,
    listeners: Vec<Listener>,
    parents: Vec<Parent>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listener {
    name: String,
    conditions: Vec<ShownCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Parent {
    parent_ref: ParentRef,
    conditions: Vec<ShownCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParentRef {
    namespace: Option<String>,
    name: String,
    section_name: Option<String>,
    port: Option<u16>,
}

/// Reads all statuses in a state folder, sorted by kind, namespace and name. Problems of the manifests
/// folder come last, as conditions of type `Read`.
///
/// # Errors
/// The folder or a file of it cannot be read, or a file holds no status.
pub fn read_statuses(state: &Path) -> Result<Vec<ObjectStatus>, OpenError> {
    list(state)?;
    let mut statuses = Vec::new();
    // What those tell of conditions is the Gateway's.
    for kind in kinds().filter(|kind| kind.status() != Some(StatusShape::Details)) {
        for file in files(&state.join(folder(kind)))? {
            let text = fs::read_to_string(&file).map_err(|source| state_error(&file, source))?;
            let document = serde_json::from_str(&text).map_err(|error| OpenError::Status {
                path: file,
                problem: error.to_string(),
            })?;
            statuses.extend(parts(kind.as_str(), document));
        }
    }
    statuses.extend(problems(&state.join(PROBLEMS_FILE))?);
    Ok(statuses)
}

fn problems(file: &Path) -> Result<Option<ObjectStatus>, OpenError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(state_error(file, source)),
    };
    let condition = |line: &str| ShownCondition {
        kind: "Read".to_owned(),
        status: "False".to_owned(),
        reason: "Problem".to_owned(),
        message: line.to_owned(),
    };
    let conditions: Vec<_> = text.lines().map(condition).collect();
    Ok((!conditions.is_empty()).then(|| ObjectStatus {
        object: "manifests folder".to_owned(),
        addresses: Vec::new(),
        conditions,
    }))
}

fn parts(kind: &str, document: Document) -> Vec<ObjectStatus> {
    let Document { metadata, status } = document;
    let namespace = metadata.namespace.unwrap_or_default();
    let object = match namespace.as_str() {
        "" => format!("{kind} {}", metadata.name),
        _ => format!("{kind} {namespace}/{}", metadata.name),
    };
    let part = |what: String, conditions| ObjectStatus {
        object: format!("{object} {what}"),
        addresses: Vec::new(),
        conditions,
    };
    let listeners = status.listeners.into_iter();
    let listeners = listeners.map(|l| part(format!("listener {}", l.name), l.conditions));
    let parents = status.parents.into_iter();
    let parents = parents.map(|p| part(p.parent_ref.shown(&namespace), p.conditions));
    let own = (!status.conditions.is_empty() || !status.addresses.is_empty()).then(|| {
        let addresses = status.addresses.into_iter().map(|address| address.value);
        ObjectStatus {
            object: object.clone(),
            addresses: addresses.collect(),
            conditions: status.conditions,
        }
    });
    own.into_iter().chain(listeners).chain(parents).collect()
}

impl ParentRef {
    fn shown(self, route_namespace: &str) -> String {
        let namespace = self.namespace.as_deref().unwrap_or(route_namespace);
        let section = self.section_name.map(|name| format!(" listener {name}"));
        let port = self.port.map(|port| format!(" port {port}"));
        format!(
            "on {namespace}/{}{}{}",
            self.name,
            section.unwrap_or_default(),
            port.unwrap_or_default()
        )
    }
}

/// All files below a folder, sorted; none where it does not exist.
fn files(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut files = Vec::new();
    for path in list(folder).or_else(absent)? {
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(files)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|source| state_error(folder, source));
    paths.map(|mut paths: Vec<PathBuf>| {
        paths.sort();
        paths
    })
}

fn absent(error: OpenError) -> Result<Vec<PathBuf>, OpenError> {
    match error {
        OpenError::State { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        error => Err(error),
    }
}

fn state_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::State {
        path: path.to_owned(),
        source,
    }
}

/// An aligned table of all conditions, and the addresses of the Gateways below it. Ends with a line end.
pub fn render(statuses: &[ObjectStatus]) -> String {
    if statuses.is_empty() {
        return "Nothing is reported yet.\n".to_owned();
    }
    let mut rows = vec![["OBJECT", "CONDITION", "STATUS", "REASON", "MESSAGE"]];
    for status in statuses {
        rows.extend(status.conditions.iter().map(|condition| {
            [
                status.object.as_str(),
                &condition.kind,
                &condition.status,
                &condition.reason,
                &condition.message,
            ]
        }));
    }
    let mut text = table(&rows);
    let mut addresses = vec![["GATEWAY", "ADDRESS"]];
    for status in statuses {
        let object = status.object.as_str();
        let object = object.strip_prefix("Gateway ").unwrap_or(object);
        addresses.extend(
            status
                .addresses
                .iter()
                .map(|address| [object, address.as_str()]),
        );
    }
    if addresses.len() > 1 {
        text.push('\n');
        text.push_str(&table(&addresses));
    }
    text
}

/// Columns as wide as their widest cell, two spaces apart; the last one as it comes.
fn table<const N: usize>(rows: &[[&str; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[&str; N]| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:<width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}
