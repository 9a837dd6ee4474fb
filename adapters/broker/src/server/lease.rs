//! What cluster and broker compare again and again.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use domain::broker::audit::Event;
use domain::broker::lease;

use super::ClusterPlane;
use super::admission::Member;
use super::answer::{malformed, read_open_document};
use super::described::OfMember;
use crate::openapi::problems::{OfAny, OfDocument, Refused, sort};
use crate::problem::Problem;
use crate::wire::{LeaseDocument, LeaseRequest};

sort! {
    /// Of a cluster that may have been turned away since its request was let in.
    OfServed: [], [ClusterRevoked, Tombstoned]
}

/// Says that the cluster is there, and compares what it stated with what the broker has.
///
/// To be asked every 30 s by the controller that leads, whether anything changed or not. A Gateway that is not named stays.
#[utoipa::path(
    put,
    path = "/v1/lease",
    request_body = LeaseRequest,
    responses(
        (status = 200, description = "What differs", body = LeaseDocument),
        Refused<(OfAny, OfMember, OfDocument, OfServed)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn compare(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<LeaseDocument>, Problem> {
    let request: LeaseRequest = read_open_document(&headers, body).await?;
    let controller = request.controller.clone();
    let listed = request.read().map_err(malformed)?;
    let name = &member.cluster.name;
    let event = plane.event(&member, "cluster.hear", name.as_str());
    let event = Event {
        detail: format!("controller {controller}"),
        ..event
    };
    let cluster = plane.store.hear(name, &controller, event).await?;
    let held = plane.store.versions(name).await?;
    let compared = lease::compare(&listed, &held);
    Ok(Json(LeaseDocument::of(cluster.term, &compared)))
}
