//! What people ask a broker, over HTTP: an operator, a program that deploys, a page in a browser.
//!
//! | request | role | answer |
//! |---|---|---|
//! | `POST /admin/v1/sessions` with a [`SignInDocument`](crate::wire::people::SignInDocument) | | 201 [`SignedInDocument`](crate::wire::people::SignedInDocument) |
//! | `GET`, `DELETE /admin/v1/sessions/current` | any | who is signed in; signed out |
//! | `GET /admin/v1/tenants` | any | a list of [`TenantDocument`](crate::wire::people::TenantDocument) |
//! | `PUT`, `DELETE /admin/v1/tenants/{tenant}` | operator | 204 |
//! | `GET /admin/v1/tenants/{tenant}/grants` | any | a list of [`GrantDocument`](crate::wire::people::GrantDocument) |
//! | `GET …/grants/{grant}` | any | that grant |
//! | `PUT`, `DELETE …/grants/{grant}` | operator | 204 |
//! | `GET /admin/v1/clusters` | any | a list of [`ClusterDocument`](crate::wire::people::ClusterDocument) |
//! | `GET /admin/v1/clusters/{cluster}` | any | that cluster |
//! | `POST …/invitation` with an [`InvitationRequest`](crate::wire::people::InvitationRequest) | operator | 201 [`InvitationDocument`](crate::wire::people::InvitationDocument) |
//! | `POST …/acceptance` with an [`AcceptanceDocument`](crate::wire::people::AcceptanceDocument) | operator | that cluster |
//! | `POST …/revocation`, `POST …/quarantine` | operator | that cluster |
//! | `POST …/removal` with a [`RemovalDocument`](crate::wire::people::RemovalDocument) | operator | that cluster |
//! | `PUT …/when-expired` with a [`WhenExpiredDocument`](crate::wire::people::WhenExpiredDocument) | operator | that cluster |
//! | `GET …/gateways` | any | a list of [`HoldingDocument`](crate::wire::people::HoldingDocument) |
//! | `GET /admin/v1/accounts` | any | a list of [`AccountDocument`](crate::wire::people::AccountDocument) |
//! | `GET /admin/v1/accounts/{account}` | any | that account |
//! | `PUT`, `DELETE /admin/v1/accounts/{account}` | operator | 204 |
//! | `PUT …/token` with an [`ApiTokenDocument`](crate::wire::people::ApiTokenDocument) | credential-admin | 204 |
//! | `GET /admin/v1/audit` | auditor | a list of [`EntryDocument`](crate::wire::people::EntryDocument) |
//! | `GET /admin/v1/audit/verification` | auditor | [`VerificationDocument`](crate::wire::people::VerificationDocument) |
//! | `GET /admin/v1/audit/checkpoints` | auditor | [`CheckpointsDocument`](crate::wire::audit::CheckpointsDocument) |
//!
//! It has a listener of its own, and a session of a cluster is nothing here. Lists have `?after=…&limit=…`, at most
//! [`LONGEST_LIST`] at a time. What belongs to a tenant that somebody does not see is not there for them.
//!
//! People themselves are made at the store (`cfgw broker put-person`): nobody can give rights over this API.

mod accounts;
mod asking;
mod audit;
pub mod client;
mod clusters;
pub mod password;
mod sign_in;
mod tenants;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post, put};
use domain::broker::ports::{Seal, Store};
use domain::ports::{Clock, Entropy};
use tokio::sync::Semaphore;

use crate::rate::Told;
use crate::tokens::Tokens;

/// Items of a list in one answer, at most, and unless fewer are asked for.
pub const LONGEST_LIST: usize = 200;

/// Passwords that are compared at a time. Each takes a few hundredths of a second of a processor and 19 MiB.
pub const COMPARED_AT_ONCE: usize = 2;

/// Requests of people that are under way at a time.
pub const REQUESTS_UNDER_WAY: usize = 64;

/// The plane that people see.
pub struct PeoplePlane {
    store: Arc<dyn Store>,
    seal: Arc<dyn Seal>,
    tokens: Arc<Tokens>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    comparing: Semaphore,
    under_way: Arc<Semaphore>,
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
            attempts: asking::Rates::new(asking::ATTEMPTS),
            requests: asking::Rates::new(asking::REQUESTS),
            denied: Told::default(),
        }
    }
}

/// The API for people.
pub fn router(plane: Arc<PeoplePlane>) -> Router {
    let strangers = Router::new().route("/admin/v1/sessions", post(sign_in::sign_in));
    let members = Router::new()
        .route(
            "/admin/v1/sessions/current",
            get(sign_in::signed_in).delete(sign_in::sign_out),
        )
        .route("/admin/v1/tenants", get(tenants::list))
        .route(
            "/admin/v1/tenants/{tenant}",
            put(tenants::put).delete(tenants::remove),
        )
        .route("/admin/v1/tenants/{tenant}/grants", get(tenants::grants))
        .route(
            "/admin/v1/tenants/{tenant}/grants/{grant}",
            get(tenants::grant)
                .put(tenants::put_grant)
                .delete(tenants::remove_grant),
        )
        .route("/admin/v1/accounts", get(accounts::list))
        .route(
            "/admin/v1/accounts/{account}",
            get(accounts::account)
                .put(accounts::put)
                .delete(accounts::remove),
        )
        .route(
            "/admin/v1/accounts/{account}/token",
            put(accounts::put_token),
        )
        .route("/admin/v1/audit", get(audit::list))
        .route("/admin/v1/audit/verification", get(audit::verify))
        .route("/admin/v1/audit/checkpoints", get(audit::checkpoints))
        .merge(of_clusters())
        .fallback(asking::no_such_path)
        .method_not_allowed_fallback(asking::method_not_allowed)
        .layer(middleware::from_fn_with_state(plane.clone(), asking::admit));
    strangers
        .method_not_allowed_fallback(asking::method_not_allowed)
        .merge(members)
        .layer(middleware::from_fn(asking::refuse_form))
        .with_state(plane)
}

fn of_clusters() -> Router<Arc<PeoplePlane>> {
    Router::new()
        .route("/admin/v1/clusters", get(clusters::list))
        .route("/admin/v1/clusters/{cluster}", get(clusters::cluster))
        .route(
            "/admin/v1/clusters/{cluster}/invitation",
            post(clusters::invite),
        )
        .route(
            "/admin/v1/clusters/{cluster}/acceptance",
            post(clusters::accept),
        )
        .route(
            "/admin/v1/clusters/{cluster}/revocation",
            post(clusters::revoke),
        )
        .route(
            "/admin/v1/clusters/{cluster}/quarantine",
            post(clusters::quarantine),
        )
        .route(
            "/admin/v1/clusters/{cluster}/removal",
            post(clusters::give_up),
        )
        .route(
            "/admin/v1/clusters/{cluster}/when-expired",
            put(clusters::put_when_expired),
        )
        .route(
            "/admin/v1/clusters/{cluster}/gateways",
            get(clusters::gateways),
        )
}
