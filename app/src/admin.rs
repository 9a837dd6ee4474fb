//! Health, readiness and metrics over HTTP, for probes and scrapers. Holds nothing secret. Everybody may ask, so the
//! server is bounded in a way that lets the kubelet's probes through whoever else asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_listener::{Limits, Security, Server, Versions};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::future::BoxFuture;
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::listening;

/// The bounds of the server. Every client is a stranger.
const LIMITS: Limits = Limits {
    connections: 64,
    strangers: 64,
    ipv6_prefix: 128,
    first_request: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    request: Duration::from_secs(10),
    known_request: None,
    grace: Duration::from_secs(1),
};

/// Answers what is missing for readiness; empty when ready.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>;

#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    readiness: Readiness,
}

/// Serves `/healthz`, `/readyz` and `/metrics` until `stop`. Returns the address that was bound.
pub async fn serve(
    address: SocketAddr,
    registry: Arc<Registry>,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let listener = listening::listen(address)
        .await
        .map_err(|e| anyhow::anyhow!("admin.listen {address}: {e}; choose a free address"))?;
    let bound = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin {
            registry,
            readiness,
        });
    let server = Server {
        name: "admin",
        security: Security::Plain,
        versions: Versions::Both,
        limits: LIMITS,
    };
    let service = TowerToHyperService::new(router);
    tokio::spawn(adapter_listener::serve(listener, server, service, stop));
    Ok(bound)
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let missing = (admin.readiness)().await;
    if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let mut text = String::new();
    let status = match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (
        status,
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn probes_are_answered_while_others_flood_the_port() {
        let ready: Readiness = Arc::new(|| Box::pin(async { Vec::new() }));
        let registry = Arc::new(Registry::default());
        let stop = CancellationToken::new();
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let address = serve(any, registry, ready, stop).await.unwrap();
        let mut flood = Vec::new();
        for round in 0..20 {
            for last in 1..=20 {
                flood.push(connect([127, 0, 1, last], address).await);
            }
            let mut probe = connect([127, 0, 0, 9], address).await;
            let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            probe.write_all(request).await.unwrap();
            let mut answer = String::new();
            let read = probe.read_to_string(&mut answer);
            let read = tokio::time::timeout(Duration::from_secs(60), read).await;
            read.expect("an answer in time").unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{round}: {answer}");
        }
    }
}
