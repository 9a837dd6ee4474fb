//! Whose proxy shows a ServiceAccount's token, as the API server vouches for it.

use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{PortError, ProxyIdentities};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use secrecy::{ExposeSecret, SecretString};

use crate::failure::port_error;
use crate::object_name::is_possible;
use crate::workloads::{MANAGED_BY, object_name};

/// Kind of the owner of a ServiceAccount of a proxy.
const OWNER: (&str, &str) = ("gateway.networking.k8s.io/", "Gateway");

/// Asks the API server by TokenReview, each time: whoever asks has to remember and to bound. A token counts if it was issued for the audience to a ServiceAccount that
/// a Gateway owns and this software made.
pub struct TokenReviews {
    client: Client,
    audience: String,
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviews")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl TokenReviews {
    /// For tokens of this audience.
    pub fn new(client: Client, audience: String) -> Self {
        Self { client, audience }
    }

    /// The ServiceAccount that the token stands for.
    async fn account_of(&self, token: &SecretString) -> Result<Option<ObjectKey>, PortError> {
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: token.expose_secret().to_owned(),
            },
            ..TokenReview::default()
        };
        let answer = api.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| port_error("reviewing a proxy's token", &error))?;
        Ok(answer
            .status
            .and_then(|status| account(&status, &self.audience)))
    }

    /// The Gateway that the ServiceAccount was made for.
    async fn gateway_of_account(
        &self,
        account: &ObjectKey,
    ) -> Result<Option<ObjectKey>, PortError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &account.namespace);
        let found = api
            .get_opt(&account.name)
            .await
            .map_err(|error| port_error(format!("reading ServiceAccount {account}"), &error))?;
        Ok(found.and_then(|found| owner(&found, &account.namespace)))
    }
}

#[async_trait]
impl ProxyIdentities for TokenReviews {
    async fn gateway_of(&self, token: &SecretString) -> Result<Option<ObjectKey>, PortError> {
        match self.account_of(token).await? {
            None => Ok(None),
            Some(account) => self.gateway_of_account(&account).await,
        }
    }
}

/// `system:serviceaccount:<namespace>:<name>`, where the answer is for our audience.
fn account(status: &TokenReviewStatus, audience: &str) -> Option<ObjectKey> {
    let is_for_us = status.audiences.iter().flatten().any(|a| a == audience);
    if status.authenticated != Some(true) || !is_for_us {
        return None;
    }
    let name = status.user.as_ref()?.username.as_ref()?;
    let (namespace, name) = name
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let key = ObjectKey::new(namespace, name);
    is_possible(&key).then_some(key)
}

/// The one Gateway that controls a ServiceAccount of ours, and whose name leads to that of the account. The other way
/// round it does not, because long names are shortened.
fn owner(account: &ServiceAccount, namespace: &str) -> Option<ObjectKey> {
    let labels = account.metadata.labels.as_ref()?;
    if labels.get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
        return None;
    }
    let mut owners = account.metadata.owner_references.iter().flatten();
    let gateway = owners.find(|owner| {
        owner.controller == Some(true)
            && owner.kind == OWNER.1
            && owner.api_version.starts_with(OWNER.0)
    })?;
    let is_its_own = account.metadata.name.as_deref() == Some(&*object_name(&gateway.name));
    is_its_own.then(|| ObjectKey::new(namespace, &gateway.name))
}
