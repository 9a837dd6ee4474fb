//! Documents of enrolments, sessions and terms.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi::texts::Instance;

/// Body of `POST /v1/enrolments`. The key is that of the request's proof.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentDocument {
    /// As it was given out.
    pub code: String,
    /// Which cluster it is: the uid of its namespace `kube-system`, or what stands for it.
    #[schema(value_type = Instance)]
    pub instance: String,
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
}

/// Body of `POST /v1/sessions`. The cluster is the one whose key the proof is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// As it was enrolled with.
    #[schema(value_type = Instance)]
    pub instance: String,
}

/// Answer to it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionDocument {
    pub cluster: String,
    pub token: String,
    /// In seconds.
    pub expires_in: u64,
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
