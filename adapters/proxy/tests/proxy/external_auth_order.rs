//! ExternalAuth beside other filters and other requests.

use std::sync::Arc;
use std::time::Duration;

use adapter_proxy::Limits;
use bytes::Bytes;
use domain::gateway::{Cors, ExternalAuth, Filter, NameList, OriginPattern};
use domain::names::ObjectKey;
use domain::route_table::UpstreamProtocol::Http1;
use domain::route_table::{Upstream, UpstreamKey};
use http::Request;
use tokio::net::TcpListener;

use crate::authorizer::{Authorizer, by_http, says, sketch};
use crate::endpoint::Endpoint;
use crate::rig::{
    Sketch, arrival, engine, engine_with, eventually, fed, get, in_time, read, service, share,
};

#[tokio::test]
async fn a_slow_authorizer_of_one_namespace_takes_no_room_from_another_and_a_client_may_go_away() {
    let app = Endpoint::start("app").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let auth = Authorizer::saying(200, &[], "").await;
    let limits = Limits {
        max_in_flight: 8,
        ..Limits::default()
    };
    let (engine, metrics) = engine_with(limits);
    let other = UpstreamKey {
        service: ObjectKey::new("other", "auth"),
        ..service("auth")
    };
    let of_other = ExternalAuth {
        to: Some(other.clone()),
        ..by_http()
    };
    let table = Sketch::default()
        .rule(
            "/slow",
            vec![Filter::ExternalAuth(by_http())],
            vec![share("app", 1)],
        )
        .rule(
            "/good",
            vec![Filter::ExternalAuth(of_other)],
            vec![share("app", 1)],
        )
        .upstream("app", Http1, &[app.at])
        .upstream("auth", Http1, &[silent.local_addr().unwrap()]);
    let mut table = (*table.table()).clone();
    let at = auth.at;
    let endpoint = domain::route_table::UpstreamEndpoint {
        host: domain::gateway::EndpointHost::Address(at.ip()),
        port: at.port(),
    };
    let upstream = Upstream {
        endpoints: vec![endpoint],
        ..Upstream::default()
    };
    table.upstreams.insert(other, upstream);
    let table = Arc::new(table);
    engine.load(Arc::clone(&table));
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { get(&engine, "/slow").await.status() })
        })
        .collect();
    eventually("both wait", || metrics.in_flight() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // What is counted outlives a table.
    engine.load(table);
    let answer = in_time(get(&engine, "/slow")).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(in_time(get(&engine, "/good")).await.status(), 200);
    for task in waiting {
        task.abort();
    }
    eventually("nothing is left of them", || metrics.in_flight() == 0).await;
    let waiting = tokio::time::timeout(Duration::from_millis(200), get(&engine, "/slow")).await;
    assert!(waiting.is_err(), "there is room again");
}

#[tokio::test]
async fn filters_act_in_their_order_around_an_authorizer() {
    let [app, other, copy] = Endpoint::start_many(3).await.try_into().ok().unwrap();
    let auth = Authorizer::start(|request| match request.headers().get("authorization") {
        Some(_) => says(200, &[("x-user", "ada")], ""),
        None => says(401, &[], "no"),
    })
    .await;
    let cors = Filter::Cors(Cors {
        origins: vec![OriginPattern::parse("https://a.example").unwrap()],
        credentials: false,
        methods: NameList::All,
        headers: NameList::All,
        exposed: NameList::These(vec![]),
        max_age: 5,
    });
    let mirror = Filter::Mirror(domain::gateway::Mirror {
        to: service("copy"),
        share: domain::gateway::Share::ALL,
    });
    let setting = |name: &str, value: &str| {
        Filter::RequestHeaders(domain::gateway::HeaderModifier {
            set: vec![(name.into(), value.into())],
            ..Default::default()
        })
    };
    let auth_filter = || Filter::ExternalAuth(by_http());
    let on_answer = Filter::ResponseHeaders(domain::gateway::HeaderModifier {
        set: vec![("x-answer".into(), "1".into())],
        ..Default::default()
    });
    let mut guarded = share("app", 1);
    guarded.filters = vec![auth_filter(), setting("x-set", "backend")];
    let rewrite = Filter::Rewrite(domain::gateway::Rewrite {
        hostname: domain::Hostname::parse("new.example").ok(),
        path: Some(domain::gateway::HttpPathModifier::Full("/echo".into())),
    });
    let engine = engine();
    let table = Sketch::default()
        .rule(
            "/cors",
            vec![cors, auth_filter(), on_answer],
            vec![share("app", 1)],
        )
        .rule(
            "/let-in",
            vec![setting("authorization", "rule"), auth_filter()],
            vec![share("app", 1)],
        )
        .rule(
            "/mirrored",
            vec![auth_filter(), rewrite.clone(), mirror],
            vec![share("app", 1)],
        )
        .rule(
            "/rewritten",
            vec![rewrite, auth_filter()],
            vec![share("app", 1)],
        )
        .rule("/backend", vec![], vec![guarded, share("other", 0)])
        .rule("/open", vec![], vec![share("other", 1)])
        .upstream("app", Http1, &[app.at])
        .upstream("other", Http1, &[other.at])
        .upstream("copy", Http1, &[copy.at])
        .upstream("auth", Http1, &[auth.at]);
    engine.load(table.table());
    for (method, path, authorized, status, asked) in [
        ("OPTIONS", "/cors", false, 204, 0),
        ("GET", "/cors", false, 401, 1),
        ("GET", "/cors", true, 200, 1),
        ("GET", "/let-in", false, 200, 1),
        ("GET", "/mirrored", false, 401, 1),
        ("GET", "/rewritten?q=1", true, 200, 1),
        ("GET", "/backend", false, 401, 1),
        ("GET", "/backend", true, 200, 1),
        ("GET", "/open", false, 200, 0),
    ] {
        let given = format!("{method} {path}, {authorized}");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "app.example")
            .header("origin", "https://a.example")
            .header("access-control-request-method", "PUT");
        if authorized {
            request = request.header("authorization", "Bearer 1");
        }
        let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let answer = in_time(engine.serve(arrival(), request)).await;
        assert_eq!(answer.status(), status, "{given}");
        let is_cors = path == "/cors";
        let allowed = answer.headers().contains_key("access-control-allow-origin");
        assert_eq!(allowed, is_cors, "a script may read a denial: {given}");
        let changed = answer.headers().contains_key("x-answer");
        assert_eq!(
            changed,
            is_cors && (status == 200 || status == 204),
            "{given}"
        );
        let requests = auth.take();
        assert_eq!(requests.len(), asked, "{given}");
        if path.starts_with("/rewritten") {
            assert_eq!(requests[0].uri(), "/rewritten?q=1", "as the client asked");
            assert_eq!(requests[0].headers()["host"], "app.example");
            let (_, echo) = in_time(read(answer)).await;
            assert!(echo.starts_with("GET /echo"), "{echo}");
            assert!(echo.contains("host: new.example"), "{echo}");
            assert!(echo.contains("x-user: ada"), "{echo}");
        }
    }
    assert_eq!(copy.seen.requests(), 0, "what is denied is not mirrored");
    let request = Request::get("/mirrored").header("host", "app.example");
    let request = request.header("authorization", "Bearer 1");
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    assert_eq!(
        in_time(engine.serve(arrival(), request)).await.status(),
        200
    );
    eventually("the copy comes", || copy.seen.requests() == 1).await;
}

#[tokio::test]
async fn an_upgrade_is_asked_about_without_its_stream() {
    let app = Endpoint::start("app").await;
    for (status, then) in [(200, 101), (401, 401)] {
        let auth = Authorizer::start(move |_| says(status, &[], "")).await;
        let filter = ExternalAuth {
            max_body: 100,
            ..by_http()
        };
        let engine = engine();
        let filters = vec![Filter::ExternalAuth(filter)];
        engine.load(sketch(filters, &app, (Http1, auth.at)).table());
        let (feed, body) = fed();
        let request = Request::get("/upgrade")
            .header("host", "app.example")
            .header("connection", "Upgrade")
            .header("upgrade", "echo");
        let request = request.body(body).unwrap();
        let answer = in_time(engine.serve(arrival(), request)).await;
        assert_eq!(answer.status(), then);
        let asked = auth.take().pop().unwrap();
        assert_eq!(asked.headers()["content-length"], "0");
        assert!(!asked.headers().contains_key("upgrade"));
        drop(feed);
    }
}
