//! What people ask a broker, over HTTP: an operator, a program that deploys, a page in a browser.
//!
//! Each path stands at its handler, and all of them are in docs/api/broker-people.json ([`openapi`](crate::openapi)).
//!
//! It has a listener of its own, and a session of a cluster is nothing here. What is put and removed as a whole is an `items`; what
//! is answered in parts, at most [`LONGEST_LIST`] at a time, is of `lists`. What belongs to a tenant that somebody does not see is not there for them.
//!
//! People themselves are made at the store (`cfgw broker put-person`), or an identity provider knows them and the settings say
//! what they may do: nobody can give rights over this API.

mod accounts;
mod asking;
mod audit;
pub mod client;
mod clusters;
mod described;
mod items;
mod lists;
pub mod oidc;
pub mod password;
mod sign_in;
mod tenants;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use domain::broker::ports::{Seal, Store};
use domain::ports::{Clock, Entropy};
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::forms::{self, Forms};
use crate::rate::Told;
use crate::tokens::Tokens;

/// Items of a list in one answer, at most, and unless fewer are asked for.
pub const LONGEST_LIST: usize = 200;

/// Passwords that are compared at a time. Each takes a few hundredths of a second of a processor and 19 MiB.
pub const COMPARED_AT_ONCE: usize = 2;

/// Requests of people that are under way at a time.
pub const REQUESTS_UNDER_WAY: usize = 64;

/// How people show who they are (RFC 6750, section 3).
const CHALLENGE: &str = "Bearer";

/// The plane that people see.
pub struct PeoplePlane {
    store: Arc<dyn Store>,
    seal: Arc<dyn Seal>,
    tokens: Arc<Tokens>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    comparing: Semaphore,
    under_way: Arc<Semaphore>,
    providers: oidc::Providers,
    attempts: asking::Rates,
    requests: asking::Rates,
    /// What people were denied lately: who, and what.
    denied: Told<(String, String)>,
}

impl PeoplePlane {
    /// The plane over a store.
    pub fn new(
        store: Arc<dyn Store>,
        seal: Arc<dyn Seal>,
        tokens: Arc<Tokens>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            seal,
            tokens,
            entropy,
            clock,
            comparing: Semaphore::new(COMPARED_AT_ONCE),
            under_way: Arc::new(Semaphore::new(REQUESTS_UNDER_WAY)),
            providers: oidc::Providers::default(),
            attempts: asking::Rates::new(asking::ATTEMPTS),
            requests: asking::Rates::new(asking::REQUESTS),
            denied: Told::default(),
        }
    }

    /// The same, with providers by whose tokens people sign in.
    #[must_use]
    pub fn trusting(mut self, providers: Vec<oidc::Trusted>) -> Self {
        self.providers = oidc::Providers::new(providers);
        self
    }
}

/// The API for people.
pub fn router(plane: Arc<PeoplePlane>) -> Router {
    let admit = middleware::from_fn_with_state(plane.clone(), asking::admit);
    let members = Router::from(members())
        .fallback(asking::no_such_path)
        .layer(admit);
    let forms = Arc::new(Forms::of(&document(), CHALLENGE));
    Router::from(strangers())
        .merge(members)
        .layer(middleware::from_fn_with_state(forms, forms::refuse))
        .with_state(plane)
}

/// What is asked by whoever is not signed in.
fn strangers() -> OpenApiRouter<Arc<PeoplePlane>> {
    OpenApiRouter::default()
        .routes(routes!(sign_in::sign_in))
        .merge(oidc::strangers())
}

/// What is asked by whoever is.
fn members() -> OpenApiRouter<Arc<PeoplePlane>> {
    OpenApiRouter::default()
        .routes(routes!(sign_in::signed_in, sign_in::sign_out))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::tenant, tenants::put, tenants::remove))
        .routes(routes!(tenants::grants))
        .routes(routes!(
            tenants::grant,
            tenants::put_grant,
            tenants::remove_grant
        ))
        .routes(routes!(clusters::list))
        .routes(routes!(clusters::cluster))
        .routes(routes!(clusters::invite))
        .routes(routes!(clusters::accept))
        .routes(routes!(clusters::revoke))
        .routes(routes!(clusters::quarantine))
        .routes(routes!(clusters::release))
        .routes(routes!(clusters::give_up))
        .routes(routes!(clusters::when_expired, clusters::put_when_expired))
        .routes(routes!(clusters::gateways))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::account, accounts::put, accounts::remove))
        .routes(routes!(accounts::put_token))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::checkpoints))
}

/// The same as a document.
pub(crate) fn document() -> OpenApi {
    described::finished(strangers().merge(members()).into_openapi())
}
