//! TLS Secrets: whether certificate and key can be served, and what the certificate says. No text made here
//! quotes a value.

use std::collections::BTreeMap;

use adapter_x509::Unusable;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::certificate::{
    CERTIFICATE_KEY, CaBundle, CertificateFacts, Fingerprint, LARGEST_CA_BUNDLE, PRIVATE_KEY_KEY,
    TlsPair, TrustBundle,
};
use domain::secret::CertificatePair;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The values of a Secret by their keys.
type Values = BTreeMap<String, SecretSlice<u8>>;

/// Looks at `tls.crt` and `tls.key` (Kubernetes, "TLS Secrets").
pub(crate) fn examine(values: &Values) -> TlsPair {
    let found = (values.get(CERTIFICATE_KEY), values.get(PRIVATE_KEY_KEY));
    let (Some(chain), Some(key)) = found else {
        return TlsPair::Absent;
    };
    match facts(chain.expose_secret(), key.expose_secret()) {
        Ok(facts) => TlsPair::Usable(facts),
        Err(problem) => TlsPair::Malformed(problem),
    }
}

/// Looks at certificate authorities; `field` is where they stand. Only certificates are kept of it: what stands between them, and other
/// things in PEM, are not.
pub(crate) fn bundle(field: &str, pem: &[u8]) -> TrustBundle {
    match authorities(field, pem) {
        Ok(bundle) => TrustBundle::Usable(bundle),
        Err(problem) => TrustBundle::Malformed(problem),
    }
}

fn authorities(field: &str, pem: &[u8]) -> Result<CaBundle, String> {
    if pem.len() > LARGEST_CA_BUNDLE {
        let size = pem.len();
        return Err(format!(
            "Too long: {field} has {size} bytes: must have at most {LARGEST_CA_BUNDLE}; leave out what the backend does not need"
        ));
    }
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("{field} is not PEM that can be read"))?;
    let mut written = String::new();
    for certificate in &certificates {
        let anchor = X509Certificate::from_der(certificate).is_ok_and(|(rest, _)| rest.is_empty())
            && RootCertStore::empty().add(certificate.clone()).is_ok();
        if !anchor {
            return Err(format!(
                "{field} holds something that is not an X.509 certificate"
            ));
        }
        let text = STANDARD.encode(certificate);
        written.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            written.extend(line.iter().map(|byte| char::from(*byte)));
            written.push('\n');
        }
        written.push_str("-----END CERTIFICATE-----\n");
    }
    if written.is_empty() {
        return Err(format!(
            "{field} holds no certificate; write the certificate authorities in PEM"
        ));
    }
    Ok(CaBundle::from(written))
}

/// The texts; `None` where they are no texts.
pub(crate) fn pair(values: &Values, fingerprint: Fingerprint) -> Option<CertificatePair> {
    let text = |key: &str| {
        let value = values.get(key)?;
        std::str::from_utf8(value.expose_secret()).ok()
    };
    Some(CertificatePair {
        chain: text(CERTIFICATE_KEY)?.to_owned(),
        key: SecretString::from(text(PRIVATE_KEY_KEY)?),
        fingerprint,
    })
}

fn facts(chain: &[u8], key: &[u8]) -> Result<CertificateFacts, String> {
    adapter_x509::facts(chain, key).map_err(|problem| match problem {
        Unusable::ChainUnreadable => format!("{CERTIFICATE_KEY} is not PEM that can be read"),
        Unusable::ChainEmpty => format!(
            "{CERTIFICATE_KEY} holds no certificate; write the chain in PEM, the server's own certificate first"
        ),
        Unusable::NoCertificate => {
            format!("{CERTIFICATE_KEY} holds something that is not an X.509 certificate")
        }
        Unusable::NoKey => format!("{PRIVATE_KEY_KEY} holds no private key in PEM"),
        Unusable::KeyUnsupported => format!(
            "{PRIVATE_KEY_KEY} is not an RSA, ECDSA or Ed25519 key that can be used"
        ),
        Unusable::OtherKey => format!(
            "{PRIVATE_KEY_KEY} is not the key of the certificate in {CERTIFICATE_KEY}"
        ),
    })
}
