//! What clusters ask a broker, over HTTP.
//!
//! Each path stands at its handler, and all of them are in docs/api/broker.json ([`openapi`](crate::openapi)).
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
mod certificates;
mod described;
mod events;
mod gateways;
mod lease;
mod plan;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use domain::broker::Code;
use domain::broker::cluster::Thumbprint;
use domain::broker::ports::{AccountEdges, Seal, Store};
use domain::ports::{Clock, Entropy};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::forms::{self, Forms};
use crate::problem::{ApiError, Problem};
use crate::rate::Told;
use admission::Requests;

/// Requests of one cluster that are under way at a time.
pub const REQUESTS_OF_CLUSTER: usize = 64;

/// How often a cluster may ask, in a second, after it asked [`REQUESTS_AT_ONCE`] times.
pub const REQUESTS_IN_A_SECOND: f64 = 20.0;

/// How often a cluster may ask at once: a controller that starts states each of its Gateways.
pub const REQUESTS_AT_ONCE: f64 = 500.0;

/// How many plans a cluster may ask for at once: each reads at Cloudflare, in the budget of the account.
pub const PLANS_AT_ONCE: f64 = 100.0;

/// How often it may, in a second, after that.
pub const PLANS_IN_A_SECOND: f64 = 0.2;

/// How long an answer waits for what was stated to be done.
pub const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// How clusters show who they are (RFC 9449, section 7.1).
const CHALLENGE: &str = "DPoP algs=\"ES256\"";

/// The plane that clusters see.
pub struct ClusterPlane {
    store: Arc<dyn Store>,
    edges: Arc<dyn AccountEdges>,
    seal: Arc<dyn Seal>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    requests: Requests,
    refusals: Told<(Thumbprint, Code)>,
    last: events::Last,
}

impl ClusterPlane {
    /// The plane over a store, and over the edges that tokens of tunnels come from. What clusters send is sealed by `seal`.
    pub fn new(
        store: Arc<dyn Store>,
        edges: Arc<dyn AccountEdges>,
        seal: Arc<dyn Seal>,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            edges,
            seal,
            entropy,
            clock,
            requests: Requests::default(),
            refusals: Told::default(),
            last: events::Last::default(),
        }
    }
}

/// The API for clusters.
pub fn router(plane: Arc<ClusterPlane>) -> Router {
    let admit = middleware::from_fn_with_state(plane.clone(), admission::admit);
    let members = Router::from(members()).fallback(no_such_path).layer(admit);
    let forms = Arc::new(Forms::of(&document(), CHALLENGE));
    Router::from(strangers())
        .merge(members)
        .layer(middleware::from_fn_with_state(forms, forms::refuse))
        .with_state(plane)
}

/// What is asked without a session.
fn strangers() -> OpenApiRouter<Arc<ClusterPlane>> {
    OpenApiRouter::default()
        .routes(routes!(sessions::enrol))
        .routes(routes!(sessions::open))
}

/// What is asked within one.
fn members() -> OpenApiRouter<Arc<ClusterPlane>> {
    OpenApiRouter::default()
        .routes(routes!(sessions::begin_term))
        .routes(routes!(lease::compare))
        .routes(routes!(events::events))
        .routes(routes!(gateways::owned, gateways::sweep))
        .routes(routes!(gateways::remove))
        .routes(routes!(gateways::state))
        .routes(routes!(gateways::status))
        .routes(routes!(plan::plan))
        .routes(routes!(gateways::token, gateways::retire))
        .routes(routes!(gateways::close))
        .routes(routes!(certificates::send))
}

/// The same as a document.
pub(crate) fn document() -> OpenApi {
    described::finished(strangers().merge(members()).into_openapi())
}

async fn no_such_path() -> Problem {
    Problem::refused(ApiError::NoSuchPath, "docs/api/broker.json has all paths")
}
