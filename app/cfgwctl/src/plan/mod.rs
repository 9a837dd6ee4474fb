//! `plan`: what a controller would change at Cloudflare, for the cluster as it is or with manifests that are not applied yet.
//!
//! - [`stage`]: the objects, the credentials and the installation, from a cluster or from a folder; `merged`: manifests over
//!   the objects of a cluster; `keys`: credentials and certificates from Secrets.
//!
//! Behind a broker it is asked for the plan of each Gateway (`behind`), with the key of the cluster.
//!
//! The passes of the controller are made over ports that write nothing (`domain::rehearsal`). Cloudflare is asked with the
//! token of the Secret, which the user must be able to read, and only by calls that read.

pub(crate) mod behind;
mod keys;
mod merged;
pub mod stage;

use domain::edge::rehearsal::Difference;
use domain::rehearsal::Rehearsed;
use serde::Serialize;

use crate::failure::Failure;
use crate::screen::{Screen, Tone};

/// Lines that are shown to people; the others are counted. `-o json` has all.
const SHOWN: usize = 1000;

/// The answer. Its written form is that of `-o json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// Calls to Cloudflare that make them. There may be some without a change: of two that cancel each other out.
    pub writes: usize,
    /// What is not made as objects ask, and why.
    pub notes: Vec<String>,
    /// What could not be planned. Where there is any, more may change than is told.
    pub problems: Vec<String>,
}

/// What becomes of one object at Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `+`, `~` or `-`.
    pub sign: &'static str,
    pub what: &'static str,
    pub name: String,
    pub told: String,
    /// `namespace/name`; absent where it is not known whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    pub why: String,
    pub account: String,
    /// The line that people are shown.
    pub line: String,
}

impl From<&Difference> for Change {
    fn from(one: &Difference) -> Self {
        Self {
            sign: one.sign.as_str(),
            what: one.what,
            name: one.name.clone(),
            told: one.told.clone(),
            gateway: one.gateway.as_ref().map(ToString::to_string),
            why: one.why.clone(),
            account: one.account.to_string(),
            line: one.to_string(),
        }
    }
}

impl Plan {
    /// Of what a rehearsal gave, and notes on what it was made of.
    pub fn of(rehearsed: &Rehearsed, notes: Vec<String>) -> Self {
        let mut problems: Vec<String> = rehearsed.withheld.iter().cloned().collect();
        problems.extend(rehearsed.problems.iter().map(ToString::to_string));
        problems.sort();
        problems.dedup();
        Self {
            changes: rehearsed.differences.iter().map(Change::from).collect(),
            writes: rehearsed.writes,
            notes: notes.into_iter().chain(rehearsed.told.clone()).collect(),
            problems,
        }
    }

    /// The answer for people.
    pub fn text(&self, screen: &Screen<'_>) -> String {
        let mut text = String::new();
        for change in self.changes.iter().take(SHOWN) {
            let tone = match change.sign {
                "+" => Tone::Good,
                "~" => Tone::Unsure,
                _ => Tone::Bad,
            };
            text.push_str(&screen.paint(tone, &change.line));
            text.push('\n');
        }
        let more = self.changes.len().saturating_sub(SHOWN);
        if more > 0 {
            text.push_str(&format!("and {more} more changes; -o json has all\n"));
        }
        for note in &self.notes {
            let label = screen.paint(Tone::Unsure, "note");
            text.push_str(&format!("{label} {note}\n"));
        }
        for problem in &self.problems {
            let label = screen.paint(Tone::Bad, "problem");
            text.push_str(&format!("{label} {problem}\n"));
        }
        let count = |sign: &str| {
            let with = self.changes.iter().filter(|change| change.sign == sign);
            with.count()
        };
        let summary = match self.changes.len() {
            0 => "Nothing would change at Cloudflare".to_owned(),
            _ => format!(
                "{} to add, {} to change, {} to remove at Cloudflare",
                count("+"),
                count("~"),
                count("-")
            ),
        };
        text.push_str(&summary);
        text.push('\n');
        text
    }

    /// Whether all could be planned.
    ///
    /// # Errors
    /// Something could not.
    pub fn verdict(&self) -> Result<(), Failure> {
        match self.problems.len() {
            0 => Ok(()),
            number => Err(Failure::new(
                format!("the plan is not whole: {number} problems"),
                "see the lines above",
            )),
        }
    }
}
