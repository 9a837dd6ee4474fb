//! TLS towards endpoints: whose certificates are taken, and under which name (RFC 9525).

use std::sync::{Arc, LazyLock};

use domain::certificate::{CaBundle, Fingerprint};
use domain::gateway::SubjectName;
use domain::names::Hostname;
use domain::route_table::{Trust, UpstreamTls};
use domain::secret::CertificatePair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::ConnectFailure;
use super::stream::{H2, Stream};

/// The certificate authorities of the system; in the image those of Mozilla. Where there is none, no certificate is taken.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut store = RootCertStore::empty();
    // A broken certificate among the system's many must not keep the others from being used.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        tracing::warn!(
            "there are no certificate authorities of the system: no backend is taken that needs them"
        );
    }
    Arc::new(store)
});

/// What is offered by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Http1,
    Http2,
    Both,
}

/// One way to speak TLS. Endpoints that share it may share nothing else: sessions are not resumed, so that each connection
/// has its certificate checked.
#[derive(Debug)]
pub(crate) struct Tls {
    name: ServerName<'static>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
}

impl Tls {
    /// `None` where the values are none that a table has: then nothing can be spoken to.
    pub(crate) fn new(tls: &UpstreamTls, shown: Option<&ShownCertificate>) -> Option<Self> {
        let roots = match &tls.trust {
            Trust::System => Arc::clone(&SYSTEM),
            Trust::Bundles(bundles) => Arc::new(roots(bundles)?),
        };
        let provider = default_provider();
        let verifier = Verifier {
            roots,
            names: tls.names.clone(),
            algorithms: provider.signature_verification_algorithms,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &tls.client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let shown = shown.filter(|shown| shown.fingerprint == client.fingerprint)?;
                config.with_client_cert_resolver(shown.certificate.clone())
            }
        };
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.resumption = Resumption::disabled();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        let http1: &[u8] = b"http/1.1";
        Some(Self {
            name: ServerName::try_from(tls.hostname.as_str().to_owned()).ok()?,
            http1: offering(&[http1]),
            http2: offering(&[H2]),
            both: offering(&[H2, http1]),
        })
    }

    /// Speaks TLS on a connection.
    pub(super) async fn start(
        &self,
        stream: TcpStream,
        offer: Offer,
    ) -> Result<Stream, ConnectFailure> {
        let config = match offer {
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
            Offer::Both => &self.both,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        match connector.connect(self.name.clone(), stream).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => {
                tracing::debug!(name = ?self.name, %error, "no TLS with an endpoint");
                Err(ConnectFailure::Refused)
            }
        }
    }
}

/// The certificate authorities of a table. `None` where one of them is none: then the others do not count either.
pub(crate) fn roots(bundles: &[CaBundle]) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    for bundle in bundles {
        for certificate in CertificateDer::pem_slice_iter(bundle.as_pem().as_bytes()) {
            store.add(certificate.ok()?).ok()?;
        }
    }
    Some(store)
}

/// The certificate that endpoints are shown, with its key.
#[derive(Debug, Clone)]
pub(crate) struct ShownCertificate {
    fingerprint: Fingerprint,
    certificate: Arc<SingleCertAndKey>,
}

impl ShownCertificate {
    /// `None` where the pair cannot be used.
    pub(crate) fn new(pair: &CertificatePair) -> Option<Self> {
        let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.expose_secret().as_bytes()).ok()?;
        let key = any_supported_type(&key).ok()?;
        Some(Self {
            fingerprint: pair.fingerprint.clone(),
            certificate: Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))),
        })
    }
}

/// Checks chain, dates and name of a certificate.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    /// Empty: the name that was asked for.
    names: Vec<SubjectName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if self.names.is_empty() {
            verify_server_name(&certificate, server_name)?;
        } else if !has_one_of(end_entity, &self.names) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate has one of these names.
fn has_one_of(certificate: &[u8], names: &[SubjectName]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return false;
    };
    let mut has = extension.value.general_names.iter();
    has.any(|name| match name {
        GeneralName::DNSName(presented) => names.iter().any(|name| match name {
            SubjectName::Hostname(wanted) => is_hostname(presented, wanted),
            SubjectName::Uri(_) => false,
        }),
        GeneralName::URI(presented) => names.iter().any(|name| match name {
            SubjectName::Uri(wanted) => presented == wanted,
            SubjectName::Hostname(_) => false,
        }),
        _ => false,
    })
}

/// Whether a DNS name of a certificate is the wanted one. A wildcard in a certificate stands for one label (RFC 9525 §6.3),
/// one that is wanted for any number of them (Gateway API, `Hostname`).
fn is_hostname(presented: &str, wanted: &Hostname) -> bool {
    let presented = presented.trim_end_matches('.').to_ascii_lowercase();
    let wanted = wanted.as_str();
    if presented == wanted {
        return true;
    }
    match (wanted.strip_prefix('*'), presented.strip_prefix("*.")) {
        (Some(below), None) => {
            let before = presented.strip_suffix(below);
            before.is_some_and(|before| !before.is_empty())
        }
        (None, Some(parent)) => wanted
            .split_once('.')
            .is_some_and(|(_, rest)| rest == parent),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_certificate_is_the_wanted_one_or_not() {
        for (presented, wanted, is_one) in [
            ("app.example.com", "app.example.com", true),
            ("APP.example.com.", "app.example.com", true),
            ("app.example.org", "app.example.com", false),
            ("*.example.com", "app.example.com", true),
            ("*.example.com", "a.app.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", true),
            ("*.example.com", "*.example.com", true),
            ("app.example.com", "*.example.com", true),
            ("a.app.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            (".example.com", "*.example.com", false),
            ("appexample.com", "*.example.com", false),
            ("*.app.example.com", "*.example.com", false),
            ("", "app.example.com", false),
        ] {
            let hostname = Hostname::parse(wanted).unwrap();
            assert_eq!(
                is_hostname(presented, &hostname),
                is_one,
                "{presented} as {wanted}"
            );
        }
    }
}
