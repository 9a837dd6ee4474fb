//! Headers of a client on the whole way: edge, tunnel, proxy, endpoint.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tests::manifests::{gateway, route, route_with, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World};

use super::rig::CANARY;

/// `app.example.com` with an application, and rules that only a forged header could make hold.
async fn world() -> (World, Cfgw, [Origin; 2]) {
    let (app, forged) = (Origin::start("app").await, Origin::start("forged").await);
    let world = World::start().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("app.yaml", &service("app", &[app.address]));
    world.write("forged.yaml", &service("forged", &[forged.address]));
    let only_if = |name: &str, value: &str| {
        format!(
            "    - matches: [{{headers: [{{name: {name}, value: {value:?}}}]}}]
      backendRefs: [{{name: forged, port: 80}}]\n"
        )
    };
    let rules = [
        only_if("X-Forwarded-Host", "internal"),
        only_if("X-Forwarded-Proto", "http"),
        only_if("X-Forwarded-Prefix", "/internal"),
        only_if("Forwarded", "for=10.0.0.1"),
        only_if("CF-Connecting-IP", "10.0.0.1"),
        only_if("Cf-Cloudflared-Proxy-Src", "10.0.0.1"),
    ]
    .concat();
    let last = "    - backendRefs: [{name: app, port: 80}]\n";
    let names = ["app.example.com"];
    let text = route_with("app", "my-gateway", &names, &(rules + last));
    world.write("route.yaml", &text);
    world.write("other.yaml", &route("other", "other.example.com", "app"));
    let cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.answers("https://other.example.com/").await;
    (world, cfgw, [app, forged])
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_forges_neither_routes_nor_reaches_an_endpoint() {
    let (world, cfgw, [_app, forged]) = world().await;
    let rows: [&[(&str, &str)]; 11] = [
        &[
            ("x-forwarded-host", "internal"),
            ("x-forwarded-proto", "http"),
        ],
        &[
            ("x-forwarded-prefix", "/internal"),
            ("x-forwarded-port", "1"),
        ],
        &[
            ("x-forwarded-server", "canary"),
            ("x-forwarded-client-cert", "canary"),
        ],
        &[("forwarded", "for=10.0.0.1")],
        &[
            ("x_forwarded_for", "10.0.0.1"),
            ("x_forwarded_proto", "http"),
            ("x-forwarded_host", "canary"),
            ("x.forwarded.for", "10.0.0.1"),
            ("cf_connecting_ip", "10.0.0.1"),
        ],
        &[
            ("x_canary", "canary"),
            ("transfer_encoding", "canary"),
            ("content_length", "9"),
        ],
        &[
            ("cf-connecting-ip", "10.0.0.1"),
            ("cf-ray", "canary"),
            ("cf-ipcountry", "canary"),
        ],
        &[("cf-cloudflared-proxy-src", "10.0.0.1")],
        &[("cf-cloudflared-proxy-connection-upgrade", "control-stream")],
        &[(
            "cf-cloudflared-proxy-connection-upgrade",
            "update-configuration",
        )],
        &[
            ("cf-cloudflared-request-headers", "Y2FuYXJ5"),
            ("cf-warp-tag-id", "canary"),
        ],
    ];
    for row in rows {
        let request = world.client.http().post("https://app.example.com/x");
        let request = request.headers(headers(row)).body("{\"version\":9}");

        let answer = world.client.send(request).await.unwrap();

        assert_eq!(answer.status, 200, "{row:?}");
        assert_eq!(answer.told("name"), "app", "{row:?}");
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let told = &told["headers"];
        assert_eq!(told["x-forwarded-proto"], "https", "{row:?}");
        assert_eq!(told["x-forwarded-host"], "app.example.com", "{row:?}");
        assert_eq!(told["host"], "app.example.com", "{row:?}");
        assert_eq!(told["cf-connecting-ip"], told["x-forwarded-for"], "{row:?}");
        let gone = row.iter().filter(|(name, _)| {
            ![
                "x-forwarded-host",
                "x-forwarded-proto",
                "cf-connecting-ip",
                "cf-ray",
            ]
            .contains(name)
        });
        for (name, value) in gone {
            assert_ne!(told[name], *value, "{row:?}");
        }
        assert!(!told.to_string().contains(CANARY), "{row:?}: {told}");
    }
    assert_eq!(forged.requests(), 0);
    assert!(!cfgw.log().contains(CANARY), "{}", cfgw.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_header_takes_nothing_away_that_the_edge_wrote() {
    let (world, _cfgw, _apps) = world().await;
    // HTTP/2 has no such header (RFC 9113 §8.2.2), so this goes over HTTP/1.1.
    let mut stream = world
        .client
        .connect("app.example.com", "http/1.1")
        .await
        .unwrap();
    let request = "GET /x HTTP/1.1\r\nHost: app.example.com\r\nX-Own: canary\r\n\
        Connection: close, host, x-forwarded-for, x-forwarded-proto, cf-connecting-ip, content-length, x-own\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for kept in [
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "cf-connecting-ip",
    ] {
        assert!(answer.contains(&format!("\"{kept}\":")), "{kept}: {answer}");
    }
    assert!(!answer.contains("x-own"), "{answer}");
    world.answers("https://other.example.com/").await;
}

/// Sends a request and reads until the other side closes.
async fn exchange(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    request: &str,
) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_and_long_paths_are_refused_and_others_served() {
    let (world, cfgw, _apps) = world().await;
    let http = world.client.http();
    let url = "https://app.example.com/";
    let many: Vec<(String, String)> = (0..300)
        .map(|n| (format!("x-{n}"), CANARY.to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (&**n, &**v)).collect();
    let long = CANARY.repeat(30_000);
    let rows = [
        (
            "a long path",
            http.get(format!("{url}{}", CANARY.repeat(4_000))),
            414,
        ),
        (
            "a long query",
            http.get(format!("{url}?{}", CANARY.repeat(4_000))),
            414,
        ),
        ("300 headers", http.get(url).headers(headers(&many)), 431),
        ("a long header", http.get(url).header("x-long", &long), 431),
    ];
    for (given, request, status) in rows {
        match world.client.send(request).await {
            Ok(answer) => assert_eq!(answer.status, status, "{given}"),
            // The edge has limits of its own.
            Err(error) => assert!(!error.contains("timed out"), "{given}: {error}"),
        }
        world.answers("https://other.example.com/").await;
    }
    let log = cfgw.log();
    assert!(log.contains("request refused"), "{log}");
    assert!(!log.contains(CANARY), "{log}");
}
