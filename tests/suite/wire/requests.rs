//! What endpoints get of requests that no visitor's library sends, and of requests that endpoints break off on. The test
//! is the edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use domain::route_table::UpstreamProtocol::{self, H2c, Http1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::TRANSPORTS;
use super::endpoint::{Reached, Recorder, Said, ending};
use super::line::{Body, Ended, Field, Line, Request};
use super::nginx;
use tests::routing::Rule;

const APP: &str = "app";
const ADMIN: &str = "admin";
const CITY: &str = "city";

/// Who gets a request, with which target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Gets(&'static str, &'static str),
    /// Nobody: 400, or over HTTP/2 a stream that is reset.
    Refused,
}
use Then::{Gets, Refused};

/// A path, and who gets it.
struct Path {
    path: &'static [u8],
    source: &'static str,
    then: Then,
}

const fn path(path: &'static [u8], source: &'static str, then: Then) -> Path {
    Path { path, source, then }
}

/// A visitor should have encoded what no URI may hold (RFC 3986 §2.1). It is encoded on its way, as cloudflared does.
const ENCODED: &str = "RFC 3986 §2.1";
const ALIKE: &str = "RFC 3986 §6.2.2";

const PATHS: [Path; 40] = [
    path(b"/", ALIKE, Gets(APP, "/")),
    path(b"/a?b=c", ALIKE, Gets(APP, "/a?b=c")),
    path(b"/a?", ALIKE, Gets(APP, "/a?")),
    path(b"/a%2Fb%20c", ALIKE, Gets(APP, "/a%2Fb%20c")),
    path(b"/a<b>", ENCODED, Gets(APP, "/a%3Cb%3E")),
    path(b"/a?b=<c>", ENCODED, Gets(APP, "/a?b=%3Cc%3E")),
    path(b"/a`b", ENCODED, Gets(APP, "/a%60b")),
    path(b"/a?b=`", ENCODED, Gets(APP, "/a?b=`")),
    path(b"/a\"b", ENCODED, Gets(APP, "/a\"b")),
    path(b"/a?b=\"c\"", ENCODED, Gets(APP, "/a?b=%22c%22")),
    path(b"/a?b={\"c\":1}", ENCODED, Gets(APP, "/a?b={%22c%22:1}")),
    path(b"/a#b", ENCODED, Gets(APP, "/a%23b")),
    path(b"/a?b#c", ENCODED, Gets(APP, "/a?b%23c")),
    path(b"/a|b^c", ENCODED, Gets(APP, "/a|b^c")),
    path(b"/a{b}[c]", ENCODED, Gets(APP, "/a{b}[c]")),
    path(b"/caf\xe9", ENCODED, Gets(APP, "/caf%E9")),
    path(b"/a?b=\xe9", ENCODED, Gets(APP, "/a?b=%E9")),
    path(b"/a\xe2\x82", ENCODED, Gets(APP, "/a%E2%82")),
    path(b"/caf\xc3\xa9", ENCODED, Gets(APP, "/caf\u{e9}")),
    path(
        b"/caf\xc3\xa9/<\xff",
        ENCODED,
        Gets(APP, "/caf\u{e9}/%3C%FF"),
    ),
    path(b"/%zz", ENCODED, Gets(APP, "/%zz")),
    path(b"/a b", ENCODED, Refused),
    path(b"/a\tb", ENCODED, Refused),
    path(b"/a\x00b", ENCODED, Refused),
    path(b"/a\x7fb", ENCODED, Refused),
    path(b"/a\r\nX-B: c", ENCODED, Refused),
    path(b"/admin", ALIKE, Gets(ADMIN, "/admin")),
    path(b"/admin/a", ALIKE, Gets(ADMIN, "/admin/a")),
    path(b"/administration", ALIKE, Gets(APP, "/administration")),
    path(b"//admin", ALIKE, Gets(ADMIN, "//admin")),
    path(b"/%61dmin", ALIKE, Gets(ADMIN, "/%61dmin")),
    path(b"/%2Fadmin", ALIKE, Gets(ADMIN, "/%2Fadmin")),
    path(b"/admin%2Fa", ALIKE, Gets(ADMIN, "/admin%2Fa")),
    path(b"\\admin", ALIKE, Refused),
    path(b"/\\admin", ALIKE, Gets(ADMIN, "/\\admin")),
    path(b"/%2561dmin", ALIKE, Gets(APP, "/%2561dmin")),
    path(b"/ADMIN", ALIKE, Gets(APP, "/ADMIN")),
    path(b"/a/../admin", ALIKE, Refused),
    path(b"/a/%2e%2e/admin", ALIKE, Refused),
    path(b"/a%00", ALIKE, Refused),
];

/// Endpoints that keep what reaches them, by their names, and the rules that lead to them.
struct Endpoints([(&'static str, Recorder); 3]);

impl Endpoints {
    async fn start(protocol: UpstreamProtocol) -> Self {
        Self([
            (APP, Recorder::start(protocol).await),
            (ADMIN, Recorder::start(protocol).await),
            (CITY, Recorder::start(protocol).await),
        ])
    }

    fn rules(&self, protocol: UpstreamProtocol) -> Vec<Rule> {
        let [app, admin, city] = self.0.each_ref().map(|(_, recorder)| [recorder.at]);
        vec![
            Rule::new("/", protocol, &app),
            Rule::new("/admin", protocol, &admin),
            Rule {
                header: Some(("x-city", "S\u{e3}o Paulo")),
                ..Rule::new("/", protocol, &city)
            },
        ]
    }

    /// What has reached whom since the last call; at most one request may have.
    fn take(&self) -> Option<(&'static str, Reached)> {
        let each = self.0.iter();
        let mut all =
            each.flat_map(|(name, at)| at.take().into_iter().map(move |found| (*name, found)));
        let first = all.next();
        assert!(all.next().is_none(), "more than one request");
        first
    }
}

fn get<'a>(path: &'a [u8], fields: &'a [Field<'a>]) -> Request<'a> {
    Request {
        method: "GET",
        path,
        fields,
        body: Body::None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_reaches_the_same_endpoint_alike_over_both_transports() {
    for protocol in [Http1, H2c] {
        for transport in TRANSPORTS {
            let endpoints = Endpoints::start(protocol).await;
            let mut line = Line::start(transport, &endpoints.rules(protocol)).await;
            for row in PATHS {
                let case = format!("{} ({})", row.path.escape_ascii(), row.source);
                let case = format!("{case} over {transport:?} to {protocol:?}");
                let ended = line.send(get(row.path, &[])).await;
                let reached = endpoints.take();
                let found = reached.map(|(name, request)| (name, request.line));
                match row.then {
                    Gets(name, target) => {
                        assert_eq!(found, Some((name, format!("GET {target}"))), "{case}");
                        assert_eq!(ended, Ended::Answered(200), "{case}");
                    }
                    Refused => {
                        assert_eq!(found, None, "{case}");
                        assert!(
                            matches!(ended, Ended::Reset | Ended::Answered(400)),
                            "{case}"
                        );
                    }
                }
            }
        }
    }
}

/// Paths that nginx refuses, or sends on otherwise; a location for `/admin` takes what it reads as such.
const NGINX: &[(&[u8], Then, &str)] = &[
    (b"/a<b>", Gets(APP, "/a<b>"), AS_IT_CAME),
    (b"/a?b=<c>", Gets(APP, "/a?b=<c>"), AS_IT_CAME),
    (b"/a`b", Gets(APP, "/a`b"), AS_IT_CAME),
    (b"/a?b=\"c\"", Gets(APP, "/a?b=\"c\""), AS_IT_CAME),
    (b"/a?b={\"c\":1}", Gets(APP, "/a?b={\"c\":1}"), AS_IT_CAME),
    (b"/a#b", Gets(APP, "/a#b"), AS_IT_CAME),
    (b"/a?b#c", Gets(APP, "/a?b#c"), AS_IT_CAME),
    (b"/caf\xe9", Gets(APP, "/caf\u{fffd}"), AS_IT_CAME),
    (b"/a?b=\xe9", Gets(APP, "/a?b=\u{fffd}"), AS_IT_CAME),
    (b"/a\xe2\x82", Gets(APP, "/a\u{fffd}"), AS_IT_CAME),
    (
        b"/caf\xc3\xa9/<\xff",
        Gets(APP, "/caf\u{e9}/<\u{fffd}"),
        AS_IT_CAME,
    ),
    (
        b"/%zz",
        Refused,
        "no URI (RFC 3986 \u{a7}2.1), but harmless: what endpoints make of it is their own",
    ),
    (
        b"/a\r\nX-B: c",
        Gets(APP, "/a"),
        "a line of HTTP/0.9, which a path is not over HTTP/2",
    ),
    (
        b"/administration",
        Gets(ADMIN, "/administration"),
        "its prefixes are of characters, the Gateway API's of segments",
    ),
    (
        b"/\\admin",
        Gets(APP, "/\\admin"),
        "endpoints on Windows read it as a slash, so ours goes to whoever guards the path",
    ),
    (
        b"/a/../admin",
        Gets(ADMIN, "/a/../admin"),
        "ours refuses what clients remove (RFC 3986 \u{a7}5.2.4)",
    ),
    (
        b"/a/%2e%2e/admin",
        Gets(ADMIN, "/a/%2e%2e/admin"),
        "ours refuses what clients remove (RFC 3986 \u{a7}5.2.4)",
    ),
];

const AS_IT_CAME: &str =
    "passes on what no URI may hold (RFC 3986 \u{a7}2), as bytes; shown as text";

#[tokio::test(flavor = "multi_thread")]
async fn nginx_takes_paths_alike_but_for_those_that_say_otherwise() {
    let endpoints = Endpoints::start(Http1).await;
    let [app, admin, _] = endpoints
        .0
        .each_ref()
        .map(|(_, recorder)| vec![recorder.at]);
    let locations = [("/".to_owned(), app), ("/admin".to_owned(), admin)];
    let Some(nginx) = nginx::before(&locations).await else {
        return;
    };
    let mut wrong = Vec::new();
    for row in PATHS {
        let mut io = nginx.connect().await;
        let tail = b" HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n";
        io.write_all(&[b"GET ", row.path, tail].concat())
            .await
            .unwrap();
        let mut answer = Vec::new();
        let _ = io.read_to_end(&mut answer).await;
        let path = row.path.escape_ascii().to_string();
        let found = endpoints.take().map(|(name, request)| (name, request.line));
        let differs = NGINX.iter().find(|(other, ..)| *other == row.path);
        let (then, why) = differs.map_or((row.then, ""), |(_, then, why)| (*then, *why));
        let expected = match then {
            Gets(name, target) => Some((name, format!("GET {target}"))),
            Refused => None,
        };
        println!("nginx: {path}: {found:?}; here {:?} {why}", row.then);
        if found != expected {
            wrong.push(format!("{path}: {found:?} and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A header of a visitor, and what an endpoint gets under that name.
type Header = (
    &'static str,
    &'static [u8],
    Option<&'static [u8]>,
    &'static str,
);

const FORGED: &str = "docs/routing.md; RFC 9110 §5.1";
const VALUE: &str = "RFC 9110 §5.5";

const HEADERS: [Header; 24] = [
    ("x-own", b"a", Some(b"a"), VALUE),
    ("x-own", b"", Some(b""), VALUE),
    ("x-own", b"S\xc3\xa3o", Some(b"S\xc3\xa3o"), VALUE),
    ("x-own", b"S\xe3o", Some(b"S\xe3o"), VALUE),
    ("x-own", b"a\tb", Some(b"a\tb"), VALUE),
    ("x_own", b"a", None, FORGED),
    ("x.own", b"a", None, FORGED),
    ("x_forwarded_for", b"10.0.0.1", None, FORGED),
    ("x-forwarded_for", b"10.0.0.1", None, FORGED),
    ("x_forwarded_proto", b"http", None, FORGED),
    ("cf_connecting_ip", b"10.0.0.1", None, FORGED),
    ("true_client_ip", b"10.0.0.1", None, FORGED),
    ("content_length", b"9", None, FORGED),
    ("transfer_encoding", b"chunked", None, FORGED),
    (
        "x-forwarded-proto",
        b"gopher",
        Some(b"https"),
        "docs/routing.md",
    ),
    (
        "x-forwarded-host",
        b"internal",
        Some(b"app.example.com"),
        "docs/routing.md",
    ),
    ("x-forwarded-prefix", b"/internal", None, "docs/routing.md"),
    ("forwarded", b"for=10.0.0.1", None, "RFC 7239 §8.1"),
    (
        "cf-cloudflared-request-headers",
        b"a",
        None,
        "docs/routing.md",
    ),
    ("expect", b"100-continue", None, "RFC 9110 §10.1.1"),
    ("te", b"trailers", Some(b"trailers"), "RFC 9110 §10.1.4"),
    ("cookie", b"a=1; b=S\xe3o", Some(b"a=1; b=S\xe3o"), VALUE),
    ("authorization", b"Basic YTpi", Some(b"Basic YTpi"), VALUE),
    ("range", b"bytes=0-1", Some(b"bytes=0-1"), VALUE),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_header_reaches_an_endpoint_or_not_alike_over_both_transports() {
    for protocol in [Http1, H2c] {
        for transport in TRANSPORTS {
            let endpoints = Endpoints::start(protocol).await;
            let mut line = Line::start(transport, &endpoints.rules(protocol)).await;
            for (name, value, then, source) in HEADERS {
                let case = format!("{name}: {} ({source})", value.escape_ascii());
                let case = format!("{case} over {transport:?} to {protocol:?}");
                let ended = line.send(get(b"/", &[(name, value)])).await;
                assert_eq!(ended, Ended::Answered(200), "{case}");
                let (_, reached) = endpoints.take().expect("a request");
                let expected: Vec<&[u8]> = then.into_iter().collect();
                assert_eq!(reached.values(name), expected, "{case}");
            }
            let city = b"S\xc3\xa3o Paulo";
            let joined = [("x-city", &city[..]), ("x-city", b"\xff")];
            for (fields, name) in [(&joined[..1], CITY), (&joined[1..], APP), (&joined, APP)] {
                line.send(get(b"/", fields)).await;
                let (found, _) = endpoints.take().expect("a request");
                assert_eq!(found, name, "{fields:?} over {transport:?}");
            }
        }
    }
}

/// QUIC has no place for trailers.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_request_reach_an_endpoint_but_those_that_none_may_send() {
    let trailers: [Field<'_>; 6] = [
        ("x-sum", b"1"),
        ("x-forwarded-for", b"10.0.0.1"),
        ("cf-connecting-ip", b"10.0.0.1"),
        ("cookie", b"a=b"),
        ("authorization", b"Basic YTpi"),
        ("content-length", b"9"),
    ];
    let endpoints = Endpoints::start(H2c).await;
    let rules = endpoints.rules(H2c);
    let mut line = Line::start(TRANSPORTS[0], &rules).await;
    let ended = line.send(Request {
        method: "POST",
        path: b"/",
        fields: &[("te", b"trailers")],
        body: Body::Trailers(b"body", &trailers),
    });
    assert_eq!(ended.await, Ended::Answered(200));
    let (_, reached) = endpoints.take().expect("a request");
    assert_eq!(reached.body, b"body");
    assert_eq!(reached.trailers, [("x-sum".to_owned(), b"1".to_vec())]);
}

/// A request that endpoints break off on.
struct Again {
    method: &'static str,
    body: Body<'static>,
    protocol: UpstreamProtocol,
    /// `None` closes the connection.
    how: Option<Said>,
    /// How many requests are ended so; there are three endpoints.
    endings: usize,
    /// How many reach an endpoint, and whether the last one is answered.
    then: (usize, bool),
}

/// RFC 9110 §9.2.2 for requests that an endpoint may have acted upon, RFC 9113 §8.7 for those that it did not.
fn again() -> Vec<Again> {
    let row = |method, body, protocol, how, endings, then| Again {
        method,
        body,
        protocol,
        how,
        endings,
        then,
    };
    let (none, body) = (Body::None, Body::Length(b"body"));
    let left_out = Some(Said::GoAway { processed: false });
    let refused = Some(Said::Reset(7));
    let cancelled = Some(Said::Reset(8));
    let (many, answered) = (usize::MAX, (2, true));
    let mut rows = vec![
        row("GET", none, Http1, None, 1, answered),
        row("GET", none, Http1, None, many, (3, false)),
        row("HEAD", none, Http1, None, 1, answered),
        row("PUT", none, Http1, None, 1, answered),
        row("DELETE", none, Http1, None, 1, answered),
        row("POST", none, Http1, None, 1, (1, false)),
        row("POST", body, Http1, None, 1, (1, false)),
        row("PATCH", body, Http1, None, 1, (1, false)),
        row("GET", none, H2c, None, 1, answered),
        row("POST", none, H2c, None, 1, (1, false)),
        row("POST", body, H2c, None, 1, (1, false)),
        row("GET", none, H2c, cancelled.clone(), 1, answered),
        row("POST", body, H2c, cancelled, 1, (1, false)),
        row("POST", body, H2c, refused.clone(), 7, (8, true)),
        row("POST", body, H2c, left_out.clone(), 7, (8, true)),
    ];
    for how in [refused, left_out] {
        for body in [none, body] {
            rows.push(row("POST", body, H2c, how.clone(), 1, answered));
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_again_only_where_that_does_no_harm_over_both_transports() {
    for transport in TRANSPORTS {
        for row in again() {
            let seen = Arc::new(AtomicUsize::new(0));
            let mut at = Vec::new();
            for _ in 0..3 {
                let seen = Arc::clone(&seen);
                at.push(ending(row.how.clone(), row.endings, row.protocol, seen).await);
            }
            let rules = [Rule::new("/", row.protocol, &at)];
            let mut line = Line::start(transport, &rules).await;
            let ended = line.send(Request {
                method: row.method,
                path: b"/",
                fields: &[],
                body: row.body,
            });
            let is_answered = ended.await == Ended::Answered(200);
            let found = (seen.load(SeqCst), is_answered);
            let (method, body, how) = (row.method, row.body, row.how);
            let case = format!("{method} {body:?}, {:?} {how:?}", row.protocol);
            assert_eq!(
                found, row.then,
                "{case} {} times over {transport:?}",
                row.endings
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_sends_requests_again_alike() {
    for (method, then) in [
        ("GET", 3),
        ("PUT", 3),
        ("DELETE", 3),
        ("POST", 1),
        ("PATCH", 1),
    ] {
        let seen = Arc::new(AtomicUsize::new(0));
        let mut at = Vec::new();
        for _ in 0..3 {
            at.push(ending(None, usize::MAX, Http1, Arc::clone(&seen)).await);
        }
        let Some(nginx) = nginx::before(&[("/".to_owned(), at)]).await else {
            return;
        };
        let mut io = nginx.connect().await;
        let lines = "Host: app.example.com\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
        let request = format!("{method} / HTTP/1.1\r\n{lines}");
        io.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = io.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 502 "), "{method}");
        assert_eq!(seen.load(SeqCst), then, "{method}");
    }
}
