//! What would come of a statement.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use domain::broker::plan;

use super::ClusterPlane;
use super::admission::Member;
use super::answer::{malformed, read_document};
use super::described::OfMember;
use super::gateways::{Names, gateway_of};
use crate::openapi::problems::{OfAny, OfDocument, Refused};
use crate::problem::Problem;
use crate::wire::{PlanDocument, PlanRequest};

/// Tells what would come of a statement: what would be done at Cloudflare, and which names are refused. Nothing is written.
///
/// Cloudflare is read for it, so a cluster may ask for 100 plans at once, and for one in five seconds after that.
#[utoipa::path(
    post,
    path = "/v1/gateways/{namespace}/{name}/plan",
    params(Names),
    request_body = PlanRequest,
    responses(
        (status = 200, description = "The plan", body = PlanDocument),
        Refused<(OfAny, OfMember, OfDocument)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn plan(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PlanDocument>, Problem> {
    let gateway = gateway_of(&names)?;
    let document: PlanRequest = read_document(&headers, body).await?;
    let intent = document.read(&gateway).map_err(malformed)?;
    plane.requests.plan(&member.cluster.name)?;
    let (store, edges) = (&*plane.store, &*plane.edges);
    let (cluster, now) = (&member.cluster, plane.clock.now());
    let planned = plan::plan(store, edges, cluster, &gateway, intent.as_ref(), now).await?;
    Ok(Json(PlanDocument::of(planned)))
}
