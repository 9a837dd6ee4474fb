//! The keys that the cluster publishes for tokens of its ServiceAccounts.

use domain::ports::{PortError, PortErrorKind};
use http::Request;
use http_body::Body as _;
use kube::Client;
use kube::client::Body;

use crate::failure::port_error;

/// Where the API server publishes them (ServiceAccount issuer discovery). Every ServiceAccount may read it by the default binding
/// `system:service-account-issuer-discovery`.
const PATH: &str = "/openid/v1/jwks";

/// Reads them: a JSON Web Key Set (RFC 7517) of at most so many bytes.
///
/// # Errors
/// The API server does not answer, refuses, or answers with more.
pub async fn published_keys(client: &Client, limit: usize) -> Result<Vec<u8>, PortError> {
    let request = Request::get(PATH)
        .header("accept", "application/jwk-set+json")
        .body(Body::empty())
        .expect("a path and a header can be written");
    let failed = |error: &kube::Error| port_error("reading the keys of ServiceAccounts", error);
    let answer = client.send(request).await.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        let status = answer.status().as_u16();
        let (kind, remedy) = match status {
            401 | 403 => (
                PortErrorKind::Forbidden,
                "; bind the ClusterRole system:service-account-issuer-discovery to the ServiceAccount",
            ),
            _ => (PortErrorKind::Unavailable, ""),
        };
        let message = format!("the API server answered {status} for {PATH}{remedy}");
        return Err(PortError::new(kind, message));
    }
    let mut body = std::pin::pin!(answer.into_body());
    let mut text = Vec::new();
    while let Some(frame) = std::future::poll_fn(|task| body.as_mut().poll_frame(task)).await {
        let frame = frame.map_err(|error| failed(&error))?;
        text.extend_from_slice(frame.data_ref().map_or(&[], |bytes| &bytes[..]));
        if text.len() > limit {
            let message = format!("{PATH} has more than {limit} bytes");
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
    }
    Ok(text)
}
