//! ExternalAuth by gRPC, and gRPC clients.

use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;

use adapter_proxy::Limits;
use bytes::Bytes;
use domain::gateway::{AuthProtocol, ExternalAuth, Filter};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;

use crate::authorizer::{Authorizer, Body, by_http, of_frames, says, sketch};
use crate::endpoint::Endpoint;
use crate::rig::{Sketch, arrival, data, engine, engine_with, in_time, read, share};

/// A message of protocol buffers with one field of bytes, shorter than 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    [&[number << 3 | 2, length][..], bytes].concat()
}

/// An answer of a gRPC authorizer.
fn checked(message: &[u8], status: &'static str) -> Response<Body> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    let trailers =
        HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
    let frames = vec![data(body), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(of_frames(frames));
    let kind = "application/grpc".parse().unwrap();
    response.headers_mut().insert("content-type", kind);
    response
}

#[tokio::test]
async fn a_grpc_authorizer_is_asked_by_envoys_protocol() {
    let app = Endpoint::start("app").await;
    let header = |name: &str, value: &str| {
        let header = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        field(1, &header)
    };
    let ok = field(1, b"");
    let user = field(2, &header("x-user", "ada"));
    let removed = field(5, b"authorization");
    let seen = field(6, &header("x-seen", "1"));
    let permitted = [ok.clone(), field(3, &[user, removed, seen].concat())].concat();
    let code = field(1, b"\x08\x10");
    let status = field(1, b"\x08\xae\x02");
    let location = field(2, &header("location", "/login"));
    let page = field(3, b"log in");
    let denied = [code.clone(), field(2, &[status, location, page].concat())].concat();
    let cases: Vec<(&str, Response<Body>, u16, &str)> = vec![
        ("permitted", checked(&permitted, "0"), 200, "GET"),
        (
            "denied, with an answer",
            checked(&denied, "0"),
            302,
            "log in",
        ),
        (
            "denied",
            checked(&code, "0"),
            403,
            "the request is not permitted\n",
        ),
        (
            "an error of gRPC",
            checked(&ok, "13"),
            503,
            "the request could not be authorized\n",
        ),
        (
            "nothing",
            checked(b"", "0"),
            503,
            "the request could not be authorized\n",
        ),
        (
            "an error of HTTP",
            says(404, &[], ""),
            503,
            "the request could not be authorized\n",
        ),
        (
            "another protocol",
            says(200, &[], "{}"),
            503,
            "the request could not be authorized\n",
        ),
        (
            "a message above 256 KiB",
            checked(&[0; 300 << 10], "0"),
            503,
            "the request could not be authorized\n",
        ),
    ];
    for (given, answer, status, text) in cases {
        let answer = Mutex::new(Some(answer));
        let auth = Authorizer::start(move |_| answer.lock().unwrap().take().unwrap()).await;
        let filter = ExternalAuth {
            protocol: AuthProtocol::Grpc {
                request_headers: vec![],
            },
            max_body: 100,
            ..by_http()
        };
        let (engine, _) = engine_with(Limits::default());
        let filters = vec![Filter::ExternalAuth(filter)];
        engine.load(sketch(filters, &app, (H2c, auth.at)).table());
        let before = app.seen.requests();
        let request = Request::get("/echo/a?q=1")
            .header("host", "app.example")
            .header("authorization", "Bearer 1")
            .header("x-user", "forged");
        let body = StreamBody::new(futures_util::stream::iter([data("12345")]));
        let answer = in_time(engine.serve(arrival(), request.body(body).unwrap())).await;
        assert_eq!(answer.status(), status, "{given}");
        let is_permitted = status == 200;
        assert_eq!(
            answer.headers().contains_key("x-seen"),
            is_permitted,
            "{given}"
        );
        if status == 302 {
            assert_eq!(answer.headers()["location"], "/login");
        }
        let (_, body) = in_time(read(answer)).await;
        assert!(body.starts_with(text), "{given}: {body}");
        if is_permitted {
            assert!(
                body.contains("x-user: ada") && !body.contains("forged"),
                "{body}"
            );
            assert!(!body.contains("authorization"), "{body}");
        }
        assert_eq!(
            app.seen.requests() - before,
            usize::from(is_permitted),
            "{given}"
        );

        let asked = auth.take().pop().unwrap();
        assert_eq!(asked.method(), "POST");
        assert_eq!(
            asked.uri().path(),
            "/envoy.service.auth.v3.Authorization/Check"
        );
        assert_eq!(asked.uri().authority().unwrap(), "auth.shop");
        assert_eq!(asked.headers()["content-type"], "application/grpc");
        assert_eq!(asked.headers()["te"], "trailers");
        assert_eq!(asked.headers()["grpc-timeout"], "10000m");
        let [0, a, b, c, d, message @ ..] = &asked.body()[..] else {
            panic!("{asked:?}");
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        assert_eq!(length, message.len());
        for told in [
            "203.0.113.7",
            "/echo/a?q=1",
            "Bearer 1",
            "12345",
            "app.example",
        ] {
            let told = told.as_bytes();
            assert!(
                message.windows(told.len()).any(|part| part == told),
                "{told:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_grpc_client_gets_grpc_statuses() {
    let app = Endpoint::start("app").await;
    for (said, fields, status, grpc) in [
        (401, &[("www-authenticate", "Bearer")][..], 401, "16"),
        (403, &[], 403, "7"),
        (302, &[("location", "/login")], 302, "2"),
        (500, &[], 503, "14"),
    ] {
        let auth = Authorizer::start(move |_| says(said, fields, "no")).await;
        let engine = engine();
        let filters = vec![Filter::ExternalAuth(by_http())];
        engine.load(sketch(filters, &app, (Http1, auth.at)).table());
        let request = Request::post("/shop.Prices/Get")
            .header("host", "app.example")
            .header("content-type", "application/grpc");
        let body = StreamBody::new(futures_util::stream::iter([data("12345")]));
        let answer = in_time(engine.serve(arrival(), request.body(body).unwrap())).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["grpc-status"], grpc, "{said}");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_eq!(in_time(read(answer)).await.1, "");
    }
    let nowhere = ExternalAuth {
        to: None,
        ..by_http()
    };
    let engine = engine();
    let table = Sketch::default()
        .rule(
            "/",
            vec![Filter::ExternalAuth(nowhere)],
            vec![share("app", 1)],
        )
        .upstream("app", Http1, &[app.at]);
    engine.load(table.table());
    let request = Request::post("/shop.Prices/Get")
        .header("host", "app.example")
        .header("content-type", "application/grpc");
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let answer = engine.serve(arrival(), request).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (503, &"14".parse().unwrap())
    );
    assert_eq!(app.seen.requests.load(SeqCst), 0);
}
