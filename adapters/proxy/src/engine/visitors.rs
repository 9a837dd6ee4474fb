//! What visitors of some ports have to show: a certificate of one of the table's authorities. The edge made the TLS handshake,
//! in which a visitor proves to have the key, and hands the certificate on in `Client-Cert` and `Client-Cert-Chain`
//! (RFC 9440). Any doubt refuses the request.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::route_table::{Arrival, ClientValidation, Scheme};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::upstream::roots;

pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// Bytes of `Client-Cert`, and of `Client-Cert-Chain`; Cloudflare hands on no more.
const LONGEST: usize = 16 << 10;
/// Certificates between that of a visitor and the authority's.
const MOST_INTERMEDIATES: usize = 4;

/// What visitors have to show, by port.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    asked: Vec<ClientValidation>,
    checks: Box<[Check]>,
}

#[derive(Debug)]
struct Check {
    ports: BTreeSet<u16>,
    /// `None` where there is no authority: then nobody is let in.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Visitors {
    /// What a table asks; the same as before where it asks the same, because authorities take time to read.
    pub(super) fn following(before: Option<&Arc<Self>>, asked: &[ClientValidation]) -> Arc<Self> {
        if let Some(before) = before.filter(|before| before.asked == asked) {
            return Arc::clone(before);
        }
        let check = |asked: &ClientValidation| Check {
            ports: asked.ports.clone(),
            verifier: verifier(asked),
        };
        Arc::new(Self {
            checks: asked.iter().map(check).collect(),
            asked: asked.to_vec(),
        })
    }

    /// Whether a request may go on. Over HTTP nobody is asked.
    #[inline]
    pub(super) fn admit(&self, arrival: &Arrival, headers: &HeaderMap) -> bool {
        if self.checks.is_empty() || arrival.scheme == Scheme::Http {
            return true;
        }
        let mut checks = self.checks.iter();
        let Some(check) = checks.find(|check| check.ports.contains(&arrival.port)) else {
            return true;
        };
        arrival.hands_certificates && check.takes(headers)
    }
}

impl Check {
    fn takes(&self, headers: &HeaderMap) -> bool {
        let (Some(verifier), Some((certificate, chain))) = (&self.verifier, shown(headers)) else {
            return false;
        };
        let verified = verifier.verify_client_cert(&certificate, &chain, UnixTime::now());
        if let Err(error) = &verified {
            tracing::debug!(%error, "the certificate of a visitor is not taken");
        }
        verified.is_ok()
    }
}

fn verifier(asked: &ClientValidation) -> Option<Arc<dyn ClientCertVerifier>> {
    let roots = roots(&asked.authorities).filter(|roots| !roots.is_empty());
    let provider = Arc::new(default_provider());
    let built = roots.map(|roots| {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()
    });
    match built {
        Some(Ok(verifier)) => Some(verifier),
        _ => {
            tracing::warn!(ports = ?asked.ports, "no certificate of a visitor can be taken: every request is refused");
            None
        }
    }
}

/// The certificate that a visitor showed, and those between it and an authority.
fn shown(headers: &HeaderMap) -> Option<(CertificateDer<'static>, Vec<CertificateDer<'static>>)> {
    let mut lines = headers.get_all(CLIENT_CERT).iter();
    let certificate = lines.next().filter(|line| line.len() <= LONGEST)?;
    if lines.next().is_some() {
        return None;
    }
    let certificate = decoded(certificate.as_bytes())?;
    let lines = headers.get_all(CLIENT_CERT_CHAIN);
    if lines.iter().map(HeaderValue::len).sum::<usize>() > LONGEST {
        return None;
    }
    let mut chain = Vec::new();
    for line in lines.iter().map(|line| line.as_bytes().trim_ascii()) {
        if line.is_empty() {
            continue;
        }
        for member in line.split(|byte| *byte == b',') {
            if chain.len() == MOST_INTERMEDIATES {
                return None;
            }
            chain.push(decoded(member)?);
        }
    }
    Some((certificate, chain))
}

/// A byte sequence of a structured field (RFC 8941 §3.3.5), without parameters.
fn decoded(member: &[u8]) -> Option<CertificateDer<'static>> {
    let member = member.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
    let der = STANDARD.decode(member).ok()?;
    (!der.is_empty()).then(|| CertificateDer::from(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_one_byte_sequence_and_its_chain_a_list_of_few() {
        let many = [":AQ==:"; MOST_INTERMEDIATES + 1].join(", ");
        let long = format!(":{}:", "A".repeat(LONGEST));
        for (given, certificate, chain, expected) in [
            ("none", &[][..], &[][..], None),
            ("one", &[":AQ==:"], &[], Some(0)),
            ("with a chain", &[":AQ==:"], &[":Ag==:, :Aw==:"], Some(2)),
            (
                "a chain on two lines",
                &[":AQ==:"],
                &[":Ag==:", ":Aw==:"],
                Some(2),
            ),
            ("an empty chain", &[":AQ==:"], &[""], Some(0)),
            ("two certificates", &[":AQ==:", ":AQ==:"], &[], None),
            ("a list of two", &[":AQ==:, :AQ==:"], &[], None),
            ("empty", &[""], &[], None),
            ("empty sequence", &["::"], &[], None),
            ("no sequence", &["AQ=="], &[], None),
            ("with a parameter", &[":AQ==:;a=1"], &[], None),
            ("no base64", &[":A:"], &[], None),
            ("too long", &[long.as_str()], &[], None),
            (
                "a chain with a hole",
                &[":AQ==:"],
                &[":Ag==:,,:Aw==:"],
                None,
            ),
            (
                "a chain that is too long",
                &[":AQ==:"],
                &[many.as_str()],
                None,
            ),
            ("a chain alone", &[], &[":AQ==:"], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, lines) in [(CLIENT_CERT, certificate), (CLIENT_CERT_CHAIN, chain)] {
                for line in lines {
                    headers.append(name.clone(), HeaderValue::from_str(line).unwrap());
                }
            }
            let found = shown(&headers).map(|(_, chain)| chain.len());
            assert_eq!(found, expected, "{given}");
        }
    }
}
