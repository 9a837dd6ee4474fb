//! Routes, headers and errors.

use super::visitor::{get, http2, raw, request2, status, text, tls};
use super::{HOST, World, add_tunnel, soon, tunnel_name, until};
use crate::cloud::{Account, Plan, RecordKind};

over_both_transports! {
    a_request_reaches_the_origin_over_every_public_protocol,
    the_origin_sees_host_and_path_unchanged_and_the_edges_headers_not_the_visitors,
    an_answer_that_is_not_the_origins_becomes_an_error_page,
}

async fn a_request_reaches_the_origin_over_every_public_protocol(world: World) {
    let _connection = world.connect().await;

    let clear = get(&world.edge, "/", "").await;
    assert_eq!(status(&clear), 200);
    assert!(clear.contains("hello"), "{clear}");

    let mut h2 = http2(&world.edge).await;
    let response = soon("an answer", h2.send_request(request2("/cookies")))
        .await
        .unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.headers()["server"], "cloudflare");
    assert!(response.headers().contains_key("cf-ray"));
    assert!(
        !response
            .headers()
            .contains_key("cf-cloudflared-response-headers")
    );
    assert_eq!(text(response).await, "cookies");

    let stream = tls(&world.edge, world.edge.public_https(), HOST, &[])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
}

async fn the_origin_sees_host_and_path_unchanged_and_the_edges_headers_not_the_visitors(
    world: World,
) {
    let _connection = world.connect().await;
    let forged = "GET /echo?q=%2F&r=a+b HTTP/1.1\r\nHost: App.example.com:8443\r\n\
         CF-Connecting-IP: 1.2.3.4\r\nCF-Ray: forged\r\nCf-Access-Jwt-Assertion: forged\r\n\
         Cf-Cloudflared-Proxy-Connection-Upgrade: control-stream\r\nX-Forwarded-Proto: gopher\r\n\
         X-Forwarded-For: 9.9.9.9\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\n\r\n";

    let response = raw(world.edge.public_http(), forged).await;

    assert_eq!(status(&response), 200);
    for expected in [
        "GET App.example.com:8443 /echo?q=%2F&r=a+b\n",
        "\ncf-connecting-ip: 127.0.0.1\n",
        "\nx-forwarded-for: 9.9.9.9, 127.0.0.1\n",
        "\nx-forwarded-proto: http\n",
        "\ncf-visitor: {\"scheme\":\"http\"}\n",
        "\ncf-ipcountry: XX\n",
        "\ncdn-loop: cloudflare; loops=1\n",
        "\ncf-ray: ",
        "\nx-kept: 1\n",
    ] {
        assert!(response.contains(expected), "{expected} in {response}");
    }
    for unexpected in ["forged", "gopher", "control-stream", "x-hop", "connection:"] {
        let origin_saw = response.split("\r\n\r\n").nth(1).unwrap();
        assert!(
            !origin_saw.contains(unexpected),
            "{unexpected} in {origin_saw}"
        );
    }
}

#[tokio::test]
async fn a_host_without_a_way_to_an_origin_gets_cloudflares_error() {
    let world = World::new().await;
    let _connection = world.connect().await;
    world.cloud.add_account(Account {
        id: "other".to_owned(),
        name: "Other".to_owned(),
        plan: Plan::Free,
    });
    let foreign = add_tunnel(&world.cloud, "other", 1);
    let idle = add_tunnel(&world.cloud, super::ACCOUNT, 2);
    world.point(
        "idle.example.com",
        RecordKind::Cname,
        &tunnel_name(idle),
        true,
    );
    world.point(
        "foreign.example.com",
        RecordKind::Cname,
        &tunnel_name(foreign),
        true,
    );
    world.point("server.example.com", RecordKind::A, "192.0.2.1", true);
    world.point(
        "grey.example.com",
        RecordKind::Cname,
        &tunnel_name(world.tunnel),
        false,
    );
    for (host, expected, code) in [
        ("Host: idle.example.com\r\n", 530, "1033"),
        ("Host: foreign.example.com\r\n", 403, "1014"),
        ("Host: server.example.com\r\n", 530, "1016"),
        ("Host: grey.example.com\r\n", 409, "1001"),
        ("Host: none.example.com\r\n", 409, "1001"),
        ("Host: elsewhere.org\r\n", 409, "1001"),
        ("Host: 127.0.0.1\r\n", 403, "1003"),
        ("Host: a b\r\n", 400, "400"),
        ("", 400, "400"),
    ] {
        let request = format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        let response = raw(world.edge.public_http(), &request).await;
        assert_eq!(status(&response), expected, "{host}");
        assert!(
            response.ends_with(&format!("error code: {code}\n")),
            "{response}"
        );
    }
}

async fn an_answer_that_is_not_the_origins_becomes_an_error_page(world: World) {
    let _connection = world.connect().await;
    for (path, expected) in [("/connector-fails", 502), ("/no-meta", 520)] {
        let response = get(&world.edge, path, "").await;
        assert_eq!(status(&response), expected, "{path}");
        assert!(response.contains("error code: "), "{response}");
    }
}

#[tokio::test]
async fn tls_is_refused_for_names_without_a_proxied_record() {
    let world = World::new().await;
    let https = world.edge.public_https();
    assert!(tls(&world.edge, https, HOST, &[]).await.is_ok());
    assert!(
        tls(&world.edge, https, "none.example.com", &[])
            .await
            .is_err()
    );

    world.point(
        "*.example.com",
        RecordKind::Cname,
        &tunnel_name(world.tunnel),
        true,
    );

    assert!(
        tls(&world.edge, https, "none.example.com", &[])
            .await
            .is_ok()
    );
    assert!(tls(&world.edge, https, "elsewhere.org", &[]).await.is_err());
}

#[tokio::test]
async fn a_tunnel_has_an_address_of_its_own_as_long_as_it_is_there() {
    let world = World::new().await;
    let _connection = world.connect().await;
    let (http, https) = world.edge.public_of(world.tunnel).unwrap();
    assert_eq!(http.port(), world.edge.public_http().port());
    let listens = async || tokio::net::TcpStream::connect(http).await.is_ok();
    until("the tunnel's address listens", listens).await;

    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&raw(http, &request).await), 200);
    let other = request.replace(HOST, "none.example.com");
    assert_eq!(status(&raw(http, &other).await), 409);
    assert!(tls(&world.edge, https, HOST, &["h2"]).await.is_ok());

    world.cloud.change(|state| {
        let tunnel = state.tunnels.get_mut(&world.tunnel).unwrap();
        tunnel.deleted_at = Some(jiff::Timestamp::now());
    });
    until("it no longer listens", async || !listens().await).await;
}

#[tokio::test]
async fn with_direct_addresses_the_tunnels_address_decides_alone() {
    let world = World::with(|options| options.public.direct_addresses = true).await;
    let _connection = world.connect().await;
    let (http, https) = world.edge.public_of(world.tunnel).unwrap();
    until("the tunnel's address listens", async || {
        tokio::net::TcpStream::connect(http).await.is_ok()
    })
    .await;

    let request = "GET / HTTP/1.1\r\nHost: anything.test\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&raw(http, request).await), 200);
    assert_eq!(status(&raw(world.edge.public_http(), request).await), 409);
    assert!(tls(&world.edge, https, "anything.test", &[]).await.is_ok());

    let tcp = tokio::net::TcpStream::connect(http).await.unwrap();
    let (mut h2c, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(tcp),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let response = soon("an answer", h2c.send_request(request2("/")))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}
