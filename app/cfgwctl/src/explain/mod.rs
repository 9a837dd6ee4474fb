//! `explain`: the way of a request from its hostname to the endpoints, or the first thing that is in its way.
//!
//! - [`question`]: the request; [`reading`]: the objects, from a cluster or from files;
//! - [`way`]: what becomes of the request, by the rules that the controller and its proxies follow;
//! - `obstacle`: why no Gateway takes the hostname; `told`: matches and filters in words.

mod obstacle;
pub mod question;
pub mod reading;
mod told;
pub mod way;

use crate::screen::{Screen, Tone};
use serde::Serialize;

/// The answer. Its written form is that of `-o json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Explanation {
    /// From the hostname on, as far as the request comes.
    pub steps: Vec<Step>,
    /// The first thing that is in the way, with object, field and remedy; `None` where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// What else is to be known of the answer: what could not be seen, what is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is, such as `listener`.
    pub what: &'static str,
    /// Which one, and what it does.
    pub is: String,
}

impl Explanation {
    fn step(&mut self, what: &'static str, is: impl Into<String>) {
        let is = is.into();
        self.steps.push(Step { what, is });
    }

    /// The answer for people.
    pub fn text(&self, screen: &Screen<'_>) -> String {
        let mut text = String::new();
        for Step { what, is } in &self.steps {
            text.push_str(&format!("{what:<10} {is}\n"));
        }
        for note in &self.notes {
            let label = screen.paint(Tone::Unsure, &format!("{:<10}", "note"));
            text.push_str(&format!("{label} {note}\n"));
        }
        text
    }
}
