//! Tenants, and what is granted to their clusters.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::broker::grant::Grant;
use domain::broker::role::Permission::{Operate, Read};
use domain::broker::{GrantName, TenantName};
use serde::Deserialize;
use utoipa::IntoParams;

use super::PeoplePlane;
use super::asking::Asking;
use super::described::{OfChange, OfNamed, OfPerson, OfQuery, OfRemoval, OfRole, Seen, SeenOrNew};
use super::items::{Found, Item, Names, may_put, may_remove, not_there, require_name};
use super::lists::{Asked, Part};
use crate::openapi::problems::{OfAny, OfDocument, Refused};
use crate::openapi::texts;
use crate::problem::Problem;
use crate::server::answer::{malformed, read_open_document};
use crate::wire::people::{GrantDocument, GrantList, TenantDocument, TenantList};

type Plane = State<Arc<PeoplePlane>>;

/// A tenant in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TenantPath {
    /// The name of the tenant.
    #[param(inline, value_type = texts::TenantName)]
    tenant: TenantName,
}

/// A grant in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct GrantPath {
    /// The name of the tenant.
    #[param(inline, value_type = texts::TenantName)]
    tenant: TenantName,
    /// The name of the grant.
    #[param(inline, value_type = texts::GrantName)]
    grant: GrantName,
}

/// Lists the tenants that whoever asks sees.
#[utoipa::path(
    get,
    path = "/admin/v1/tenants",
    params(Part),
    responses(
        (status = 200, description = "A part of the list", body = TenantList),
        Refused<(OfAny, OfPerson, OfQuery)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    Asked(part): Asked<Part>,
) -> Result<Json<TenantList>, Problem> {
    let tenants = plane.store.tenants().await?.into_iter();
    let seen = tenants.filter(|tenant| asking.rights.may(Read, Some(tenant)));
    Ok(Json(part.of(seen, TenantName::as_str, TenantDocument::of)))
}

/// Reads a tenant.
#[utoipa::path(
    get,
    path = "/admin/v1/tenants/{tenant}",
    params(TenantPath),
    responses(
        (status = 200, description = "The tenant", body = TenantDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn tenant(
    State(plane): Plane,
    asking: Asking,
    Names(TenantPath { tenant }): Names<TenantPath>,
) -> Result<Item<TenantDocument>, Problem> {
    plane.require_tenant(&asking, &tenant).await?;
    Ok(Item::of(TenantDocument::of(&tenant)))
}

/// Makes a tenant. Needs the role operator.
#[utoipa::path(
    put,
    path = "/admin/v1/tenants/{tenant}",
    params(TenantPath, SeenOrNew),
    request_body = TenantDocument,
    responses(
        (status = 200, description = "It was there already", body = TenantDocument, headers(("ETag" = texts::Tag))),
        (status = 201, description = "It is made", body = TenantDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfChange)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn put(
    State(plane): Plane,
    asking: Asking,
    Names(TenantPath { tenant }): Names<TenantPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Item<TenantDocument>, Problem> {
    asking.may_to_all(Operate)?;
    let document: TenantDocument = read_open_document(&headers, body).await?;
    require_name(&document.name, &tenant)?;
    let mut all = plane.store.tenants().await?.into_iter();
    let known = all.find(|known| *known == tenant);
    let found = known.as_ref().map_or(Found::Nothing, |_| Found::Same);
    may_put::<TenantDocument>(&headers, &found)?;
    let put = plane.event(&asking, "tenant.put", tenant.as_str());
    plane.store.put_tenant(&tenant, put).await?;
    Ok(Item::put(document, known.as_ref()))
}

/// Removes a tenant that has nothing. Needs the role operator.
#[utoipa::path(
    delete,
    path = "/admin/v1/tenants/{tenant}",
    params(TenantPath, Seen),
    responses(
        (status = 204, description = "It is removed"),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfChange, OfRemoval)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn remove(
    State(plane): Plane,
    asking: Asking,
    Names(TenantPath { tenant }): Names<TenantPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    asking.may_to_all(Operate)?;
    plane.require_tenant(&asking, &tenant).await?;
    may_remove(&headers, &TenantDocument::of(&tenant))?;
    let removed = plane.event(&asking, "tenant.remove", tenant.as_str());
    plane.store.remove_tenant(&tenant, removed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what is granted to the clusters of a tenant.
#[utoipa::path(
    get,
    path = "/admin/v1/tenants/{tenant}/grants",
    params(TenantPath, Part),
    responses(
        (status = 200, description = "A part of the list", body = GrantList),
        Refused<(OfAny, OfPerson, OfQuery, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn grants(
    State(plane): Plane,
    asking: Asking,
    Names(TenantPath { tenant }): Names<TenantPath>,
    Asked(part): Asked<Part>,
) -> Result<Json<GrantList>, Problem> {
    plane.require_tenant(&asking, &tenant).await?;
    let grants = plane.store.grants(&tenant).await?;
    Ok(Json(part.of(
        grants,
        |it| it.name.as_str(),
        GrantDocument::of,
    )))
}

/// Reads a grant.
#[utoipa::path(
    get,
    path = "/admin/v1/tenants/{tenant}/grants/{grant}",
    params(GrantPath),
    responses(
        (status = 200, description = "The grant", body = GrantDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn grant(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<GrantPath>,
) -> Result<Item<GrantDocument>, Problem> {
    asking.may(Read, Some(&path.tenant))?;
    let grant = plane.grant(&path).await?.ok_or_else(not_there)?;
    Ok(Item::of(GrantDocument::of(&grant)))
}

/// Makes or replaces a grant. Needs the role operator.
#[utoipa::path(
    put,
    path = "/admin/v1/tenants/{tenant}/grants/{grant}",
    params(GrantPath, SeenOrNew),
    request_body = GrantDocument,
    responses(
        (status = 200, description = "It is replaced, or was there already", body = GrantDocument, headers(("ETag" = texts::Tag))),
        (status = 201, description = "It is made", body = GrantDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfChange)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn put_grant(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<GrantPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Item<GrantDocument>, Problem> {
    asking.may_to_all(Operate)?;
    let document: GrantDocument = read_open_document(&headers, body).await?;
    require_name(&document.name, &path.grant)?;
    let grant = document.read(&path.tenant).map_err(malformed)?;
    plane.require_tenant(&asking, &path.tenant).await?;
    let known = plane.grant(&path).await?;
    let found = match &known {
        None => Found::Nothing,
        Some(known) if *known == grant => Found::Same,
        Some(known) => Found::Other(GrantDocument::of(known)),
    };
    may_put(&headers, &found)?;
    let put = plane.event(&asking, "grant.put", &path.object());
    plane.store.put_grant(&grant, known.as_ref(), put).await?;
    Ok(Item::put(GrantDocument::of(&grant), known.as_ref()))
}

/// Removes a grant. Needs the role operator.
///
/// Names that no other grant gives lose their records.
#[utoipa::path(
    delete,
    path = "/admin/v1/tenants/{tenant}/grants/{grant}",
    params(GrantPath, Seen),
    responses(
        (status = 204, description = "It is removed"),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfChange)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn remove_grant(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<GrantPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    asking.may_to_all(Operate)?;
    let known = plane.grant(&path).await?.ok_or_else(not_there)?;
    may_remove(&headers, &GrantDocument::of(&known))?;
    let removed = plane.event(&asking, "grant.remove", &path.object());
    plane.store.remove_grant(&known, removed).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl GrantPath {
    /// As it is told in the audit.
    fn object(&self) -> String {
        format!("{}/{}", self.tenant, self.grant)
    }
}

impl PeoplePlane {
    /// Refuses a tenant that whoever asks does not see, and one that is not there.
    async fn require_tenant(&self, asking: &Asking, tenant: &TenantName) -> Result<(), Problem> {
        asking.may(Read, Some(tenant))?;
        match self.store.tenants().await?.contains(tenant) {
            true => Ok(()),
            false => Err(not_there()),
        }
    }

    async fn grant(&self, path: &GrantPath) -> Result<Option<Grant>, Problem> {
        let mut grants = self.store.grants(&path.tenant).await?.into_iter();
        Ok(grants.find(|grant| grant.name == path.grant))
    }
}
