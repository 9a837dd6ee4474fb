//! Certificates of the edge: one for the tunnel listeners, and one for each public name: the one that the
//! zone's owner uploaded, else one that is made when a visitor first asks for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;

use crate::ca::{AuthorityError, CertificateAuthority, asking_server_config, server_config};
use crate::cloud::{Cloud, HostRoute};

/// Names that connectors verify: for HTTP/2, for QUIC, and for cloudflared's checks before it starts.
const TUNNEL_NAMES: [&str; 3] = ["h2.cftunnel.com", "quic.cftunnel.com", "probe.cftunnel.com"];

/// TLS of the tunnel listeners. Connectors speak HTTP/2 without saying so in ALPN.
pub(super) fn tunnel_acceptor(
    authority: &CertificateAuthority,
) -> Result<TlsAcceptor, AuthorityError> {
    authority.acceptor(&TUNNEL_NAMES)
}

/// TLS of the tunnel over QUIC: version 1.3, and the tunnel's name in ALPN.
pub(super) fn quic_config(
    authority: &CertificateAuthority,
) -> Result<ServerConfig, AuthorityError> {
    let certified = authority.issue(&TUNNEL_NAMES)?;
    let mut config = server_config(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"argotunnel".to_vec()];
    Ok(config)
}

/// TLS of public listeners: HTTP/2 or HTTP/1.1. `asks`: whether visitors are asked for a certificate.
pub(super) fn acceptor(
    authority: Arc<CertificateAuthority>,
    cloud: Arc<Cloud>,
    names: PublicNames,
    asks: bool,
) -> TlsAcceptor {
    let certificates = Arc::new(Certificates {
        authority,
        cloud,
        names,
        minted: Mutex::default(),
    });
    let mut config = match asks {
        true => asking_server_config(certificates),
        false => server_config(certificates),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Names that have a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) enum PublicNames {
    /// Those with a proxied record. The handshake for any other name is refused.
    Proxied,
    /// Every name.
    Any,
}

impl PublicNames {
    fn include(self, name: &str, cloud: &Cloud) -> bool {
        match self {
            Self::Any => true,
            Self::Proxied => match cloud.route(name) {
                HostRoute::Tunnel { .. } | HostRoute::ForeignAccount | HostRoute::OtherTarget => {
                    true
                }
                HostRoute::NotProxied | HostRoute::NoRecord => false,
            },
        }
    }
}

/// Certificates of the public names.
struct Certificates {
    authority: Arc<CertificateAuthority>,
    cloud: Arc<Cloud>,
    names: PublicNames,
    /// Those made so far.
    minted: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(..)")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        if !self.names.include(&name, &self.cloud) {
            return None;
        }
        if let Some(uploaded) = self.cloud.certificate_of(&name) {
            return Some(uploaded);
        }
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = minted.get(&name) {
            return Some(known.clone());
        }
        match self.authority.issue(&[&name]) {
            Ok(new) => Some(minted.entry(name).or_insert(Arc::new(new)).clone()),
            Err(error) => {
                tracing::warn!(%name, %error, "no certificate");
                None
            }
        }
    }
}
