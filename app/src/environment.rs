//! The environment of the process.

use config::ENV_PREFIX;

/// Variables that are text. One of ours that is not is a mistake of whoever set it; others do not matter.
///
/// # Errors
/// A variable of ours is no text.
pub(crate) fn environment() -> anyhow::Result<impl Iterator<Item = (String, String)>> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with(ENV_PREFIX) => {
                anyhow::bail!("the environment variable {name}: it is not UTF-8; set it to text")
            }
            Err(_) => {}
        }
    }
    Ok(variables.into_iter())
}
