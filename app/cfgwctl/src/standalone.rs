//! What `cfgw standalone` wrote into its state folder, as if it were read from a cluster.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::Failure;
use crate::status::Seen;

/// Statuses that are read.
const MOST: usize = 100_000;

/// Longest status.
const LONGEST: u64 = 4 << 20;

/// Folders below each other: kind, namespace.
const DEEPEST: usize = 3;

/// Statuses of Gateways and routes.
///
/// # Errors
/// The folder cannot be read, or a file in it is no status.
pub fn seen(state: &Path) -> Result<Seen, Failure> {
    let mut files = Vec::new();
    descend(state, 0, &mut files).map_err(|error| {
        Failure::new(
            format!("state {}: {error}", state.display()),
            "name the folder that cfgw standalone writes",
        )
    })?;
    let mut seen = Seen::default();
    files.sort();
    let more = files.len().saturating_sub(MOST);
    if more > 0 {
        seen.unread.push(format!("{more} more statuses"));
    }
    for file in files.iter().take(MOST) {
        if let Err(why) = add(file, &mut seen) {
            seen.unread
                .push(format!("status {}: {why}", file.display()));
        }
    }
    Ok(seen)
}

fn descend(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        match path.extension() {
            _ if kind.is_dir() && depth < DEEPEST => descend(&path, depth + 1, files)?,
            Some(extension) if extension == "json" && depth > 0 => files.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn add(file: &Path, seen: &mut Seen) -> Result<(), String> {
    let long = std::fs::metadata(file)
        .map_err(|error| error.to_string())?
        .len();
    if long > LONGEST {
        return Err(format!("it has {long} bytes, more than {LONGEST}"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let object: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let told = |error: serde_json::Error| error.to_string();
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "Gateway" => seen
            .gateways
            .push(serde_json::from_value(object).map_err(told)?),
        "ListenerSet" => seen
            .listener_sets
            .push(serde_json::from_value(object).map_err(told)?),
        "HTTPRoute" => seen
            .routes
            .push(("HTTPRoute", serde_json::from_value(object).map_err(told)?)),
        "GRPCRoute" => seen
            .routes
            .push(("GRPCRoute", serde_json::from_value(object).map_err(told)?)),
        "CloudflareGatewayStatus" => seen
            .statuses
            .push(serde_json::from_value(object).map_err(told)?),
        _ => {}
    }
    Ok(())
}
