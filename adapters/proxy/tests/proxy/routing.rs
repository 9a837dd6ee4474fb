//! Which answer a request gets, and what of it reaches the endpoint.

use domain::Hostname;
use domain::gateway::{Filter, HeaderModifier, HttpPathModifier, Redirect};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::Request;
use http_body_util::{BodyExt, Empty};

use crate::endpoint::Endpoint;
use crate::rig::{
    Sketch, app_behind, arrival, bare, data, engine, fed, get, in_time, invalid, read, share,
};

#[tokio::test]
async fn each_way_of_not_being_served_has_its_status() {
    let app = Endpoint::start("app").await;
    let engine = engine();
    let response = get(&engine, "/").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(read(response).await.0, 503, "before the first table");

    let table = Sketch::default()
        .rule("/app", vec![], vec![share("app", 1)])
        .rule("/empty", vec![], vec![share("empty", 1)])
        .rule("/invalid", vec![], vec![invalid(1)])
        .rule("/weightless", vec![], vec![share("app", 0)])
        .rule("/none", vec![], vec![])
        .upstream("app", Http1, &[app.at])
        .upstream("empty", Http1, &[])
        .table();
    engine.load(table);
    for (path, status) in [
        ("/app", 200),
        ("/empty", 503),
        ("/invalid", 500),
        ("/weightless", 500),
        ("/none", 500),
        ("/elsewhere", 404),
    ] {
        let (got, body) = read(get(&engine, path).await).await;
        assert_eq!(got, status, "{path}");
        assert!(body.lines().count() == 1, "one short line: {body}");
    }
    let connect = engine.serve(arrival(), bare("CONNECT", "/app")).await;
    assert_eq!(connect.status(), 405);

    engine.clear();
    assert_eq!(get(&engine, "/app").await.status(), 503);
    assert_eq!(engine.in_flight(), 0);
}

#[tokio::test]
async fn a_head_that_the_proxy_answers_itself_gets_what_a_get_would_without_the_text() {
    let redirect = Filter::Redirect(Redirect {
        scheme: None,
        hostname: Hostname::parse("new.example").ok(),
        path: None,
        port: None,
        status: 301,
    });
    let table = Sketch::default()
        .rule("/none", vec![], vec![])
        .rule("/moved", vec![redirect], vec![])
        .table();
    for (given, table) in [("no table", None), ("a table", Some(table))] {
        let engine = engine();
        if let Some(table) = table {
            engine.load(table);
        }
        for path in ["/none", "/moved", "/elsewhere", "/a/../b"] {
            let (status, text) = read(get(&engine, path).await).await;

            let head = engine.serve(arrival(), bare("HEAD", path)).await;

            let length = head.headers()["content-length"].to_str().unwrap();
            assert_eq!(length, text.len().to_string(), "{given}: {path}");
            assert!(http_body::Body::is_end_stream(head.body()), "{path}");
            assert_eq!(read(head).await, (status, String::new()), "{given}: {path}");
        }
    }
}

#[tokio::test]
async fn a_grpc_client_is_told_in_its_own_words_too() {
    let app = Endpoint::start("app").await;
    let engine = engine();
    let table = Sketch::default()
        .rule("/app", vec![], vec![share("app", 1)])
        .rule("/empty", vec![], vec![share("empty", 1)])
        .rule("/invalid", vec![], vec![invalid(1)])
        .rule("/none", vec![], vec![])
        .upstream("app", Http1, &[app.at])
        .upstream("empty", Http1, &[])
        .table();
    engine.load(table);
    for (path, content_type, status, grpc) in [
        ("/elsewhere", "application/grpc", 404, Some("12")),
        ("/elsewhere", "application/grpc+proto", 404, Some("12")),
        ("/elsewhere", "application/grpc-web", 404, None),
        ("/elsewhere", "text/plain", 404, None),
        ("/empty", "application/grpc", 503, Some("14")),
        ("/invalid", "application/grpc", 503, Some("14")),
        ("/invalid", "text/plain", 500, None),
        ("/none", "application/grpc", 503, Some("14")),
        ("/app", "application/grpc", 200, None),
    ] {
        let mut request = bare("POST", path);
        let content_type = content_type.parse().unwrap();
        request.headers_mut().insert("content-type", content_type);
        let response = engine.serve(arrival(), request).await;
        assert_eq!(response.status(), status, "{path}");
        let told = response.headers().get("grpc-status");
        assert_eq!(
            told.map(http::HeaderValue::as_bytes),
            grpc.map(str::as_bytes),
            "{path}"
        );
        if grpc.is_some() {
            let kind = &response.headers()["content-type"];
            assert_eq!(kind, "application/grpc", "{path}");
            let is_over = http_body::Body::is_end_stream(response.body());
            assert!(is_over, "{path}: trailers alone");
        }
    }
}

#[tokio::test]
async fn path_query_host_and_method_reach_the_endpoint_unchanged() {
    for protocol in [Http1, H2c] {
        let (_app, engine) = app_behind(protocol).await;
        let request = Request::patch("/echo?a=%2F&b=//..&c=%zz")
            .header("host", "App.Example:8443")
            .header("x-own", "1")
            .body(Empty::new())
            .unwrap();
        let (_, seen) = read(engine.serve(arrival(), request).await).await;
        let (target, host) = match protocol {
            Http1 => ("PATCH /echo?a=%2F&b=//..&c=%zz", true),
            // There the host is part of the target.
            _ => (
                "PATCH http://App.Example:8443/echo?a=%2F&b=//..&c=%zz",
                false,
            ),
        };
        assert_eq!(seen.lines().next(), Some(target));
        for header in [
            "x-own: 1",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-proto: https",
            "x-forwarded-host: App.Example:8443",
        ] {
            assert!(seen.contains(header), "{header} in {seen}");
        }
        assert_eq!(seen.contains("\nhost: App.Example:8443\n"), host, "{seen}");
    }
}

#[tokio::test]
async fn a_request_in_http2_form_reaches_an_http1_endpoint_with_its_host() {
    let (_app, engine) = app_behind(Http1).await;
    let request = Request::get("https://app.example/echo?q")
        .version(http::Version::HTTP_2)
        .body(Empty::new())
        .unwrap();
    let (status, seen) = read(engine.serve(arrival(), request).await).await;
    assert_eq!(status, 200);
    assert!(seen.starts_with("GET /echo?q\n"), "{seen}");
    assert!(seen.contains("\nhost: app.example\n"), "{seen}");
}

#[tokio::test]
async fn filters_run_in_the_order_written_and_a_redirect_ends_them() {
    let app = Endpoint::start("app").await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let first = Filter::RequestHeaders(HeaderModifier {
        set: vec![pair("x-set", "1")],
        add: vec![pair("x-add", "b")],
        remove: vec!["x-gone".into()],
    });
    let second = Filter::RequestHeaders(HeaderModifier {
        set: vec![pair("x-set", "2")],
        ..Default::default()
    });
    let redirect = Filter::Redirect(Redirect {
        scheme: None,
        hostname: Hostname::parse("new.example").ok(),
        path: Some(HttpPathModifier::Prefix("/there".into())),
        port: None,
        status: 301,
    });
    let engine = engine();
    let table = Sketch::default()
        .rule("/moved", vec![redirect], vec![])
        .rule("/echo", vec![first, second], vec![share("app", 1)])
        .upstream("app", Http1, &[app.at])
        .table();
    engine.load(table);

    let request = Request::get("/echo")
        .header("host", "app.example")
        .header("x-add", "a")
        .header("x-gone", "1")
        .body(Empty::new())
        .unwrap();
    let (_, seen) = read(engine.serve(arrival(), request).await).await;
    assert!(seen.contains("x-set: 2\n"), "{seen}");
    assert!(seen.contains("x-add: a,b\n"), "{seen}");
    assert!(!seen.contains("x-gone"), "{seen}");

    let moved = get(&engine, "/moved/a?b=c").await;
    assert_eq!(moved.status(), 301);
    let location = "https://new.example/there/a?b=c";
    assert_eq!(moved.headers()["location"], location);
    assert_eq!(read(moved).await.1, "");
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_keep_their_length() {
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("pod").await;
        let engine = engine();
        engine.load(Sketch::simple(protocol, &[app.at]));
        for _ in 0..3 {
            let head = engine.serve(arrival(), bare("HEAD", "/")).await;
            assert_eq!(head.headers()["content-length"], "3");
            assert_eq!(read(head).await, (200, String::new()));
            assert_eq!(
                read(get(&engine, "/nothing").await).await,
                (204, String::new())
            );
        }
        assert_eq!(app.seen.requests(), 6);
    }
}

#[tokio::test]
async fn hop_by_hop_headers_of_an_endpoint_end_at_the_proxy() {
    let (_app, engine) = app_behind(Http1).await;
    let response = get(&engine, "/hops").await;
    let headers = response.headers();
    for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(headers["x-end"], "2");
}

#[tokio::test]
async fn a_body_arrives_whole_with_and_without_an_announced_length() {
    for protocol in [Http1, H2c] {
        let (_app, engine) = app_behind(protocol).await;
        for (method, announced) in ["POST", "GET", "DELETE", "OPTIONS"]
            .into_iter()
            .flat_map(|method| [(method, true), (method, false)])
        {
            let (feed, body) = fed();
            let mut request = Request::builder().method(method).uri("/count");
            request = request.header("host", "app.example");
            if announced {
                request = request.header("content-length", "6");
            }
            let request = request.header("expect", "100-continue").body(body).unwrap();
            tokio::spawn(async move {
                feed.send(data("abc")).await.unwrap();
                feed.send(data("def")).await.unwrap();
            });
            let answer = read(in_time(engine.serve(arrival(), request)).await).await;
            let given = format!("{protocol:?} {method} announced {announced}");
            assert_eq!(answer, (200, "6".into()), "{given}");
        }
    }
}

#[tokio::test]
async fn trailers_cross_both_ways() {
    for protocol in [Http1, H2c] {
        let (_app, engine) = app_behind(protocol).await;
        let (feed, body) = fed();
        let request = Request::post("/trailers")
            .header("host", "app.example")
            .header("te", "trailers")
            .header("trailer", "x-sent")
            .header("content-type", "application/grpc")
            .body(body)
            .unwrap();
        tokio::spawn(async move {
            feed.send(data("message")).await.unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sent", "by the client".parse().unwrap());
            let trailers = http_body::Frame::trailers(trailers);
            feed.send(Ok(trailers)).await.unwrap();
        });
        let response = engine.serve(arrival(), request).await;
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap();
        assert_eq!(trailers["grpc-status"], "0", "{protocol:?}");
        assert_eq!(trailers["x-sent"], "by the client", "{protocol:?}");
        assert_eq!(body.to_bytes(), "message");
    }
}
