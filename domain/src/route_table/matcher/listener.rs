//! The matches of one listener, indexed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::call::{CallIndex, CallKey};
use super::hosts::HostMap;
use super::path::{PathIndex, PathKey};
use super::patterns::Compiler;
use super::predicate::Predicate;
use super::{HeaderLookup, RequestHead};
use crate::gateway::{PathMatch, RouteMatch, TextMatch};
use crate::names::Hostname;
use crate::route_table::{TableListener, TableRoute};

/// The matches of one listener, by effective hostname and path.
#[derive(Debug)]
pub(super) struct ListenerIndex {
    /// Sorted by everything that is compared after host and path.
    matches: Vec<IndexedMatch>,
    hosts: HostMap<PathIndex>,
    /// Those of GRPCRoutes. They share a host with the others only where the Gateway's parameters permit it.
    calls: HostMap<CallIndex>,
    /// Those of routes whose own hostname is broader than the listener's, the longest first. They come last: every other
    /// hostname of the listener's routes lies within its own. Mostly empty.
    broader_paths: Vec<PathIndex>,
    broader_calls: Vec<CallIndex>,
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
    path: Key<'t>,
    indexed: IndexedMatch,
}

/// Where in an index a match belongs.
enum Key<'t> {
    Path(PathKey<'t>),
    Call(CallKey<'t>),
}

impl ListenerIndex {
    /// Indexes a listener whose first rule has index `first_rule`.
    pub(super) fn new(
        listener: &TableListener,
        first_rule: usize,
        patterns: &mut Compiler<'_>,
    ) -> Self {
        let mut entries = entries(listener, first_rule, patterns);
        entries.sort_by_key(precedence_after_path);
        let mut index = Self {
            matches: Vec::with_capacity(entries.len()),
            hosts: HostMap::default(),
            calls: HostMap::default(),
            broader_paths: Vec::new(),
            broader_calls: Vec::new(),
        };
        let mut broader_paths: BTreeMap<Reverse<u8>, PathIndex> = BTreeMap::new();
        let mut broader_calls: BTreeMap<Reverse<u8>, CallIndex> = BTreeMap::new();
        for (id, entry) in entries.into_iter().enumerate() {
            let mut insert = |hostname: Option<&Hostname>| {
                let broader = entry.route.broader.map(Reverse);
                let broader = broader.filter(|_| hostname == listener.hostname.as_ref());
                match &entry.path {
                    Key::Path(path) => match broader {
                        Some(characters) => broader_paths.entry(characters).or_default(),
                        None => index.hosts.get_or_insert_with(hostname, PathIndex::default),
                    }
                    .insert(path, id),
                    Key::Call(call) => match broader {
                        Some(characters) => broader_calls.entry(characters).or_default(),
                        None => index.calls.get_or_insert_with(hostname, CallIndex::default),
                    }
                    .insert(call, id),
                }
            };
            if entry.route.hostnames.is_empty() {
                insert(listener.hostname.as_ref());
            }
            entry.route.hostnames.iter().map(Some).for_each(insert);
            index.matches.push(entry.indexed);
        }
        index.broader_paths = broader_paths.into_values().collect();
        index.broader_calls = broader_calls.into_values().collect();
        index
    }

    /// The match that takes the request. Where both kinds have one, the content type decides.
    pub(super) fn select<H: HeaderLookup + ?Sized>(
        &self,
        head: &RequestHead<'_, H>,
    ) -> Option<&IndexedMatch> {
        if self.calls.is_empty() && self.broader_calls.is_empty() {
            return self.select_path(head);
        }
        match is_call(head) {
            true => self.select_call(head).or_else(|| self.select_path(head)),
            false => self.select_path(head).or_else(|| self.select_call(head)),
        }
    }

    fn select_path<H: HeaderLookup + ?Sized>(
        &self,
        head: &RequestHead<'_, H>,
    ) -> Option<&IndexedMatch> {
        let paths = self.hosts.covering(head.host);
        paths
            .chain(&self.broader_paths)
            .flat_map(|paths| paths.candidates(head.path))
            .map(|id| &self.matches[id])
            .find(|candidate| candidate.predicate.holds(head))
    }

    fn select_call<H: HeaderLookup + ?Sized>(
        &self,
        head: &RequestHead<'_, H>,
    ) -> Option<&IndexedMatch> {
        let calls = self.calls.covering(head.host);
        calls
            .chain(&self.broader_calls)
            .flat_map(|calls| calls.candidates(head.path))
            .map(|id| &self.matches[id])
            .find(|candidate| candidate.predicate.holds(head))
    }
}

/// Whether a request is gRPC by its content type: `application/grpc`, alone or with a format or parameters after it.
/// gRPC-Web is none.
fn is_call<H: HeaderLookup + ?Sized>(head: &RequestHead<'_, H>) -> bool {
    let Some(content_type) = head.headers.joined("content-type") else {
        return false;
    };
    let rest = content_type
        .split_at_checked(GRPC.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(GRPC))
        .map(|(_, rest)| rest.trim_ascii_start());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Content type of gRPC (github.com/grpc/grpc, PROTOCOL-HTTP2.md).
const GRPC: &[u8] = b"application/grpc";

/// Every match of the listener that can hold, in the order written.
fn entries<'t>(
    listener: &'t TableListener,
    first_rule: usize,
    patterns: &mut Compiler<'_>,
) -> Vec<Entry<'t>> {
    let mut rule_index = first_rule;
    let mut entries = Vec::new();
    for (route_position, route) in listener.routes.iter().enumerate() {
        for (rule_position, rule) in route.rules.iter().enumerate() {
            for (position, written) in rule.matches.iter().enumerate() {
                let path = key(&written.path, patterns);
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

fn key<'t>(path: &'t PathMatch, patterns: &mut Compiler<'_>) -> Option<Key<'t>> {
    Some(match path {
        PathMatch::Exact(path) => Key::Path(PathKey::Exact(path)),
        PathMatch::Prefix(prefix) => Key::Path(PathKey::Prefix(prefix)),
        PathMatch::Regex(pattern) => Key::Path(PathKey::Regex(patterns.compile(pattern)?)),
        PathMatch::Call(call) => Key::Call(CallKey::new(call, patterns)?),
    })
}

/// What decides between matches of equal hostname and path: a method, more headers, more query
/// parameters, the older route, its name, the order written. Between calls the characters of service and
/// method come first. Less is better.
fn precedence_after_path<'t>(entry: &Entry<'t>) -> impl Ord + use<'t> {
    let Entry {
        route,
        written,
        indexed,
        ..
    } = entry;
    (
        Reverse(called(&written.path)),
        Reverse((
            written.method.is_some(),
            written.headers.len(),
            written.query.len(),
        )),
        (route.created, &route.key, route.kind),
        (indexed.route, indexed.rule, indexed.position),
    )
}

/// Characters of the service and of the method that a call match asks for, as they are written: what a
/// pattern holds for has no length of its own.
fn called(path: &PathMatch) -> (usize, usize) {
    let characters = |part: &Option<TextMatch>| match part {
        None => 0,
        Some(TextMatch::Exact(name)) => name.chars().count(),
        Some(TextMatch::Regex(pattern)) => pattern.as_str().chars().count(),
    };
    match path {
        PathMatch::Call(call) => (characters(&call.service), characters(&call.method)),
        PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::Regex(_) => (0, 0),
    }
}
