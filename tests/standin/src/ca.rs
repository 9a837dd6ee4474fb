//! The stand-in's own certificate authority: it signs the certificate of the tunnel listeners and
//! those of the public hostnames.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ConfigBuilder, DigitallySignedStruct, ServerConfig, SignatureScheme, WantsVerifier};
use tokio_rustls::TlsAcceptor;

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key.pem";

/// Why a certificate could not be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A name that no certificate can carry, or a key that cannot be read.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library does not take the key.
    #[error("signing key: {0}")]
    Key(#[from] rustls::Error),
    /// The authority's files cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// A private authority. Those who trust its certificate trust every name that it signs.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl CertificateAuthority {
    /// A new authority that lives as long as the process.
    pub fn generate() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let pem = authority_params()?.self_signed(&key)?.pem();
        Self::new(key, pem)
    }

    /// The authority kept in a folder (`ca.pem`, `ca.key.pem`), made there if it is not yet: so that
    /// connectors and browsers that trust it can come back after a restart.
    pub fn open_or_create(folder: &Path) -> Result<Self, AuthorityError> {
        let (pem_path, key_path) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        if pem_path.exists() && key_path.exists() {
            let key = KeyPair::from_pem(&read(&key_path)?)?;
            return Self::new(key, read(&pem_path)?);
        }
        let made = Self::generate()?;
        fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
        write(&key_path, &made.issuer.key().serialize_pem())?;
        write(&pem_path, &made.pem)?;
        Ok(made)
    }

    fn new(key: KeyPair, pem: String) -> Result<Self, AuthorityError> {
        let issuer = Issuer::new(authority_params()?, key);
        Ok(Self { issuer, pem })
    }

    /// The authority's own certificate, for those who shall trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A new server certificate for these names, with its key.
    pub fn issue(&self, names: &[&str]) -> Result<CertifiedKey, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(owned(names))?;
        params.distinguished_name = common_name("stand-in edge");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let signing = any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], signing))
    }

    /// A TLS server that proves these names, which may be IP addresses.
    pub fn acceptor(&self, names: &[&str]) -> Result<TlsAcceptor, AuthorityError> {
        let certified = self.issue(names)?;
        let config = server_config(Arc::new(SingleCertAndKey::from(certified)));
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// TLS 1.2 and 1.3 with these certificates, without asking clients for one.
pub(crate) fn server_config(certificates: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    builder()
        .with_no_client_auth()
        .with_cert_resolver(certificates)
}

/// A server that asks clients for a certificate and takes any, or none.
pub(crate) fn asking_server_config(certificates: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    let asking = AnyCertificate(aws_lc_rs::default_provider().signature_verification_algorithms);
    builder()
        .with_client_cert_verifier(Arc::new(asking))
        .with_cert_resolver(certificates)
}

fn builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
}

/// Takes every certificate whose key the client has.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateAuthority(..)")
    }
}

/// The same every time, so that an authority read from its key signs in the same name.
fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name("stand-in Cloudflare CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|source| file_error(path, source))
}

fn write(path: &Path, text: &str) -> Result<(), AuthorityError> {
    fs::write(path, text).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;
    use uuid::Uuid;

    use super::*;

    /// Whether a client that trusts `pem` accepts `certified` for `name`.
    async fn accepted(pem: &str, certified: CertifiedKey, name: &'static str) -> bool {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let (near, far) = tokio::io::duplex(16 * 1024);
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let accepting = tokio::spawn(async move { acceptor.accept(far).await.is_ok() });
        let name = ServerName::try_from(name).unwrap();
        let connected = TlsConnector::from(Arc::new(client))
            .connect(name, near)
            .await;
        connected.is_ok() && accepting.await.unwrap()
    }

    #[tokio::test]
    async fn a_certificate_counts_for_its_names_under_its_own_authority_only() {
        let authority = CertificateAuthority::generate().unwrap();
        let other = CertificateAuthority::generate().unwrap();
        let issue = || authority.issue(&["app.example.com"]).unwrap();
        for (pem, name, expected) in [
            (authority.pem(), "app.example.com", true),
            (authority.pem(), "other.example.com", false),
            (other.pem(), "app.example.com", false),
        ] {
            assert_eq!(accepted(pem, issue(), name).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn an_authority_kept_in_a_folder_is_the_same_after_a_restart() {
        let folder = std::env::temp_dir().join(Uuid::new_v4().to_string());
        let first = CertificateAuthority::open_or_create(&folder).unwrap();
        let second = CertificateAuthority::open_or_create(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!(first.pem(), second.pem());
        let certified = second.issue(&["app.example.com"]).unwrap();
        assert!(accepted(first.pem(), certified, "app.example.com").await);
    }
}
