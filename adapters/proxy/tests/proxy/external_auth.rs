//! ExternalAuth by HTTP: what an authorizer is asked, and what becomes of the request.

use std::time::Duration;

use adapter_proxy::Limits;
use domain::gateway::{AuthProtocol, ExternalAuth, Filter, Timeouts};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::net::TcpListener;

use crate::authorizer::{Authorizer, by_http, of_frames, says, sketch};
use crate::endpoint::{Endpoint, refusing};
use crate::rig::{
    Sketch, arrival, bare, data, engine, engine_with, fed, get, in_time, read, share,
};

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_http_authorizer_gets_what_the_client_asked_for_and_the_backend_what_it_says() {
    let fields = &[
        ("x-user", "ada"),
        ("x-user", "countess"),
        ("content-type", "text/html"),
        ("content-encoding", "br"),
        ("host", "other.example"),
        ("keep-alive", "timeout=5"),
        ("set-cookie", "a=1"),
    ];
    let listed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        let auth = Authorizer::saying(200, fields, "").await;
        for (answer_headers, given) in [(&[][..], "all"), (&["x-user", "x-role", "host"], "listed")]
        {
            let filter = ExternalAuth {
                protocol: AuthProtocol::Http {
                    prefix: "/check".into(),
                    request_headers: listed(&["x-token", "authorization", "te", "content-length"]),
                    answer_headers: listed(answer_headers),
                },
                ..by_http()
            };
            let engine = engine();
            let filters = vec![Filter::ExternalAuth(filter)];
            engine.load(sketch(filters, &app, (protocol, auth.at)).table());
            let request = Request::post("/echo/a%2Fb?q=1")
                .header("host", "app.example")
                .header("authorization", "Bearer 1")
                .header("x-token", "t")
                .header("x-other", "o")
                .header("x-user", "forged")
                .header("x-role", "admin")
                .header("content-type", "application/json")
                .header("cookie", "c=1");
            let body = StreamBody::new(futures_util::stream::iter([data("12345")]));
            let answer = engine.serve(arrival(), request.body(body).unwrap()).await;
            let (status, echo) = in_time(read(answer)).await;
            assert_eq!(status, 200, "{given}");

            let asked = auth.take().pop().unwrap();
            let uri = asked.uri().path_and_query().unwrap().as_str();
            assert_eq!(
                (asked.method().as_str(), uri),
                ("POST", "/check/echo/a%2Fb?q=1")
            );
            let host = asked
                .headers()
                .get("host")
                .map(|host| host.to_str().unwrap());
            let authority = asked.uri().authority().map(http::uri::Authority::as_str);
            assert_eq!(host.or(authority), Some("app.example"), "{protocol:?}");
            assert_eq!(
                asked.headers()["content-length"],
                "0",
                "no body is forwarded"
            );
            assert_eq!(asked.headers()["authorization"], "Bearer 1");
            let mut told = names(asked.headers());
            told.retain(|name| *name != "host");
            assert_eq!(told, ["authorization", "content-length", "x-token"]);
            assert_eq!(asked.body().len(), 0);

            let lines: Vec<&str> = echo.lines().collect();
            let is_all = answer_headers.is_empty();
            for (line, is_there) in [
                ("x-user: ada", true),
                ("x-user: countess", true),
                ("x-user: forged", false),
                // A name of the list that the answer does not have is not the client's to write.
                ("x-role: admin", is_all),
                ("set-cookie: a=1", is_all),
                ("content-type: application/json", true),
                ("content-encoding: br", false),
                ("host: app.example", true),
                ("host: other.example", false),
                ("x-other: o", true),
            ] {
                assert_eq!(
                    lines.contains(&line),
                    is_there,
                    "{line} of {given} in {echo}"
                );
            }
            assert!(!echo.contains("keep-alive"), "{echo}");
        }
    }
}

#[tokio::test]
async fn only_200_permits_and_a_denial_is_passed_on() {
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        for (said, status, text) in [
            (200, 200, "app"),
            (201, 403, "the request is not permitted\n"),
            (204, 403, "the request is not permitted\n"),
            (302, 302, "no"),
            (401, 401, "no"),
            (403, 403, "no"),
            (429, 429, "no"),
            (500, 503, "the request could not be authorized\n"),
            (503, 503, "the request could not be authorized\n"),
        ] {
            let fields = &[
                ("www-authenticate", "Basic"),
                ("location", "/login"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=1"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
            ];
            let auth = Authorizer::start(move |request| {
                let fields = if protocol == H2c {
                    &fields[..4]
                } else {
                    fields
                };
                let has_body = said != 204 && request.method() != "HEAD";
                says(said, fields, if has_body { "no" } else { "" })
            });
            let auth = auth.await;
            let (engine, metrics) = engine_with(Limits::default());
            let filters = vec![Filter::ExternalAuth(by_http())];
            engine.load(sketch(filters, &app, (protocol, auth.at)).table());
            let before = app.seen.requests();
            for method in ["GET", "HEAD"] {
                let answer = in_time(engine.serve(arrival(), bare(method, "/"))).await;
                let given = format!("{method}: {said} over {protocol:?}");
                assert_eq!(answer.status(), status, "{given}");
                let is_passed_on = (300..500).contains(&said);
                let headers = answer.headers();
                assert_eq!(
                    headers.contains_key("www-authenticate"),
                    is_passed_on,
                    "{given}"
                );
                let cookies = headers.get_all("set-cookie").iter().count();
                assert_eq!(cookies, if is_passed_on { 2 } else { 0 }, "{given}");
                assert!(!headers.contains_key("x-hop"), "{given}");
                let (_, body) = in_time(read(answer)).await;
                assert_eq!(body, if method == "GET" { text } else { "" }, "{given}");
            }
            let reached = app.seen.requests() - before;
            assert_eq!(reached, if said == 200 { 2 } else { 0 }, "{said}");
            let outcome = match said {
                200 => "permitted",
                201..500 => "denied",
                _ => "failed",
            };
            assert_eq!(metrics.authorized()[outcome], 2, "{said}");
        }
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_an_authorizer_no_request_gets_past_it() {
    let app = Endpoint::start("app").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = crate::endpoint::bare(|mut stream| async move {
        crate::endpoint::read_head(&mut stream).await;
    });
    let nonsense = crate::endpoint::bare(|mut stream| async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail\r\n").await;
        crate::endpoint::read_head(&mut stream).await;
    });
    let large = crate::endpoint::bare(|mut stream| async move {
        let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200 << 10));
        crate::endpoint::read_head(&mut stream).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await;
    });
    let many = Authorizer::start(|_| {
        let mut response = says(200, &[], "");
        for _ in 0..300 {
            response.headers_mut().append("x", "1".parse().unwrap());
        }
        response
    });
    let times = |request: Option<u64>| Timeouts {
        request: request.map(Duration::from_millis),
        backend_request: None,
    };
    let silent = silent.local_addr().unwrap();
    let (refusing, broken, nonsense, large) = tokio::join!(refusing(), broken, nonsense, large);
    let cases = [
        ("it refuses connections", vec![refusing], None, 503),
        ("it has no endpoint", vec![], None, 503),
        ("it is silent", vec![silent], None, 503),
        (
            "it is silent for the time of the request",
            vec![silent],
            Some(200),
            504,
        ),
        ("it breaks off", vec![broken], None, 503),
        ("it speaks something else", vec![nonsense], None, 503),
        ("it answers with a large head", vec![large], None, 503),
        (
            "the request has too many headers then",
            vec![many.await.at],
            None,
            431,
        ),
    ];
    let rows = cases.into_iter().map(|(given, at, time, status)| {
        let app = &app;
        async move {
            let limits = Limits {
                authorizer_timeout: Duration::from_millis(500),
                ..Limits::default()
            };
            let (engine, _) = engine_with(limits);
            let table = Sketch::default()
                .rule(
                    "/",
                    vec![Filter::ExternalAuth(by_http())],
                    vec![share("app", 1)],
                )
                .within(times(time))
                .upstream("app", Http1, &[app.at])
                .upstream("auth", Http1, &at);
            engine.load(table.table());
            assert_eq!(in_time(get(&engine, "/")).await.status(), status, "{given}");
        }
    });
    join_all(rows).await;
    let nowhere = ExternalAuth {
        to: None,
        ..by_http()
    };
    for (given, filter) in [
        ("it does not resolve", nowhere),
        ("it has no upstream", by_http()),
    ] {
        let engine = engine();
        let table = Sketch::default()
            .rule(
                "/",
                vec![Filter::ExternalAuth(filter)],
                vec![share("app", 1)],
            )
            .upstream("app", Http1, &[app.at]);
        engine.load(table.table());
        assert_eq!(get(&engine, "/").await.status(), 500, "{given}");
    }
    assert_eq!(app.seen.requests(), 0);
}

#[tokio::test]
async fn an_authorizer_gets_a_body_of_the_size_it_asks_for_and_the_backend_gets_it_too() {
    for protocol in [Http1, H2c] {
        let app = Endpoint::start("app").await;
        let auth = Authorizer::saying(200, &[], "").await;
        let filter = ExternalAuth {
            max_body: 8,
            ..by_http()
        };
        let engine = engine();
        // A second one reads it again.
        let filters = vec![
            Filter::ExternalAuth(filter.clone()),
            Filter::ExternalAuth(filter),
        ];
        engine.load(sketch(filters, &app, (protocol, auth.at)).table());
        for (pieces, length, then) in [
            (&["123", "45678"][..], None, Some("12345678")),
            (&["12345678"], Some("8"), Some("12345678")),
            (&[], None, Some("")),
            (&["12345", "6789"], None, None),
            (&["123456789"], Some("9"), None),
        ] {
            let given = format!("{pieces:?} of {length:?} over {protocol:?}");
            let end = HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())]);
            let frames = pieces.iter().map(|piece| data(*piece));
            let frames = frames.chain([Ok(Frame::trailers(end))]);
            let frames = futures_util::stream::iter(frames.collect::<Vec<_>>());
            let mut request = Request::post("/kept").header("host", "app.example");
            if let Some(length) = length {
                request = request.header("content-length", length);
            } else {
                request = request.header("trailer", "x-end");
            }
            let request = request.body(StreamBody::new(frames)).unwrap();
            let answer = in_time(engine.serve(arrival(), request)).await;
            let asked = auth.take();
            let mut kept = std::mem::take(&mut *app.seen.kept.lock().unwrap());
            let Some(body) = then else {
                assert_eq!(answer.status(), 413, "{given}");
                assert!(asked.is_empty() && kept.is_empty(), "{given}");
                continue;
            };
            assert_eq!(answer.status(), 200, "{given}");
            assert_eq!(asked.len(), 2, "{given}");
            for asked in asked {
                assert_eq!(asked.body(), body, "{given}");
                assert_eq!(
                    asked.headers()["content-length"],
                    body.len().to_string(),
                    "{given}"
                );
            }
            let (_, reached, end) = kept.pop().unwrap();
            assert_eq!(reached, body, "{given}");
            assert_eq!(end, if length.is_none() { "1" } else { "" }, "{given}");
        }
    }
}

#[tokio::test]
async fn a_body_that_no_authorizer_gets_streams_and_one_that_it_gets_may_break_off() {
    let app = Endpoint::start("app").await;
    let auth = Authorizer::saying(200, &[], "").await;
    for (max_body, status) in [(0, 200), (8, 400)] {
        let filter = ExternalAuth {
            max_body,
            ..by_http()
        };
        let engine = engine();
        let filters = vec![Filter::ExternalAuth(filter)];
        engine.load(sketch(filters, &app, (Http1, auth.at)).table());
        let (feed, body) = fed();
        let request = Request::post("/early").header("host", "app.example");
        let serving = engine.serve(arrival(), request.body(body).unwrap());
        let feeding = async {
            feed.send(data("some")).await.unwrap();
            if max_body > 0 {
                feed.send(Err("gone".into())).await.unwrap();
            }
        };
        let (answer, ()) = in_time(async { tokio::join!(serving, feeding) }).await;
        assert_eq!(
            answer.status(),
            status,
            "the answer comes before the end of the body"
        );
        drop(feed);
        if status == 200 {
            assert_eq!(in_time(read(answer)).await.1, "early 4");
        }
    }
}

#[tokio::test]
async fn a_denial_is_streamed_and_cut_off_where_it_is_too_long() {
    let app = Endpoint::start("app").await;
    let chunk = || data(vec![b'x'; 1 << 18]);
    for (given, chunks, then) in [
        ("1 MiB", 4, Some(1 << 20)),
        ("more, of which nobody knew", 5, None),
    ] {
        let auth = Authorizer::start(move |_| {
            let frames = (0..chunks).map(|_| chunk()).collect();
            let mut response = Response::new(of_frames(frames));
            *response.status_mut() = http::StatusCode::UNAUTHORIZED;
            response
        });
        let engine = engine();
        let filters = vec![Filter::ExternalAuth(by_http())];
        engine.load(sketch(filters, &app, (Http1, auth.await.at)).table());
        let answer = in_time(get(&engine, "/")).await;
        assert_eq!(answer.status(), 401, "{given}");
        let mut body = answer.into_body();
        let mut read = Some(0);
        while let (Some(frame), Some(bytes)) = (in_time(body.frame()).await, read) {
            let frame = frame.ok().and_then(|frame| frame.into_data().ok());
            read = frame.map(|data| bytes + data.len());
        }
        assert_eq!(read, then, "{given}");
    }
    let auth = Authorizer::start(|_| {
        let mut response = says(401, &[("content-length", "1048577")], "");
        *response.body_mut() = of_frames(vec![data(vec![b'x'; (1 << 20) + 1])]);
        response
    });
    let engine = engine();
    let filters = vec![Filter::ExternalAuth(by_http())];
    engine.load(sketch(filters, &app, (Http1, auth.await.at)).table());
    let answer = in_time(get(&engine, "/")).await;
    assert_eq!(answer.status(), 503, "more than that is announced");
}
