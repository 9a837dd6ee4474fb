//! From attached routes to a table.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    BackendTarget, ClientValidation, FilterTargets, RouteTable, TableBackend, TableListener,
    TableRoute, TableRule, Upstream, UpstreamKey, canonical_path,
};
use crate::gateway::{
    ExternalAuth, Filter, Listener, PathMatch, Route, RouteMatch, Rule, RulePolicy, Session,
    SessionKey,
};
use crate::names::{Hostname, ObjectKey};

/// What the table of one Gateway is made of: the result of attachment.
#[derive(Debug)]
pub struct CompileInput<'s> {
    pub gateway: ObjectKey,
    /// The listeners that serve, in the order written.
    pub listeners: Vec<ListenerInput<'s>>,
    /// What the tokens of its sessions are made with.
    pub session_key: Option<&'s SessionKey>,
    pub client_validation: Vec<ClientValidation>,
}

/// A listener with the routes attached to it.
#[derive(Debug)]
pub struct ListenerInput<'s> {
    /// Unique among the listeners of the Gateway and of its ListenerSets.
    pub name: String,
    pub listener: &'s Listener,
    /// Its filters, in the order written.
    pub filters: &'s [ExternalAuth<UpstreamKey>],
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
    /// Where its filters lead. A mirror that is missing here is left out of the table.
    pub filters: &'s FilterTargets,
    /// For each rule, the sessions that its backends ask for. They count where the rule says nothing of sessions.
    pub sessions: &'s [Option<Session>],
}

/// Compiles a table. Every upstream that a rule names is in it, also one without endpoints; `upstream` tells what stands
/// behind each, with or without the endpoints that drain. One for which it tells nothing counts as
/// [`BackendTarget::Invalid`].
pub fn compile(
    input: CompileInput<'_>,
    upstream: impl Fn(&UpstreamKey, bool) -> Option<Upstream>,
) -> RouteTable {
    let mut upstreams = BTreeMap::new();
    let with_sessions = with_sessions(&input);
    let routes = input.listeners.iter().flat_map(|l| &l.routes);
    let keys = routes.flat_map(|route| {
        let targets = route.targets.iter().flatten();
        let keys = targets.filter_map(|target| match target {
            BackendTarget::Upstream(key) => Some(key),
            BackendTarget::Invalid => None,
        });
        keys.chain(route.filters.values())
    });
    let filters = input.listeners.iter().flat_map(|l| l.filters);
    for key in keys.chain(filters.filter_map(|filter| filter.to.as_ref())) {
        if !upstreams.contains_key(key) {
            let found = upstream(key, with_sessions.contains(key));
            upstreams.extend(found.map(|found| (key.clone(), found)));
        }
    }
    let gateway = &input.gateway;
    let key = input.session_key.map(|key| {
        let ObjectKey { namespace, name } = gateway;
        key.of_part(&[namespace, name])
    });
    let listeners = input.listeners.into_iter();
    RouteTable {
        listeners: listeners
            .map(|listener| table_listener(listener, key.as_ref(), &upstreams))
            .collect(),
        gateway: input.gateway,
        upstreams,
        client_validation: input.client_validation,
    }
}

/// The upstreams that rules with sessions lead to.
fn with_sessions(input: &CompileInput<'_>) -> BTreeSet<UpstreamKey> {
    let routes = input.listeners.iter().flat_map(|l| &l.routes);
    let rules = routes.flat_map(|route| {
        let rules = route.route.rules.iter().zip(route.targets).enumerate();
        rules.filter(|(index, (rule, _))| session(rule, *index, route).is_some())
    });
    let targets = rules.flat_map(|(_, (_, targets))| targets);
    targets
        .filter_map(|target| match target {
            BackendTarget::Upstream(key) => Some(key.clone()),
            BackendTarget::Invalid => None,
        })
        .collect()
}

fn table_listener(
    input: ListenerInput<'_>,
    key: Option<&SessionKey>,
    upstreams: &BTreeMap<UpstreamKey, Upstream>,
) -> TableListener {
    TableListener {
        name: input.name,
        port: input.listener.port,
        protocol: input.listener.protocol.clone(),
        hostname: input.listener.hostname.clone(),
        filters: input
            .filters
            .iter()
            .map(|it| within(it, upstreams))
            .collect(),
        routes: input
            .routes
            .into_iter()
            .map(|route| table_route(route, input.listener.hostname.as_ref(), key, upstreams))
            .collect(),
    }
}

/// The same, asked nowhere where its authorizer has no upstream.
fn within(
    filter: &ExternalAuth<UpstreamKey>,
    upstreams: &BTreeMap<UpstreamKey, Upstream>,
) -> ExternalAuth<UpstreamKey> {
    let mut filter = filter.clone();
    filter.to.take_if(|key| !upstreams.contains_key(key));
    filter
}

fn table_route(
    input: RouteInput<'_>,
    of_listener: Option<&Hostname>,
    key: Option<&SessionKey>,
    upstreams: &BTreeMap<UpstreamKey, Upstream>,
) -> TableRoute {
    let filters = |filters: &[Filter]| {
        let filters = filters.iter();
        let to = |filter: &Filter| {
            filter.resolved(|to| {
                let reference = (to.target.clone(), to.port, to.spoken);
                let found = input.filters.get(&reference);
                found.filter(|key| upstreams.contains_key(key)).cloned()
            })
        };
        filters.filter_map(to).collect::<Vec<_>>()
    };
    let rules = input.route.rules.iter().enumerate().map(|(i, rule)| {
        let targets = input.targets.get(i).map_or(&[][..], Vec::as_slice);
        let backends = rule.backends.iter().enumerate().map(|(j, backend)| {
            let target = targets.get(j).filter(|target| match target {
                BackendTarget::Upstream(key) => upstreams.contains_key(key),
                BackendTarget::Invalid => false,
            });
            let target = target.cloned().unwrap_or(BackendTarget::Invalid);
            TableBackend {
                weight: backend.weight,
                target,
                filters: filters(&backend.filters),
            }
        });
        TableRule {
            matches: rule.matches.iter().map(compared).collect(),
            filters: filters(&rule.filters),
            policy: keyed(&rule.policy, session(rule, i, &input), input.route, key),
            backends: backends.collect(),
        }
    });
    TableRoute {
        key: input.route.key.clone(),
        kind: input.route.kind,
        created: input.route.created,
        rules: rules.collect(),
        broader: of_listener.and_then(|listener| broader(listener, &input)),
        hostnames: input.hostnames,
    }
}

/// See [`TableRoute::broader`].
fn broader(listener: &Hostname, input: &RouteInput<'_>) -> Option<u8> {
    if !input.hostnames.contains(listener) {
        return None;
    }
    let names = input.route.hostnames.iter();
    let covering = names.filter(|name| name.intersection(listener).as_ref() == Some(listener));
    match covering.max_by_key(|name| name.specificity()) {
        None => Some(0),
        Some(name) if name == listener => None,
        // A hostname has at most 253 characters.
        Some(name) => Some(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX)),
    }
}

/// The sessions of a rule: its own, or else those that its backends ask for.
fn session<'r>(rule: &'r Rule, index: usize, input: &RouteInput<'r>) -> Option<&'r Session> {
    let of_backends = || input.sessions.get(index)?.as_ref();
    rule.policy.session.as_ref().or_else(of_backends)
}

/// A policy with its sessions and their key. Each rule has its own.
fn keyed(
    policy: &RulePolicy,
    session: Option<&Session>,
    route: &Route,
    key: Option<&SessionKey>,
) -> RulePolicy {
    let mut policy = RulePolicy {
        session: session.cloned(),
        ..policy.clone()
    };
    if let Some(session) = &mut policy.session {
        let ObjectKey { namespace, name } = &route.key;
        let rule = [route.kind.as_str(), namespace, name, &session.rule];
        session.key = key.map(|key| key.of_part(&rule));
    }
    policy
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
