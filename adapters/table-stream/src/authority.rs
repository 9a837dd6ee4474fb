//! The certificates under which controller and proxies meet: an authority of our own, and the server
//! certificates that it issues.
//!
//! Only proxies verify, and they know the authority from a mounted bundle that lags behind by minutes. So a
//! new authority is published in the bundle a day before it signs anything, and the old one stays in the
//! bundle until it expires: whichever bundle a proxy has and whichever authority signed, they fit.
//!
//! With the authority a key is kept from which those of sessions are derived. It is made once and never replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::gateway::SessionKey;
use domain::names::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Name in the server's certificate. Proxies ask for it whatever address they dial.
pub const SERVER_NAME: &str = "table-stream.cloudflare-gateway-controller.io";

const DAY: i64 = 24 * 60 * 60;

/// How long an authority is valid, in seconds.
const AUTHORITY_LIFE: i64 = 365 * DAY;

/// Age at which its successor is made, in seconds.
const AUTHORITY_RENEWAL: i64 = 240 * DAY;

/// How long a successor is published before it signs, in seconds.
const OVERLAP: i64 = DAY;

/// How long a server certificate is valid, in seconds.
const SERVER_LIFE: i64 = 30 * DAY;

/// How far back validity begins, in seconds, for clocks that are behind.
const BACKDATE: i64 = 60 * 60;

/// File with the certificates that proxies trust: the part that is mounted into them.
pub const BUNDLE_FILE: &str = "ca.crt";
const CURRENT_CERTIFICATE: &str = "current.crt";
const CURRENT_KEY: &str = "current.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS_CERTIFICATE: &str = "previous.crt";
const SESSION_KEY: &str = "session.key";

/// Why files are no authority. Says which, never what is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} holds no certificate in PEM")]
    Certificate(&'static str),
    #[error("{0} holds no private key in PEM")]
    Key(&'static str),
    #[error("{0} does not belong to the key beside it")]
    Mismatch(&'static str),
}

/// The authority. A value: [`renewed`](Self::renewed) gives the one that follows.
#[derive(Clone)]
pub struct Authority {
    current: Signer,
    /// Published, does not sign yet.
    next: Option<Signer>,
    /// Signs no more; still trusted.
    previous: Option<Certified>,
    /// `None` where what was read is of an earlier version.
    session_key: Option<SessionKey>,
}

impl Authority {
    /// A new authority, with a key that no other has.
    pub fn new(now: Timestamp) -> Self {
        Self {
            current: Signer::new(now),
            next: None,
            previous: None,
            session_key: Some(new_session_key()),
        }
    }

    /// What the keys of all Gateways' sessions are derived from; `None` until [`renewed`](Self::renewed) has made it.
    pub fn session_key(&self) -> Option<&SessionKey> {
        self.session_key.as_ref()
    }

    /// Reads what [`to_files`](Self::to_files) wrote. Files of other names are passed over.
    pub fn from_files(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, AuthorityError> {
        let next = files.contains_key(NEXT_CERTIFICATE);
        let next = next.then(|| Signer::read(files, NEXT_CERTIFICATE, NEXT_KEY));
        let previous = files.contains_key(PREVIOUS_CERTIFICATE);
        let previous = previous.then(|| Certified::read(files, PREVIOUS_CERTIFICATE));
        Ok(Self {
            current: Signer::read(files, CURRENT_CERTIFICATE, CURRENT_KEY)?,
            next: next.transpose()?,
            previous: previous.transpose()?,
            session_key: files
                .get(SESSION_KEY)
                .and_then(|digits| SessionKey::from_hex(std::str::from_utf8(digits).ok()?.trim())),
        })
    }

    /// All of it, private keys included: the content of a Secret. [`BUNDLE_FILE`] alone is public.
    pub fn to_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut put = |name: &str, text: &str| files.insert(name.to_owned(), text.into());
        put(BUNDLE_FILE, &self.bundle());
        put(CURRENT_CERTIFICATE, &self.current.certified.pem);
        put(CURRENT_KEY, &self.current.key.serialize_pem());
        if let Some(next) = &self.next {
            put(NEXT_CERTIFICATE, &next.certified.pem);
            put(NEXT_KEY, &next.key.serialize_pem());
        }
        if let Some(previous) = &self.previous {
            put(PREVIOUS_CERTIFICATE, &previous.pem);
        }
        if let Some(key) = &self.session_key {
            put(SESSION_KEY, &key.to_hex());
        }
        files
    }

    /// What it has become by now; `None` where nothing is due. Ask every hour or so, store the answer before
    /// anything is issued from it, and publish its bundle.
    pub fn renewed(&self, now: Timestamp) -> Option<Self> {
        let mut renewed = self.clone();
        let age = now.0 - self.current.certified.made.0;
        let expired = self.current.certified.expires <= now;
        match &self.next {
            Some(next) if expired || next.certified.made.0 + OVERLAP <= now.0 => {
                renewed.current = next.clone();
                renewed.next = None;
                renewed.previous = Some(self.current.certified.clone());
            }
            // There is no overlap with one that has expired.
            None if expired => renewed.current = Signer::new(now),
            None if age >= AUTHORITY_RENEWAL => renewed.next = Some(Signer::new(now)),
            _ => {}
        }
        let over = |previous: &Certified| previous.expires <= now;
        if renewed.previous.as_ref().is_some_and(over) {
            renewed.previous = None;
        }
        renewed.session_key.get_or_insert_with(new_session_key);
        (!renewed.is(self)).then_some(renewed)
    }

    /// The certificates to trust, in PEM.
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| &next.certified);
        let all = [Some(&self.current.certified), next, self.previous.as_ref()];
        all.into_iter().flatten().map(|c| c.pem.as_str()).collect()
    }

    /// A server certificate for [`SERVER_NAME`], signed by the authority that is current. Another one is due
    /// at [`ServerIdentity::renew_at`] and whenever the authority was renewed.
    pub fn issue(&self, now: Timestamp) -> ServerIdentity {
        let key = KeyPair::generate().expect("the system has random bytes");
        let end = (now.0 + SERVER_LIFE).min(self.current.certified.expires.0);
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])
            .expect("the server name is a DNS name");
        params.distinguished_name = common_name(SERVER_NAME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now.0 - BACKDATE, end);
        let certificate = params
            .signed_by(&key, &self.current.issuer())
            .expect("a P-256 key signs");
        ServerIdentity {
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            renew_at: Timestamp(now.0 + (end - now.0) / 2),
            tls: OnceLock::new(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        let parts = |authority: &Self| {
            let next = authority
                .next
                .as_ref()
                .map(|next| next.certified.pem.clone());
            let previous = authority.previous.as_ref().map(|p| p.pem.clone());
            let key = authority.session_key.clone();
            (authority.current.certified.pem.clone(), next, previous, key)
        };
        parts(self) == parts(other)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("made", &self.current.certified.made)
            .field("next", &self.next.as_ref().map(|next| next.certified.made))
            .finish_non_exhaustive()
    }
}

fn new_session_key() -> SessionKey {
    let mut bytes = [0; 32];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let filled = provider.secure_random.fill(&mut bytes);
    filled.expect("the system has random bytes");
    SessionKey::new(bytes)
}

/// Certificate and key of the server, for the listener.
pub struct ServerIdentity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    renew_at: Timestamp,
    tls: OnceLock<Result<Arc<rustls::ServerConfig>, rustls::Error>>,
}

impl ServerIdentity {
    /// When another one should take its place: halfway to its end.
    pub fn renew_at(&self) -> Timestamp {
        self.renew_at
    }

    /// TLS for a listener that speaks HTTP/2 alone, made once.
    pub(crate) fn tls_config(&self) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        self.tls.get_or_init(|| self.new_tls_config()).clone()
    }

    fn new_tls_config(&self) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("renew_at", &self.renew_at)
            .finish_non_exhaustive()
    }
}

/// An authority's own certificate.
#[derive(Clone)]
struct Certified {
    pem: String,
    made: Timestamp,
    expires: Timestamp,
}

impl Certified {
    fn read(files: &BTreeMap<String, Vec<u8>>, name: &'static str) -> Result<Self, AuthorityError> {
        let unreadable = || AuthorityError::Certificate(name);
        let pem = text(files, name)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
        let validity = parsed.validity();
        Ok(Self {
            made: Timestamp(validity.not_before.timestamp() + BACKDATE),
            expires: Timestamp(validity.not_after.timestamp()),
            pem,
        })
    }

    /// Whether the certificate is that of this key.
    fn is_of(&self, key: &KeyPair) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(self.pem.as_bytes()) else {
            return false;
        };
        let parsed = X509Certificate::from_der(&der);
        parsed.is_ok_and(|(_, parsed)| {
            parsed.public_key().subject_public_key.data == key.public_key_raw()
        })
    }
}

/// An authority that can sign.
#[derive(Clone)]
struct Signer {
    certified: Certified,
    key: Arc<KeyPair>,
}

impl Signer {
    fn new(now: Timestamp) -> Self {
        let key = KeyPair::generate().expect("the system has random bytes");
        let certificate = authority_params(now)
            .self_signed(&key)
            .expect("a P-256 key signs");
        let certified = Certified {
            pem: certificate.pem(),
            made: now,
            expires: Timestamp(now.0 + AUTHORITY_LIFE),
        };
        Self {
            certified,
            key: Arc::new(key),
        }
    }

    fn read(
        files: &BTreeMap<String, Vec<u8>>,
        certificate: &'static str,
        key_file: &'static str,
    ) -> Result<Self, AuthorityError> {
        let certified = Certified::read(files, certificate)?;
        let key = KeyPair::from_pem(&text(files, key_file)?)
            .map_err(|_| AuthorityError::Key(key_file))?;
        if !certified.is_of(&key) {
            return Err(AuthorityError::Mismatch(certificate));
        }
        let key = Arc::new(key);
        Ok(Self { certified, key })
    }

    fn issuer(&self) -> Issuer<'static, &KeyPair> {
        Issuer::new(authority_params(self.certified.made), &*self.key)
    }
}

/// The same for the same moment: what is signed later bears the same issuer.
fn authority_params(made: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("cloudflare-gateway-controller route tables {}", made.0);
    params.distinguished_name = common_name(&name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, made.0 - BACKDATE, made.0 + AUTHORITY_LIFE);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Both in seconds since the epoch; before it is the epoch.
fn set_validity(params: &mut CertificateParams, from: i64, until: i64) {
    let after_epoch = |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + after_epoch(from);
    params.not_after = epoch + after_epoch(until);
}

fn text(files: &BTreeMap<String, Vec<u8>>, name: &'static str) -> Result<String, AuthorityError> {
    let bytes = files.get(name).ok_or(AuthorityError::Missing(name))?;
    String::from_utf8(bytes.clone()).map_err(|_| AuthorityError::Certificate(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000;

    fn days(days: i64) -> Timestamp {
        Timestamp(START + days * DAY)
    }

    fn certificates(bundle: &str) -> usize {
        bundle.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let mut authority = Authority::new(days(0));
        for day in [241, 242, 482] {
            let read = Authority::from_files(&authority.to_files()).unwrap();
            assert!(read.is(&authority));
            assert_eq!(
                read.current.certified.made,
                authority.current.certified.made
            );
            assert_eq!(read.bundle(), authority.bundle());
            authority = read.renewed(days(day)).unwrap();
        }
    }

    #[test]
    fn the_key_of_sessions_stays_and_is_made_where_an_earlier_version_left_none() {
        let first = Authority::new(days(0));
        let later = first.renewed(days(240)).unwrap();
        assert!(first.session_key().is_some());
        assert_eq!(first.session_key(), later.session_key());
        let mut files = first.to_files();
        files.remove(SESSION_KEY);
        let earlier = Authority::from_files(&files).unwrap();
        assert!(earlier.session_key().is_none());
        let mended = earlier.renewed(days(0)).unwrap();
        assert!(mended.session_key().is_some());
        assert_ne!(mended.session_key(), first.session_key());
        assert!(mended.renewed(days(0)).is_none());
    }

    #[test]
    fn a_successor_is_published_before_it_signs_and_trusted_after_it_stopped() {
        let first = Authority::new(days(0));
        assert!(first.renewed(days(239)).is_none(), "not due");
        let published = first.renewed(days(240)).unwrap();
        assert_eq!(certificates(&published.bundle()), 2);
        assert!(published.bundle().contains(&first.bundle()));
        assert_eq!(published.current.certified.pem, first.current.certified.pem);
        let early = Timestamp(days(241).0 - 1);
        assert!(published.renewed(early).is_none(), "the overlap lasts");
        let second = published.renewed(days(241)).unwrap();
        assert_ne!(second.current.certified.pem, first.current.certified.pem);
        assert!(second.bundle().contains(&first.bundle()));
        assert!(second.renewed(days(364)).is_none());
        let alone = second.renewed(days(365)).unwrap();
        assert_eq!(certificates(&alone.bundle()), 1);
    }

    #[test]
    fn an_authority_that_was_forgotten_until_it_expired_starts_anew() {
        let first = Authority::new(days(0));
        let anew = first.renewed(days(400)).unwrap();
        assert_eq!(certificates(&anew.bundle()), 1);
        assert_eq!(anew.current.certified.made, days(400));
        let published = first.renewed(days(240)).unwrap();
        let second = published.renewed(days(400)).unwrap();
        assert_eq!(second.current.certified.made, days(240));
        assert!(second.previous.is_none());
    }

    #[test]
    fn a_server_certificate_never_outlives_its_authority() {
        let authority = Authority::new(days(0));
        for (given, renew_at) in [(0, 15), (100, 115), (361, 363)] {
            assert_eq!(authority.issue(days(given)).renew_at(), days(renew_at));
        }
    }

    #[test]
    fn files_that_are_no_authority_are_named() {
        let good = Authority::new(days(0)).to_files();
        let other = Authority::new(days(1)).to_files();
        let with = |name: &str, content: Option<Vec<u8>>| {
            let mut files = good.clone();
            match content {
                Some(content) => files.insert(name.to_owned(), content),
                None => files.remove(name),
            };
            files
        };
        for (files, then) in [
            (
                with(CURRENT_KEY, None),
                AuthorityError::Missing(CURRENT_KEY),
            ),
            (
                with(CURRENT_CERTIFICATE, Some(b"x".to_vec())),
                AuthorityError::Certificate(CURRENT_CERTIFICATE),
            ),
            (
                with(CURRENT_KEY, Some(b"x".to_vec())),
                AuthorityError::Key(CURRENT_KEY),
            ),
            (
                with(CURRENT_KEY, Some(other[CURRENT_KEY].clone())),
                AuthorityError::Mismatch(CURRENT_CERTIFICATE),
            ),
        ] {
            assert_eq!(Authority::from_files(&files).unwrap_err(), then);
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let authority = Authority::new(days(0));
        let identity = authority.issue(days(0));
        let printed = format!("{authority:?} {identity:?}");
        assert!(
            !printed.contains("PRIVATE") && !printed.contains("key"),
            "{printed}"
        );
    }
}
