//! HTTPRoute and GRPCRoute on one hostname of one listener.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::iter;

use crate::gateway::RouteKind;
use crate::names::Hostname;

/// A route on a listener.
#[derive(Debug, Clone)]
pub(super) struct AttachedRoute {
    /// Among all routes.
    pub(super) position: usize,
    pub(super) kind: RouteKind,
    /// Effective hostnames; empty for every name.
    pub(super) hostnames: Vec<Hostname>,
}

/// The routes on one listener, in the order they came.
#[derive(Debug, Default)]
pub(super) struct AttachedRoutes {
    routes: Vec<AttachedRoute>,
    /// Routes that are refused and whose requests get 500: nothing follows from them but that, and they are in nobody's way.
    failing: Vec<AttachedRoute>,
    /// Whether the two kinds may have hostnames in common: then nothing conflicts.
    shared: bool,
    /// Made when the second kind comes: most listeners only ever have one, and nothing conflicts with it.
    by_kind: Option<ByKind>,
}

/// What is taken by each of two kinds.
#[derive(Debug, Default)]
struct ByKind {
    http: Names,
    grpc: Names,
}

impl AttachedRoutes {
    pub(super) fn new(shared: bool) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }

    /// Attaches a route, unless one of the other kind is there with a hostname in common; then the position of
    /// the first such. Routes must come oldest first: of two such routes exactly one is accepted, the older,
    /// then the first by namespace and name (Gateway API, `GRPCRoute`).
    pub(super) fn attach(&mut self, route: AttachedRoute) -> Result<(), usize> {
        let Some(last) = self.routes.last() else {
            self.routes.push(route);
            return Ok(());
        };
        if last.position == route.position {
            return Ok(());
        }
        if self.by_kind.is_none() && last.kind != route.kind && !self.shared {
            self.by_kind = Some(ByKind::of(&self.routes));
        }
        if let Some(by_kind) = &mut self.by_kind {
            by_kind.attach(&route)?;
        }
        self.routes.push(route);
        Ok(())
    }

    /// Adds a route that is refused and whose requests are to get 500.
    pub(super) fn add_failing(&mut self, route: AttachedRoute) {
        let last = self.failing.last().map(|last| last.position);
        if last != Some(route.position) {
            self.failing.push(route);
        }
    }

    pub(super) fn routes(&self) -> &[AttachedRoute] {
        &self.routes
    }

    /// Those that take requests, the oldest first: those that are refused among them.
    pub(super) fn taking_requests(&self) -> Vec<&AttachedRoute> {
        let mut all: Vec<&AttachedRoute> = self.routes.iter().chain(&self.failing).collect();
        all.sort_by_key(|route| route.position);
        all
    }
}

impl ByKind {
    fn of(routes: &[AttachedRoute]) -> Self {
        let mut by_kind = Self::default();
        for route in routes {
            let (own, _) = by_kind.sides(route.kind);
            own.attach(route.position, &route.hostnames);
        }
        by_kind
    }

    fn attach(&mut self, route: &AttachedRoute) -> Result<(), usize> {
        let (own, other) = self.sides(route.kind);
        match other.first_meeting(&route.hostnames) {
            Some(older) => Err(older),
            None => {
                own.attach(route.position, &route.hostnames);
                Ok(())
            }
        }
    }

    /// The names of a kind, and those of the other.
    fn sides(&mut self, kind: RouteKind) -> (&mut Names, &mut Names) {
        match kind {
            RouteKind::Http => (&mut self.http, &mut self.grpc),
            RouteKind::Grpc => (&mut self.grpc, &mut self.http),
        }
    }
}

/// Hostnames taken by routes of one kind, so that a listener with thousands of by_kind costs each of them a few
/// lookups and not a comparison with every other. Each entry is the first route that took it.
#[derive(Debug, Default)]
struct Names {
    any: Option<usize>,
    every: Option<usize>,
    exact: HashMap<Suffix, usize>,
    /// By what follows `*.`.
    wildcard: HashMap<Suffix, usize>,
    /// By every name that an exact name or a wildcard's suffix is below: what a wildcard meets.
    below: HashMap<Suffix, usize>,
}

impl Names {
    fn attach(&mut self, route: usize, hostnames: &[Hostname]) {
        self.any.get_or_insert(route);
        if hostnames.is_empty() {
            self.every.get_or_insert(route);
        }
        for hostname in hostnames {
            let name = Suffix::new(hostname);
            let own = if hostname.is_wildcard() {
                &mut self.wildcard
            } else {
                &mut self.exact
            };
            own.entry(name.clone()).or_insert(route);
            for parent in name.parents() {
                self.below.entry(parent).or_insert(route);
            }
        }
    }

    /// The first route that has a hostname in common with these.
    fn first_meeting(&self, hostnames: &[Hostname]) -> Option<usize> {
        if hostnames.is_empty() {
            return self.any;
        }
        let meeting = hostnames.iter().filter_map(|name| self.first_of(name));
        meeting.chain(self.every).min()
    }

    /// The first route with a hostname that intersects this one (see [`Hostname::intersection`]): the same,
    /// a wildcard that covers it, or one that it covers.
    fn first_of(&self, hostname: &Hostname) -> Option<usize> {
        let (name, same, covered) = match hostname.wildcard_suffix() {
            Some(suffix) => (suffix, self.wildcard.get(suffix), self.below.get(suffix)),
            None => (hostname.as_str(), self.exact.get(hostname.as_str()), None),
        };
        let covering = parents(name).filter_map(|parent| self.wildcard.get(parent));
        covering.chain(same).chain(covered).min().copied()
    }
}

/// The names that a name is below, the longest first.
pub(super) fn parents(name: &str) -> impl Iterator<Item = &str> {
    iter::successors(parent(name), |name| parent(name))
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

/// The end of a hostname, as a key. It shares the hostname's text: a hostname may have more than a hundred
/// parents, and as texts of their own they would take many times the room of the route.
#[derive(Debug, Clone)]
struct Suffix {
    hostname: Hostname,
    start: usize,
}

impl Suffix {
    /// A hostname without the `*.` of a wildcard.
    fn new(hostname: &Hostname) -> Self {
        let name = hostname.wildcard_suffix().unwrap_or(hostname.as_str());
        Self {
            start: hostname.as_str().len() - name.len(),
            hostname: hostname.clone(),
        }
    }

    fn as_str(&self) -> &str {
        &self.hostname.as_str()[self.start..]
    }

    fn parents(&self) -> impl Iterator<Item = Self> {
        let whole = self.hostname.as_str().len();
        parents(self.as_str()).map(move |parent| Self {
            start: whole - parent.len(),
            hostname: self.hostname.clone(),
        })
    }
}

impl Borrow<str> for Suffix {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for Suffix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq for Suffix {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Suffix {}
