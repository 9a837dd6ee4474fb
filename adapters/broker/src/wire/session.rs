//! Documents of enrolments, sessions and terms.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi::texts::{Instance, Thumbprint};

/// What a cluster shows of where its controller runs.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestationDocument {
    /// A token of the controller's ServiceAccount, for the audience `cloudflare-gateway-broker` alone.
    pub token: String,
    /// The keys that the cluster publishes for such tokens, letter by letter as it does: a JSON Web Key Set (RFC 7517) of at most
    /// 16 keys and 16 KiB. Keys for other algorithms than RS256 and ES256 are left out. Needed at an enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

impl fmt::Debug for AttestationDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttestationDocument")
    }
}

/// Body of `POST /v1/enrolments`. The key is that of the request's proof.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentDocument {
    /// As it was given out.
    pub code: String,
    /// Which cluster it is: the uid of its namespace `kube-system`, or what stands for it.
    #[schema(value_type = Instance)]
    pub instance: String,
    /// Where it runs; absent: the cluster is enrolled, and not attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<AttestationDocument>,
}

impl fmt::Debug for EnrolmentDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentDocument({})", self.instance)
    }
}

/// Answer to it: the cluster asks to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolledDocument {
    /// The name that the broker knows it by.
    pub cluster: String,
    /// The thumbprint of its key, by which it is accepted.
    pub key: String,
    /// The thumbprint of issuer, ServiceAccount and keys that it is attested by; absent: it is not attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Thumbprint>)]
    pub attested: Option<String>,
}

/// Body of `POST /v1/sessions`. The cluster is the one whose key the proof is of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// As it was enrolled with.
    #[schema(value_type = Instance)]
    pub instance: String,
    /// Where it runs. Needed if the cluster is attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<AttestationDocument>,
}

/// Answer to it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionDocument {
    pub cluster: String,
    pub token: String,
    /// In seconds.
    pub expires_in: u64,
    /// Whether each session of the cluster needs a token of its ServiceAccount.
    pub attested: bool,
    /// The thumbprint of issuer, ServiceAccount and keys that were shown and could be consented to, where it is not attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Thumbprint>)]
    pub offered: Option<String>,
}

impl fmt::Debug for SessionDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SessionDocument({}, {} s)",
            self.cluster, self.expires_in
        )
    }
}

/// Body of `POST /v1/terms`. It has no field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermRequest {}

/// Answer to `POST /v1/terms`: the term that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermDocument {
    pub term: u64,
}

/// The answer 202: the statement of this version is written down, and not done yet. `GET …/status` with both numbers waits
/// on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingDocument {
    pub version: u64,
    /// How many pieces of work there were before.
    pub after: u64,
}
