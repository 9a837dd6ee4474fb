//! Who calls, and what they may do.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};

use super::envelope::ApiError;
use crate::cloud::{ApiToken, Cloud, Permission, TokenStatus, Zone};

/// Tokens are at least this long; shorter text is not even looked up.
const TOKEN_LENGTH: usize = 40;

/// The token of a call, accepted.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<ApiToken>);

/// What the Authorization header holds.
pub(super) enum Presented {
    /// Nothing.
    Nothing,
    /// Not `Bearer` and something with the form of a token.
    Malformed,
    /// The form is right, the token is not known.
    Unknown,
    /// A token of ours, in whatever state.
    Known(Arc<ApiToken>),
}

impl Presented {
    /// Looks at the header. A token of ours is recognised whatever its form.
    pub(super) fn read(headers: &HeaderMap, cloud: &Cloud) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Self::Nothing;
        };
        let text = value
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Bearer "));
        let Some(text) = text.map(str::trim) else {
            return Self::Malformed;
        };
        if let Some(token) = cloud.token_with_value(text) {
            return Self::Known(Arc::new(token));
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.len() >= TOKEN_LENGTH && text.bytes().all(letter) {
            Self::Unknown
        } else {
            Self::Malformed
        }
    }

    /// Id of a known token.
    pub(super) fn token_id(&self) -> Option<String> {
        match self {
            Self::Known(token) => Some(token.id.clone()),
            _ => None,
        }
    }

    /// The caller, or how the API refuses. `path` is below `/client/v4`.
    pub(super) fn accept(self, path: &str) -> Result<Caller, ApiError> {
        let verifies = path.ends_with("/tokens/verify");
        match self {
            Self::Nothing if verifies => {
                let text = "Missing \"Authorization\" header";
                Err(ApiError::bad_request(1_001, text))
            }
            Self::Nothing => {
                let text = "Missing X-Auth-Key, X-Auth-Email or Authorization headers";
                Err(ApiError::bad_request(9_106, text))
            }
            Self::Malformed => Err(ApiError::bad_request(6_003, "Invalid request headers")
                .because(6_111, "Invalid format for Authorization header")),
            Self::Known(token) if verifies || token.status == TokenStatus::Active => {
                Ok(Caller(token))
            }
            Self::Unknown if verifies => Err(invalid_token()),
            Self::Unknown | Self::Known(_) if path.starts_with("/accounts/") => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                10_000,
                "Authentication error",
            )),
            Self::Unknown | Self::Known(_) => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                9_109,
                "Invalid access token",
            )),
        }
    }
}

/// What verifying an unknown token says.
pub(super) fn invalid_token() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, 1_000, "Invalid API Token")
}

impl Caller {
    /// Requires a permission on an account.
    pub(super) fn on_account(&self, account: &str, needed: Permission) -> Result<(), ApiError> {
        if !is_object_id(account) {
            return Err(ApiError::no_route(&format!("/accounts/{account}")));
        }
        if self.0.account == account && self.0.may(needed) {
            Ok(())
        } else {
            Err(ApiError::forbidden())
        }
    }

    /// Requires a permission on a zone and returns the zone. One that is not there and one that is
    /// out of reach look the same.
    pub(super) fn on_zone(
        &self,
        cloud: &Cloud,
        id: &str,
        needed: Permission,
    ) -> Result<Zone, ApiError> {
        if !is_object_id(id) {
            return Err(ApiError::no_route(&format!("/zones/{id}")));
        }
        let zone = cloud.zone(id).filter(|zone| self.sees(zone));
        let refusal = if needed == Permission::ZoneRead {
            unauthorized_for_resource()
        } else {
            ApiError::forbidden()
        };
        zone.filter(|_| self.0.may(needed)).ok_or(refusal)
    }

    /// Whether a zone is in the token's reach, whatever may be done there.
    pub(super) fn sees(&self, zone: &Zone) -> bool {
        zone.account == self.0.account && self.0.reaches(&zone.id)
    }
}

/// The token is right and may not do this.
pub(super) fn unauthorized_for_resource() -> ApiError {
    let text = "Unauthorized to access requested resource";
    ApiError::new(StatusCode::FORBIDDEN, 9_109, text)
}

/// 32 hexadecimal digits.
pub(super) fn is_object_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
