//! Requests with nothing wrong with them: each reaches an endpoint the same, byte by byte, whatever carries it.

use domain::route_table::UpstreamProtocol::{H2c, Http1};

use super::TRANSPORTS;
use super::endpoint::{Reached, Recorder};
use super::line::{Body, Ended, Field, Line, Request};
use tests::routing::Rule;

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT",
];

const PATHS: [&str; 12] = [
    "/",
    "/a/b/c",
    "/a%20b%2Fc",
    "/caf%C3%A9",
    "/caf\u{e9}",
    "/a;b=c,d",
    "/a?b=c&d=%26e",
    "/?a=b?c/d",
    "/a?",
    "/~a-b_c.d!$&'()*+,;=:@",
    "/a//b/",
    "/%7Ea/%41",
];

const FIELDS: [&[Field<'static>]; 6] = [
    &[],
    &[("accept", b"*/*"), ("user-agent", b"curl/8.0")],
    &[("x-a", b"1"), ("x-b", b"2"), ("x-a", b"3")],
    &[("cookie", b"a=1; b=2"), ("x-city", b"S\xc3\xa3o")],
    &[
        ("cf-connecting-ip", b"192.0.2.7"),
        ("x-forwarded-for", b"192.0.2.7"),
        ("x-forwarded-proto", b"https"),
        ("cdn-loop", b"cloudflare"),
    ],
    &[
        ("x-empty", b""),
        ("authorization", b"Bearer x"),
        ("te", b"trailers"),
    ],
];

const BODIES: [Body<'static>; 5] = [
    Body::None,
    Body::Length(b"body"),
    Body::Length(&[b'x'; 9_000]),
    Body::Unknown(b"body"),
    Body::Unknown(b"GET /b HTTP/1.1\r\nHost: b\r\n\r\n\0\xff"),
];

/// A question to the whole server, and every method with every path, and headers and bodies in turn, so that each pair comes up.
fn requests() -> Vec<Request<'static>> {
    let mut requests = vec![Request {
        method: "OPTIONS",
        path: b"*",
        fields: &[],
        body: Body::None,
    }];
    for (m, method) in METHODS.into_iter().enumerate() {
        for (p, path) in PATHS.into_iter().enumerate() {
            for turn in 0..2 {
                requests.push(Request {
                    method,
                    path: path.as_bytes(),
                    fields: FIELDS[(m + p + turn) % FIELDS.len()],
                    body: BODIES[(m + 2 * p + 3 * turn) % BODIES.len()],
                });
            }
        }
    }
    requests
}

/// Without the name that each connector adds of itself.
fn plain(mut reached: Reached) -> Reached {
    reached.fields.retain(|(name, _)| name != "cf-warp-tag-id");
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_request_reaches_an_endpoint_the_same_over_both_transports() {
    for protocol in [Http1, H2c] {
        let endpoint = Recorder::start(protocol).await;
        let rules = [Rule::new("/", protocol, &[endpoint.at])];
        let mut lines = Vec::new();
        for transport in TRANSPORTS {
            lines.push(Line::start(transport, &rules).await);
        }
        assert!(requests().len() >= 100);
        for request in requests() {
            let mut seen = Vec::new();
            for line in &mut lines {
                let ended = line.send(request).await;
                assert_eq!(ended, Ended::Answered(200), "{request:?}");
                let mut reached = endpoint.take();
                let one = reached.pop().expect("a request");
                assert!(reached.is_empty(), "one request: {request:?}");
                seen.push(plain(one));
            }
            assert_eq!(seen[0], seen[1], "{request:?} to {protocol:?}");
            let body: &[u8] = match request.body {
                Body::Length(body) | Body::Unknown(body) => body,
                Body::None | Body::Trailers(..) => b"",
            };
            assert_eq!(seen[0].body, body, "{request:?} to {protocol:?}");
            let path = String::from_utf8_lossy(request.path);
            assert_eq!(seen[0].line, format!("{} {path}", request.method));
        }
    }
}
