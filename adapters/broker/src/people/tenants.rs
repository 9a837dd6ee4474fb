//! Tenants, and what is granted to their clusters.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::broker::role::Permission::{Operate, Read};
use domain::broker::{GrantName, TenantName};

use super::PeoplePlane;
use super::asking::{Asking, Part, not_there};
use crate::problem::Problem;
use crate::server::answer::{malformed, read_open_document};
use crate::wire::people::{GrantDocument, ListDocument, TenantDocument};

type Plane = State<Arc<PeoplePlane>>;

pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    part: Part,
) -> Result<Json<ListDocument<TenantDocument>>, Problem> {
    let tenants = plane.store.tenants().await?.into_iter();
    let seen = tenants.filter(|tenant| asking.rights.may(Read, Some(tenant)));
    let document = |tenant: &TenantName| TenantDocument {
        name: tenant.clone(),
    };
    Ok(Json(part.of(seen, TenantName::as_str, document)))
}

pub(super) async fn put(
    State(plane): Plane,
    asking: Asking,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    let tenant = TenantName::parse(&tenant).map_err(malformed)?;
    asking.may_to_all(Operate)?;
    let put = plane.event(&asking, "tenant.put", tenant.as_str());
    plane.store.put_tenant(&tenant, put).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(plane): Plane,
    asking: Asking,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    let tenant = TenantName::parse(&tenant).map_err(malformed)?;
    asking.may_to_all(Operate)?;
    let removed = plane.event(&asking, "tenant.remove", tenant.as_str());
    plane.store.remove_tenant(&tenant, removed).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn grants(
    State(plane): Plane,
    asking: Asking,
    Path(tenant): Path<String>,
    part: Part,
) -> Result<Json<ListDocument<GrantDocument>>, Problem> {
    let tenant = TenantName::parse(&tenant).map_err(malformed)?;
    asking.may(Read, Some(&tenant))?;
    let grants = plane.store.grants(&tenant).await?;
    Ok(Json(part.of(
        grants,
        |it| it.name.as_str(),
        GrantDocument::of,
    )))
}

fn names(tenant: &str, grant: &str) -> Result<(TenantName, GrantName), Problem> {
    let tenant = TenantName::parse(tenant).map_err(malformed)?;
    let grant = GrantName::parse(grant).map_err(malformed)?;
    Ok((tenant, grant))
}

pub(super) async fn grant(
    State(plane): Plane,
    asking: Asking,
    Path((tenant, grant)): Path<(String, String)>,
) -> Result<Json<GrantDocument>, Problem> {
    let (tenant, name) = names(&tenant, &grant)?;
    asking.may(Read, Some(&tenant))?;
    let grants = plane.store.grants(&tenant).await?;
    let found = grants.iter().find(|grant| grant.name == name);
    Ok(Json(GrantDocument::of(found.ok_or_else(not_there)?)))
}

pub(super) async fn put_grant(
    State(plane): Plane,
    asking: Asking,
    Path((tenant, grant)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (tenant, name) = names(&tenant, &grant)?;
    asking.may_to_all(Operate)?;
    let document: GrantDocument = read_open_document(&headers, body).await?;
    if document.name != name {
        let found = &document.name;
        return Err(malformed(format!(
            "name: Invalid value: {found}: must be {name}, as in the path"
        )));
    }
    let grant = document.read(&tenant).map_err(malformed)?;
    let put = plane.event(&asking, "grant.put", &format!("{tenant}/{name}"));
    plane.store.put_grant(&grant, put).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_grant(
    State(plane): Plane,
    asking: Asking,
    Path((tenant, grant)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (tenant, name) = names(&tenant, &grant)?;
    asking.may_to_all(Operate)?;
    let removed = plane.event(&asking, "grant.remove", &format!("{tenant}/{name}"));
    plane.store.remove_grant(&tenant, &name, removed).await?;
    Ok(StatusCode::NO_CONTENT)
}
