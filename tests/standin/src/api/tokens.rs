//! Verification of tokens.

use axum::Extension;
use axum::extract::Path;
use serde_json::json;

use super::caller::{Caller, invalid_token};
use super::envelope::{Answer, Reply};
use crate::cloud::{TokenOwner, TokenStatus};

/// `GET /user/tokens/verify`: for tokens of users.
pub(super) async fn verify_user(Extension(caller): Extension<Caller>) -> Answer {
    if caller.0.owner != TokenOwner::User {
        return Err(invalid_token());
    }
    Ok(verified(&caller))
}

/// `GET /accounts/{account}/tokens/verify`: for tokens that belong to the account itself.
pub(super) async fn verify_account(
    Extension(caller): Extension<Caller>,
    Path(account): Path<String>,
) -> Answer {
    if caller.0.owner != TokenOwner::Account || caller.0.account != account {
        return Err(invalid_token());
    }
    Ok(verified(&caller))
}

fn verified(caller: &Caller) -> Reply {
    let token = &caller.0;
    let reply = Reply::one(json!({ "id": token.id, "status": token.status.as_str() }));
    match token.status {
        TokenStatus::Active => reply.saying(10_000, "This API Token is valid and active"),
        _ => reply,
    }
}
