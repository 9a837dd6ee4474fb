//! How a connector is set up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::StartError;
use crate::metrics::Metrics;

/// How a connector finds the edge and behaves towards it.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    /// Where the edge is.
    pub edge: EdgeAddresses,
    /// Who vouches for the edge's certificate.
    pub roots: EdgeRoots,
    /// The name that the edge's certificate must have.
    pub server_name: String,
    /// Connections to keep, each to an edge address of its own as far as there are enough; at least 1.
    pub connections: u8,
    /// Silence after which the edge is asked for a sign of life; it has the same time to give it.
    pub heartbeat: Duration,
    /// Time that requests in flight have to finish when the connector is shut down.
    pub grace: Duration,
    /// Time for a TCP connection with its TLS handshake.
    pub dial_timeout: Duration,
    /// Time for the edge to answer a call on the control stream.
    pub rpc_timeout: Duration,
    /// Version that the edge shows for this connector.
    pub client_version: String,
    /// What is counted into.
    pub metrics: Metrics,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self {
            edge: EdgeAddresses::discover(),
            roots: EdgeRoots::System,
            server_name: "h2.cftunnel.com".to_owned(),
            connections: 4,
            heartbeat: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(15),
            rpc_timeout: Duration::from_secs(5),
            client_version: concat!("cfgw/", env!("CARGO_PKG_VERSION")).to_owned(),
            metrics: Metrics::default(),
        }
    }
}

/// Where the edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeAddresses {
    /// Looked up by DNS.
    Discover(Discovery),
    /// These addresses.
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

/// Who vouches for the edge's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeRoots {
    /// The system's certificate authorities.
    System,
    /// These certificates (PEM) and no others.
    Only(Vec<u8>),
}

impl EdgeRoots {
    fn load(&self) -> Result<RootCertStore, StartError> {
        let mut store = RootCertStore::empty();
        match self {
            // A broken certificate among the system's many must not keep the others from being used.
            Self::System => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::Only(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|_| StartError::MalformedRoots)?;
                    store
                        .add(certificate)
                        .map_err(|_| StartError::MalformedRoots)?;
                }
            }
        }
        if store.is_empty() {
            return Err(StartError::NoRoots);
        }
        Ok(store)
    }
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

    /// The name that the edge's certificate must have.
    pub(crate) fn edge_name(&self) -> Result<ServerName<'static>, StartError> {
        ServerName::try_from(self.server_name.clone())
            .map_err(|_| StartError::ServerName(self.server_name.clone()))
    }
}
