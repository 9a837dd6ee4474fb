//! Certificates that a broker asks for: chain and key of each are read and sent then, and not before.

use std::collections::BTreeMap;

use domain::ObjectKey;
use domain::broker::certificates::{
    LONGEST_CHAIN, LONGEST_KEY, MOST_CERTIFICATES, MOST_NAMES, PAIRS_AT_ONCE,
};
use domain::edge::certificates::{CertificateIntent, CertificateOutcome};
use domain::edge::{EdgeIntent, EdgeStatus};
use domain::ports::{Certificates, PortError};
use domain::secret::CertificatePair;
use reqwest::Method;
use secrecy::ExposeSecret;

use super::BrokerEdge;
use crate::wire::PairsDocument;

/// What is said of certificates by their Secrets.
pub(super) type Told = BTreeMap<ObjectKey, CertificateOutcome>;

/// An intent with no more certificates than a broker takes of one Gateway, and what is said of the others.
pub(super) fn within_limit(intent: &EdgeIntent) -> (EdgeIntent, Told) {
    let mut intent = intent.clone();
    let mut told = Told::new();
    while let Some(certificates) = &mut intent.certificates
        && certificates.len() > MOST_CERTIFICATES
        && let Some(last) = certificates.pop_last()
    {
        let message = format!(
            "the broker takes {MOST_CERTIFICATES} certificates of one Gateway; spread the listeners over several Gateways"
        );
        told.insert(last.secret, CertificateOutcome::Failed { message });
    }
    (intent, told)
}

impl BrokerEdge {
    /// Sends the certificates that the broker asks for, and gives what came of the whole then.
    pub(super) async fn send_pairs(&self, intent: &EdgeIntent, status: EdgeStatus) -> EdgeStatus {
        let lacking: Vec<&CertificateIntent> = lacking(intent, &status).collect();
        if lacking.is_empty() {
            return status;
        }
        let mut status = status;
        let mut told = Told::new();
        let Some(certificates) = &self.certificates else {
            let secrets = lacking.into_iter().map(|one| one.secret.clone());
            let not_available = secrets.map(|secret| (secret, CertificateOutcome::NotAvailable));
            status.certificates.extend(not_available);
            return status;
        };
        for some in lacking.chunks(PAIRS_AT_ONCE) {
            let pairs = pairs_of(&**certificates, some, &mut told).await;
            if pairs.is_empty() {
                continue;
            }
            let body = serde_json::to_vec(&PairsDocument::of(&pairs));
            let body = body.expect("a document of texts can be written");
            let path = ["certificates"];
            let stated = self.state(Method::PUT, &intent.gateway, &path, Some(body));
            match stated.await {
                Ok(now) => status = now,
                // The rest of the intent is as it was answered.
                Err(error) => status.failures.push(error),
            }
        }
        status.certificates.extend(told);
        status
    }
}

fn lacking<'i>(
    intent: &'i EdgeIntent,
    status: &EdgeStatus,
) -> impl Iterator<Item = &'i CertificateIntent> {
    let is_lacking = |one: &&CertificateIntent| {
        let outcome = status.certificates.get(&one.secret);
        matches!(outcome, Some(CertificateOutcome::WithoutKey { .. }))
    };
    intent.certificates.iter().flatten().filter(is_lacking)
}

/// Those that can be sent. One that is another one by now is stated by another intent.
async fn pairs_of(
    certificates: &dyn Certificates,
    wanted: &[&CertificateIntent],
    told: &mut Told,
) -> Vec<CertificatePair> {
    let mut pairs: Vec<CertificatePair> = Vec::new();
    for one in wanted {
        match fitting(one, certificates.pair(&one.secret).await) {
            Ok(pair) if pair.fingerprint == one.fingerprint => pairs.push(pair),
            Ok(_) => {}
            Err(message) => {
                let outcome = CertificateOutcome::Failed { message };
                told.insert(one.secret.clone(), outcome);
            }
        }
    }
    pairs
}

fn fitting(
    one: &CertificateIntent,
    found: Result<CertificatePair, PortError>,
) -> Result<CertificatePair, String> {
    let pair = found.map_err(|error| error.to_string())?;
    if one.names.len() > MOST_NAMES {
        return Err(format!(
            "the broker takes certificates of {MOST_NAMES} names; use several"
        ));
    }
    if pair.chain.len() > LONGEST_CHAIN || pair.key.expose_secret().len() > LONGEST_KEY {
        return Err(format!(
            "the broker takes a chain of {LONGEST_CHAIN} bytes and a key of {LONGEST_KEY}; leave out of the chain what browsers do not need"
        ));
    }
    Ok(pair)
}
