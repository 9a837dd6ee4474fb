//! Why a broker refuses something.

use std::fmt;

/// A refusal. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    pub code: Code,
    /// What is wrong and what helps. Names nothing of another tenant, and no secret.
    pub detail: String,
}

impl Refusal {
    /// A refusal with words for a person.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// Of whoever replaces or removes something that is not as they saw it any more.
    pub fn changed() -> Self {
        let detail = "it was changed, made or removed since it was read; read it again";
        Self::new(Code::EtagMismatch, detail)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// What clients may count on. A code keeps its meaning and its HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it stands in an answer.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status of an answer with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// Somebody who may not do this, or who is not known.
    Forbidden = "forbidden", 403;
    /// No such thing, or one of another tenant: the answer does not tell which.
    NotFound = "not_found", 404;
    AlreadyExists = "already_exists", 409;
    /// Something else still needs it.
    InUse = "in_use", 409;
    /// The enrolment code was never given out, was used, or is too old.
    CodeInvalid = "enrolment_code_invalid", 403;
    /// Whoever runs the broker has not accepted the cluster yet.
    NotAccepted = "cluster_not_accepted", 403;
    /// The key that was shown is not the one that is to be accepted.
    KeyMismatch = "key_mismatch", 409;
    /// The session ended, or never was.
    SessionOver = "session_over", 401;
    ClusterRevoked = "cluster_revoked", 403;
    /// Two clusters have one key.
    IdentityConflict = "cluster_identity_conflict", 409;
    /// The cluster is attested, and no token of its ServiceAccount was shown.
    AttestationRequired = "attestation_required", 403;
    /// The token of a ServiceAccount does not show that it is the cluster.
    AttestationRefused = "attestation_refused", 403;
    HostnameNotGranted = "hostname_not_granted", 403;
    /// Somebody else has the hostname.
    HostnameTaken = "hostname_taken", 409;
    TooManyHostnames = "too_many_hostnames", 403;
    TooManyGateways = "too_many_gateways", 403;
    /// Something newer was stated already.
    StaleTerm = "stale_term", 409;
    StaleStatement = "stale_statement", 409;
    EtagMismatch = "etag_mismatch", 412;
    /// The cluster was given up, and what it had was removed.
    Tombstoned = "tombstoned", 410;
    /// Cloudflare does not accept the token, or it lacks a permission.
    CredentialRefused = "credential_refused", 422;
    /// The token is of another Cloudflare account.
    OtherAccount = "other_account", 422;
    Invalid = "invalid_request", 422;
    /// Name, password and one-time code do not belong together.
    SignInRefused = "sign_in_refused", 401;
    TooManyAttempts = "too_many_attempts", 429;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_text_of_its_own_and_a_status_of_a_refusal() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(
            Code::ALL
                .iter()
                .all(|code| (400..500).contains(&code.status()))
        );
    }
}
