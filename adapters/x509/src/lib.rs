//! Certificates with their keys, in PEM: whether they can be served, and what they are for. No error quotes a value.

use std::collections::BTreeSet;

use domain::certificate::{CertificateFacts, Fingerprint};
use domain::{Hostname, Timestamp};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a certificate with its key cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the chain is not PEM that can be read")]
    ChainUnreadable,
    #[error("the chain holds no certificate")]
    ChainEmpty,
    #[error("the chain holds something that is not an X.509 certificate")]
    NoCertificate,
    #[error("the key is no private key in PEM")]
    NoKey,
    #[error("the key is not an RSA, ECDSA or Ed25519 key that can be used")]
    KeyUnsupported,
    #[error("the key is not that of the certificate")]
    OtherKey,
}

/// Looks at a chain, the server's own certificate first, and at its key, both in PEM.
pub fn facts(chain: &[u8], key: &[u8]) -> Result<CertificateFacts, Unusable> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| Unusable::ChainUnreadable)?;
    let leaf = certificates.first().ok_or(Unusable::ChainEmpty)?;
    let facts = of_leaf(leaf, chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::NoKey)?;
    let key = any_supported_type(&key).map_err(|_| Unusable::KeyUnsupported)?;
    let mismatch = Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
    match CertifiedKey::new(certificates, key).keys_match() {
        Err(error) if error == mismatch => Err(Unusable::OtherKey),
        _ => Ok(facts),
    }
}

fn of_leaf(leaf: &[u8], chain: &[u8]) -> Result<CertificateFacts, Unusable> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| Unusable::NoCertificate)?;
    Ok(CertificateFacts {
        names: names(&certificate),
        not_after: Timestamp(certificate.validity().not_after.timestamp()),
        fingerprint: Fingerprint::of(chain),
    })
}

/// The DNS names, as far as they can be hostnames. The common name has not counted for long (RFC 9525,
/// section 2).
fn names(certificate: &X509Certificate<'_>) -> BTreeSet<Hostname> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Hostname::parse(&name.to_ascii_lowercase()).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
        (certificate.unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_tells_its_names_and_one_that_cannot_be_served_why() {
        let (chain, key) = pair(&["App.example.com", "*.shop.example.com", "192.0.2.1"]);
        let (other, _) = pair(&["other.example.com"]);
        let names = ["*.shop.example.com", "app.example.com"];
        let names = names.map(|name| Hostname::parse(name).unwrap());
        let found = facts(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(found.names, names.into());
        assert_eq!(found.fingerprint, Fingerprint::of(chain.as_bytes()));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, key, problem) in [
            ("", &*key, Unusable::ChainEmpty),
            (
                "-----BEGIN CERTIFICATE-----\n",
                &*key,
                Unusable::ChainUnreadable,
            ),
            (broken, &*key, Unusable::NoCertificate),
            (&*chain, "", Unusable::NoKey),
            (&*other, &*key, Unusable::OtherKey),
        ] {
            let found = facts(chain.as_bytes(), key.as_bytes());
            assert_eq!(found.map(|_| ()), Err(problem), "{problem}");
        }
    }
}
