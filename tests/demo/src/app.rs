//! The demo's own app: says which version answered, and what it was asked.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// The versions, each at an address of its own, as pods are.
pub(crate) const VERSIONS: [(&str, Ipv4Addr); 2] = [
    ("v1", Ipv4Addr::new(127, 81, 0, 1)),
    ("v2", Ipv4Addr::new(127, 81, 0, 2)),
];

/// How many ports are tried before it is given up.
const TRIES: usize = 50;

/// Starts all versions on one port that is free at each of their addresses, and returns it.
pub(crate) async fn start() -> anyhow::Result<u16> {
    let mut listeners = listen().await;
    for _ in 1..TRIES {
        if listeners.is_ok() {
            break;
        }
        listeners = listen().await;
    }
    let (port, listeners) = listeners.context("the demo app finds no port to listen on")?;
    for ((version, _), listener) in VERSIONS.into_iter().zip(listeners) {
        serve(version, listener);
    }
    Ok(port)
}

async fn listen() -> io::Result<(u16, Vec<TcpListener>)> {
    let mut port = 0;
    let mut listeners = Vec::new();
    for (_, address) in VERSIONS {
        let listener = TcpListener::bind((address, port)).await?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok((port, listeners))
}

fn serve(version: &'static str, listener: TcpListener) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service =
                service_fn(
                    move |request| async move { Ok::<_, Infallible>(answer(version, &request)) },
                );
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}

fn answer(version: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or("-");
    let text = format!(
        "Hello from {version}: {} {} for {host}\n",
        request.method(),
        request.uri()
    );
    Response::builder()
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .header("x-app-version", version)
        .body(Full::new(Bytes::from(text)))
        .expect("constant headers are valid")
}
