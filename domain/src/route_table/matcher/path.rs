//! Matches by path.

use std::collections::HashMap;
use std::sync::Arc;

use super::hosts::insert_length;
use crate::gateway::Automaton;

/// Position of a match in its listener's list, which is sorted by what is compared after the path.
pub(super) type MatchId = usize;

/// A path match, ready to be indexed.
#[derive(Debug, Clone)]
pub(super) enum PathKey<'t> {
    Exact(&'t str),
    Regex(Arc<Automaton>),
    Prefix(&'t str),
}

/// Matches by path: exact ones before regular expressions before prefixes, the longest prefix first
/// (Gateway API, `HTTPRouteRule.matches`). Matches must be inserted in ascending order of their ids.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    exact: HashMap<Box<str>, Vec<MatchId>>,
    regex: Vec<(Arc<Automaton>, MatchId)>,
    /// By prefix without its trailing slash, so that `/` is the empty text.
    prefix: HashMap<Box<str>, Vec<MatchId>>,
    /// Distinct lengths of the keys of `prefix`, longest first. Only these are tried on a path, and only
    /// where the path has a segment's end there.
    lengths: Vec<usize>,
}

impl PathIndex {
    pub(super) fn insert(&mut self, key: &PathKey<'_>, id: MatchId) {
        match key {
            PathKey::Exact(path) => self.exact.entry((*path).into()).or_default().push(id),
            PathKey::Regex(regex) => self.regex.push((Arc::clone(regex), id)),
            PathKey::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                insert_length(&mut self.lengths, prefix.len());
                self.prefix.entry(prefix.into()).or_default().push(id);
            }
        }
    }

    /// Matches whose path holds, in their order of precedence.
    pub(super) fn candidates<'p>(&'p self, path: &'p str) -> impl Iterator<Item = MatchId> + 'p {
        let exact = self.exact.get(path).into_iter().flatten().copied();
        let regex = self
            .regex
            .iter()
            .filter(|(regex, _)| regex.holds(path.as_bytes()))
            .map(|(_, id)| *id);
        let prefix = self
            .lengths
            .iter()
            .filter_map(move |length| leading_segments(path, *length))
            .filter_map(|prefix| self.prefix.get(prefix))
            .flatten()
            .copied();
        exact.chain(regex).chain(prefix)
    }
}

/// The first `length` bytes of a path where they are whole segments. Nothing leads every path, even one
/// that has no slash (`OPTIONS *`).
fn leading_segments(path: &str, length: usize) -> Option<&str> {
    let at_boundary = length == 0
        || path.len() == length
        || path
            .as_bytes()
            .get(length)
            .is_some_and(|byte| *byte == b'/');
    at_boundary.then(|| &path[..length])
}
