//! A token of a ServiceAccount, as somebody may ask for it who is permitted to.

use domain::ObjectKey;
use domain::ports::{PortError, PortErrorKind};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use secrecy::SecretString;

use crate::failure::port_error;

/// The least that the API server gives (seconds).
const LASTS: i64 = 600;

/// Asks for a token for one audience, which is valid for ten minutes.
///
/// # Errors
/// The API server does not answer, or does not permit it: that is `create` of `serviceaccounts/token`.
pub async fn requested_token(
    client: &Client,
    account: &ObjectKey,
    audience: &str,
) -> Result<SecretString, PortError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &account.namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![audience.to_owned()]),
            expiration_seconds: Some(LASTS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let parameters = PostParams::default();
    let asked = accounts.create_token_request(&account.name, &parameters, &request);
    let what = format!("asking for a token of ServiceAccount {account}");
    let answer = asked.await.map_err(|error| port_error(&what, &error))?;
    let token = answer.status.and_then(|status| status.token);
    token.map(SecretString::from).ok_or_else(|| {
        let message = format!("{what}: the answer has no token");
        PortError::new(PortErrorKind::Unavailable, message)
    })
}
