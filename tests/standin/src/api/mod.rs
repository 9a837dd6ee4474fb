//! Cloudflare's API v4 over HTTP, as far as tunnels, zones, records and
//! custom certificates go, and beside it the pages on
//! which people and tests look at the stand-in and set its switches.

mod caller;
mod connections;
mod custom_certificates;
mod dns_record_filter;
mod dns_records;
mod envelope;
mod gate;
mod operator;
mod server;
mod tokens;
mod tunnels;
mod zones;

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};

use crate::cloud::Cloud;
use envelope::ApiError;

pub use server::{ApiOptions, ApiServer};

/// Where the API begins, as at `api.cloudflare.com`.
pub const BASE_PATH: &str = "/client/v4";

/// The whole site: the API and the operator's pages under `/standin`.
fn site(cloud: Cloud) -> Router {
    let api = Router::new()
        .route("/user/tokens/verify", get(tokens::verify_user))
        .nest("/accounts/{account}", account_routes())
        .nest("/zones", zone_routes())
        .fallback(no_route)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(cloud.clone(), gate::gate))
        .layer(map_response(with_ray));
    Router::new()
        .nest(BASE_PATH, api)
        .merge(operator::routes())
        .with_state(cloud)
}

fn account_routes() -> Router<Cloud> {
    let tunnel = Router::new()
        .route(
            "/",
            get(tunnels::get)
                .patch(tunnels::edit)
                .delete(tunnels::delete),
        )
        .route("/token", get(tunnels::token))
        .route(
            "/configurations",
            get(tunnels::get_configuration).put(tunnels::put_configuration),
        )
        .route(
            "/connections",
            get(connections::list).delete(connections::clean_up),
        );
    Router::new()
        .route("/tokens/verify", get(tokens::verify_account))
        .route("/cfd_tunnel", get(tunnels::list).post(tunnels::create))
        .nest("/cfd_tunnel/{tunnel}", tunnel)
}

fn zone_routes() -> Router<Cloud> {
    Router::new()
        .route("/", get(zones::list))
        .route("/{zone}", get(zones::get))
        .route(
            "/{zone}/dns_records",
            get(dns_records::list).post(dns_records::create),
        )
        .route(
            "/{zone}/custom_certificates",
            get(custom_certificates::list).post(custom_certificates::create),
        )
        .route(
            "/{zone}/custom_certificates/{certificate}",
            get(custom_certificates::get)
                .patch(custom_certificates::replace)
                .delete(custom_certificates::delete),
        )
        .route("/{zone}/dns_records/batch", post(dns_records::batch))
        .route(
            "/{zone}/dns_records/{record}",
            get(dns_records::get)
                .put(dns_records::replace)
                .patch(dns_records::edit)
                .delete(dns_records::delete),
        )
}

/// Every answer of Cloudflare's names the request.
async fn with_ray(mut response: Response) -> Response {
    static RAYS: AtomicU64 = AtomicU64::new(0x9a1f_3c2b_0000_0000);
    let ray = format!("{:016x}-FRA", RAYS.fetch_add(1, Ordering::Relaxed));
    let ray = HeaderValue::try_from(ray).expect("letters and digits");
    response.headers_mut().insert("cf-ray", ray);
    response
}

async fn no_route(OriginalUri(uri): OriginalUri) -> ApiError {
    let path = uri.path();
    ApiError::no_route(path.strip_prefix(BASE_PATH).unwrap_or(path))
}

async fn not_allowed() -> ApiError {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    ApiError::new(status, 10_405, "Method not allowed for this route")
}
