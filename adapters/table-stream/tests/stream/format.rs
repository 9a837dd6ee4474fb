//! The written form of tables. A proxy of another release reads what the golden file has, so a change of it takes a new
//! `wire::FORMAT`. What a feature adds takes none: a table for a proxy without the feature is written without it
//! (`domain::route_table::reduced`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_table_stream::Version;
use adapter_table_stream::wire::{FORMAT, Table, ToProxy};
use domain::certificate::{CaBundle, Fingerprint};
use domain::endpoint_policy::AddressRange;
use domain::gateway::{
    AuthProtocol, BackendKind, CallMatch, Cors, EndpointHost, ExternalAuth, Filter, HeaderMatch,
    HeaderModifier, HttpPathModifier, Mirror, NameList, OriginHost, OriginPattern, PathMatch,
    Pattern, Protocol, QueryMatch, Redirect, Retry, RetryConstraint, Rewrite, RouteKind,
    RouteMatch, RulePolicy, Session, SessionCarrier, SessionCookie, SessionKey, Share, SubjectName,
    TextMatch, Timeouts,
};
use domain::names::{Hostname, ObjectKey, Timestamp};
use domain::route_table::{
    BackendTarget, ClientCertificate, ClientValidation, HeaderLookup, Matcher, OutsideRules,
    RequestHead, RouteTable, Scheme, TableBackend, TableFilter, TableListener, TableRoute,
    TableRule, Trust, Upstream, UpstreamEndpoint, UpstreamKey, UpstreamProtocol, UpstreamTls,
};

const GOLDEN: &str = include_str!("route-table.json");

/// A table with everything that a table can have.
fn everything() -> RouteTable {
    let carts = UpstreamKey {
        kind: BackendKind::Service,
        service: ObjectKey::new("shop", "carts"),
        port: 80,
        protocol: UpstreamProtocol::Http1,
    };
    let prices = UpstreamKey {
        kind: BackendKind::Service,
        service: ObjectKey::new("shop", "prices"),
        port: 9090,
        protocol: UpstreamProtocol::H2c,
    };
    let endpoint = |host, port| UpstreamEndpoint { host, port };
    let address = |text: &str| EndpointHost::Address(text.parse().unwrap());
    RouteTable {
        client_validation: vec![ClientValidation {
            ports: [443].into(),
            authorities: vec![CaBundle::from("-----BEGIN CERTIFICATE-----\n".to_owned())],
        }],
        gateway: ObjectKey::new("infra", "web"),
        listeners: vec![TableListener {
            name: "https".to_owned(),
            port: 443,
            protocol: Protocol::Https,
            hostname: Some(Hostname::parse("*.example.com").unwrap()),
            filters: authorizers(&carts).into(),
            routes: vec![
                TableRoute {
                    broader: None,
                    key: ObjectKey::new("shop", "store"),
                    kind: RouteKind::Http,
                    created: Timestamp(1_800_000_000),
                    hostnames: vec![Hostname::parse("app.example.com").unwrap()],
                    rules: vec![rule(&carts), answered()],
                },
                TableRoute {
                    broader: None,
                    key: ObjectKey::new("shop", "prices"),
                    kind: RouteKind::Grpc,
                    created: Timestamp(1_800_000_001),
                    hostnames: vec![Hostname::parse("prices.example.com").unwrap()],
                    rules: vec![called(&prices)],
                },
            ],
        }],
        upstreams: BTreeMap::from([
            (
                carts,
                Upstream {
                    endpoints: vec![
                        endpoint(address("10.0.0.1"), 8080),
                        endpoint(address("2001:db8::1"), 8080),
                    ],
                    draining: vec![endpoint(address("10.0.0.2"), 8080)],
                    ..Upstream::default()
                },
            ),
            (
                prices,
                Upstream {
                    endpoints: vec![endpoint(EndpointHost::Name("prices.internal".into()), 9090)],
                    tls: Some(Arc::new(tls())),
                    ..Upstream::default()
                },
            ),
            (
                UpstreamKey {
                    kind: BackendKind::ServiceImport,
                    service: ObjectKey::new("shop", "carts"),
                    port: 80,
                    protocol: UpstreamProtocol::Http1,
                },
                Upstream {
                    endpoints: vec![endpoint(address("10.1.0.1"), 8080)],
                    retries: Some(RetryConstraint::default()),
                    ..Upstream::default()
                },
            ),
            (
                UpstreamKey {
                    kind: BackendKind::External,
                    service: ObjectKey::new("shop", "api"),
                    port: 443,
                    protocol: UpstreamProtocol::H2c,
                },
                Upstream {
                    endpoints: vec![endpoint(EndpointHost::Name("api.example.com".into()), 443)],
                    outside: Some(Arc::new(OutsideRules {
                        cluster_ranges: AddressRange::parse("2001:db8::/32").into_iter().collect(),
                    })),
                    ..Upstream::default()
                },
            ),
        ]),
    }
}

fn tls() -> UpstreamTls {
    UpstreamTls {
        trust: Trust::Bundles(vec![CaBundle::from(
            "-----BEGIN CERTIFICATE-----\n".to_owned(),
        )]),
        hostname: Hostname::parse("prices.internal").unwrap(),
        names: vec![
            SubjectName::Hostname(Hostname::parse("*.internal").unwrap()),
            SubjectName::Uri("spiffe://cluster.local/prices".to_owned()),
        ],
        client: Some(ClientCertificate {
            secret: ObjectKey::new("infra", "client"),
            fingerprint: Fingerprint::of(b"chain"),
        }),
    }
}

fn rule(carts: &UpstreamKey) -> TableRule {
    let matched = |path| RouteMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    };
    let [by_http, by_grpc] = authorizers(carts).map(Filter::ExternalAuth);
    TableRule {
        matches: vec![
            matched(PathMatch::Prefix("/".to_owned())),
            matched(PathMatch::Regex(Pattern::parse("/v[0-9]+").unwrap())),
            RouteMatch {
                path: PathMatch::Exact("/cart".to_owned()),
                method: Some("GET".to_owned()),
                headers: vec![HeaderMatch {
                    name: "x-version".to_owned(),
                    value: TextMatch::Exact("2".to_owned()),
                }],
                query: vec![QueryMatch {
                    name: "page".to_owned(),
                    value: TextMatch::Regex(Pattern::parse("[0-9]+").unwrap()),
                }],
            },
        ],
        filters: vec![
            modifying(Filter::RequestHeaders),
            modifying(Filter::ResponseHeaders),
            rewriting(),
            sharing(),
            mirroring(carts),
            by_http,
            by_grpc,
        ],
        policy: RulePolicy {
            timeouts: Timeouts {
                request: Some(Duration::from_secs(10)),
                backend_request: Some(Duration::from_millis(500)),
            },
            retry: Some(Retry {
                codes: vec![500, 503],
                attempts: 2,
                backoff: Some(Duration::from_millis(100)),
            }),
            session: Some(Session {
                rule: "cart".to_owned(),
                carrier: SessionCarrier::Cookie(SessionCookie {
                    name: "stay".to_owned(),
                    path: Some("/cart".to_owned()),
                    is_permanent: true,
                }),
                beats_weights: true,
                absolute: Some(Duration::from_secs(3600)),
                idle: Some(Duration::from_secs(60)),
                key: Some(SessionKey::new([15; 32])),
            }),
        },
        backends: vec![
            TableBackend {
                weight: 9,
                target: BackendTarget::Upstream(carts.clone()),
                filters: vec![modifying(Filter::RequestHeaders)],
            },
            TableBackend {
                weight: 1,
                target: BackendTarget::Invalid,
                filters: vec![modifying(Filter::ResponseHeaders), rewriting()],
            },
        ],
    }
}

fn modifying(filter: fn(HeaderModifier) -> TableFilter) -> TableFilter {
    filter(HeaderModifier {
        set: vec![("x-a".to_owned(), "1".to_owned())],
        add: vec![("x-b".to_owned(), "2".to_owned())],
        remove: vec!["x-c".to_owned()],
    })
}

fn rewriting() -> TableFilter {
    Filter::Rewrite(Rewrite {
        hostname: Some(Hostname::parse("carts.example.com").unwrap()),
        path: Some(HttpPathModifier::Prefix("/carts".to_owned())),
    })
}

fn sharing() -> TableFilter {
    let at = |is_secure, host, port| OriginPattern::At {
        is_secure,
        host,
        port,
    };
    Filter::Cors(Cors {
        origins: vec![
            OriginPattern::Any,
            at(true, OriginHost::Any, 443),
            at(
                false,
                OriginHost::Exact("shop.example.com".to_owned()),
                8080,
            ),
            at(true, OriginHost::Below("example.com".to_owned()), 443),
        ],
        credentials: true,
        methods: NameList::All,
        headers: NameList::These(vec!["x-a".to_owned(), "x-b".to_owned()]),
        exposed: NameList::All,
        max_age: 600,
    })
}

fn authorizers(to: &UpstreamKey) -> [ExternalAuth<UpstreamKey>; 2] {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let by_http = ExternalAuth {
        to: Some(to.clone()),
        protocol: AuthProtocol::Http {
            prefix: "/check".to_owned(),
            request_headers: names(&["x-token"]),
            answer_headers: names(&["x-user"]),
        },
        max_body: 1024,
    };
    let by_grpc = ExternalAuth {
        to: None,
        protocol: AuthProtocol::Grpc {
            request_headers: names(&[]),
        },
        max_body: 0,
    };
    [by_http, by_grpc]
}

fn mirroring(to: &UpstreamKey) -> TableFilter {
    Filter::Mirror(Mirror {
        to: to.clone(),
        share: Share::new(1, 100).unwrap(),
    })
}

fn called(prices: &UpstreamKey) -> TableRule {
    let matched = |service, method| RouteMatch {
        path: PathMatch::Call(Box::new(CallMatch { service, method })),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    };
    let like = TextMatch::Regex(Pattern::parse("Get|List").unwrap());
    TableRule {
        matches: vec![
            matched(Some(TextMatch::Exact("shop.Prices".to_owned())), Some(like)),
            matched(None, None),
        ],
        filters: Vec::new(),
        policy: RulePolicy {
            session: Some(Session {
                rule: "spec.rules[0]".to_owned(),
                carrier: SessionCarrier::Header("x-stay".to_owned()),
                beats_weights: true,
                absolute: None,
                idle: None,
                key: None,
            }),
            ..RulePolicy::default()
        },
        backends: vec![TableBackend {
            weight: 1,
            target: BackendTarget::Upstream(prices.clone()),
            filters: Vec::new(),
        }],
    }
}

fn answered() -> TableRule {
    let redirect = |path| {
        Filter::Redirect(Redirect {
            scheme: Some("https".to_owned()),
            hostname: Some(Hostname::parse("www.example.com").unwrap()),
            path: Some(path),
            port: Some(8443),
            status: 301,
        })
    };
    TableRule {
        matches: Vec::new(),
        filters: vec![
            redirect(HttpPathModifier::Full("/all".to_owned())),
            redirect(HttpPathModifier::Prefix("/some".to_owned())),
        ],
        policy: RulePolicy::default(),
        backends: Vec::new(),
    }
}

fn frame() -> ToProxy {
    ToProxy::Table(Table {
        format: FORMAT,
        version: Version {
            term: 3,
            counter: 14,
        },
        table: Arc::new(everything()),
    })
}

#[test]
fn a_table_is_written_as_this_format_says() {
    let written = serde_json::to_string_pretty(&frame()).unwrap();
    assert_eq!(
        written,
        GOLDEN.trim_end(),
        "the written form changed: raise wire::FORMAT, then make this the golden file:\n{written}\n"
    );
}

#[test]
fn a_table_is_read_as_it_was_written() {
    assert_eq!(serde_json::from_str::<ToProxy>(GOLDEN).unwrap(), frame());
}

#[test]
fn a_pattern_that_only_another_program_understands_takes_no_request() {
    struct NoHeaders;
    impl HeaderLookup for NoHeaders {
        fn joined(&self, _: &str) -> Option<Cow<'_, [u8]>> {
            None
        }
    }
    for (pattern, taken) in [("/v[0-9]+", true), ("/v[0-9", false), ("/v1)|(/v2", false)] {
        let written = GOLDEN
            .replace("\"/v[0-9]+\"", &format!("{pattern:?}"))
            .replace("\"prefix\": \"/\"", "\"prefix\": \"/other\"");
        let ToProxy::Table(read) = serde_json::from_str(&written).unwrap() else {
            panic!("{written}");
        };
        let matcher = Matcher::new(read.table);
        let found = matcher.select(&RequestHead {
            scheme: Scheme::Https,
            port: 443,
            host: "app.example.com",
            method: "GET",
            path: "/v1",
            query: None,
            headers: &NoHeaders,
        });
        assert_eq!(found.is_some(), taken, "{pattern}");
    }
}
