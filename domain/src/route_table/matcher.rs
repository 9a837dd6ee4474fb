//! The indexed table: answers which rule takes a request.
//!
//! A request is looked up in four steps, each by hash:
//! 1. scheme and port, then the most specific hostname, name one listener; no other is asked afterwards
//!    (listener isolation);
//! 2. the effective hostnames of that listener's routes, from the most specific down ([`hosts`]);
//! 3. the path: exact, then regular expressions, then prefixes from the longest down ([`path`]); where the
//!    hostname is a GRPCRoute's, service and method ([`call`]);
//! 4. the few matches left, in their order of precedence, for method, headers and query ([`predicate`]).
//!
//! The precedence is that of `HTTPRouteRule.matches` in the Gateway API, or of `GRPCRouteRule.matches`. Where
//! both kinds have one host, a request is first looked up among those of its content type. Where no rule of the best hostname
//! holds, a less specific hostname of the same listener may take the request: the text speaks of
//! precedence, not of exclusion.

mod call;
mod hosts;
mod listener;
#[cfg(test)]
mod oracle;
mod path;
mod patterns;
mod predicate;
mod query;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use self::hosts::HostMap;
use self::listener::ListenerIndex;
use self::patterns::{Compiler, Patterns};
use super::{Arrival, BackendTarget, RouteTable, Scheme, TableListener, TableRoute, TableRule};
use crate::gateway::{Protocol, RouteMatch};

/// Headers of a request, however they are kept.
pub trait HeaderLookup {
    /// All values of a header (lower-case name) joined by `,` (RFC 9110 §5.3); `None` where there is none.
    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// What routing looks at.
#[derive(Clone, Copy)]
pub struct RequestHead<'a, H: ?Sized> {
    /// Scheme towards the edge.
    pub scheme: Scheme,
    /// Port that the client asked for.
    pub port: u16,
    /// Host without port, lower case.
    pub host: &'a str,
    pub method: &'a str,
    /// Path to compare, as [`canonical_path`](super::canonical_path) gives it.
    pub path: &'a str,
    /// Raw query without `?`.
    pub query: Option<&'a str>,
    pub headers: &'a H,
}

/// The rule that takes a request.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'t> {
    pub listener: &'t TableListener,
    pub route: &'t TableRoute,
    pub rule: &'t TableRule,
    /// The rule's position among all rules of the table: an index for counters kept beside it.
    pub rule_index: usize,
    pub matched: &'t RouteMatch,
    /// Running totals of the weights of `rule.backends`.
    shares: &'t [u64],
}

impl<'t> Selected<'t> {
    /// The backend that a roll of the dice (any number) falls on, by weight. `None` where the rule has no
    /// backend with a weight. Two numbers that are apart by the sum of the weights give the same backend.
    pub fn backend(&self, dice: u64) -> Option<&'t BackendTarget> {
        let index = self.backend_index(|| dice)?;
        Some(&self.rule.backends[index].target)
    }

    /// The position of that backend in the rule. The dice are not thrown where there is one alone.
    pub fn backend_index(&self, dice: impl FnOnce() -> u64) -> Option<usize> {
        let total = self.shares.last().copied().filter(|total| *total > 0)?;
        if self.shares.len() == 1 {
            return Some(0);
        }
        let point = dice() % total;
        Some(self.shares.partition_point(|end| *end <= point))
    }
}

/// A route table, indexed. Building it is `n log n` in the table, asking it sublinear in hosts and rules.
#[derive(Debug)]
pub struct Matcher {
    table: Arc<RouteTable>,
    /// Positions in `listeners`, by how a request comes in.
    entrances: HashMap<(Scheme, u16), HostMap<usize>>,
    /// In the order of the table.
    listeners: Vec<ListenerIndex>,
    /// Running totals of weights, by rule index.
    shares: Vec<Box<[u64]>>,
    patterns: Patterns,
}

impl Matcher {
    /// Indexes a table. A pattern that does not compile here, though it did where the table was made, never
    /// matches.
    pub fn new(table: Arc<RouteTable>) -> Self {
        Self::following(None, table)
    }

    /// Indexes the table that follows another one. What both have of patterns is not compiled again.
    pub fn following(earlier: Option<&Self>, table: Arc<RouteTable>) -> Self {
        let mut patterns = Compiler::new(earlier.map(|earlier| &earlier.patterns));
        let mut listeners = Vec::with_capacity(table.listeners.len());
        let mut entrances: HashMap<_, HostMap<usize>> = HashMap::new();
        let mut shares = Vec::new();
        for (position, listener) in table.listeners.iter().enumerate() {
            listeners.push(ListenerIndex::new(listener, shares.len(), &mut patterns));
            let rules = listener.routes.iter().flat_map(|route| &route.rules);
            shares.extend(rules.map(running_totals));
            if let Some(scheme) = scheme_of(&listener.protocol) {
                entrances
                    .entry((scheme, listener.port))
                    .or_default()
                    .get_or_insert_with(listener.hostname.as_ref(), || position);
            }
        }
        Self {
            table,
            entrances,
            listeners,
            shares,
            patterns: patterns.finish(),
        }
    }

    /// The table it was made from.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// Number of rules; [`Selected::rule_index`] is below it.
    pub fn rule_count(&self) -> usize {
        self.shares.len()
    }

    /// Whether a request names a host of another listener than its client's TLS handshake did, so that it came by a
    /// connection that is not for it (RFC 9110 §15.5.20; Gateway API, `GatewayHTTPSListenerDetectMisdirectedRequests`).
    /// A host of no listener is not: that is a 404.
    pub fn is_misdirected(&self, arrival: &Arrival) -> bool {
        let Some(server_name) = arrival.server_name.as_deref() else {
            return false;
        };
        let Some(listeners) = self.entrances.get(&(arrival.scheme, arrival.port)) else {
            return false;
        };
        let of_host = listeners.covering(&arrival.host).next();
        of_host.is_some() && of_host != listeners.covering(server_name).next()
    }

    /// Position in the table of the listener that a request comes to, whatever it asks for there.
    pub fn listener(&self, scheme: Scheme, port: u16, host: &str) -> Option<usize> {
        let entrance = self.entrances.get(&(scheme, port))?;
        entrance.covering(host).next().copied()
    }

    /// The rule that takes the request, by the precedence of the Gateway API; `None` is a 404.
    pub fn select<H: HeaderLookup + ?Sized>(
        &self,
        head: &RequestHead<'_, H>,
    ) -> Option<Selected<'_>> {
        let position = self.listener(head.scheme, head.port, head.host)?;
        let found = self.listeners[position].select(head)?;
        let listener = &self.table.listeners[position];
        let route = &listener.routes[found.route];
        let rule = &route.rules[found.rule];
        Some(Selected {
            listener,
            route,
            rule,
            rule_index: found.rule_index,
            matched: &rule.matches[found.position],
            shares: &self.shares[found.rule_index],
        })
    }
}

fn scheme_of(protocol: &Protocol) -> Option<Scheme> {
    match protocol {
        Protocol::Http => Some(Scheme::Http),
        Protocol::Https => Some(Scheme::Https),
        Protocol::Other(_) => None,
    }
}

fn running_totals(rule: &TableRule) -> Box<[u64]> {
    rule.backends
        .iter()
        .scan(0, |total, backend| {
            *total += u64::from(backend.weight);
            Some(*total)
        })
        .collect()
}
