//! Endpoints whose answers another program on the way to the client would read differently.

use super::rig::{CANARY, Proxy, Recorder, answering};

#[tokio::test]
async fn an_answer_that_could_be_split_becomes_a_502() {
    let rows = [
        (
            "a CR in a value",
            "HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: canary=1\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a NUL in a value",
            "HTTP/1.1 200 OK\r\nX-A: b\0canary\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a folded line",
            "HTTP/1.1 200 OK\r\nX-A: b\r\n canary\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "space before a colon",
            "HTTP/1.1 200 OK\r\nX-A : canary\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 60\r\n\r\nokHTTP/1.1 200 OK\r\n\r\ncanary",
        ),
        (
            "a length that is no number",
            "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\nok",
        ),
        ("a status that is no number", "HTTP/1.1 canary OK\r\n\r\n"),
        ("another protocol", "SSH-2.0-canary\r\n"),
        ("silence", ""),
        (
            "a 101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: canary\r\n\r\n",
        ),
    ];
    for (given, answer) in rows {
        let fine = Recorder::start().await;
        let proxy = Proxy::start(&[("/", fine.address), ("/bad", answering(answer).await)]).await;
        let request = b"GET /bad HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";

        let answer = proxy.exchange(request).await;

        assert!(answer.starts_with("HTTP/1.1 502 "), "{given}: {answer}");
        assert!(!answer.contains(CANARY), "{given}: {answer}");
        let logged = proxy.logged();
        assert_eq!(logged.len(), 1, "{given}: {logged:?}");
        assert!(!logged.concat().contains(CANARY), "{given}: {logged:?}");
        assert!(proxy.serves().await, "after {given}");
    }
}

#[tokio::test]
async fn what_an_endpoint_sends_after_its_answer_reaches_nobody() {
    let poisoned = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary";
    let proxy = Proxy::start(&[("/", answering(poisoned).await)]).await;
    for _ in 0..20 {
        let request = b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";
        let answer = proxy.exchange(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"),
            "{answer}"
        );
    }
}

/// The coding counts (RFC 9112 §6.3); by the length the answer would be cut, or more would be waited for.
#[tokio::test]
async fn an_answer_with_a_length_and_a_coding_arrives_whole() {
    let rows = [
        (
            "a length too short",
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
        ),
        (
            "a length too long",
            "Transfer-Encoding: chunked\r\nContent-Length: 600",
        ),
        (
            "a coding that Connection names",
            "Connection: transfer-encoding\r\nContent-Length: 2\r\nTransfer-Encoding: chunked",
        ),
    ];
    for (given, framing) in rows {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let proxy = Proxy::start(&[("/", answering(answer).await)]).await;
        let request = b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";

        let answer = proxy.exchange(request).await;

        assert!(answer.starts_with("HTTP/1.1 200 "), "{given}: {answer}");
        assert!(
            answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "{given}: {answer}"
        );
        assert!(
            !answer.to_ascii_lowercase().contains("content-length"),
            "{given}: {answer}"
        );
    }
}

#[tokio::test]
async fn encoded_line_ends_stay_encoded() {
    let app = Recorder::start().await;
    let proxy = Proxy::start(&[("/", app.address)]).await;
    let path = "/%0d%0aSet-Cookie:%20canary=1";
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");
    let answer = proxy.exchange(request.as_bytes()).await;
    assert!(
        !answer.to_ascii_lowercase().contains("set-cookie"),
        "{answer}"
    );
    assert_eq!(app.take()[0].target, path);
}
