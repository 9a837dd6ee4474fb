//! Where the lines of a command go, and in which colours.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How something is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    Good,
    /// Not known, or on its way.
    Unsure,
    Bad,
}

/// All sequences that [`Screen::paint`] writes (ECMA-48, SGR).
const COLOURS: [&str; 4] = ["\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"];

impl Tone {
    /// Of the status of a condition that is good when it is True.
    pub fn of_status(status: &str) -> Self {
        match status {
            "True" => Self::Good,
            "False" => Self::Bad,
            _ => Self::Unsure,
        }
    }

    fn colour(self) -> &'static str {
        let [good, unsure, bad, _] = COLOURS;
        match self {
            Self::Good => good,
            Self::Unsure => unsure,
            Self::Bad => bad,
        }
    }
}

/// As what objects are printed, as for kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Wide,
    Name,
    Json,
    Yaml,
}

/// As what something is printed that is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plain {
    Table,
    Json,
    Yaml,
}

impl Plain {
    /// A value in this format; `text` makes it for people.
    pub fn text(self, value: &impl Serialize, text: impl FnOnce() -> String) -> String {
        match self {
            Self::Table => text(),
            Self::Json => as_json(value),
            Self::Yaml => as_yaml(value),
        }
    }
}

/// A value as JSON, for people and jq.
pub fn as_json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("{text}\n")
}

/// A value as YAML.
pub fn as_yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

/// Takes the lines of a command.
pub struct Screen<'o> {
    out: &'o mut (dyn Write + Send),
    has_colours: bool,
    failed: Option<io::Error>,
}

impl<'o> Screen<'o> {
    /// Writes to `out`.
    pub fn new(out: &'o mut (dyn Write + Send), has_colours: bool) -> Self {
        Self {
            out,
            has_colours,
            failed: None,
        }
    }

    /// Writes a line. What fails is kept for [`Self::finish`].
    pub fn line(&mut self, text: impl Display) {
        self.text(format_args!("{text}\n"));
    }

    /// Writes a text that ends its own lines.
    pub fn text(&mut self, text: impl Display) {
        if self.failed.is_none() {
            let text = harmless(&text.to_string());
            let written = write!(self.out, "{text}").and_then(|()| self.out.flush());
            self.failed = written.err();
        }
    }

    /// The text in the colour of its tone, on a terminal.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        match self.has_colours {
            true => format!("{}{text}{}", tone.colour(), COLOURS[3]),
            false => text.to_owned(),
        }
    }

    /// Whether everything was written. A reader that has read enough, such as `head`, is no failure.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// The text without what a terminal would obey: others write names and messages of objects. Line ends, tabs and our own
/// colours stay.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let is_colour = || COLOURS.iter().any(|colour| text[at..].starts_with(colour));
        match character {
            '\n' | '\t' => shown.push(character),
            '\x1b' if is_colour() => shown.push(character),
            _ if character.is_control() => shown.push(char::REPLACEMENT_CHARACTER),
            _ => shown.push(character),
        }
    }
    shown
}

/// Whether standard output takes colours: a terminal does, unless `NO_COLOR` is set (no-color.org).
pub fn stdout_has_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

/// Columns as wide as their widest cell, three spaces apart, as kubectl has them; the last one as it comes.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", padded.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["NAME", "READY", "WHY"]), row(["a-gateway", "", "x"])];
        assert_eq!(
            table(&rows),
            "NAME        READY   WHY\na-gateway           x\n"
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_written_but_for_our_own_colours() {
        for (text, expected) in [
            ("a\tb\n", "a\tb\n"),
            ("\x1b[31mTrue\x1b[0m", "\x1b[31mTrue\x1b[0m"),
            ("\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}"),
            ("\x1b[2Jé\r\u{9b}", "\u{fffd}[2Jé\u{fffd}\u{fffd}"),
        ] {
            let mut out = Vec::new();
            Screen::new(&mut out, true).text(text);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text:?}");
        }
    }

    #[test]
    fn colours_are_written_where_they_are_asked_for() {
        for (has_colours, expected) in [(false, "True"), (true, "\x1b[32mTrue\x1b[0m")] {
            let mut out = Vec::new();
            let screen = Screen::new(&mut out, has_colours);
            assert_eq!(screen.paint(Tone::of_status("True"), "True"), expected);
        }
    }
}
