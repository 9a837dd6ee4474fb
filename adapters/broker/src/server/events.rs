//! What a cluster is told without having stated anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use domain::broker::ClusterName;
use domain::broker::ports::{Store, StoreError};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::ClusterPlane;
use super::admission::Member;
use super::answer::{malformed, wait_preferred};
use super::described::{Awaiting, OfMember, OfQuery};
use crate::openapi::problems::{OfAny, Refused};
use crate::openapi::texts::Number;
use crate::problem::Problem;
use crate::wire::EventsDocument;

/// How often is looked whether there is something, for all clusters at once.
const LOOKS: Duration = Duration::from_secs(1);

/// What an answer has.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// The `last` of the answer before. Without it the answer has no event, and its `last` to go on with.
    #[param(inline, value_type = Option<Number>)]
    since: Option<u64>,
}

/// The sequences of the last notices of all clusters. One look at the store is for all who wait.
#[derive(Default)]
pub(super) struct Last(Mutex<Option<Looked>>);

struct Looked {
    at: Instant,
    last: BTreeMap<ClusterName, u64>,
}

impl Last {
    async fn of(&self, store: &dyn Store, cluster: &ClusterName) -> Result<u64, StoreError> {
        let mut looked = self.0.lock().await;
        let known = match looked.take().filter(|looked| looked.at.elapsed() < LOOKS) {
            Some(known) => known,
            None => Looked {
                at: Instant::now(),
                last: store.last_notices().await?,
            },
        };
        let last = known.last.get(cluster).copied();
        *looked = Some(known);
        Ok(last.unwrap_or_default())
    }
}

/// What the cluster does not wait for: changes of grants, tokens and outcomes, repairs, and that it is not served any more.
///
/// With `Prefer: wait=25` the answer waits until there is something. 256 events of 24 hours are kept; `missed` tells whether
/// there were others.
#[utoipa::path(
    get,
    path = "/v1/events",
    params(Since, Awaiting),
    responses(
        (status = 200, description = "Events after the one that was asked with", body = EventsDocument),
        Refused<(OfAny, OfMember, OfQuery)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn events(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    since: Result<Query<Since>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<EventsDocument>, Problem> {
    let Query(Since { since }) = since.map_err(malformed)?;
    let (store, name) = (&*plane.store, &member.cluster.name);
    let until = Instant::now() + wait_preferred(&headers).unwrap_or_default();
    let Some(since) = since else {
        let mut notices = store.notices(name, 0, plane.clock.now()).await?;
        notices.told.clear();
        return Ok(Json(EventsDocument::of(notices.last, &notices)));
    };
    while plane.last.of(store, name).await? == since && Instant::now() < until {
        tokio::time::sleep_until(until.min(Instant::now() + LOOKS)).await;
    }
    let notices = store.notices(name, since, plane.clock.now()).await?;
    Ok(Json(EventsDocument::of(since, &notices)))
}
