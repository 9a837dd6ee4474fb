//! Which headers and trailers of a client reach an endpoint, by their names.

use adapter_proxy::Limits;
use domain::gateway::UnderscoredHeaders::{self, Allow, Drop};
use domain::gateway::{HeaderMatch, PathMatch, RouteMatch, TextMatch};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};

use crate::endpoint::Endpoint;
use crate::rig::{
    Sketch, app_behind, app_behind_with, arrival, bare, data, engine, fed, in_time, read, share,
};

fn limits(underscored_headers: UnderscoredHeaders) -> Limits {
    Limits {
        underscored_headers,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_second_spelling_of_a_header_needs_the_setting_and_is_never_reserved() {
    let reserved = [
        "x_forwarded_for",
        "x_forwarded_proto",
        "x-forwarded_for",
        "x.forwarded.for",
        "cf_connecting_ip",
        "cf-connecting_ip",
        "cf_cloudflared_proxy_src",
        "transfer_encoding",
        "content_length",
    ];
    for protocol in [Http1, H2c] {
        for (setting, passes) in [(Drop, false), (Allow, true)] {
            let (_app, engine, _) = app_behind_with(protocol, limits(setting)).await;
            let mut request = Request::get("/echo").header("host", "app.example");
            for name in reserved.iter().chain(&["x_own", "x.own", "x-own"]) {
                request = request.header(*name, "192.0.2.1");
            }
            let request = request.body(Empty::new()).unwrap();
            let (_, seen) = read(engine.serve(arrival(), request).await).await;
            for name in reserved {
                assert!(
                    !seen.contains(&format!("\n{name}: ")),
                    "{setting:?} {name}: {seen}"
                );
            }
            for name in ["x_own", "x.own"] {
                assert_eq!(
                    seen.contains(&format!("\n{name}: ")),
                    passes,
                    "{setting:?} {name}: {seen}"
                );
            }
            assert!(seen.contains("\nx-own: 192.0.2.1\n"), "{seen}");
            assert!(seen.contains("\nx-forwarded-for: 203.0.113.7\n"), "{seen}");
        }
    }
}

#[tokio::test]
async fn te_is_named_by_connection_towards_http1_only() {
    for (protocol, connection) in [(Http1, true), (H2c, false)] {
        let (_app, engine) = app_behind(protocol).await;
        for (te, named) in [(None, false), (Some("trailers"), connection)] {
            let mut request = Request::get("/echo").header("host", "app.example");
            if let Some(te) = te {
                request = request.header("te", te);
            }
            let request = request.body(Empty::new()).unwrap();
            let (_, seen) = read(engine.serve(arrival(), request).await).await;
            assert_eq!(seen.contains("\nte: trailers\n"), te.is_some(), "{seen}");
            assert_eq!(seen.contains("\nconnection: te\n"), named, "{seen}");
        }
    }
}

#[tokio::test]
async fn options_for_the_whole_server_stay_so() {
    for (protocol, target) in [
        (Http1, "OPTIONS *\n"),
        (H2c, "OPTIONS http://app.example*\n"),
    ] {
        let (_app, engine) = app_behind(protocol).await;
        let (status, seen) = read(engine.serve(arrival(), bare("OPTIONS", "*")).await).await;
        assert_eq!(status, 200);
        assert!(seen.starts_with(target), "{seen}");
    }
}

#[tokio::test]
async fn a_rule_matches_a_value_with_bytes_beyond_ascii() {
    let rule = |value: TextMatch| RouteMatch {
        path: PathMatch::Prefix("/".into()),
        method: None,
        headers: vec![HeaderMatch {
            name: "x-city".into(),
            value,
        }],
        query: vec![],
    };
    let app = Endpoint::start("app").await;
    for (value, wanted, matches) in [
        (
            &b"S\xc3\xa3o Paulo"[..],
            TextMatch::Exact("S\u{e3}o Paulo".into()),
            true,
        ),
        (
            b"S\xc3\xa3o Paulo",
            TextMatch::Exact("Sao Paulo".into()),
            false,
        ),
        (
            b"S\xe3o Paulo",
            TextMatch::Exact("S\u{e3}o Paulo".into()),
            false,
        ),
        // A dot is one byte, and this letter has two.
        (b"S\xc3\xa3o Paulo", pattern("S..o Paulo"), true),
        (b"S\xc3\xa3o Paulo", pattern("S.o Paulo"), false),
        (b"S\xe3o Paulo", pattern("S.o .*"), true),
        (
            b"name=Jos\xc3\xa9; session=blue",
            pattern(".*session=blue"),
            true,
        ),
        (
            b"name=Jos\xe9; session=blue",
            pattern(".*session=blue"),
            true,
        ),
        (
            b"name=Jos\xe9; session=red",
            pattern(".*session=blue"),
            false,
        ),
    ] {
        let engine = engine();
        let table = Sketch::default()
            .rule("/", vec![], vec![share("app", 1)])
            .matching(rule(wanted.clone()))
            .upstream("app", Http1, &[app.at])
            .table();
        engine.load(table);
        let value = HeaderValue::from_bytes(value).unwrap();
        let request = Request::get("/").header("host", "app.example");
        let request = request.header("x-city", &value).body(Empty::new()).unwrap();
        let response = engine.serve(arrival(), request).await;
        let expected = if matches { 200 } else { 404 };
        assert_eq!(response.status(), expected, "{value:?} {wanted:?}");
    }
}

fn pattern(text: &str) -> TextMatch {
    TextMatch::Regex(domain::gateway::Pattern::parse(text).unwrap())
}

#[tokio::test]
async fn trailers_of_a_client_reach_an_endpoint_but_those_that_none_may_send() {
    let bad = [
        "connection",
        "x-forwarded-for",
        "x_forwarded_for",
        "cf-connecting-ip",
        "cookie",
        "authorization",
        "host",
        "content-length",
        "transfer-encoding",
    ];
    for protocol in [Http1, H2c] {
        for (good, announced) in [
            (&["x-sent", "x-other-bin"][..], true),
            (&[], true),
            (&[], false),
        ] {
            let (_app, engine) = app_behind(protocol).await;
            let (feed, body) = fed();
            let mut request = Request::post("/trailers").header("host", "app.example");
            let names = [good, &bad].concat();
            if announced {
                request = request.header("trailer", names.join(", "));
            }
            let request = request.header("te", "trailers").body(body).unwrap();
            tokio::spawn(async move {
                feed.send(data("message")).await.unwrap();
                let mut trailers = http::HeaderMap::new();
                for name in names {
                    trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("9"));
                }
                let trailers = http_body::Frame::trailers(trailers);
                feed.send(Ok(trailers)).await.unwrap();
            });
            let response = in_time(engine.serve(arrival(), request)).await;
            let body = in_time(response.into_body().collect()).await.unwrap();
            let got = body.trailers().unwrap()["x-got"]
                .to_str()
                .unwrap()
                .to_owned();
            assert_eq!(got, good.join(" "), "{protocol:?}");
            assert_eq!(body.to_bytes(), "message");
        }
    }
}
