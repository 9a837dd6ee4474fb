//! A route table made ready for requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::{ExternalAuth, Mirror, RetryConstraint, RulePolicy};
use domain::names::ObjectKey;
use domain::route_table::{
    self, Arrival, BackendTarget, Matcher, RouteTable, TableBackend, TableFilter, TableRule,
    UpstreamKey,
};

use super::external_auth::{Asking, ReadyAuth};
use super::filters::ReadyFilter;
use super::mirror::ReadyMirror;
use super::pools::{NextPools, Pools, SpokenTls};
use super::session::{Room, Sessions};
use super::visitors::Visitors;
use crate::limits::Limits;
use crate::metrics::{Answers, GatewayMetrics};
use crate::upstream::{RetryBudget, Upstream};

/// A table with its index, its filters parsed, and its endpoints' pools. Requests share it and keep it to
/// their end.
#[derive(Debug)]
pub(super) struct ReadyTable {
    pub(super) matcher: Matcher,
    pub(super) visitors: Arc<Visitors>,
    /// By [`rule_index`](domain::route_table::Selected::rule_index).
    pub(super) rules: Box<[ReadyRule]>,
    /// Those of each listener; empty where none has any.
    authorizers: Box<[Box<[ReadyAuth]>]>,
}

#[derive(Debug)]
pub(super) struct ReadyRule {
    pub(super) filters: Box<[ReadyFilter]>,
    pub(super) policy: RulePolicy,
    /// Where the rule has sessions.
    pub(super) sessions: Option<Box<Sessions>>,
    pub(super) backends: Box<[ReadyBackend]>,
    pub(super) answers: Arc<Answers>,
}

#[derive(Debug)]
pub(super) struct ReadyBackend {
    /// `None` where it does not resolve. Found here once instead of by its key for each request.
    pub(super) upstream: Option<Arc<Upstream>>,
    /// Where the rule has retries.
    pub(super) retry_budget: Option<Arc<RetryBudget>>,
    pub(super) filters: Box<[ReadyFilter]>,
}

impl ReadyTable {
    /// Makes a table ready. Endpoints and budgets that it shares with the one before keep their connections and
    /// counts; the others are retired.
    pub(super) fn new(
        matcher: Matcher,
        visitors: Arc<Visitors>,
        pools: &mut Pools,
        policy: EndpointPolicy,
        limits: &Arc<Limits>,
        metrics: &GatewayMetrics,
    ) -> Self {
        let before = pools.succeed();
        let mut upstreams = ReadyUpstreams {
            upstreams: HashMap::with_capacity(matcher.table().upstreams.len()),
            pools: NextPools {
                next: pools,
                before: &before,
                policy,
                limits,
            },
            retries: HashMap::new(),
            session_room: Room::default(),
            metrics,
        };
        upstreams.add_all(&matcher.table().upstreams);
        let rules = upstreams.rules(matcher.table());
        let authorizers = upstreams.authorizers(matcher.table());
        before.retire_missing(pools);
        Self {
            matcher,
            visitors,
            rules,
            authorizers,
        }
    }

    /// Who is asked about a request before the rules are looked at.
    pub(super) fn authorizers(&self, arrival: &Arrival) -> &[ReadyAuth] {
        if self.authorizers.is_empty() {
            return &[];
        }
        let listener = self
            .matcher
            .listener(arrival.scheme, arrival.port, &arrival.host);
        listener.map_or(&[][..], |position| &*self.authorizers[position])
    }
}

/// The upstreams of a table that is being made ready.
pub(super) struct ReadyUpstreams<'a> {
    upstreams: HashMap<UpstreamKey, Arc<Upstream>>,
    pools: NextPools<'a>,
    /// What policies say of retries.
    retries: HashMap<UpstreamKey, RetryConstraint>,
    session_room: Room,
    metrics: &'a GatewayMetrics,
}

impl ReadyUpstreams<'_> {
    fn add_all(&mut self, upstreams: &BTreeMap<UpstreamKey, route_table::Upstream>) {
        for (key, upstream) in upstreams {
            if let Some(retries) = upstream.retries {
                self.retries.insert(key.clone(), retries);
            }
            let tls = match upstream.tls.as_ref().map(|tls| self.pools.tls(tls)) {
                None => None,
                Some(spoken @ SpokenTls { tls: Some(_), .. }) => Some(spoken),
                Some(SpokenTls { tls: None, .. }) => {
                    tracing::warn!(upstream = %key, "TLS cannot be spoken as the table says: the upstream gets no request");
                    continue;
                }
            };
            let protocol = key.protocol;
            let all = upstream.endpoints.iter().chain(&upstream.draining);
            let endpoints = all.map(|at| {
                self.pools
                    .endpoint(at, protocol, tls.as_ref(), upstream.outside.as_ref())
            });
            let ready = Upstream {
                protocol,
                is_tls: tls.is_some(),
                endpoints: endpoints.collect(),
                open: upstream.endpoints.len(),
                max_in_flight: match upstreams.len() {
                    1 => usize::MAX,
                    _ => self.pools.limits.max_in_flight / 2,
                },
            };
            self.upstreams.insert(key.clone(), Arc::new(ready));
        }
    }

    /// `None` where it does not resolve.
    pub(super) fn mirror(&mut self, mirror: &Mirror<UpstreamKey>) -> Option<ReadyMirror> {
        Some(ReadyMirror {
            upstream: Arc::clone(self.upstreams.get(&mirror.to)?),
            share: mirror.share,
            mirrors: Arc::clone(&self.metrics.mirrors),
            under_way: self.pools.mirrored(&mirror.to),
        })
    }

    pub(super) fn external_auth(&mut self, auth: &ExternalAuth<UpstreamKey>) -> ReadyAuth {
        let upstream = auth.to.as_ref();
        let upstream = upstream.and_then(|key| self.upstreams.get(key).cloned());
        let namespace = auth.to.as_ref().map_or("", |key| &key.service.namespace);
        let asking = Asking {
            under_way: self.pools.asked(namespace),
            most: (self.pools.limits.max_in_flight / 4).max(1),
        };
        ReadyAuth::new(auth, upstream, asking)
    }

    fn authorizers(&mut self, table: &RouteTable) -> Box<[Box<[ReadyAuth]>]> {
        let listeners = table.listeners.iter();
        if listeners
            .clone()
            .all(|listener| listener.filters.is_empty())
        {
            return Box::default();
        }
        listeners
            .map(|listener| {
                let filters = listener.filters.iter();
                filters.map(|auth| self.external_auth(auth)).collect()
            })
            .collect()
    }

    fn filters(&mut self, filters: &[TableFilter]) -> Box<[ReadyFilter]> {
        let filters = filters.iter();
        filters
            .filter_map(|filter| ReadyFilter::new(filter, self))
            .collect()
    }

    fn backend(&mut self, policy: &RulePolicy, backend: &TableBackend) -> ReadyBackend {
        let key = match &backend.target {
            BackendTarget::Upstream(key) => Some(key),
            BackendTarget::Invalid => None,
        };
        let retried = key.filter(|_| policy.retry.is_some());
        ReadyBackend {
            upstream: key.and_then(|key| self.upstreams.get(key).cloned()),
            retry_budget: retried.map(|key| {
                let asked = self.retries.get(key);
                self.pools.budget(key, asked)
            }),
            filters: self.filters(&backend.filters),
        }
    }

    fn sessions(&mut self, route: &ObjectKey, rule: &TableRule) -> Option<Box<Sessions>> {
        let session = rule.policy.session.as_ref()?;
        let upstreams = &self.upstreams;
        let backends = rule.backends.iter().map(|backend| match &backend.target {
            // "No traffic should be forwarded" to it (Gateway API, `BackendRef.weight`), so nobody stays with it either.
            _ if backend.weight == 0 => None,
            BackendTarget::Upstream(key) => Some((&key.service, &**upstreams.get(key)?)),
            BackendTarget::Invalid => None,
        });
        let endpoints = backends.clone().flatten();
        let count = endpoints
            .map(|(_, upstream)| upstream.endpoints.len())
            .sum();
        if !self.session_room.take(&route.namespace, count) {
            tracing::warn!(%route, "rules of its namespace have too many endpoints with sessions: a rule keeps none");
            return None;
        }
        Sessions::new(session, backends).map(Box::new)
    }

    fn rules(&mut self, table: &RouteTable) -> Box<[ReadyRule]> {
        let answers = self.metrics.follow(table);
        let mut rules = Vec::new();
        for route in table.listeners.iter().flat_map(|l| &l.routes) {
            let answers = answers
                .get(&(route.kind, route.key.clone()))
                .cloned()
                .unwrap_or_default();
            for rule in &route.rules {
                let backends = rule.backends.iter();
                rules.push(ReadyRule {
                    filters: self.filters(&rule.filters),
                    policy: rule.policy.clone(),
                    sessions: self.sessions(&route.key, rule),
                    backends: backends
                        .map(|backend| self.backend(&rule.policy, backend))
                        .collect(),
                    answers: Arc::clone(&answers),
                });
            }
        }
        rules.into_boxed_slice()
    }
}
