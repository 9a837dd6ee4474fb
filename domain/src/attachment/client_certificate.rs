//! The certificate that a Gateway shows to backends.

use super::Refusal;
use super::certificate;
use super::view::{
    Permission, Referrer, Secret, View, is_core, kind_text, not_granted, secret_ref,
    unreadable_grant,
};
use crate::certificate::TlsPair;
use crate::gateway::Gateway;
use crate::names::ObjectRef;
use crate::route_table::{ClientCertificate, Upstream};
use crate::status::Reason;

const FIELD: &str = "spec.tls.backend.clientCertificateRef";

/// `spec.tls.backend.clientCertificateRef` of a Gateway that writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateResolution {
    /// The Secret, where it may be referred to, whether it is there or not.
    pub secret: Option<ObjectRef>,
    /// What is shown; `None` while the Secret was not read.
    pub shown: Option<ClientCertificate>,
    /// Why ResolvedRefs of the Gateway is False. Then no backend is spoken to over TLS.
    pub refusal: Option<Refusal>,
}

impl ClientCertificateResolution {
    /// Whether it depends on what is about to be read.
    pub(super) fn is_awaited(&self) -> bool {
        self.shown.is_none() && self.refusal.is_none()
    }

    /// An upstream whose endpoints are shown it. Where it cannot be shown, one over TLS has no endpoint.
    pub(super) fn shown_to(&self, mut upstream: Upstream) -> Upstream {
        if let Some(tls) = &mut upstream.tls {
            match &self.shown {
                Some(shown) => {
                    std::sync::Arc::make_mut(tls).client = Some(shown.clone());
                }
                None => upstream.endpoints.clear(),
            }
        }
        upstream
    }
}

pub(super) fn resolve_client_certificate(
    gateway: &Gateway,
    view: &View<'_>,
) -> Option<ClientCertificateResolution> {
    let target = gateway.client_certificate.as_ref()?;
    let refused = |secret: Option<&ObjectRef>, reason, problem: String| {
        let message = format!("Gateway {}: {FIELD}: {problem}", gateway.key);
        Some(ClientCertificateResolution {
            secret: secret.cloned(),
            shown: None,
            refusal: Some(Refusal::new(reason, message)),
        })
    };
    let invalid = Reason::InvalidClientCertificateRef;
    let is_secret = is_core(target, "Secret");
    let secret = secret_ref(target.key.clone());
    let referred = if is_secret { &secret } else { target };
    let from = Referrer {
        kind: "Gateway",
        namespace: &gateway.key.namespace,
    };
    match view.permission(from, referred) {
        Permission::Granted => {}
        Permission::Denied => {
            return refused(None, Reason::RefNotPermitted, not_granted(referred, from));
        }
        Permission::Unreadable(grant) => {
            let problem = unreadable_grant(referred, grant);
            return refused(None, Reason::RefNotPermitted, problem);
        }
        Permission::Undecided => {
            return Some(ClientCertificateResolution {
                secret: None,
                shown: None,
                refusal: None,
            });
        }
    }
    if !is_secret {
        let problem = format!(
            "{} is not served; name a Secret of the core group",
            kind_text(target)
        );
        return refused(None, invalid, problem);
    }
    if let Some(problem) = certificate::problem(&secret, view) {
        return refused(Some(&secret), invalid, problem);
    }
    let shown = match view.secret(&secret.key) {
        Secret::Present(facts) => match &facts.tls {
            TlsPair::Usable(found) => Some(ClientCertificate {
                secret: secret.key.clone(),
                fingerprint: found.fingerprint.clone(),
            }),
            TlsPair::Absent | TlsPair::Malformed(_) => None,
        },
        Secret::Missing | Secret::OutOfReach | Secret::Unknown => None,
    };
    Some(ClientCertificateResolution {
        secret: Some(secret),
        shown,
        refusal: None,
    })
}
