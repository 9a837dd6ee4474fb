//! Signing in by a token of an identity provider (OpenID Connect).
//!
//! - [`provider`]: what is asked of a provider.
//! - `keys`: its keys, which change.
//! - [`device`]: how somebody at a terminal gets a token; the broker has no part in it.
//!
//! Which tokens count and what they give is decided in [`domain::broker::oidc`].

pub mod device;
mod keys;
pub mod provider;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::Timestamp;
use domain::broker::audit::Event;
use domain::broker::oidc::{Claims, Provider, SignedIn, Subject, Terms, Vouched};
use domain::broker::ports::{Session, StoreError, UsedToken};
use domain::broker::{Code, Refusal, TenantName};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::PeoplePlane;
use super::asking::Source;
use super::described::{OfStranger, OfTokenSignIn};
use crate::identity;
use crate::jwt::signing_key::Wanted;
use crate::jwt::{Shown, TokenError};
use crate::openapi::problems::{OfAny, OfDocument, Refused};
use crate::problem::{ApiError, Problem};
use crate::server::answer::read_document;
use crate::wire::oidc::{ProviderDocument, ProviderList, TokenSignInDocument};
use crate::wire::people::{ListDocument, SignedInDocument, moment};

pub use keys::{FETCH_AGAIN, KEYS_LAST, KeyError};
pub use provider::{ProviderClient, ProviderError};

/// A provider whose tokens people sign in by.
#[derive(Debug)]
pub struct Trusted {
    pub provider: Provider,
    /// Stands for all settings of the provider.
    pub terms: Terms,
    /// What somebody at a terminal asks the provider for.
    pub scopes: Vec<String>,
    pub client: ProviderClient,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Providers(Vec<Arc<Known>>);

#[derive(Debug)]
struct Known {
    trusted: Trusted,
    keys: keys::KnownKeys,
}

/// Why nobody is signed in.
#[derive(Debug)]
enum NotVerified {
    Refused(Refusal),
    /// The provider does not answer as it should.
    Away(String),
}

impl From<TokenError> for NotVerified {
    fn from(error: TokenError) -> Self {
        Self::Refused(Refusal::new(Code::SignInRefused, error.to_string()))
    }
}

impl From<NotVerified> for Problem {
    fn from(why: NotVerified) -> Self {
        match why {
            NotVerified::Refused(refusal) => Self::decided(&refusal),
            NotVerified::Away(detail) => Self {
                retry_after_ms: Some(FETCH_AGAIN.as_millis().try_into().unwrap_or(u64::MAX)),
                ..Self::refused(ApiError::IdentityProviderUnavailable, detail)
            },
        }
    }
}

/// A token that was verified.
struct Verified<'p> {
    known: &'p Known,
    claims: Claims,
    subject: Subject,
    used: UsedToken,
}

impl Providers {
    pub(super) fn new(all: Vec<Trusted>) -> Self {
        let known = |trusted| Known {
            trusted,
            keys: keys::KnownKeys::default(),
        };
        Self(all.into_iter().map(known).map(Arc::new).collect())
    }

    /// Refuses whoever is signed in by a provider that is not trusted any more, or not under the same terms.
    pub(super) fn check(&self, signed_in: &SignedIn) -> Result<(), Refusal> {
        let is_over = match signed_in {
            SignedIn::Person(_) => false,
            SignedIn::Vouched(vouched) => {
                let mut all = self.0.iter();
                !all.any(|known| known.trusted.terms == vouched.terms)
            }
        };
        match is_over {
            false => Ok(()),
            true => {
                let detail =
                    "the settings of the identity provider are other ones since; sign in again";
                Err(Refusal::new(Code::SessionOver, detail))
            }
        }
    }

    /// Verifies a token. `nonce` is what this sign-in asked for, if it did.
    async fn verify(
        &self,
        token: &SecretString,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Verified<'_>, NotVerified> {
        let shown = Shown::read(token.expose_secret())?;
        let mut all = self.0.iter();
        let known = all.find(|known| shown.may_be_of(&known.trusted.provider));
        let known = known.ok_or_else(|| {
            let detail = "no provider that this broker knows has the token's issuer and audience; GET /admin/v1/identity-providers has those that it knows";
            NotVerified::Refused(Refusal::new(Code::SignInRefused, detail))
        })?;
        let keys = known.clone().keys(shown.wanted()).await;
        let provider = &known.trusted.provider;
        let keys = keys.map_err(|error| match error {
            KeyError::Unknown => {
                let wait = FETCH_AGAIN.as_secs();
                let detail = format!("{error}; if it is a new one, try again in {wait} s");
                NotVerified::Refused(Refusal::new(Code::SignInRefused, detail))
            }
            KeyError::Provider(_) => NotVerified::Away(format!("{}: {error}", provider.name)),
        })?;
        let claims = shown.verify(&keys, &provider.paths())?;
        let subject = provider.identify(&claims, nonce, now);
        let subject = subject.map_err(|error| NotVerified::Refused(error.into()))?;
        let used = UsedToken {
            token: shown.digest(),
            until: claims.until(),
        };
        Ok(Verified {
            known,
            claims,
            subject,
            used,
        })
    }
}

impl Known {
    /// In a task of its own, so that it comes to an end whoever waits for it.
    async fn keys(
        self: Arc<Self>,
        wanted: Wanted,
    ) -> Result<Vec<jsonwebtoken::jwk::Jwk>, KeyError> {
        let found = tokio::spawn(async move {
            let fetch = self.trusted.client.keys();
            self.keys.find(&wanted, Instant::now(), fetch).await
        });
        found.await.unwrap_or(Err(KeyError::Unknown))
    }

    fn document(&self) -> ProviderDocument {
        let Provider {
            name,
            issuer,
            audience,
            client,
            ..
        } = &self.trusted.provider;
        ProviderDocument {
            name: name.clone(),
            issuer: issuer.clone(),
            audience: audience.clone(),
            client_id: client.clone(),
            scopes: self.trusted.scopes.clone(),
        }
    }
}

/// What whoever is not signed in may ask.
pub(super) fn strangers() -> OpenApiRouter<Arc<PeoplePlane>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(sign_in))
}

/// Lists the identity providers that people may sign in by.
#[utoipa::path(
    get,
    path = "/admin/v1/identity-providers",
    responses(
        (status = 200, description = "All of them", body = ProviderList),
        Refused<(OfAny, OfStranger)>,
    ),
    security(()),
)]
async fn list(
    State(plane): State<Arc<PeoplePlane>>,
    source: Source,
) -> Result<Json<ProviderList>, Problem> {
    plane.attempts.take(&source.0)?;
    let items = plane.providers.0.iter().map(|known| known.document());
    Ok(Json(ListDocument {
        items: items.collect(),
        next: None,
    }))
}

/// Signs somebody in, by a token that an identity provider gave.
#[utoipa::path(
    post,
    path = "/admin/v1/sessions/oidc",
    request_body = TokenSignInDocument,
    responses(
        (status = 201, description = "A session", body = SignedInDocument),
        Refused<(OfAny, OfDocument, OfTokenSignIn)>,
    ),
    security(()),
)]
async fn sign_in(
    State(plane): State<Arc<PeoplePlane>>,
    source: Source,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SignedInDocument>), Problem> {
    plane.attempts.take(&source.0)?;
    let TokenSignInDocument { token, tenant } = read_document(&headers, body).await?;
    let token = SecretString::from(token);
    let now = plane.clock.now();
    let verified = plane.providers.verify(&token, None, now).await?;
    let signed_in = plane.vouched_for(verified, tenant, source, now).await?;
    Ok((StatusCode::CREATED, Json(signed_in)))
}

impl PeoplePlane {
    /// Signs somebody in, for whom a provider vouches.
    async fn vouched_for(
        &self,
        verified: Verified<'_>,
        tenant: Option<TenantName>,
        source: Source,
        now: Timestamp,
    ) -> Result<SignedInDocument, Problem> {
        let Verified {
            known,
            claims,
            subject,
            used,
        } = verified;
        let Trusted {
            provider, terms, ..
        } = &known.trusted;
        let event = Event {
            at: now,
            actor: format!("person {subject}"),
            source: source.0,
            action: "person.sign-in".to_owned(),
            object: subject.to_string(),
            result: "done".to_owned(),
            detail: format!("by provider {}", provider.name),
            ..Event::default()
        };
        let rights = match provider.rights(&claims, tenant.as_ref()) {
            Ok(rights) => rights,
            Err(refusal) => {
                // Whoever can have a token of a public provider could fill the audit: one entry of a provider in an hour.
                let told = (provider.name.to_string(), refusal.code.to_string());
                self.tell_not_vouched(told, &refusal, event).await?;
                return Err(Problem::decided(&refusal));
            }
        };
        let (token, expires) = (
            identity::unpredictable(&*self.entropy),
            Timestamp(now.0.saturating_add_unsigned(provider.lasts.as_secs())),
        );
        let session = Session {
            token: identity::digest(&token),
            expires,
        };
        let vouched = Vouched {
            subject,
            rights,
            terms: *terms,
        };
        let signed_in = self
            .store
            .sign_in_vouched(&vouched, used, session, event.clone());
        match signed_in.await {
            Err(StoreError::Refused(refusal)) => {
                let told = (vouched.subject.to_string(), refusal.code.to_string());
                self.tell_not_vouched(told, &refusal, event).await?;
                return Err(Problem::decided(&refusal));
            }
            other => other?,
        }
        Ok(SignedInDocument {
            token: token.expose_secret().to_owned(),
            expires: moment(expires),
        })
    }

    /// A refusal is in the audit before it is answered, each once an hour.
    async fn tell_not_vouched(
        &self,
        told: (String, String),
        refusal: &Refusal,
        event: Event,
    ) -> Result<(), StoreError> {
        match self.denied.is_news(told, event.at) {
            false => Ok(()),
            true => {
                let result = refusal.code.to_string();
                self.store.append(Event { result, ..event }).await
            }
        }
    }
}

#[cfg(test)]
mod tests;
