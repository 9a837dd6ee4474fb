//! What people and the broker exchange about identity providers.

use std::fmt;

use domain::broker::{ProviderName, TenantName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::people::ListDocument;
use crate::openapi::texts;

/// An item of the answer to `GET /admin/v1/identity-providers`: by whose tokens people may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderDocument {
    #[schema(value_type = texts::ProviderName)]
    pub name: ProviderName,
    /// Its URL. Its addresses are in the document that it has of itself (OpenID Connect Discovery 1.0).
    pub issuer: String,
    /// Whom a token must be for.
    pub audience: String,
    /// The client as which people at a terminal ask for a token; absent: the provider is for programs that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What they ask for.
    pub scopes: Vec<String>,
}

/// All of them.
pub type ProviderList = ListDocument<ProviderDocument>;

/// Body of `POST /admin/v1/sessions/oidc`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSignInDocument {
    /// An ID token, or another JSON Web Token for the audience of its provider. It is good once.
    pub token: String,
    /// In which tenant; needed where rules give roles in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<texts::TenantName>)]
    pub tenant: Option<TenantName>,
}

impl fmt::Debug for TokenSignInDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSignInDocument")
    }
}
