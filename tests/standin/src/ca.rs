//! The stand-in's own certificate authority: it signs the certificate of the tunnel listeners and
//! those of the public hostnames.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

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
