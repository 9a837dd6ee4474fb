//! Upgrades that would carry requests past the rules.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{CANARY, Proxy, RawOrigin, Recorder, answering};

const ASKING: &str =
    "GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What an endpoint may answer to `Upgrade: websocket`, and the status that the client gets.
#[tokio::test]
async fn only_the_protocol_that_was_asked_for_is_agreed_to() {
    let rows = [
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
            101,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
            101,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\ncanary",
            502,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
            502,
        ),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\ncanary", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        (
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
            426,
        ),
    ];
    for (answer, then) in rows {
        let fine = Recorder::start().await;
        let rules = [("/", fine.address), ("/ws", answering(answer).await)];
        let proxy = Proxy::start(&rules).await;
        assert_eq!(proxy.statuses(ASKING.as_bytes()).await, [then], "{answer}");
        let logged = proxy.logged();
        assert_eq!(
            logged.len(),
            usize::from(then == 502),
            "{answer}: {logged:?}"
        );
        assert!(!logged.concat().contains(CANARY), "{logged:?}");
        assert!(proxy.serves().await, "after {answer}");
    }
}

#[tokio::test]
async fn what_is_no_upgrade_to_pass_on_is_an_ordinary_request() {
    let app = Recorder::start().await;
    let proxy = Proxy::start(&[("/", app.address)]).await;
    let rows = [
        (
            "to HTTP/2",
            "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
            None,
            "",
        ),
        (
            "to HTTP/2 by another name",
            "Connection: upgrade, close\r\nUpgrade: HTTP/2.0\r\n\r\n",
            None,
            "",
        ),
        (
            "to TLS",
            "Connection: upgrade, close\r\nUpgrade: TLS/1.3\r\n\r\n",
            None,
            "",
        ),
        (
            "to two protocols",
            "Connection: upgrade, close\r\nUpgrade: h2c, websocket\r\n\r\n",
            Some("websocket"),
            "",
        ),
        (
            "to two protocols on two lines",
            "Connection: upgrade, close\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
            Some("websocket"),
            "",
        ),
        (
            "that Connection does not name",
            "Connection: close\r\nUpgrade: websocket\r\n\r\n",
            None,
            "",
        ),
        (
            "with a body of known length",
            "Connection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
            None,
            "hello",
        ),
        (
            "with a body in chunks",
            "Connection: upgrade, close\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            None,
            "hello",
        ),
    ];
    for (given, headers, offered, body) in rows {
        app.take();
        let request = format!("POST /x HTTP/1.1\r\nHost: app.example\r\n{headers}");
        let statuses = proxy.statuses(request.as_bytes()).await;
        assert_eq!(statuses, [200], "{given}");
        let reached = app.take();
        assert_eq!(reached.len(), 1, "{given}: {reached:?}");
        let upgrade = reached[0]
            .headers
            .get("upgrade")
            .map(|v| v.to_str().unwrap());
        assert_eq!(upgrade, offered, "{given}");
        assert_eq!(reached[0].headers.get("http2-settings"), None, "{given}");
        assert_eq!(reached[0].body, body, "{given}");
        assert!(proxy.serves().await, "after {given}");
    }
}

/// Lines of heads and the like are only bytes to another protocol.
const OTHER_PROTOCOL: &str = "a\nb\0\r\n\r\nContent-Length: x\nTransfer-Encoding: canary\n\n";

#[tokio::test]
async fn what_is_sent_in_another_protocol_is_passed_on_to_the_byte() {
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let origin = RawOrigin::saying(answer, "\r\n\r\n").await;
    let proxy = Proxy::start(&[("/", origin.address)]).await;
    let mut stream = proxy.connect().await;
    stream.write_all(ASKING.as_bytes()).await.unwrap();
    let mut agreed = [0; 12];
    stream.read_exact(&mut agreed).await.unwrap();
    assert_eq!(&agreed, b"HTTP/1.1 101");

    stream.write_all(OTHER_PROTOCOL.as_bytes()).await.unwrap();

    let arrived = || origin.received().ends_with(OTHER_PROTOCOL);
    let patience = Instant::now() + Duration::from_secs(10);
    while !arrived() && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(arrived(), "{:?}", origin.received());
    assert!(proxy.logged().is_empty());
}

/// Whoever asked for another protocol and did not get it is judged as before; and nothing that was sent before the
/// answer is altered on its way: it arrives or the connection ends.
#[tokio::test]
async fn asking_for_another_protocol_opens_no_way_past_the_rules() {
    let app = Recorder::start().await;
    let smuggled = "POST /x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for later in [smuggled, OTHER_PROTOCOL] {
        let proxy = Proxy::start(&[("/", app.address)]).await;
        app.take();
        let answer = proxy
            .exchange_to_the_end([ASKING, later].concat().as_bytes())
            .await;
        assert!(answer.matches("HTTP/1.1 2").count() <= 1, "{answer}");
        assert!(app.take().len() <= 1, "{later}");
        let logged = proxy.logged();
        assert!(logged.len() <= 1, "{logged:?}");
        assert!(!logged.concat().contains(CANARY), "{logged:?}");
        assert!(proxy.serves().await, "after {later}");
    }
}
