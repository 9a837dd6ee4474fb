//! What clusters ask a broker, over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/enrolments` with an [`EnrolmentDocument`](crate::wire::EnrolmentDocument) | [`EnrolledDocument`](crate::wire::EnrolledDocument) |
//! | `POST /v1/sessions` with a [`SessionRequest`](crate::wire::SessionRequest) | [`SessionDocument`](crate::wire::SessionDocument) |
//! | `POST /v1/terms` | [`TermDocument`](crate::wire::TermDocument) |
//! | `GET /v1/gateways` | [`OwnedDocument`](crate::wire::OwnedDocument) |
//! | `PUT /v1/gateways` with a [`LiveDocument`](crate::wire::LiveDocument) | [`SweptDocument`](crate::wire::SweptDocument) |
//! | `PUT /v1/gateways/{namespace}/{name}/intent` with an [`IntentDocument`](crate::wire::IntentDocument) | [`StatusDocument`](crate::wire::StatusDocument) |
//! | `GET /v1/gateways/{namespace}/{name}/status?version=…&after=…` | [`StatusDocument`](crate::wire::StatusDocument) |
//! | `GET /v1/gateways/{namespace}/{name}/token` | [`TokenDocument`](crate::wire::TokenDocument) |
//! | `PUT /v1/gateways/{namespace}/{name}/token` with a [`RetiredDocument`](crate::wire::RetiredDocument) | [`StatusDocument`](crate::wire::StatusDocument) |
//! | `DELETE /v1/gateways/{namespace}/{name}/connections` | [`StatusDocument`](crate::wire::StatusDocument) |
//! | `DELETE /v1/gateways/{namespace}/{name}` | [`StatusDocument`](crate::wire::StatusDocument) |
//!
//! Each request has a proof of the cluster's key ([`identity`](crate::identity)), and each but the first two the token of a
//! session, which says which cluster asks. No path or document names a cluster, an account or a zone: each cluster finds
//! nothing but its own.
//!
//! What states something also has `Statement-Place: <term>.<sequence>`, and may have `If-Match` with the version that it is
//! about. It is written down before it is answered, and done by the [`engine`](crate::engine): the answer waits for it for
//! [`LONGEST_WAIT`], and is 202 with a [`PendingDocument`](crate::wire::PendingDocument) then.
//!
//! All else is a [`Problem`]. Who asks is looked at first, so that an answer to a stranger says nothing.

pub(crate) mod admission;
pub(crate) mod answer;
mod gateways;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use domain::broker::Code;
use domain::broker::cluster::Thumbprint;
use domain::broker::ports::{AccountEdges, Store};
use domain::ports::{Clock, Entropy};

use crate::problem::{ApiError, Problem};
use crate::rate::Told;
use admission::Requests;

/// Requests of one cluster that are under way at a time.
pub const REQUESTS_OF_CLUSTER: usize = 64;

/// How often a cluster may ask, in a second, after it asked [`REQUESTS_AT_ONCE`] times.
pub const REQUESTS_IN_A_SECOND: f64 = 20.0;

/// How often a cluster may ask at once: a controller that starts states each of its Gateways.
pub const REQUESTS_AT_ONCE: f64 = 500.0;

/// How long an answer waits for what was stated to be done.
pub const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// The plane that clusters see.
pub struct ClusterPlane {
    store: Arc<dyn Store>,
    edges: Arc<dyn AccountEdges>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    requests: Requests,
    refusals: Told<(Thumbprint, Code)>,
}

impl ClusterPlane {
    /// The plane over a store, and over the edges that tokens of tunnels come from.
    pub fn new(
        store: Arc<dyn Store>,
        edges: Arc<dyn AccountEdges>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            edges,
            entropy,
            clock,
            requests: Requests::default(),
            refusals: Told::default(),
        }
    }
}

/// The API for clusters.
pub fn router(plane: Arc<ClusterPlane>) -> Router {
    let strangers = Router::new()
        .route("/v1/enrolments", post(sessions::enrol))
        .route("/v1/sessions", post(sessions::open));
    let members = Router::new()
        .route("/v1/terms", post(sessions::begin_term))
        .route("/v1/gateways", get(gateways::owned).put(gateways::sweep))
        .route("/v1/gateways/{namespace}/{name}", delete(gateways::remove))
        .route(
            "/v1/gateways/{namespace}/{name}/intent",
            put(gateways::state),
        )
        .route(
            "/v1/gateways/{namespace}/{name}/status",
            get(gateways::status),
        )
        .route(
            "/v1/gateways/{namespace}/{name}/token",
            get(gateways::token).put(gateways::retire),
        )
        .route(
            "/v1/gateways/{namespace}/{name}/connections",
            delete(gateways::close),
        )
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            plane.clone(),
            admission::admit,
        ));
    strangers
        .method_not_allowed_fallback(method_not_allowed)
        .merge(members)
        .layer(middleware::from_fn(admission::refuse_form))
        .with_state(plane)
}

pub(crate) async fn no_such_path() -> Problem {
    let detail = "see the table of paths in docs/broker-api.md";
    Problem::refused(ApiError::NoSuchPath, detail)
}

pub(crate) async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("this path does not take {method}");
    Problem::refused(ApiError::MethodNotAllowed, detail)
}
