//! What the client shows of where it runs: a token of its ServiceAccount, and the keys that the cluster publishes for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::broker::attestation::Attestor;
use domain::broker::cluster::Thumbprint;
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use crate::attestation::read_key_set;
use crate::wire::{AttestationDocument, SessionDocument};

/// Shows it, where there is something to show.
#[derive(Debug)]
pub(super) struct Attesting {
    attestor: Option<Arc<dyn Attestor>>,
    /// Of the cluster's key.
    key: Thumbprint,
    /// What was logged last of each subject, so that it is logged once.
    told: Mutex<BTreeMap<&'static str, String>>,
}

impl Attesting {
    pub(super) fn new(attestor: Option<Arc<dyn Attestor>>, key: Thumbprint) -> Self {
        Self {
            attestor,
            key,
            told: Mutex::default(),
        }
    }

    /// The token as it is now, with the keys as far as they can be read. `None` where there is no token.
    pub(super) async fn shown(&self) -> Option<AttestationDocument> {
        let attestor = self.attestor.as_ref()?;
        let token = match attestor.token().await {
            Ok(token) => token,
            Err(error) => {
                self.tell("token", format!("the cluster cannot be attested: {error}"));
                return None;
            }
        };
        Some(AttestationDocument {
            token: token.expose_secret().trim().to_owned(),
            keys: self.keys(&**attestor).await,
        })
    }

    /// The same for an enrolment, which the broker takes with keys alone. Without keys the cluster is enrolled and not attested.
    pub(super) async fn shown_with_keys(&self) -> Option<AttestationDocument> {
        self.shown().await.filter(|shown| shown.keys.is_some())
    }

    async fn keys(&self, attestor: &dyn Attestor) -> Option<String> {
        let text = match attestor.published_keys().await {
            Ok(text) => text,
            Err(error) => {
                self.tell("keys", format!(
                    "the keys that the cluster publishes at /openid/v1/jwks cannot be read, so the broker learns of no new ones: {error}"
                ));
                return None;
            }
        };
        if let Err(error) = read_key_set(&text) {
            self.tell(
                "keys",
                format!(
                    "the keys that the cluster publishes at /openid/v1/jwks cannot be used: {error}"
                ),
            );
            return None;
        }
        String::from_utf8(text).ok()
    }

    /// What a session says of it.
    pub(super) fn told(&self, session: &SessionDocument) {
        let SessionDocument {
            cluster, offered, ..
        } = session;
        let key = &self.key;
        let message = match (session.attested, offered) {
            (true, _) => format!("cluster {cluster}: attested: yes"),
            (false, Some(offered)) => format!(
                "cluster {cluster}: attested: no; to have it attested by what this controller shows: `cfgw broker accept {cluster} --key {key} --attest-anew {offered}`"
            ),
            (false, None) => format!(
                "cluster {cluster}: attested: no, as no token was shown with keys that signed it"
            ),
        };
        self.tell("session", message);
    }

    fn tell(&self, subject: &'static str, message: String) {
        let mut told = self.told.lock();
        if told.get(subject) != Some(&message) {
            tracing::info!("{message}");
            told.insert(subject, message);
        }
    }
}
