//! The record of problems: the log says when one appears and when it is mended, a file tells what is
//! wrong now.

use std::path::PathBuf;

use crate::problem::Problem;
use crate::store;

/// Name of the file in the state folder.
pub(crate) const PROBLEMS_FILE: &str = "problems.txt";

/// Problems as they were last reported.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    told: Vec<Problem>,
    /// Whether the file says what was reported.
    written: bool,
}

impl Journal {
    /// A journal in this state folder. What an earlier run wrote is replaced by the first record.
    pub(crate) fn new(state: &std::path::Path) -> Self {
        Self {
            path: state.join(PROBLEMS_FILE),
            told: Vec::new(),
            written: false,
        }
    }

    /// Reports what is new and what is mended. A file that cannot be written is tried again next time.
    pub(crate) fn record(&mut self, problems: &[Problem]) {
        if self.written && self.told == problems {
            return;
        }
        for problem in problems
            .iter()
            .filter(|problem| !self.told.contains(problem))
        {
            tracing::warn!(%problem, "problem in the manifests folder");
        }
        for problem in self.told.iter().filter(|told| !problems.contains(told)) {
            tracing::info!(%problem, "mended in the manifests folder");
        }
        self.told = problems.to_vec();
        let text: String = problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect();
        let result = store::replace(&self.path, &text);
        if let Err(error) = &result {
            tracing::warn!(file = %self.path.display(), %error, "problems cannot be written");
        }
        self.written = result.is_ok();
    }
}
