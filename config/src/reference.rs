//! Every setting with its default and meaning, as Markdown.

use std::fmt::Write as _;

use crate::broker::BrokerSettings;
use crate::controller::ControllerSettings;
use crate::declaration::{Described, Key};
use crate::layers::variable;
use crate::proxy::ProxySettings;
use crate::standalone::StandaloneSettings;

const INTRODUCTION: &str = "\
# Configuration

Settings come from four places; a later one wins, key by key:

1. the defaults below,
2. a YAML file, which the flag `--config` names,
3. environment variables: `CFGW_KEY`, `CFGW_SECTION__KEY` (an empty one counts as not set),
4. flags of the command line, as `--help` lists them.

A key that does not exist and a value that a key cannot have stop the program at its start, with a message
that names key, source and remedy; `cfgw config check <program>` reads all of them without running anything and names
each fault, up to 64. Lengths of time are written with units: `30s`, `1h30m`, `250ms`. Lists
are YAML lists in the file and have commas between their items elsewhere. Relative paths start at the
working directory. Credentials are no settings: they are read from Secrets, or from
files that settings name.
";

/// The page docs/configuration.md.
pub fn page() -> String {
    let mut text = INTRODUCTION.to_owned();
    write_program::<ControllerSettings>(&mut text, "controller");
    write_program::<ProxySettings>(&mut text, "proxy");
    write_program::<StandaloneSettings>(&mut text, "standalone");
    write_program::<BrokerSettings>(&mut text, "broker");
    text
}

fn write_program<S: Described>(text: &mut String, program: &str) {
    let mut keys = Vec::new();
    S::describe("", &mut keys);
    let _ = write!(text, "\n## `cfgw {program}`\n");
    let mut section = None;
    for key in &keys {
        let own = key.path.split_once('.').map_or("", |(section, _)| section);
        if section != Some(own) {
            section = Some(own);
            write_heading(text, own);
        }
        write_row(text, key);
    }
}

fn write_heading(text: &mut String, section: &str) {
    if !section.is_empty() {
        let _ = write!(text, "\n### `{section}`\n");
    }
    text.push_str("\n| Key | Default | Environment | Meaning |\n|---|---|---|---|\n");
}

fn write_row(text: &mut String, key: &Key) {
    let default = match key.default.as_str() {
        "" => "none".to_owned(),
        default => format!("`{default}`"),
    };
    let variable = variable(&key.path);
    let doc = key.doc.replace('|', "\\|");
    let _ = writeln!(
        text,
        "| `{}` | {default} | `{variable}` | {doc} |",
        key.path
    );
}
