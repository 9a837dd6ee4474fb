//! What a cluster states of its Gateways, and what it may read.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use domain::ObjectKey;
use domain::broker::audit::Event;
use domain::broker::budget::spent_share;
use domain::broker::held::{Held, Place, Stated, Statement};
use domain::broker::watch;
use domain::broker::work::Priority;
use domain::broker::{AccountName, Code, Refusal};
use domain::edge::ports::Edge;
use domain::ports::{PortError, PortErrorKind};
use domain::secret::ConnectorToken;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ClusterPlane;
use super::admission::Member;
use super::answer::{Awaited, failed, malformed, read_document, wait_of};
use super::described::{
    Awaiting, OfLeader, OfMember, OfQuery, OfStatement, Placed, Stated as Headers,
};
use crate::openapi::problems::{OfAny, OfDocument, OfEdge, Refused};
use crate::openapi::texts::{Namespace, ObjectName};
use crate::problem::{ApiError, Problem};
use crate::wire::{
    IntentDocument, LiveDocument, OwnedDocument, PendingDocument, RetiredDocument, StatusDocument,
    SweptDocument, TokenDocument, gateway_key,
};

/// A Gateway of the cluster that asks, as it stands in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Names {
    /// The namespace of the Gateway.
    #[param(inline, value_type = Namespace)]
    namespace: String,
    /// Its name.
    #[param(inline, value_type = ObjectName)]
    name: String,
}

/// The place of a statement in the order of its cluster.
const PLACE: HeaderName = HeaderName::from_static("statement-place");

/// The Gateways of the cluster that hold anything at Cloudflare.
#[utoipa::path(
    get,
    path = "/v1/gateways",
    responses(
        (status = 200, description = "Their names", body = OwnedDocument),
        Refused<(OfAny, OfMember, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn owned(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
) -> Result<Json<OwnedDocument>, Problem> {
    let mut gateways = plane.store.placed(&member.cluster.name).await?.gateways;
    // What this store does not know may be there all the same: the store may be a backup of before.
    for edge in plane.edges_of(&member).await? {
        let found = edge.owned().await;
        gateways.extend(found.map_err(|partial| failed(partial.error))?);
    }
    Ok(Json(OwnedDocument::of(&gateways)))
}

/// Removes records with the cluster's mark that belong to none of these Gateways and to no tunnel.
///
/// A Gateway that was stated and is not named here stays: it may have come since, and one that has gone is among the answers to
/// `GET /v1/gateways` until its cluster removes it.
#[utoipa::path(
    put,
    path = "/v1/gateways",
    params(Placed),
    request_body = LiveDocument,
    responses(
        (status = 200, description = "Names of the records that were removed", body = SweptDocument),
        Refused<(OfAny, OfMember, OfDocument, OfLeader, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn sweep(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SweptDocument>, Problem> {
    let document: LiveDocument = read_document(&headers, body).await?;
    let live = document.read().map_err(malformed)?;
    if place_of(&headers)?.term != member.cluster.term {
        let detail = "another controller of this cluster leads";
        return Err(Problem::decided(&Refusal::new(Code::StaleTerm, detail)));
    }
    let mut swept = BTreeSet::new();
    for edge in plane.edges_of(&member).await? {
        swept.extend(edge.sweep(&live).await.map_err(failed)?);
    }
    if !swept.is_empty() {
        let names: Vec<&str> = swept.iter().map(String::as_str).collect();
        let event = plane.event(&member, "records.sweep", member.cluster.name.as_str());
        let detail = names.join(" ");
        plane.store.append(Event { detail, ..event }).await?;
    }
    Ok(Json(SweptDocument { swept }))
}

/// States what a Gateway needs.
#[utoipa::path(
    put,
    path = "/v1/gateways/{namespace}/{name}/intent",
    params(Names, Headers),
    request_body = IntentDocument,
    responses(
        (status = 200, description = "What came of it; `ETag` has the version", body = StatusDocument),
        (status = 202, description = "It is written down, and not done yet", body = PendingDocument),
        Refused<(OfAny, OfMember, OfDocument, OfStatement, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn state(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let gateway = gateway_of(&names)?;
    let document: IntentDocument = read_document(&headers, body).await?;
    let intent = document.read(gateway.clone()).map_err(malformed)?;
    let statement = Statement::Intent(Box::new(intent));
    plane.take(&member, gateway, statement, &headers).await
}

/// What came of a statement, once there is something to tell.
///
/// A Gateway of which nothing was stated, or nothing is left, has an empty status.
#[utoipa::path(
    get,
    path = "/v1/gateways/{namespace}/{name}/status",
    params(Names, Awaited, Awaiting),
    responses(
        (status = 200, description = "What came of it; `ETag` has the version", body = StatusDocument),
        (status = 202, description = "It is written down, and not done yet", body = PendingDocument),
        Refused<(OfAny, OfMember, OfQuery, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn status(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    awaited: Result<Query<Awaited>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let gateway = gateway_of(&names)?;
    let Query(awaited) = awaited.map_err(malformed)?;
    let wait = wait_of(&headers);
    plane
        .answer(&member.cluster.name, &gateway, awaited, wait)
        .await
}

/// Removes a Gateway: its tunnel, its records and what the broker knows of it.
#[utoipa::path(
    delete,
    path = "/v1/gateways/{namespace}/{name}",
    params(Names, Headers),
    responses(
        (status = 200, description = "What came of it; `ETag` has the version", body = StatusDocument),
        (status = 202, description = "It is written down, and not done yet", body = PendingDocument),
        Refused<(OfAny, OfMember, OfStatement, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn remove(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let gateway = gateway_of(&names)?;
    plane
        .take(&member, gateway, Statement::Remove, &headers)
        .await
}

/// Replaces the connector tokens that together have this hash (the SHA-256 of all of them, a line each); those that were replaced
/// before are left alone.
#[utoipa::path(
    put,
    path = "/v1/gateways/{namespace}/{name}/token",
    params(Names, Headers),
    request_body = RetiredDocument,
    responses(
        (status = 200, description = "What came of it; `ETag` has the version", body = StatusDocument),
        (status = 202, description = "It is written down, and not done yet", body = PendingDocument),
        Refused<(OfAny, OfMember, OfDocument, OfStatement, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn retire(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let gateway = gateway_of(&names)?;
    let document: RetiredDocument = read_document(&headers, body).await?;
    let retired = document.read().map_err(malformed)?;
    plane.require_tunnel(&member, &gateway).await?;
    let statement = Statement::Retire(retired);
    plane.take(&member, gateway, statement, &headers).await
}

/// Closes every connection of the tunnels, so that connectors come again with the present token.
#[utoipa::path(
    delete,
    path = "/v1/gateways/{namespace}/{name}/connections",
    params(Names, Headers),
    responses(
        (status = 200, description = "What came of it; `ETag` has the version", body = StatusDocument),
        (status = 202, description = "It is written down, and not done yet", body = PendingDocument),
        Refused<(OfAny, OfMember, OfStatement, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn close(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let gateway = gateway_of(&names)?;
    plane.require_tunnel(&member, &gateway).await?;
    plane
        .take(&member, gateway, Statement::CloseConnections, &headers)
        .await
}

/// The connector tokens of a Gateway, one of each of its tunnels. Who reads them is in the audit before it is answered.
#[utoipa::path(
    get,
    path = "/v1/gateways/{namespace}/{name}/token",
    params(Names),
    responses(
        (status = 200, description = "The tokens", body = TokenDocument),
        Refused<(OfAny, OfMember, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn token(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
) -> Result<Json<TokenDocument>, Problem> {
    let gateway = gateway_of(&names)?;
    let token = plane.connector_token(&member, &gateway).await?;
    // The token may be the one that replaced what the cluster had.
    plane.require_served(&member).await?;
    let event = plane.event(&member, "connector-token.read", &gateway.to_string());
    plane.store.append(event).await?;
    Ok(Json(TokenDocument::of(&token)))
}

impl ClusterPlane {
    /// Takes a statement, and answers once it is done or after a while.
    pub(super) async fn take(
        &self,
        member: &Member,
        gateway: ObjectKey,
        statement: Statement,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let action = match &statement {
            Statement::Intent(_) => "gateway.state",
            Statement::Remove => "gateway.remove",
            Statement::Retire(_) => "connector-token.retire",
            Statement::CloseConnections => "connections.close",
            Statement::Pairs(_) => "certificates.send",
        };
        let event = self.event(member, action, &gateway.to_string());
        let (place, if_match) = (place_of(headers)?, version_of(headers)?);
        let cluster = &member.cluster.name;
        let (stated, held) = self
            .store
            .state(cluster, &gateway, statement, place, if_match, event)
            .await?;
        let awaited = Awaited {
            version: held.version,
            after: held.passes,
        };
        let wait = wait_of(headers);
        match stated {
            Stated::Changed => self.answer(cluster, &gateway, awaited, wait).await,
            Stated::Unchanged => super::answer::unchanged(&held),
            Stated::Waiting => self.answer_again(cluster, held, awaited, wait).await,
        }
    }

    /// What is held of a Gateway that has a tunnel or is to have one.
    pub(super) async fn require_tunnel(
        &self,
        member: &Member,
        gateway: &ObjectKey,
    ) -> Result<Held, Problem> {
        let held = self.store.held(&member.cluster.name, gateway).await?;
        held.filter(|held| !held.accounts.is_empty())
            .ok_or_else(|| failed(no_tunnel(gateway)))
    }

    /// That of each of its tunnels, of those that are there. An account that cannot be reached keeps nothing from the others.
    async fn connector_token(
        &self,
        member: &Member,
        gateway: &ObjectKey,
    ) -> Result<ConnectorToken, Problem> {
        let held = self.require_tunnel(member, gateway).await?;
        let (mut tokens, mut problem) = (Vec::new(), None);
        for account in held.everywhere() {
            match self.token_in(member, gateway, account).await {
                Ok(token) => tokens.extend(token),
                Err(failed) => {
                    problem.get_or_insert(failed);
                }
            }
        }
        match (tokens.is_empty(), problem) {
            (true, problem) => Err(problem.unwrap_or_else(|| failed(no_tunnel(gateway)))),
            (false, problem) => Ok(ConnectorToken::of_tunnels(&tokens, problem.is_some())),
        }
    }

    /// `None` where there is no tunnel.
    async fn token_in(
        &self,
        member: &Member,
        gateway: &ObjectKey,
        account: &AccountName,
    ) -> Result<Option<ConnectorToken>, Problem> {
        let edge = self.edge(member, account).await?;
        match edge.connector_token(gateway).await {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Refused where the cluster has spent its share of the account's budget: such a request waits for no turn.
    async fn edge(&self, member: &Member, account: &AccountName) -> Result<Arc<dyn Edge>, Problem> {
        let spending = self.store.spending(account).await?;
        let level = spending.level(self.edges.budget(), self.clock.now(), []);
        let share = level.share(&member.cluster.name, Priority::Publish);
        share.map_err(|wait| failed(spent_share(wait)))?;
        let identity = member.cluster.identity();
        let instance = identity.expect("who has a session has a key").instance;
        let edge = self.edges.of(&member.cluster.name, instance, account);
        edge.await.map_err(failed)
    }

    /// An edge for each account in which the cluster may have something.
    async fn edges_of(&self, member: &Member) -> Result<Vec<Arc<dyn Edge>>, Problem> {
        let accounts = watch::accounts_of(&*self.store, &member.cluster, self.clock.now());
        let mut edges = Vec::new();
        for account in &accounts.await? {
            edges.push(self.edge(member, account).await?);
        }
        Ok(edges)
    }

    /// Whether the cluster was turned away since its request was let in.
    async fn require_served(&self, member: &Member) -> Result<(), Problem> {
        let cluster = self.store.cluster(&member.cluster.name).await?;
        let served = cluster.require_served();
        served.map_err(|refusal| Problem::decided(&refusal))
    }
}

fn no_tunnel(gateway: &ObjectKey) -> PortError {
    let message = format!("Gateway {gateway} has no tunnel");
    PortError::new(PortErrorKind::NotFound, message)
}

pub(super) fn gateway_of(Names { namespace, name }: &Names) -> Result<ObjectKey, Problem> {
    gateway_key(namespace, name)
        .map_err(|error| Problem::refused(ApiError::NoSuchPath, error.to_string()))
}

fn place_of(headers: &HeaderMap) -> Result<Place, Problem> {
    let text = headers.get(PLACE).and_then(|value| value.to_str().ok());
    let place = text.and_then(|text| {
        let (term, sequence) = text.split_once('.')?;
        Some(Place {
            term: number(term)?,
            sequence: number(sequence)?,
        })
    });
    place.ok_or_else(|| {
        let detail = "send the place of the statement, as `Statement-Place: <term>.<sequence>`";
        Problem::refused(ApiError::MalformedDocument, detail)
    })
}

/// `If-Match: "17"`.
fn version_of(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let version = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let version = version.and_then(number);
    version.map(Some).ok_or_else(|| {
        let detail = "If-Match: must be one version, as `\"17\"`";
        Problem::refused(ApiError::MalformedDocument, detail)
    })
}

/// Digits and nothing else, where the standard library takes a sign too.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}
