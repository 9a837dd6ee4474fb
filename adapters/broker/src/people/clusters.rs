//! Clusters: who may come, who is there, who is turned away.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::Timestamp;
use domain::broker::ClusterName;
use domain::broker::cluster::{Cluster, LONGEST_CODE, Thumbprint};
use domain::broker::ports::{Invitation, Turn};
use domain::broker::role::Permission::{Operate, Read};
use secrecy::ExposeSecret;

use super::PeoplePlane;
use super::asking::{Asking, Part, not_there};
use crate::identity;
use crate::problem::Problem;
use crate::server::answer::{malformed, read_open_document};
use crate::wire::people::{
    AcceptanceDocument, ClusterDocument, HoldingDocument, InvitationDocument, InvitationRequest,
    ListDocument, RemovalDocument, WhenExpiredDocument, moment,
};

type Plane = State<Arc<PeoplePlane>>;

pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    part: Part,
) -> Result<Json<ListDocument<ClusterDocument>>, Problem> {
    let clusters = plane.store.clusters(asking.rights.tenant.as_ref()).await?;
    Ok(Json(part.of(
        clusters,
        |it| it.name.as_str(),
        ClusterDocument::of,
    )))
}

pub(super) async fn cluster(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
) -> Result<Json<ClusterDocument>, Problem> {
    let cluster = plane.seen(&asking, &cluster).await?;
    asking.may(Read, Some(&cluster.tenant))?;
    Ok(Json(ClusterDocument::of(&cluster)))
}

/// Gives out a code. A cluster that is there already loses its key.
pub(super) async fn invite(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<InvitationDocument>), Problem> {
    let name = ClusterName::parse(&cluster).map_err(malformed)?;
    let document: InvitationRequest = read_open_document(&headers, body).await?;
    asking.may(Operate, Some(&document.tenant))?;
    let code = identity::unpredictable(&*plane.entropy);
    let event = plane.event(&asking, "cluster.invite", name.as_str());
    let expires = Timestamp(event.at.0.saturating_add_unsigned(LONGEST_CODE.as_secs()));
    let invitation = Invitation {
        cluster: name,
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

pub(super) async fn accept(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClusterDocument>, Problem> {
    let document: AcceptanceDocument = read_open_document(&headers, body).await?;
    let key = Thumbprint::parse(&document.key).ok_or_else(|| {
        malformed(
            "key: Invalid value: must be the thumbprint that the cluster tells, 43 characters",
        )
    })?;
    plane
        .turn(&asking, &cluster, Turn::Accept(key), "cluster.accept")
        .await
}

pub(super) async fn revoke(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
) -> Result<Json<ClusterDocument>, Problem> {
    plane
        .turn(&asking, &cluster, Turn::Revoke, "cluster.revoke")
        .await
}

/// What a cluster has: its Gateways with their accounts and hostnames.
pub(super) async fn gateways(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
    part: Part,
) -> Result<Json<ListDocument<HoldingDocument>>, Problem> {
    let cluster = plane.seen(&asking, &cluster).await?;
    asking.may(Read, Some(&cluster.tenant))?;
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

/// Its connectors are shut out as well.
pub(super) async fn quarantine(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
) -> Result<Json<ClusterDocument>, Problem> {
    let action = "cluster.quarantine";
    plane
        .turn(&asking, &cluster, Turn::Quarantine, action)
        .await
}

/// Everything that it has is removed.
pub(super) async fn give_up(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClusterDocument>, Problem> {
    let document: RemovalDocument = read_open_document(&headers, body).await?;
    if document.confirm != cluster {
        let found = &document.confirm;
        return Err(malformed(format!(
            "confirm: Invalid value: {found:?}: must be {cluster}, the cluster that is given up"
        )));
    }
    plane
        .turn(&asking, &cluster, Turn::GiveUp, "cluster.give-up")
        .await
}

/// What becomes of it once it has expired.
pub(super) async fn put_when_expired(
    State(plane): Plane,
    asking: Asking,
    Path(cluster): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClusterDocument>, Problem> {
    let document: WhenExpiredDocument = read_open_document(&headers, body).await?;
    let turn = Turn::WhenExpired(document.when_expired);
    plane
        .turn(&asking, &cluster, turn, "cluster.when-expired")
        .await
}

impl PeoplePlane {
    /// A cluster that whoever asks may see.
    async fn seen(&self, asking: &Asking, name: &str) -> Result<Cluster, Problem> {
        let name = ClusterName::parse(name).map_err(malformed)?;
        let cluster = match self.store.cluster(&name).await {
            Err(domain::broker::ports::StoreError::Refused(_)) => return Err(not_there()),
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
        name: &str,
        turn: Turn,
        action: &str,
    ) -> Result<Json<ClusterDocument>, Problem> {
        let cluster = self.seen(asking, name).await?;
        asking.may(Operate, Some(&cluster.tenant))?;
        let mut event = self.event(asking, action, name);
        if let Turn::WhenExpired(when) = &turn {
            event.detail = when.as_str().to_owned();
        }
        let turned = self.store.turn(&cluster.name, turn, event).await?;
        Ok(Json(ClusterDocument::of(&turned)))
    }
}
