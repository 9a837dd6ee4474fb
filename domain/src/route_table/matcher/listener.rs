//! The matches of one listener, indexed.

use std::cmp::Reverse;

use super::hosts::HostMap;
use super::path::{PathIndex, PathKey};
use super::predicate::{Patterns, Predicate};
use super::{HeaderLookup, RequestHead};
use crate::gateway::{PathMatch, RouteMatch};
use crate::route_table::{TableListener, TableRoute};

/// The matches of one listener, by effective hostname and path.
#[derive(Debug)]
pub(super) struct ListenerIndex {
    /// Sorted by everything that is compared after host and path.
    matches: Vec<IndexedMatch>,
    hosts: HostMap<PathIndex>,
}

/// Where a match stands in the listener, and what it asks for besides host and path.
#[derive(Debug)]
pub(super) struct IndexedMatch {
    pub(super) route: usize,
    pub(super) rule: usize,
    /// Position among the rule's matches.
    pub(super) position: usize,
    pub(super) rule_index: usize,
    predicate: Predicate,
}

/// A match on its way into the index.
struct Entry<'t> {
    route: &'t TableRoute,
    written: &'t RouteMatch,
    path: PathKey<'t>,
    indexed: IndexedMatch,
}

impl ListenerIndex {
    /// Indexes a listener whose first rule has index `first_rule`.
    pub(super) fn new<'t>(
        listener: &'t TableListener,
        first_rule: usize,
        patterns: &mut Patterns<'t>,
    ) -> Self {
        let mut entries = entries(listener, first_rule, patterns);
        entries.sort_by_key(precedence_after_path);
        let mut index = Self {
            matches: Vec::with_capacity(entries.len()),
            hosts: HostMap::default(),
        };
        for (id, entry) in entries.into_iter().enumerate() {
            let mut insert = |hostname| {
                index
                    .hosts
                    .get_or_insert_with(hostname, PathIndex::default)
                    .insert(&entry.path, id);
            };
            if entry.route.hostnames.is_empty() {
                insert(listener.hostname.as_ref());
            }
            entry.route.hostnames.iter().map(Some).for_each(insert);
            index.matches.push(entry.indexed);
        }
        index
    }

    /// The match that takes the request.
    pub(super) fn select<H: HeaderLookup + ?Sized>(
        &self,
        head: &RequestHead<'_, H>,
    ) -> Option<&IndexedMatch> {
        self.hosts
            .covering(head.host)
            .flat_map(|paths| paths.candidates(head.path))
            .map(|id| &self.matches[id])
            .find(|candidate| candidate.predicate.holds(head))
    }
}

/// Every match of the listener that can hold, in the order written.
fn entries<'t>(
    listener: &'t TableListener,
    first_rule: usize,
    patterns: &mut Patterns<'t>,
) -> Vec<Entry<'t>> {
    let mut rule_index = first_rule;
    let mut entries = Vec::new();
    for (route_position, route) in listener.routes.iter().enumerate() {
        for (rule_position, rule) in route.rules.iter().enumerate() {
            for (position, written) in rule.matches.iter().enumerate() {
                let path = path_key(&written.path, patterns);
                let predicate = Predicate::new(written, patterns);
                let (Some(path), Some(predicate)) = (path, predicate) else {
                    continue;
                };
                entries.push(Entry {
                    route,
                    written,
                    path,
                    indexed: IndexedMatch {
                        route: route_position,
                        rule: rule_position,
                        position,
                        rule_index,
                        predicate,
                    },
                });
            }
            rule_index += 1;
        }
    }
    entries
}

fn path_key<'t>(path: &'t PathMatch, patterns: &mut Patterns<'t>) -> Option<PathKey<'t>> {
    Some(match path {
        PathMatch::Exact(path) => PathKey::Exact(path),
        PathMatch::Prefix(prefix) => PathKey::Prefix(prefix),
        PathMatch::Regex(pattern) => PathKey::Regex(patterns.compile(pattern)?),
    })
}

/// What decides between matches of equal hostname and path: a method, more headers, more query
/// parameters, the older route, its name, the order written. Less is better.
fn precedence_after_path<'t>(entry: &Entry<'t>) -> impl Ord + use<'t> {
    let Entry {
        route,
        written,
        indexed,
        ..
    } = entry;
    (
        Reverse((
            written.method.is_some(),
            written.headers.len(),
            written.query.len(),
        )),
        (route.created, &route.key, route.kind),
        (indexed.route, indexed.rule, indexed.position),
    )
}
