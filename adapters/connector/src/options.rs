//! How a connector is set up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::capabilities::EdgeKind;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::metrics::Metrics;
use crate::token::TokenError;
use crate::transport_kind::TransportChoice;

/// How a connector finds the edge and behaves towards it.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    pub edge: EdgeAddresses,
    /// Who vouches for the edge's certificate.
    pub roots: EdgeRoots,
    pub transport: TransportChoice,
    /// The name that the edge's certificate must have over HTTP/2.
    pub server_name: String,
    /// The name that the edge's certificate must have over QUIC.
    pub quic_server_name: String,
    /// The first wait before TCP is tried again while connections are over QUIC because it failed; the
    /// waits grow up to sixteen times that.
    pub probe_interval: Duration,
    /// Connections to keep, each to an edge address of its own as far as there are enough; at least 1.
    pub connections: u8,
    /// Silence after which a connection counts as broken. Over HTTP/2 the edge is asked for a sign of
    /// life after half of that time; over QUIC both sides show one four times in it.
    pub silence: Duration,
    /// Time that requests in flight have to finish when the connector is shut down.
    pub grace: Duration,
    /// Time for a TCP connection with its TLS handshake. For QUIC it is five seconds at most.
    pub dial_timeout: Duration,
    /// Time for the edge to answer a call on the control stream.
    pub rpc_timeout: Duration,
    /// Time for a request's head over QUIC, where it has a stream of its own. The edge sends heads at once: only a
    /// connection with very much to carry takes longer.
    pub head_timeout: Duration,
    /// Version that the edge shows for this connector.
    pub client_version: String,
    /// See [`RequestHandler::edge`](crate::RequestHandler::edge).
    pub edge_kind: EdgeKind,
    /// What is counted into.
    pub metrics: Metrics,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self {
            edge: EdgeAddresses::discover(),
            roots: EdgeRoots::System,
            transport: TransportChoice::Http2,
            server_name: "h2.cftunnel.com".to_owned(),
            quic_server_name: "quic.cftunnel.com".to_owned(),
            probe_interval: Duration::from_secs(30),
            connections: 4,
            silence: Duration::from_secs(3),
            grace: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(15),
            rpc_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(15),
            client_version: concat!("cfgw/", env!("CARGO_PKG_VERSION")).to_owned(),
            edge_kind: EdgeKind::Cloudflare,
            metrics: Metrics::default(),
        }
    }
}

/// Why a connector cannot start. A failure at the edge is none of these: the status shows it, and the connector
/// tries again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the edge's root certificates are not PEM certificates")]
    MalformedRoots,
    /// There are no certificates to verify the edge with.
    #[error("there are no root certificates to verify the edge with")]
    NoRoots,
    #[error("{0:?} is not a server name")]
    ServerName(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
}

/// Where the edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeAddresses {
    Discover(Discovery),
    Given(Vec<SocketAddr>),
}

impl EdgeAddresses {
    /// Looked up by the system's resolver, in the region that the token names.
    pub fn discover() -> Self {
        Self::Discover(Discovery::default())
    }
}

/// How the edge is looked up: SRV `_v2-origintunneld._tcp.argotunnel.com`, then the addresses of its
/// targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Region to connect to, such as `us`; `None` for the one that the token names, else the global one.
    pub region: Option<String>,
    /// Name servers to ask; the system's where empty, with DNS over TLS at 1.1.1.1 where those fail.
    pub nameservers: Vec<SocketAddr>,
}

/// Cloudflare's own certificate authorities. The first of them end in August 2029.
const CLOUDFLARE: &[u8] = include_bytes!("cloudflare-roots.pem");

/// Who vouches for the edge's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeRoots {
    /// The system's certificate authorities and Cloudflare's own, as cloudflared has it.
    System,
    /// These certificates (PEM) and no others.
    Only(Vec<u8>),
}

impl EdgeRoots {
    fn load(&self) -> Result<RootCertStore, StartError> {
        let mut store = RootCertStore::empty();
        match self {
            Self::System => {
                // A broken certificate among the system's many must not keep the others from being used.
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                add(&mut store, CLOUDFLARE)?;
            }
            Self::Only(pem) => add(&mut store, pem)?,
        }
        if store.is_empty() {
            return Err(StartError::NoRoots);
        }
        Ok(store)
    }
}

fn add(store: &mut RootCertStore, pem: &[u8]) -> Result<(), StartError> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| StartError::MalformedRoots)?;
        store
            .add(certificate)
            .map_err(|_| StartError::MalformedRoots)?;
    }
    Ok(())
}

impl ConnectorOptions {
    /// TLS towards the edge: hybrid post-quantum key exchange first, and no ALPN, because the edge
    /// expects none over TCP.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, StartError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(StartError::Tls)?
            .with_root_certificates(self.roots.load()?)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// TLS of QUIC towards the edge: as over TCP, but with the protocol's name and nothing older than
    /// TLS 1.3 (RFC 9001 section 4.2).
    pub(crate) fn quic_tls(&self) -> Result<QuicClientConfig, StartError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(StartError::Tls)?
            .with_root_certificates(self.roots.load()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"argotunnel".to_vec()];
        Ok(QuicClientConfig::try_from(config)
            .expect("the provider has the cipher suite that QUIC begins with"))
    }

    /// The name that the edge's certificate must have over HTTP/2.
    pub(crate) fn edge_name(&self) -> Result<ServerName<'static>, StartError> {
        server_name(&self.server_name)
    }

    /// The name that the edge's certificate must have over QUIC.
    pub(crate) fn quic_edge_name(&self) -> Result<String, StartError> {
        server_name(&self.quic_server_name).map(|name| name.to_str().into_owned())
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, StartError> {
    ServerName::try_from(name.to_owned()).map_err(|_| StartError::ServerName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_post_quantum_group_is_the_first_to_be_offered() {
        let provider = aws_lc_rs::default_provider();
        let first = provider.kx_groups.first().map(|group| group.name());
        assert_eq!(first, Some(NamedGroup::X25519MLKEM768));
    }

    #[test]
    fn the_edge_is_believed_by_cloudflares_own_authorities_unless_others_are_named() {
        let known = |roots: &EdgeRoots, name: &str| {
            let subjects = roots.load().map(|store| store.subjects());
            subjects.is_ok_and(|subjects| {
                let mut subjects = subjects.iter();
                subjects.any(|subject| {
                    let mut windows = subject.as_ref().windows(name.len());
                    windows.any(|window| window == name.as_bytes())
                })
            })
        };
        let only = rcgen::generate_simple_self_signed(["edge.example".to_owned()]);
        let only = EdgeRoots::Only(only.unwrap().cert.pem().into_bytes());
        for name in [
            "CloudFlare Origin SSL ECC Certificate Authority",
            "CloudFlare Origin SSL Certificate Authority",
            "origin-pull.cloudflare.net",
        ] {
            assert!(known(&EdgeRoots::System, name), "{name}");
            assert!(!known(&only, name), "{name}");
        }
    }
}
