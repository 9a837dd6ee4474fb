//! The written form of tables. A proxy of another release reads what the golden file has, so a change of it takes a new
//! `wire::FORMAT`. What a feature adds takes none: a table for a proxy without the feature is written without it
//! (`domain::route_table::reduced`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_table_stream::Version;
use adapter_table_stream::wire::{FORMAT, Table, ToProxy};
use domain::gateway::{
    CallMatch, EndpointHost, Filter, HeaderMatch, HeaderModifier, HttpPathModifier, PathMatch,
    Pattern, Protocol, QueryMatch, Redirect, RouteKind, RouteMatch, RulePolicy, TextMatch,
    Timeouts,
};
use domain::names::{Hostname, ObjectKey, Timestamp};
use domain::route_table::{
    BackendTarget, HeaderLookup, Matcher, RequestHead, RouteTable, Scheme, TableBackend,
    TableListener, TableRoute, TableRule, Upstream, UpstreamEndpoint, UpstreamKey,
    UpstreamProtocol,
};

const GOLDEN: &str = include_str!("route-table.json");

/// A table with everything that a table can have.
fn everything() -> RouteTable {
    let carts = UpstreamKey {
        service: ObjectKey::new("shop", "carts"),
        port: 80,
        protocol: UpstreamProtocol::Http1,
    };
    let prices = UpstreamKey {
        service: ObjectKey::new("shop", "prices"),
        port: 9090,
        protocol: UpstreamProtocol::H2c,
    };
    let endpoint = |host, port| UpstreamEndpoint { host, port };
    let address = |text: &str| EndpointHost::Address(text.parse().unwrap());
    RouteTable {
        gateway: ObjectKey::new("infra", "web"),
        listeners: vec![TableListener {
            name: "https".to_owned(),
            port: 443,
            protocol: Protocol::Https,
            hostname: Some(Hostname::parse("*.example.com").unwrap()),
            routes: vec![
                TableRoute {
                    key: ObjectKey::new("shop", "store"),
                    kind: RouteKind::Http,
                    created: Timestamp(1_800_000_000),
                    hostnames: vec![Hostname::parse("app.example.com").unwrap()],
                    rules: vec![rule(&carts), answered()],
                },
                TableRoute {
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
                },
            ),
            (
                prices,
                Upstream {
                    endpoints: vec![endpoint(EndpointHost::Name("prices.internal".into()), 9090)],
                },
            ),
        ]),
    }
}

fn rule(carts: &UpstreamKey) -> TableRule {
    let matched = |path| RouteMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    };
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
        ],
        policy: RulePolicy {
            timeouts: Timeouts {
                request: Some(Duration::from_secs(10)),
                backend_request: Some(Duration::from_millis(500)),
            },
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
                filters: vec![modifying(Filter::ResponseHeaders)],
            },
        ],
    }
}

fn modifying(filter: fn(HeaderModifier) -> Filter) -> Filter {
    filter(HeaderModifier {
        set: vec![("x-a".to_owned(), "1".to_owned())],
        add: vec![("x-b".to_owned(), "2".to_owned())],
        remove: vec!["x-c".to_owned()],
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
        policy: RulePolicy::default(),
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
