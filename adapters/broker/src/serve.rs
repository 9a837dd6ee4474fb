//! The server on a listener, with TLS or, on this machine only, without.

use std::sync::Arc;
use std::time::Duration;

use adapter_listener::{Limits, Security, Server, Versions};
use axum::Router;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The bounds of the server.
pub const LISTENER_LIMITS: Limits = Limits {
    connections: 1024,
    strangers: 256,
    ipv6_prefix: 64,
    first_request: Duration::from_secs(10),
    // Longer than clients keep a connection that they do not use, so that none asks on one that is being closed.
    idle: Duration::from_secs(120),
    // Once a cluster's request is served, it has this time to take the answer.
    request: Duration::from_secs(30),
    // It waits for those before it of the same Gateway, and for Cloudflare.
    known_request: Some(Duration::from_secs(300)),
    grace: Duration::from_secs(10),
};

/// Why certificate and key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate cannot be read: {0}; a PEM file with the whole chain is expected")]
    Certificate(String),
    #[error("the private key cannot be read: {0}; a PEM file is expected")]
    Key(String),
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// TLS for the server from PEM texts: a certificate with its chain, and its key.
pub fn tls_config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until `stop`, then finishes what is in flight. A connection has the TLS that is present when it comes.
pub async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let server = Server {
        name: "broker",
        security: match tls {
            None => Security::Plain,
            Some(tls) => Security::Tls(Arc::new(move || Some(tls.borrow().clone()))),
        },
        versions: Versions::Both,
        limits,
    };
    let service = TowerToHyperService::new(router);
    adapter_listener::serve(listener, server, service, stop).await;
}
