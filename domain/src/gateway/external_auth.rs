//! ExternalAuth (Gateway API, `HTTPExternalAuthFilter`; GEP-1494).

use super::FilterRef;

/// What `forwardBody.maxSize` may be at most: so much of a body waits in the proxy until the authorizer has answered.
pub const MOST_FORWARDED_BODY: u32 = 512 << 10;

/// The authorizer is asked about each request, and only those that it permits go on. `T` is where it is: in a route what its
/// author wrote, in a table what that resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExternalAuth<T = FilterRef> {
    /// The authorizer. `None` only in a table, where it does not resolve: every request gets 500 then.
    pub to: Option<T>,
    /// What it is asked in.
    pub protocol: AuthProtocol,
    /// Bytes of a body that it gets, at most; a longer body is refused. 0 where it gets none.
    pub max_body: u32,
}

/// How an authorizer is asked. Names of headers are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum AuthProtocol {
    /// A request like the client's; 200 permits it.
    Http {
        /// Comes before the path: empty, or a path that begins with `/` and does not end with one.
        prefix: String,
        /// Headers of the client that it gets beside those that it always gets.
        request_headers: Vec<String>,
        /// Headers of its answer that the backend gets; all where there is none.
        answer_headers: Vec<String>,
    },
    /// Envoy's `envoy.service.auth.v3.Authorization/Check`.
    Grpc {
        /// Headers of the client that it gets; all where there is none.
        request_headers: Vec<String>,
    },
}

impl ExternalAuth {
    /// The same, asked where `to` says; nowhere, where that says nothing.
    pub fn resolved<T>(&self, to: impl FnOnce(&FilterRef) -> Option<T>) -> ExternalAuth<T> {
        ExternalAuth {
            to: self.to.as_ref().and_then(to),
            protocol: self.protocol.clone(),
            max_body: self.max_body,
        }
    }
}
