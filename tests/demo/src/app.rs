//! The demo's own app: says which version answered, and what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// Starts one version of the app.
pub(crate) async fn start(version: &'static str, address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        anyhow::anyhow!(
            "the demo app cannot listen on {address}: {e}; free the port and start again"
        )
    })?;
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
    Ok(())
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
