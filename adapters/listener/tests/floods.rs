//! Floods of connections without requests, beside a client that asks something.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use adapter_listener::{Client, Limits, Security, Server, Versions, serve};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than any test may take.
const DEADLINE: Duration = Duration::from_secs(60);

const LIMITS: Limits = Limits {
    connections: 32,
    strangers: 8,
    ipv6_prefix: 128,
    first_request: DEADLINE,
    idle: DEADLINE,
    request: DEADLINE,
    known_request: None,
    grace: Duration::from_millis(100),
};

/// A server that answers `/` with the peer's address, and all else never. Who asks for `/known` is known.
async fn start(limits: Limits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = Server {
        name: "test",
        security: Security::Plain,
        versions: Versions::Both,
        limits,
    };
    let service = service_fn(async |request: Request<Incoming>| {
        let client = request.extensions().get::<Client>().unwrap();
        let _known = (request.uri().path() == "/known").then(|| client.known());
        if request.uri().path() != "/" {
            std::future::pending::<()>().await;
        }
        let peer = client.peer().to_string();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(peer)))
    });
    tokio::spawn(serve(listener, server, service, stop.clone()));
    (address, stop)
}

/// Connects from an address of this machine.
async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn ask(stream: &mut TcpStream) -> io::Result<String> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"127.0.0.9") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Waits until the server has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    drop(read.expect("the server closes the connection"));
}

#[tokio::test]
async fn connections_that_ask_nothing_are_closed_in_time_whatever_they_send() {
    let limits = Limits {
        first_request: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        request: Duration::from_millis(300),
        ..LIMITS
    };
    let (address, _stop) = start(limits).await;
    let mut all = JoinSet::new();
    for sent in [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nhost: a\r\nx: ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT",
        "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n",
    ] {
        let mut stream = connect([127, 0, 0, 1], address).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        all.spawn(async move { closed(&mut stream).await });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_flood_is_bounded_while_others_are_served() {
    let (address, _stop) = start(LIMITS).await;
    let mut honest = connect([127, 0, 0, 9], address).await;
    ask(&mut honest).await.unwrap();
    let mut known = connect([127, 0, 1, 1], address).await;
    let request = b"GET /known HTTP/1.1\r\nhost: a\r\n\r\n";
    known.write_all(request).await.unwrap();
    let mut flood = Vec::new();
    for count in 0..400_u16 {
        let from = [127, 0, 1, u8::try_from(count % 4 + 1).unwrap()];
        let mut stream = connect(from, address).await;
        if count % 2 == 0 {
            let request = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
            // It may be closed already.
            drop(stream.write_all(request).await);
        }
        flood.push(stream);
    }
    ask(&mut honest).await.expect("the connection is kept");
    let mut new = connect([127, 0, 0, 9], address).await;
    ask(&mut new).await.expect("a new one is taken");

    let mut all = JoinSet::new();
    for mut stream in flood {
        all.spawn(async move { closed(&mut stream).await });
    }
    for _ in 0..400 - LIMITS.strangers {
        all.join_next().await.unwrap().unwrap();
    }
    let silent = timeout(Duration::from_millis(100), known.read_u8()).await;
    assert!(silent.is_err(), "the known client's connection is kept");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (address, _stop) = start(LIMITS).await;
    for head in [
        format!("x: {}\r\n", "a".repeat(20 << 10)),
        "x: a\r\n".repeat(100),
    ] {
        let mut stream = connect([127, 0, 0, 1], address).await;
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}

#[tokio::test]
async fn stopping_waits_for_requests_no_longer_than_the_grace() {
    let (address, stop) = start(LIMITS).await;
    let mut idle = connect([127, 0, 0, 9], address).await;
    ask(&mut idle).await.unwrap();
    let mut slow = connect([127, 0, 0, 1], address).await;
    let request = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    slow.write_all(request).await.unwrap();
    stop.cancel();
    closed(&mut idle).await;
    closed(&mut slow).await;
}
