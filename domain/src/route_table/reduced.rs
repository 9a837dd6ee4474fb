//! A table for a proxy of an earlier version.

use super::{
    BackendTarget, RouteTable, TableBackend, TableFilter, TableListener, TableRule, Upstream,
    UpstreamKey,
};
use crate::capabilities::{Feature, FeatureSet};
use crate::gateway::{BackendKind, Filter, Protocol, RulePolicy};

/// The features that a table asks of its proxy, beside those that every proxy of this format has.
pub fn needs(table: &RouteTable) -> FeatureSet {
    let routes = table.listeners.iter().flat_map(|l| &l.routes);
    let rules = routes.flat_map(|route| &route.rules);
    let of_rule = |rule| rule_needs(rule).and(upstream_needs(rule, table));
    let of_visitors = match table.client_validation.is_empty() {
        true => FeatureSet::EMPTY,
        false => FeatureSet::of(&[Feature::GatewayFrontendClientCertificateValidation]),
    };
    let of_listeners = table.listeners.iter().map(listener_needs);
    let of_listeners = of_listeners.fold(of_visitors, FeatureSet::and);
    rules.fold(of_listeners, |set, rule| set.and(of_rule(rule)))
}

/// The table for a proxy that does not serve all that it [`needs`]. A rule that needs more keeps its matches, so that its
/// requests go to no other rule, and answers 500; so does each rule of a listener that needs more.
pub fn reduced(table: &RouteTable, served: FeatureSet) -> RouteTable {
    let mut reduced = table.clone();
    reduced.upstreams.retain(|key, upstream| {
        if of_kind(key, upstream).is_some_and(|needed| !served.has(needed)) {
            return false;
        }
        upstream.tls.as_ref().is_none_or(|tls| {
            let shows =
                tls.client.is_none() || served.has(Feature::GatewayBackendClientCertificate);
            shows && served.has(Feature::BackendTLSPolicy)
        })
    });
    if !served.has(Feature::GatewayFrontendClientCertificateValidation) {
        // It would let everybody in.
        let asked = std::mem::take(&mut reduced.client_validation);
        reduced.listeners.retain(|listener| {
            listener.protocol != Protocol::Https
                || !asked.iter().any(|it| it.ports.contains(&listener.port))
        });
    }
    let rules = reduced.listeners.iter_mut().flat_map(|listener| {
        let of_listener = listener_needs(listener);
        if !of_listener.without(served).is_empty() {
            listener.filters.clear();
        }
        let routes = listener.routes.iter_mut();
        let rules = routes.flat_map(|route| &mut route.rules);
        rules.map(move |rule| (of_listener, rule))
    });
    for (of_listener, rule) in rules {
        let of_rule = rule_needs(rule).and(upstream_needs(rule, table));
        let needed = of_listener.and(of_rule);
        if !needed.without(served).is_empty() {
            rule.filters.clear();
            rule.policy = RulePolicy::default();
            rule.backends = vec![TableBackend {
                weight: 1,
                target: BackendTarget::Invalid,
                filters: Vec::new(),
            }];
        }
    }
    // Without it a proxy has a budget of its own.
    if !served.has(Feature::BackendTrafficPolicy) {
        for upstream in reduced.upstreams.values_mut() {
            upstream.retries = None;
        }
    }
    if !served.has(Feature::SessionPersistence) {
        for upstream in reduced.upstreams.values_mut() {
            upstream.draining.clear();
        }
    }
    reduced
}

fn listener_needs(listener: &TableListener) -> FeatureSet {
    match listener.filters.is_empty() {
        true => FeatureSet::EMPTY,
        false => FeatureSet::of(&[Feature::GatewayListenerFilters, Feature::ExternalAuth]),
    }
}

/// What the upstreams of a rule need.
fn upstream_needs(rule: &TableRule, table: &RouteTable) -> FeatureSet {
    let targets = rule.backends.iter().map(|backend| &backend.target);
    let upstreams = targets.filter_map(|target| match target {
        BackendTarget::Upstream(key) => Some((key, table.upstreams.get(key)?)),
        BackendTarget::Invalid => None,
    });
    let needs = upstreams.flat_map(|(key, upstream)| {
        let tls = upstream.tls.as_ref();
        let client = tls.and_then(|tls| tls.client.as_ref());
        let client = client.map(|_| Feature::GatewayBackendClientCertificate);
        tls.map(|_| Feature::BackendTLSPolicy)
            .into_iter()
            .chain(client)
            .chain(of_kind(key, upstream))
    });
    needs.collect()
}

/// What an upstream needs by what it is.
fn of_kind(key: &UpstreamKey, upstream: &Upstream) -> Option<Feature> {
    match key.kind {
        BackendKind::External => Some(Feature::ExternalHost),
        BackendKind::ServiceImport => Some(Feature::ServiceImport),
        BackendKind::Service => upstream.outside.as_ref().map(|_| Feature::ExternalHost),
    }
}

fn rule_needs(rule: &TableRule) -> FeatureSet {
    let timeouts = &rule.policy.timeouts;
    let request = timeouts.request.map(|_| Feature::HTTPRouteRequestTimeout);
    let backend = timeouts.backend_request;
    let backend = backend.map(|_| Feature::HTTPRouteBackendTimeout);
    let timeouts: FeatureSet = request.into_iter().chain(backend).collect();
    let of_rule = rule.filters.iter().map(|filter| match filter {
        Filter::ResponseHeaders(_) => {
            FeatureSet::of(&[Feature::HTTPRouteResponseHeaderModification])
        }
        other => needed_anywhere(other),
    });
    let of_backends = rule.backends.iter().flat_map(|backend| &backend.filters);
    let of_backends = of_backends.map(|filter| {
        let by_place = match filter {
            Filter::RequestHeaders(_) => Feature::HTTPRouteBackendRequestHeaderModification,
            Filter::ResponseHeaders(_) => Feature::BackendResponseHeaderModification,
            Filter::Rewrite(_) => Feature::HTTPRouteBackendURLRewrite,
            Filter::Redirect(_) | Filter::Cors(_) | Filter::Mirror(_) | Filter::ExternalAuth(_) => {
                Feature::BackendFilter
            }
        };
        FeatureSet::of(&[by_place]).and(needed_anywhere(filter))
    });
    let RulePolicy { retry, session, .. } = &rule.policy;
    let retry = retry.iter().map(|_| Feature::HTTPRouteRetryCodes);
    let session = session.iter().map(|_| Feature::SessionPersistence);
    let has_several = |filters: &[TableFilter]| {
        let mirrors = filters.iter().filter_map(Filter::mirror);
        mirrors.count() > 1
    };
    let several = has_several(&rule.filters)
        || rule
            .backends
            .iter()
            .any(|backend| has_several(&backend.filters));
    let several = several.then_some(Feature::HTTPRouteRequestMultipleMirrors);
    let others = timeouts.and(retry.chain(session).chain(several).collect());
    of_rule.chain(of_backends).fold(others, FeatureSet::and)
}

/// What a filter needs, be it of a rule or of a backend.
fn needed_anywhere(filter: &TableFilter) -> FeatureSet {
    let needed = match filter {
        Filter::RequestHeaders(_) | Filter::ResponseHeaders(_) => [None, None],
        Filter::Redirect(redirect) => [Feature::of_redirect(redirect.status), None],
        Filter::Cors(_) => [Some(Feature::HTTPRouteCORS), None],
        Filter::ExternalAuth(_) => [Some(Feature::ExternalAuth), None],
        Filter::Mirror(mirror) => [
            Some(Feature::HTTPRouteRequestMirror),
            (!mirror.share.is_all()).then_some(Feature::HTTPRouteRequestPercentageMirror),
        ],
        Filter::Rewrite(rewrite) => [
            rewrite
                .hostname
                .as_ref()
                .map(|_| Feature::HTTPRouteHostRewrite),
            rewrite.path.as_ref().map(|_| Feature::HTTPRoutePathRewrite),
        ],
    };
    needed.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::certificate::Fingerprint;
    use crate::gateway::{
        AuthProtocol, EndpointHost, ExternalAuth, HeaderModifier, HttpPathModifier, Mirror,
        Protocol, Redirect, Retry, RetryConstraint, Rewrite, RouteKind, Share, Timeouts,
    };
    use crate::names::{Hostname, ObjectKey, Timestamp};
    use crate::route_table::{
        ClientCertificate, ClientValidation, OutsideRules, TableRoute, Trust, Upstream,
        UpstreamEndpoint, UpstreamKey, UpstreamProtocol, UpstreamTls,
    };

    fn table(rules: Vec<TableRule>) -> RouteTable {
        RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("infra", "web"),
            listeners: vec![TableListener {
                name: "https".into(),
                port: 443,
                protocol: Protocol::Https,
                hostname: None,
                filters: Vec::new(),
                routes: vec![TableRoute {
                    broader: None,
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

    fn rule(
        filters: Vec<TableFilter>,
        timeouts: Timeouts,
        of_backend: Vec<TableFilter>,
    ) -> TableRule {
        TableRule {
            matches: Vec::new(),
            filters,
            policy: RulePolicy {
                timeouts,
                ..RulePolicy::default()
            },
            backends: vec![TableBackend {
                weight: 3,
                target: BackendTarget::Invalid,
                filters: of_backend,
            }],
        }
    }

    #[test]
    fn a_backend_of_a_kind_that_a_proxy_does_not_know_answers_500_there() {
        for (kind, outside, needed) in [
            (BackendKind::Service, None, None),
            (
                BackendKind::ServiceImport,
                None,
                Some(Feature::ServiceImport),
            ),
            (BackendKind::External, None, Some(Feature::ExternalHost)),
            (
                BackendKind::Service,
                Some(Arc::new(OutsideRules::default())),
                Some(Feature::ExternalHost),
            ),
        ] {
            let key = UpstreamKey {
                kind,
                service: ObjectKey::new("shop", "store"),
                port: 80,
                protocol: UpstreamProtocol::Http1,
            };
            let mut to_it = rule(vec![], Timeouts::default(), vec![]);
            to_it.backends[0].target = BackendTarget::Upstream(key.clone());
            let mut whole = table(vec![to_it]);
            let upstream = Upstream {
                outside,
                retries: Some(RetryConstraint::default()),
                ..Upstream::default()
            };
            whole.upstreams.insert(key.clone(), upstream);
            let needed: FeatureSet = needed.into_iter().collect();
            assert_eq!(needs(&whole), needed, "{kind:?}");
            let all = needed.and(FeatureSet::of(&[Feature::BackendTrafficPolicy]));
            assert_eq!(reduced(&whole, all), whole, "{kind:?}");
            let left = reduced(&whole, FeatureSet::EMPTY);
            assert_eq!(left.upstreams.is_empty(), !needed.is_empty(), "{kind:?}");
            assert!(left.upstreams.values().all(|it| it.retries.is_none()));
            let target = &left.listeners[0].routes[0].rules[0].backends[0].target;
            assert_eq!(*target == BackendTarget::Invalid, !needed.is_empty());
        }
    }

    #[test]
    fn a_proxy_without_sessions_is_not_told_of_endpoints_that_drain() {
        let key = UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("shop", "store"),
            port: 80,
            protocol: UpstreamProtocol::Http1,
        };
        let upstream = Upstream {
            endpoints: Vec::new(),
            draining: vec![UpstreamEndpoint {
                host: EndpointHost::Name("pod".into()),
                port: 80,
            }],
            ..Upstream::default()
        };
        let whole = RouteTable {
            upstreams: [(key.clone(), upstream)].into(),
            ..table(Vec::new())
        };
        for (served, told) in [(&[Feature::SessionPersistence][..], 1), (&[], 0)] {
            let left = reduced(&whole, FeatureSet::of(served));
            assert_eq!(left.upstreams[&key].draining.len(), told);
        }
    }

    #[test]
    fn a_proxy_that_asks_no_visitor_gets_no_listener_that_has_them_asked() {
        let mut whole = table(Vec::new());
        let listener = |port, protocol| TableListener {
            port,
            protocol,
            ..whole.listeners[0].clone()
        };
        whole.listeners = vec![
            listener(443, Protocol::Https),
            listener(443, Protocol::Http),
            listener(8443, Protocol::Https),
        ];
        whole.client_validation = vec![ClientValidation {
            ports: [443].into(),
            authorities: Vec::new(),
        }];
        let asks = Feature::GatewayFrontendClientCertificateValidation;
        assert_eq!(needs(&whole), FeatureSet::of(&[asks]));
        assert_eq!(reduced(&whole, FeatureSet::of(&[asks])), whole);
        let left = reduced(&whole, FeatureSet::EMPTY);
        assert_eq!(left.client_validation, []);
        assert_eq!(left.listeners, whole.listeners[1..]);
    }

    #[test]
    fn a_rule_that_needs_more_than_a_proxy_serves_answers_500_and_the_others_stay() {
        let request = || Filter::RequestHeaders(HeaderModifier::default());
        let response = || Filter::ResponseHeaders(HeaderModifier::default());
        let redirect = |status| {
            Filter::Redirect(Redirect {
                scheme: None,
                hostname: None,
                path: None,
                port: None,
                status,
            })
        };
        let rewrite = || {
            Filter::Rewrite(Rewrite {
                hostname: None,
                path: Some(HttpPathModifier::Full("/x".to_owned())),
            })
        };
        let mirror = |share| {
            Filter::Mirror(Mirror {
                to: UpstreamKey {
                    kind: BackendKind::Service,
                    service: ObjectKey::new("shop", "copy"),
                    port: 80,
                    protocol: UpstreamProtocol::Http1,
                },
                share,
            })
        };
        let auth = || {
            Filter::ExternalAuth(ExternalAuth {
                to: None,
                protocol: AuthProtocol::Grpc {
                    request_headers: Vec::new(),
                },
                max_body: 0,
            })
        };
        let all = || mirror(Share::ALL);
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
            (rule(vec![redirect(302)], none, vec![]), None),
            (
                rule(vec![redirect(308)], none, vec![]),
                Some(Feature::HTTPRoute308RedirectStatusCode),
            ),
            (
                rule(vec![rewrite()], none, vec![]),
                Some(Feature::HTTPRoutePathRewrite),
            ),
            (
                rule(vec![], none, vec![redirect(301)]),
                Some(Feature::BackendFilter),
            ),
            (
                rule(vec![auth()], none, vec![]),
                Some(Feature::ExternalAuth),
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
        let retried = TableRule {
            policy: RulePolicy {
                retry: Some(Retry {
                    codes: vec![503],
                    attempts: 1,
                    backoff: None,
                }),
                ..RulePolicy::default()
            },
            ..rule(vec![], none, vec![])
        };
        let cases = cases
            .into_iter()
            .chain([(retried, Some(Feature::HTTPRouteRetryCodes))]);
        for (filters, needed) in [
            (vec![all()], vec![Feature::HTTPRouteRequestMirror]),
            (
                vec![all(), mirror(Share::new(1, 2).unwrap())],
                vec![
                    Feature::HTTPRouteRequestMirror,
                    Feature::HTTPRouteRequestMultipleMirrors,
                    Feature::HTTPRouteRequestPercentageMirror,
                ],
            ),
        ] {
            let table = table(vec![rule(filters, none, vec![])]);
            assert_eq!(needs(&table).iter().collect::<Vec<_>>(), needed);
        }
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

    #[test]
    fn every_rule_of_a_listener_answers_500_where_a_proxy_does_not_serve_its_filters() {
        let plain = || rule(vec![], Timeouts::default(), vec![]);
        let mut whole = table(vec![plain(), plain()]);
        let mut open = whole.listeners[0].clone();
        open.name = "open".into();
        whole.listeners.push(open);
        whole.listeners[0].filters = vec![ExternalAuth {
            to: None,
            protocol: AuthProtocol::Grpc {
                request_headers: Vec::new(),
            },
            max_body: 0,
        }];
        let needed = FeatureSet::of(&[Feature::GatewayListenerFilters, Feature::ExternalAuth]);
        assert_eq!(needs(&whole), needed);
        assert_eq!(reduced(&whole, needed), whole);
        let left = reduced(&whole, FeatureSet::of(&[Feature::ExternalAuth]));
        assert_eq!(left.listeners[1], whole.listeners[1]);
        assert!(left.listeners[0].filters.is_empty());
        let rules = &left.listeners[0].routes[0].rules;
        assert!(rules.iter().all(|rule| rule.backends[0].weight == 1));
    }

    #[test]
    fn what_needs_tls_answers_500_where_a_proxy_does_not_speak_it_and_its_upstream_is_left_out() {
        let key = UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("shop", "store"),
            port: 80,
            protocol: UpstreamProtocol::Negotiated,
        };
        let client = ClientCertificate {
            secret: ObjectKey::new("infra", "client"),
            fingerprint: Fingerprint::of(b"chain"),
        };
        let tls = Feature::BackendTLSPolicy;
        let shown = Feature::GatewayBackendClientCertificate;
        for (client, needed) in [
            (None, FeatureSet::of(&[tls])),
            (Some(client), FeatureSet::of(&[tls, shown])),
        ] {
            let mut secure = rule(vec![], Timeouts::default(), vec![]);
            secure.backends[0].target = BackendTarget::Upstream(key.clone());
            let mut whole = table(vec![secure]);
            let upstream = Upstream {
                endpoints: Vec::new(),
                tls: Some(Arc::new(UpstreamTls {
                    trust: Trust::System,
                    hostname: Hostname::parse("store.internal").unwrap(),
                    names: Vec::new(),
                    client,
                })),
                ..Upstream::default()
            };
            whole.upstreams.insert(key.clone(), upstream);
            assert_eq!(needs(&whole), needed);
            assert_eq!(reduced(&whole, needed), whole);
            for lacking in needed.iter() {
                let served = needed.without(FeatureSet::of(&[lacking]));
                let left = reduced(&whole, served);
                assert!(left.upstreams.is_empty(), "{lacking:?}");
                let backends = &left.listeners[0].routes[0].rules[0].backends;
                assert_eq!(backends[0].target, BackendTarget::Invalid, "{lacking:?}");
            }
        }
    }
}
