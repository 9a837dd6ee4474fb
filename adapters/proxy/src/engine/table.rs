//! A route table made ready for requests.

use std::collections::HashMap;
use std::sync::Arc;

use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::RulePolicy;
use domain::route_table::{
    BackendTarget, Matcher, RouteTable, TableBackend, UpstreamEndpoint, UpstreamKey,
    UpstreamProtocol,
};

use super::filters::ReadyFilter;
use crate::limits::Limits;
use crate::metrics::{Answers, GatewayMetrics};
use crate::upstream::{Endpoint, Upstream};

/// A table with its index, its filters parsed, and its endpoints' pools. Requests share it and keep it to
/// their end.
#[derive(Debug)]
pub(super) struct ReadyTable {
    pub(super) matcher: Matcher,
    /// By [`rule_index`](domain::route_table::Selected::rule_index).
    pub(super) rules: Box<[ReadyRule]>,
}

#[derive(Debug)]
pub(super) struct ReadyRule {
    pub(super) filters: Box<[ReadyFilter]>,
    pub(super) policy: RulePolicy,
    pub(super) backends: Box<[ReadyBackend]>,
    pub(super) answers: Arc<Answers>,
}

#[derive(Debug)]
pub(super) struct ReadyBackend {
    /// `None` where it does not resolve. Found here once instead of by its key for each request.
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) filters: Box<[ReadyFilter]>,
}

/// All endpoints of the present table.
pub(super) type Endpoints = HashMap<(UpstreamEndpoint, UpstreamProtocol), Arc<Endpoint>>;

impl ReadyTable {
    /// Makes a table ready. Endpoints that it shares with the one before keep their connections; the
    /// others are retired.
    pub(super) fn new(
        matcher: Matcher,
        endpoints: &mut Endpoints,
        policy: EndpointPolicy,
        limits: &Arc<Limits>,
        metrics: &GatewayMetrics,
    ) -> Self {
        let table = matcher.table();
        let mut kept = Endpoints::with_capacity(endpoints.len());
        let mut upstreams = HashMap::with_capacity(table.upstreams.len());
        for (key, upstream) in &table.upstreams {
            let protocol = key.protocol;
            let of_upstream = upstream.endpoints.iter().map(|at| {
                let at = (at.clone(), protocol);
                let endpoint = kept.get(&at).or_else(|| endpoints.get(&at)).cloned();
                let endpoint = endpoint.unwrap_or_else(|| {
                    let limits = Arc::clone(limits);
                    Arc::new(Endpoint::new(at.0.clone(), protocol, policy, limits))
                });
                kept.insert(at, Arc::clone(&endpoint));
                endpoint
            });
            let endpoints = of_upstream.collect();
            let upstream = Upstream {
                protocol,
                endpoints,
            };
            upstreams.insert(key.clone(), Arc::new(upstream));
        }
        retire_missing(std::mem::replace(endpoints, kept), endpoints);
        Self {
            rules: ready_rules(table, &upstreams, metrics),
            matcher,
        }
    }
}

fn retire_missing(before: Endpoints, now: &Endpoints) {
    for (at, endpoint) in before {
        if !now.contains_key(&at) {
            endpoint.retire();
        }
    }
}

fn ready_rules(
    table: &RouteTable,
    upstreams: &HashMap<UpstreamKey, Arc<Upstream>>,
    metrics: &GatewayMetrics,
) -> Box<[ReadyRule]> {
    let ready = |backend: &TableBackend| ReadyBackend {
        upstream: match &backend.target {
            BackendTarget::Upstream(key) => upstreams.get(key).cloned(),
            BackendTarget::Invalid => None,
        },
        filters: backend.filters.iter().map(ReadyFilter::new).collect(),
    };
    let answers = metrics.follow(table);
    let mut rules = Vec::new();
    for route in table.listeners.iter().flat_map(|l| &l.routes) {
        let answers = answers
            .get(&(route.kind, route.key.clone()))
            .cloned()
            .unwrap_or_default();
        rules.extend(route.rules.iter().map(|rule| ReadyRule {
            filters: rule.filters.iter().map(ReadyFilter::new).collect(),
            policy: rule.policy,
            backends: rule.backends.iter().map(ready).collect(),
            answers: Arc::clone(&answers),
        }));
    }
    rules.into_boxed_slice()
}
