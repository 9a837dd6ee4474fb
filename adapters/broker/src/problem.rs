//! Refusals and failures as `application/problem+json` (RFC 9457).

use std::time::Duration;

use domain::broker::{Code, Refusal};
use domain::ports::{PortError, PortErrorKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Content type of a problem (RFC 9457).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// All problem types start with it.
const TYPE_BASE: &str = "https://cloudflare-gateway-controller.io/problems/";

/// Problem types of what the broker decided start with it, and end with a [`Code`].
const DECIDED_BASE: &str = "https://cloudflare-gateway-controller.io/problems/broker/";

/// Problem types of failures at the edge start with it.
const EDGE_BASE: &str = "https://cloudflare-gateway-controller.io/problems/edge/";

/// Why the broker did not take a request. Nothing was done at Cloudflare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiError {
    /// No token of a session.
    MissingToken,
    /// No proof of the cluster's key, or one that is not good for this request.
    ProofRefused,
    /// A path that this API does not have; an encoded one and one with a query too.
    NoSuchPath,
    /// A method that the path does not take.
    MethodNotAllowed,
    /// A body that is not declared as `application/json`, or a body where none belongs.
    UnsupportedBody,
    /// More than [`LARGEST_INTENT`](crate::wire::LARGEST_INTENT) bytes.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The cluster has too many requests under way.
    TooManyRequests,
    /// Not the document that belongs there.
    MalformedDocument,
    /// Something that is there was to be replaced or removed, without a word which one was seen.
    PreconditionRequired,
    /// It is not known whether the request was taken.
    StoreUnavailable,
    /// Who it is that signs in cannot be verified now.
    IdentityProviderUnavailable,
}

impl ApiError {
    /// Every variant.
    pub const ALL: [Self; 12] = [
        Self::MissingToken,
        Self::ProofRefused,
        Self::NoSuchPath,
        Self::MethodNotAllowed,
        Self::UnsupportedBody,
        Self::TooLarge,
        Self::TooSlow,
        Self::TooManyRequests,
        Self::MalformedDocument,
        Self::PreconditionRequired,
        Self::StoreUnavailable,
        Self::IdentityProviderUnavailable,
    ];

    /// Status code, last part of the type, title.
    fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MissingToken => (401, "missing-token", "The token of a session is needed"),
            Self::ProofRefused => (
                401,
                "proof-refused",
                "A proof of the cluster's key is needed",
            ),
            Self::NoSuchPath => (404, "no-such-path", "This API has no such path"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "The path has no such method"),
            Self::UnsupportedBody => (415, "unsupported-body", "The body cannot be taken"),
            Self::TooLarge => (413, "too-large", "The document is too large"),
            Self::TooSlow => (408, "too-slow", "The document did not come in time"),
            Self::TooManyRequests => (429, "too-many-requests", "Too many requests at a time"),
            Self::MalformedDocument => (422, "malformed-document", "The document is malformed"),
            Self::PreconditionRequired => (
                428,
                "precondition-required",
                "It must be said which one is meant",
            ),
            Self::StoreUnavailable => (503, "store-unavailable", "The store does not answer"),
            Self::IdentityProviderUnavailable => (
                503,
                "identity-provider-unavailable",
                "The identity provider does not answer",
            ),
        }
    }
}

/// A problem. Members that are not known are passed over, as RFC 9457 section 3.2 wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What sort of problem; the one field for programs.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What happened and what would help. Never holds a secret.
    pub detail: String,
    /// When to come back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What a problem means to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The edge behind the broker failed.
    Edge(PortError),
    /// The broker did not take the request.
    Refused(ApiError, String),
    /// The broker decided against it.
    Decided(Refusal),
}

impl Problem {
    /// For a request that was not taken.
    pub fn refused(error: ApiError, detail: impl Into<String>) -> Self {
        let (status, name, title) = error.words();
        Self {
            kind: format!("{TYPE_BASE}{name}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            retry_after_ms: None,
        }
    }

    /// For what was decided.
    pub fn decided(refusal: &Refusal) -> Self {
        Self {
            kind: format!("{DECIDED_BASE}{}", refusal.code),
            title: "The broker refuses it".to_owned(),
            status: refusal.code.status(),
            detail: refusal.detail.clone(),
            retry_after_ms: None,
        }
    }

    /// For a failure of the edge.
    pub fn failed(error: &PortError) -> Self {
        Self {
            kind: format!("{EDGE_BASE}{}", name_of(error.kind)),
            title: "The edge could not do it".to_owned(),
            status: status_of(error.kind),
            detail: error.message.clone(),
            retry_after_ms: error.retry_after.map(milliseconds),
        }
    }

    /// Whether it is what was decided with this code.
    pub fn is(&self, code: Code) -> bool {
        self.kind.strip_prefix(DECIDED_BASE) == Some(code.as_str())
    }

    /// What it means; `None` for a problem of another type.
    pub fn meaning(self) -> Option<Meaning> {
        if let Some(name) = self.kind.strip_prefix(EDGE_BASE) {
            return Some(Meaning::Edge(PortError {
                kind: kind_of(name)?,
                message: self.detail,
                retry_after: self.retry_after_ms.map(Duration::from_millis),
            }));
        }
        if let Some(name) = self.kind.strip_prefix(DECIDED_BASE) {
            let mut all = Code::ALL.iter();
            let code = *all.find(|code| code.as_str() == name)?;
            return Some(Meaning::Decided(Refusal::new(code, self.detail)));
        }
        let name = self.kind.strip_prefix(TYPE_BASE)?;
        let mut all = ApiError::ALL.into_iter();
        let error = all.find(|error| error.words().1 == name)?;
        Some(Meaning::Refused(error, self.detail))
    }
}

/// One failed call in an answer that is a success as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureDocument {
    kind: String,
    message: String,
    retry_after_ms: Option<u64>,
}

impl FailureDocument {
    /// The document of an error.
    pub fn of(error: &PortError) -> Self {
        Self {
            kind: name_of(error.kind).to_owned(),
            message: error.message.clone(),
            retry_after_ms: error.retry_after.map(milliseconds),
        }
    }

    /// The error. A kind that this version does not know counts as a failure that may pass.
    pub fn read(self) -> PortError {
        PortError {
            kind: kind_of(&self.kind).unwrap_or(PortErrorKind::Unavailable),
            message: self.message,
            retry_after: self.retry_after_ms.map(Duration::from_millis),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Names of the kinds on the wire, with the status code of an answer that is such a failure. What only the
/// broker's owner can mend is the broker's bad gateway, not the cluster's bad request.
const KINDS: [(PortErrorKind, &str, u16); 10] = [
    (PortErrorKind::Credentials, "credentials", 502),
    (PortErrorKind::Unauthenticated, "unauthenticated", 502),
    (PortErrorKind::Forbidden, "forbidden", 502),
    (PortErrorKind::TooManyGateways, "too-many-gateways", 403),
    (PortErrorKind::NotFound, "not-found", 404),
    (PortErrorKind::Conflict, "conflict", 409),
    (PortErrorKind::Invalid, "invalid", 422),
    (PortErrorKind::RateLimited, "rate-limited", 503),
    (PortErrorKind::Unavailable, "unavailable", 503),
    (PortErrorKind::BrokerUnavailable, "broker-unavailable", 503),
];

/// Every problem that is a failure of the edge. What happened is left out.
pub(crate) fn failures() -> impl Iterator<Item = Problem> {
    let kinds = KINDS.into_iter();
    kinds.map(|(kind, ..)| Problem::failed(&PortError::new(kind, "")))
}

fn row_of(kind: PortErrorKind) -> (PortErrorKind, &'static str, u16) {
    let mut rows = KINDS.into_iter();
    rows.find(|(other, ..)| *other == kind)
        .expect("every kind has a row; a test goes through all")
}

fn name_of(kind: PortErrorKind) -> &'static str {
    row_of(kind).1
}

fn status_of(kind: PortErrorKind) -> u16 {
    row_of(kind).2
}

fn kind_of(name: &str) -> Option<PortErrorKind> {
    let mut rows = KINDS.into_iter();
    rows.find(|(_, other, _)| *other == name)
        .map(|(kind, ..)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_and_read(problem: &Problem) -> Option<Meaning> {
        let text = serde_json::to_string(problem).unwrap();
        serde_json::from_str::<Problem>(&text).unwrap().meaning()
    }

    #[test]
    fn every_failure_of_the_edge_is_read_as_it_was_written() {
        use PortErrorKind::*;
        for kind in [
            Credentials,
            Unauthenticated,
            Forbidden,
            TooManyGateways,
            NotFound,
            Conflict,
            Invalid,
            RateLimited,
            Unavailable,
            BrokerUnavailable,
        ] {
            let error = PortError {
                kind,
                message: "why".to_owned(),
                retry_after: Some(Duration::from_millis(1500)),
            };
            let read = written_and_read(&Problem::failed(&error));
            assert_eq!(read, Some(Meaning::Edge(error.clone())));
            assert_eq!(FailureDocument::of(&error).read(), error);
        }
    }

    #[test]
    fn every_api_error_is_read_as_it_was_written_and_other_problems_mean_nothing() {
        for error in ApiError::ALL {
            let read = written_and_read(&Problem::refused(error, "why"));
            assert_eq!(read, Some(Meaning::Refused(error, "why".to_owned())));
        }
        for code in Code::ALL {
            let refusal = Refusal::new(*code, "why");
            let read = written_and_read(&Problem::decided(&refusal));
            assert_eq!(read, Some(Meaning::Decided(refusal)));
        }
        let mut foreign = Problem::refused(ApiError::NoSuchPath, "why");
        foreign.kind = "about:blank".to_owned();
        assert_eq!(written_and_read(&foreign), None);
    }
}
