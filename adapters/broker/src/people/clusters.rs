//! Clusters: who may come, who is there, who is turned away.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::Timestamp;
use domain::broker::ClusterName;
use domain::broker::cluster::{Cluster, LONGEST_CODE, Thumbprint};
use domain::broker::ports::{Invitation, StoreError, Turn};
use domain::broker::role::Permission::Operate;
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::IntoParams;

use super::PeoplePlane;
use super::asking::Asking;
use super::described::{
    OfChange, OfNamed, OfNewName, OfPerson, OfQuery, OfRemoval, OfRole, OfTurn, Seen,
};
use super::items::{Found, Item, Names, may_put, not_there};
use super::lists::{Asked, Part};
use crate::identity;
use crate::openapi::problems::{OfAny, OfDocument, Refused};
use crate::openapi::texts;
use crate::problem::Problem;
use crate::server::answer::{malformed, read_open_document};
use crate::wire::people::{
    AcceptanceDocument, ClusterDocument, ClusterList, HoldingDocument, HoldingList,
    InvitationDocument, InvitationRequest, ListDocument, RemovalDocument, WhenExpiredDocument,
    moment,
};

type Plane = State<Arc<PeoplePlane>>;

/// A cluster in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ClusterPath {
    /// The name of the cluster.
    #[param(inline, value_type = texts::ClusterName)]
    cluster: ClusterName,
}

/// Lists the clusters that whoever asks sees.
#[utoipa::path(
    get,
    path = "/admin/v1/clusters",
    params(Part),
    responses(
        (status = 200, description = "A part of the list", body = ClusterList),
        Refused<(OfAny, OfPerson, OfQuery)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    Asked(part): Asked<Part>,
) -> Result<Json<ClusterList>, Problem> {
    let clusters = plane.store.clusters(asking.rights.tenant.as_ref()).await?;
    Ok(Json(part.of(
        clusters,
        |it| it.name.as_str(),
        ClusterDocument::of,
    )))
}

/// Reads a cluster: where it stands, and when it was heard of.
#[utoipa::path(
    get,
    path = "/admin/v1/clusters/{cluster}",
    params(ClusterPath),
    responses(
        (status = 200, description = "The cluster", body = ClusterDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn cluster(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
) -> Result<Item<ClusterDocument>, Problem> {
    let cluster = plane.seen(&asking, &path.cluster).await?;
    Ok(Item::of(ClusterDocument::of(&cluster)))
}

/// Gives out a code for a cluster, which is made where there is none. Needs the role operator.
///
/// A cluster that is there already loses its key. Names of clusters are one list for all tenants: one that is in use elsewhere is
/// refused as that.
#[utoipa::path(
    post,
    path = "/admin/v1/clusters/{cluster}/invitation",
    params(ClusterPath),
    request_body = InvitationRequest,
    responses(
        (status = 201, description = "The code, which is told once", body = InvitationDocument),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfNewName, OfRemoval)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn invite(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<InvitationDocument>), Problem> {
    let document: InvitationRequest = read_open_document(&headers, body).await?;
    asking.may(Operate, Some(&document.tenant))?;
    let code = identity::unpredictable(&*plane.entropy);
    let event = plane.event(&asking, "cluster.invite", path.cluster.as_str());
    let expires = Timestamp(event.at.0.saturating_add_unsigned(LONGEST_CODE.as_secs()));
    let invitation = Invitation {
        cluster: path.cluster,
        tenant: document.tenant,
        when_expired: document.when_expired,
        code: identity::digest(&code),
        expires,
    };
    plane.store.invite(invitation, event).await?;
    let told = InvitationDocument {
        code: code.expose_secret().to_owned(),
        expires: moment(expires),
    };
    Ok((StatusCode::CREATED, Json(told)))
}

/// Accepts the key of a cluster that redeemed its code, or what it is attested by anew. Needs the role operator.
#[utoipa::path(
    post,
    path = "/admin/v1/clusters/{cluster}/acceptance",
    params(ClusterPath),
    request_body = AcceptanceDocument,
    responses(
        (status = 200, description = "The cluster, which is served from now on", body = ClusterDocument),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfTurn)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn accept(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClusterDocument>, Problem> {
    let document: AcceptanceDocument = read_open_document(&headers, body).await?;
    let thumbprint = |field: &str, text: &str| {
        Thumbprint::parse(text).ok_or_else(|| {
            malformed(format!(
                "{field}: Invalid value: must be the thumbprint that the cluster tells, 43 characters"
            ))
        })
    };
    let anew = document.attest_anew.as_deref();
    let accept = Turn::Accept {
        key: thumbprint("key", &document.key)?,
        attest_anew: anew
            .map(|text| thumbprint("attest_anew", text))
            .transpose()?,
    };
    plane.turn(&asking, &path.cluster, accept).await
}

/// Ends the sessions of a cluster; its tunnels go on serving. Needs the role operator.
#[utoipa::path(
    post,
    path = "/admin/v1/clusters/{cluster}/revocation",
    params(ClusterPath),
    responses(
        (status = 200, description = "The cluster, which is not served any more", body = ClusterDocument),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfTurn)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn revoke(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
) -> Result<Json<ClusterDocument>, Problem> {
    plane.turn(&asking, &path.cluster, Turn::Revoke).await
}

/// Ends the sessions of a cluster and shuts its connectors out. Needs the role operator.
#[utoipa::path(
    post,
    path = "/admin/v1/clusters/{cluster}/quarantine",
    params(ClusterPath),
    responses(
        (status = 200, description = "The cluster, which is not served any more", body = ClusterDocument),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfTurn)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn quarantine(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
) -> Result<Json<ClusterDocument>, Problem> {
    plane.turn(&asking, &path.cluster, Turn::Quarantine).await
}

/// Lets a cluster go with everything that it has. Needs the role operator.
#[utoipa::path(
    post,
    path = "/admin/v1/clusters/{cluster}/release",
    params(ClusterPath),
    responses(
        (status = 200, description = "The cluster, which is not looked after any more", body = ClusterDocument),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfTurn)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn release(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
) -> Result<Json<ClusterDocument>, Problem> {
    plane.turn(&asking, &path.cluster, Turn::Release).await
}

/// Gives a cluster up: everything that it has is removed. Needs the role operator.
#[utoipa::path(
    post,
    path = "/admin/v1/clusters/{cluster}/removal",
    params(ClusterPath),
    request_body = RemovalDocument,
    responses(
        (status = 200, description = "The cluster, which is given up", body = ClusterDocument),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn give_up(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClusterDocument>, Problem> {
    let document: RemovalDocument = read_open_document(&headers, body).await?;
    if document.confirm != path.cluster.as_str() {
        let (found, cluster) = (&document.confirm, &path.cluster);
        return Err(malformed(format!(
            "confirm: Invalid value: {found:?}: must be {cluster}, the cluster that is given up"
        )));
    }
    plane.turn(&asking, &path.cluster, Turn::GiveUp).await
}

/// Reads what becomes of a cluster once it has expired.
#[utoipa::path(
    get,
    path = "/admin/v1/clusters/{cluster}/when-expired",
    params(ClusterPath),
    responses(
        (status = 200, description = "What becomes of it", body = WhenExpiredDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn when_expired(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
) -> Result<Item<WhenExpiredDocument>, Problem> {
    let cluster = plane.seen(&asking, &path.cluster).await?;
    Ok(Item::of(WhenExpiredDocument::of(&cluster)))
}

/// Says what becomes of a cluster once it has expired. Needs the role operator.
#[utoipa::path(
    put,
    path = "/admin/v1/clusters/{cluster}/when-expired",
    params(ClusterPath, Seen),
    request_body = WhenExpiredDocument,
    responses(
        (status = 200, description = "What becomes of it", body = WhenExpiredDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfChange)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn put_when_expired(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Item<WhenExpiredDocument>, Problem> {
    let document: WhenExpiredDocument = read_open_document(&headers, body).await?;
    let cluster = plane.seen(&asking, &path.cluster).await?;
    asking.may(Operate, Some(&cluster.tenant))?;
    let known = WhenExpiredDocument::of(&cluster);
    let (seen, then) = (known.when_expired, document.when_expired);
    let found = match seen == then {
        true => Found::Same,
        false => Found::Other(known),
    };
    may_put(&headers, &found)?;
    if seen != then {
        let turn = Turn::WhenExpired { seen, then };
        drop(plane.turn(&asking, &path.cluster, turn).await?);
    }
    Ok(Item::of(document))
}

/// Lists the Gateways of a cluster, with their accounts and hostnames.
#[utoipa::path(
    get,
    path = "/admin/v1/clusters/{cluster}/gateways",
    params(ClusterPath, Part),
    responses(
        (status = 200, description = "A part of the list", body = HoldingList),
        Refused<(OfAny, OfPerson, OfQuery, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn gateways(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<ClusterPath>,
    Asked(part): Asked<Part>,
) -> Result<Json<HoldingList>, Problem> {
    let cluster = plane.seen(&asking, &path.cluster).await?;
    let gateways = plane.store.placed(&cluster.name).await?.gateways;
    let keys = gateways.into_iter().map(|key| (key.to_string(), key));
    let page = part.of(keys, |(name, _)| name, |(_, key)| key.clone());
    let mut items = Vec::new();
    for gateway in &page.items {
        if let Some(held) = plane.store.held(&cluster.name, gateway).await? {
            items.push(HoldingDocument::of(gateway, &held));
        }
    }
    let next = page.next;
    Ok(Json(ListDocument { items, next }))
}

impl PeoplePlane {
    /// A cluster that whoever asks sees.
    async fn seen(&self, asking: &Asking, name: &ClusterName) -> Result<Cluster, Problem> {
        let cluster = match self.store.cluster(name).await {
            Err(StoreError::Refused(_)) => return Err(not_there()),
            found => found?,
        };
        match asking.rights.sees(Some(&cluster.tenant)) {
            true => Ok(cluster),
            false => Err(not_there()),
        }
    }

    async fn turn(
        &self,
        asking: &Asking,
        name: &ClusterName,
        turn: Turn,
    ) -> Result<Json<ClusterDocument>, Problem> {
        let cluster = self.seen(asking, name).await?;
        asking.may(Operate, Some(&cluster.tenant))?;
        let (action, detail) = match &turn {
            Turn::Accept { attest_anew, .. } => (
                "cluster.accept",
                attest_anew
                    .as_ref()
                    .map_or("", |thumbprint| thumbprint.as_str()),
            ),
            Turn::Revoke => ("cluster.revoke", ""),
            Turn::Quarantine => ("cluster.quarantine", ""),
            Turn::GiveUp => ("cluster.give-up", ""),
            Turn::Release => ("cluster.release", ""),
            Turn::WhenExpired { then, .. } => ("cluster.when-expired", then.as_str()),
        };
        let mut event = self.event(asking, action, name.as_str());
        event.detail = match &turn {
            Turn::Accept {
                attest_anew: Some(_),
                ..
            } => format!("attest anew: {detail}"),
            _ => detail.to_owned(),
        };
        let turned = self.store.turn(name, turn, event).await?;
        Ok(Json(ClusterDocument::of(&turned)))
    }
}
