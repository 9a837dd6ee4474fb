//! Whether the token is accepted (developers.cloudflare.com/api, "User / Tokens", "Accounts / Tokens").

use async_trait::async_trait;
use domain::ports::{PortError, PortErrorKind, TokenApi};
use reqwest::Method;

use crate::call::{Call, Permission};
use crate::client::AccountClient;
use crate::error::Failure;
use crate::wire::WireTokenStatus;

#[async_trait]
impl TokenApi for AccountClient {
    /// A token belongs to a user or to an account; each sort is known at its own endpoint only.
    async fn verify_token(&self) -> Result<(), PortError> {
        let of_user = self.token_status(&["user", "tokens", "verify"]).await;
        match of_user {
            Err(error) if is_stranger(error.kind) => {
                let path = ["accounts", self.account(), "tokens", "verify"];
                // The first answer is the clearer one where neither endpoint knows the token.
                self.token_status(&path)
                    .await
                    .map_err(|second| match second.kind {
                        kind if is_stranger(kind) => error,
                        _ => second,
                    })
            }
            known => known,
        }
    }
}

impl AccountClient {
    async fn token_status(&self, path: &[&str]) -> Result<(), PortError> {
        let call = Call::new("verify API token", Permission::Own, Method::GET, path);
        let token: WireTokenStatus = self.fetch(&call).await?;
        if token.status == "active" {
            return Ok(());
        }
        // The word is one of three; anything else is not quoted.
        let status = ["disabled", "expired"]
            .into_iter()
            .find(|known| *known == token.status);
        let reason = format!("the API token is {}", status.unwrap_or("not active"));
        Err(self.explain(
            Failure::Broken(PortErrorKind::Unauthenticated, reason),
            &call,
        ))
    }
}

fn is_stranger(kind: PortErrorKind) -> bool {
    matches!(
        kind,
        PortErrorKind::Unauthenticated
            | PortErrorKind::Forbidden
            | PortErrorKind::NotFound
            | PortErrorKind::Invalid
    )
}
