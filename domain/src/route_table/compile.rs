//! From attached routes to a table.

use std::collections::BTreeMap;

use super::{
    BackendIndex, BackendTarget, RouteTable, TableBackend, TableListener, TableRoute, TableRule,
    canonical_path,
};
use crate::gateway::{Listener, PathMatch, Route, RouteMatch};
use crate::names::{Hostname, ObjectKey};

/// What the table of one Gateway is made of: the result of attachment.
#[derive(Debug)]
pub struct CompileInput<'s> {
    pub gateway: ObjectKey,
    /// The listeners that serve, in the order written.
    pub listeners: Vec<ListenerInput<'s>>,
}

/// A listener with the routes attached to it.
#[derive(Debug)]
pub struct ListenerInput<'s> {
    pub listener: &'s Listener,
    /// Each route once, oldest first.
    pub routes: Vec<RouteInput<'s>>,
}

/// A route as attached to one listener.
#[derive(Debug)]
pub struct RouteInput<'s> {
    pub route: &'s Route,
    /// Effective hostnames; empty means every name of the listener.
    pub hostnames: Vec<Hostname>,
    /// Where each backend leads: for each rule, for each of its `backendRefs`. One that is missing here
    /// counts as [`BackendTarget::Invalid`].
    pub targets: &'s [Vec<BackendTarget>],
}

/// Compiles a table. Every upstream that a rule names is in it, also one without endpoints.
pub fn compile(input: CompileInput<'_>, backends: &BackendIndex<'_>) -> RouteTable {
    let mut upstreams = BTreeMap::new();
    let targets = input
        .listeners
        .iter()
        .flat_map(|listener| &listener.routes)
        .flat_map(|route| route.targets.iter().flatten());
    for target in targets {
        if let BackendTarget::Upstream(key) = target
            && !upstreams.contains_key(key)
        {
            upstreams.insert(key.clone(), backends.upstream(key));
        }
    }
    RouteTable {
        gateway: input.gateway,
        listeners: input.listeners.into_iter().map(table_listener).collect(),
        upstreams,
    }
}

fn table_listener(input: ListenerInput<'_>) -> TableListener {
    TableListener {
        name: input.listener.name.clone(),
        port: input.listener.port,
        protocol: input.listener.protocol.clone(),
        hostname: input.listener.hostname.clone(),
        routes: input.routes.into_iter().map(table_route).collect(),
    }
}

fn table_route(input: RouteInput<'_>) -> TableRoute {
    let rules = input.route.rules.iter().enumerate().map(|(i, rule)| {
        let targets = input.targets.get(i).map_or(&[][..], Vec::as_slice);
        let backends = rule.backends.iter().enumerate().map(|(j, backend)| {
            let target = targets.get(j).cloned().unwrap_or(BackendTarget::Invalid);
            TableBackend {
                weight: backend.weight,
                target,
                filters: backend.filters.clone(),
            }
        });
        TableRule {
            matches: rule.matches.iter().map(compared).collect(),
            filters: rule.filters.clone(),
            policy: rule.policy,
            backends: backends.collect(),
        }
    });
    TableRoute {
        key: input.route.key.clone(),
        kind: input.route.kind,
        created: input.route.created,
        rules: rules.collect(),
        hostnames: input.hostnames,
    }
}

/// A match with its path in the form in which requests are compared. A path that no request can have stays
/// as it is written.
fn compared(written: &RouteMatch) -> RouteMatch {
    let mut compared = written.clone();
    if let PathMatch::Exact(path) | PathMatch::Prefix(path) = &mut compared.path
        && let Ok(canonical) = canonical_path(path)
    {
        *path = canonical.into_owned();
    }
    compared
}
