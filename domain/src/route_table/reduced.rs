//! A table for a proxy of an earlier version.

use super::{BackendTarget, RouteTable, TableBackend, TableRule};
use crate::capabilities::{Feature, FeatureSet};
use crate::gateway::{Filter, RulePolicy};

/// The features that a table asks of its proxy, beside those that every proxy of this format has.
pub fn needs(table: &RouteTable) -> FeatureSet {
    let routes = table.listeners.iter().flat_map(|l| &l.routes);
    let rules = routes.flat_map(|route| &route.rules);
    rules.fold(FeatureSet::EMPTY, |set, rule| set.and(rule_needs(rule)))
}

/// The table for a proxy that does not serve all that it [`needs`]. A rule that needs more keeps its matches, so that its
/// requests go to no other rule, and answers 500.
pub fn reduced(table: &RouteTable, served: FeatureSet) -> RouteTable {
    let mut reduced = table.clone();
    let routes = reduced.listeners.iter_mut().flat_map(|l| &mut l.routes);
    for rule in routes.flat_map(|route| &mut route.rules) {
        if !rule_needs(rule).without(served).is_empty() {
            rule.filters.clear();
            rule.policy = RulePolicy::default();
            rule.backends = vec![TableBackend {
                weight: 1,
                target: BackendTarget::Invalid,
                filters: Vec::new(),
            }];
        }
    }
    reduced
}

fn rule_needs(rule: &TableRule) -> FeatureSet {
    let timeouts = &rule.policy.timeouts;
    let request = timeouts.request.map(|_| Feature::HTTPRouteRequestTimeout);
    let backend = timeouts.backend_request;
    let backend = backend.map(|_| Feature::HTTPRouteBackendTimeout);
    let of_rule = rule.filters.iter().filter_map(|filter| match filter {
        Filter::ResponseHeaders(_) => Some(Feature::HTTPRouteResponseHeaderModification),
        Filter::RequestHeaders(_) | Filter::Redirect(_) => None,
    });
    let of_backends = rule.backends.iter().flat_map(|backend| &backend.filters);
    let of_backends = of_backends.map(|filter| match filter {
        Filter::RequestHeaders(_) => Feature::HTTPRouteBackendRequestHeaderModification,
        Filter::ResponseHeaders(_) => Feature::BackendResponseHeaderModification,
        Filter::Redirect(_) => Feature::BackendFilter,
    });
    let timeouts = request.into_iter().chain(backend);
    timeouts.chain(of_rule).chain(of_backends).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::gateway::{HeaderModifier, Protocol, RouteKind, Timeouts};
    use crate::names::{ObjectKey, Timestamp};
    use crate::route_table::{TableListener, TableRoute};

    fn table(rules: Vec<TableRule>) -> RouteTable {
        RouteTable {
            gateway: ObjectKey::new("infra", "web"),
            listeners: vec![TableListener {
                name: "https".into(),
                port: 443,
                protocol: Protocol::Https,
                hostname: None,
                routes: vec![TableRoute {
                    key: ObjectKey::new("shop", "store"),
                    kind: RouteKind::Http,
                    created: Timestamp(0),
                    hostnames: Vec::new(),
                    rules,
                }],
            }],
            upstreams: BTreeMap::new(),
        }
    }

    fn rule(filters: Vec<Filter>, timeouts: Timeouts, of_backend: Vec<Filter>) -> TableRule {
        TableRule {
            matches: Vec::new(),
            filters,
            policy: RulePolicy { timeouts },
            backends: vec![TableBackend {
                weight: 3,
                target: BackendTarget::Invalid,
                filters: of_backend,
            }],
        }
    }

    #[test]
    fn a_rule_that_needs_more_than_a_proxy_serves_answers_500_and_the_others_stay() {
        let request = || Filter::RequestHeaders(HeaderModifier::default());
        let response = || Filter::ResponseHeaders(HeaderModifier::default());
        let none = Timeouts::default();
        let after = Some(Duration::from_secs(1));
        let cases = [
            (rule(vec![request()], none, vec![]), None),
            (
                rule(vec![request(), response()], none, vec![]),
                Some(Feature::HTTPRouteResponseHeaderModification),
            ),
            (
                rule(vec![], none, vec![request()]),
                Some(Feature::HTTPRouteBackendRequestHeaderModification),
            ),
            (
                rule(vec![], none, vec![response()]),
                Some(Feature::BackendResponseHeaderModification),
            ),
            (
                rule(
                    vec![],
                    Timeouts {
                        request: after,
                        ..none
                    },
                    vec![],
                ),
                Some(Feature::HTTPRouteRequestTimeout),
            ),
            (
                rule(
                    vec![],
                    Timeouts {
                        backend_request: after,
                        ..none
                    },
                    vec![],
                ),
                Some(Feature::HTTPRouteBackendTimeout),
            ),
        ];
        let plain = rule(vec![], none, vec![]);
        for (rule, needed) in cases {
            let whole = table(vec![rule, plain.clone()]);
            let needed: FeatureSet = needed.into_iter().collect();
            assert_eq!(needs(&whole), needed);
            assert_eq!(reduced(&whole, needed), whole);
            let left = &reduced(&whole, FeatureSet::EMPTY).listeners[0].routes[0].rules;
            assert_eq!(left[1], plain);
            assert_eq!(
                needs(&reduced(&whole, FeatureSet::EMPTY)),
                FeatureSet::EMPTY
            );
            let answers_500 = left[0].backends[0].weight == 1;
            assert_eq!(answers_500, !needed.is_empty());
        }
    }
}
