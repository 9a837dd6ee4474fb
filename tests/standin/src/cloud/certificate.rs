//! Custom certificates: those that a zone's owner uploads for the edge to serve.
//! Cloudflare documentation: "Custom certificates".

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Cloud, Plan, State};

/// A pair as a client uploads it. Never shown.
pub struct NewCertificate {
    /// The chain in PEM, the leaf first.
    pub certificate: String,
    /// Its private key in PEM.
    pub private_key: SecretString,
}

/// A certificate of a zone. Its key is in `pair`, which nothing shows.
#[derive(Clone)]
pub struct CustomCertificate {
    /// A UUID.
    pub id: String,
    /// The zone.
    pub zone: String,
    /// Names that it is for, as it has them.
    pub hosts: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when it is invalid.
    pub expires_on: Timestamp,
    /// When it was first uploaded.
    pub uploaded_on: Timestamp,
    /// When it was last replaced.
    pub modified_on: Timestamp,
    /// What the edge serves.
    pub(crate) pair: Arc<CertifiedKey>,
}

impl fmt::Debug for CustomCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomCertificate")
            .field("id", &self.id)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Why a certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// No such certificate in the zone.
    #[error("Certificate not found.")]
    NotFound,
    /// The account pays for none.
    #[error("The zone's plan has no custom certificates.")]
    NotInPlan,
    /// The chain is not PEM, or the leaf is no certificate.
    #[error("Could not parse the certificate.")]
    BadCertificate,
    /// The key is not PEM, or of a sort that is not served.
    #[error("Could not parse the private key.")]
    BadKey,
    /// Key and certificate do not belong together.
    #[error("The private key does not match the certificate.")]
    Mismatch,
}

impl Cloud {
    /// All certificates of a zone, the newest first.
    pub fn certificates(&self, zone: &str) -> Vec<CustomCertificate> {
        self.view(|state| {
            let all = state.certificates.iter().rev();
            all.filter(|c| c.zone == zone).cloned().collect()
        })
    }

    /// One certificate.
    pub fn certificate(
        &self,
        zone: &str,
        id: &str,
    ) -> Result<CustomCertificate, CertificateRefusal> {
        let mut all = self.certificates(zone).into_iter();
        all.find(|certificate| certificate.id == id)
            .ok_or(CertificateRefusal::NotFound)
    }

    /// Serves a certificate for a zone from now on.
    pub fn add_certificate(
        &self,
        zone: &str,
        new: &NewCertificate,
    ) -> Result<CustomCertificate, CertificateRefusal> {
        let made = read(zone, new)?;
        self.change(|state| {
            if !state.pays_for_certificates(zone) {
                return Err(CertificateRefusal::NotInPlan);
            }
            state.certificates.push(made.clone());
            Ok(made)
        })
    }

    /// Puts another pair in a certificate's place. The API gives a replaced one a new id.
    pub fn replace_certificate(
        &self,
        zone: &str,
        id: &str,
        new: &NewCertificate,
    ) -> Result<CustomCertificate, CertificateRefusal> {
        let made = read(zone, new)?;
        self.change(|state| {
            let mut all = state.certificates.iter_mut();
            let old = all
                .find(|certificate| certificate.zone == zone && certificate.id == id)
                .ok_or(CertificateRefusal::NotFound)?;
            *old = CustomCertificate {
                uploaded_on: old.uploaded_on,
                ..made
            };
            Ok(old.clone())
        })
    }

    /// Serves it no more.
    pub fn delete_certificate(&self, zone: &str, id: &str) -> Result<(), CertificateRefusal> {
        self.change(|state| {
            let before = state.certificates.len();
            let is_it = |c: &CustomCertificate| c.zone == zone && c.id == id;
            state.certificates.retain(|certificate| !is_it(certificate));
            match state.certificates.len() == before {
                true => Err(CertificateRefusal::NotFound),
                false => Ok(()),
            }
        })
    }

    /// What the edge shows for a lower-case name: of the certificates in the name's zone an exact one
    /// before a wildcard, then the newest.
    pub(crate) fn certificate_of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.view(|state| {
            let zone = state.zone_of(name)?;
            let own = state.certificates.iter().filter(|c| c.zone == zone.id);
            let fitting = own.filter_map(|c| Some((c.fit(name)?, c)));
            let best = fitting.max_by_key(|(fit, _)| *fit)?;
            Some(best.1.pair.clone())
        })
    }
}

impl State {
    fn pays_for_certificates(&self, zone: &str) -> bool {
        let account = self.zones.get(zone).map(|zone| &zone.account);
        let account = account.and_then(|account| self.accounts.get(account));
        account.is_some_and(|account| account.plan == Plan::Paid)
    }
}

/// How well a certificate fits a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Wildcard,
    Exact,
}

impl CustomCertificate {
    /// A star stands for one whole label (RFC 9525, section 6.3).
    fn fit(&self, name: &str) -> Option<Fit> {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let fits = self.hosts.iter().filter_map(|host| {
            let wildcard = host.strip_prefix("*.");
            if host == name {
                Some(Fit::Exact)
            } else {
                (wildcard.is_some() && wildcard == parent).then_some(Fit::Wildcard)
            }
        });
        fits.max()
    }
}

fn read(zone: &str, new: &NewCertificate) -> Result<CustomCertificate, CertificateRefusal> {
    let bad = CertificateRefusal::BadCertificate;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(new.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| bad)?;
    let leaf = chain.first().ok_or(bad)?.clone();
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| bad)?;
    let key = PrivateKeyDer::from_pem_slice(new.private_key.expose_secret().as_bytes())
        .map_err(|_| CertificateRefusal::BadKey)?;
    let key = any_supported_type(&key).map_err(|_| CertificateRefusal::BadKey)?;
    let pair = CertifiedKey::new(chain, key);
    // Keys whose public half cannot be told are taken as they are.
    if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
        pair.keys_match()
    {
        return Err(CertificateRefusal::Mismatch);
    }
    let now = Timestamp::now();
    let expires = parsed.validity().not_after.timestamp();
    Ok(CustomCertificate {
        id: Uuid::new_v4().to_string(),
        zone: zone.to_owned(),
        hosts: hosts(&parsed),
        issuer: parsed.issuer().to_string(),
        expires_on: Timestamp::from_second(expires).map_err(|_| bad)?,
        uploaded_on: now,
        modified_on: now,
        pair: Arc::new(pair),
    })
}

/// The DNS names of a certificate, in lower case.
fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
