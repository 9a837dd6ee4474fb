//! The audit. It is of all tenants, so whoever sees one tenant only cannot read it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::broker::ports::StoreError;
use domain::broker::role::Permission;

use super::PeoplePlane;
use super::asking::Asking;
use super::described::{OfPerson, OfQuery, OfRole};
use super::lists::{Asked, AuditPart};
use crate::audit::{Evidence, KeeperError, VerifyError, verify as verified};
use crate::openapi::problems::{OfAny, Refused};
use crate::problem::Problem;
use crate::server::answer::failed;
use crate::wire::audit::{CheckpointDocument, CheckpointsDocument, SigningKeyDocument};
use crate::wire::people::{EntryDocument, EntryList, ListDocument, VerificationDocument};

type Plane = State<Arc<PeoplePlane>>;

/// Lists the entries of the audit in their order. Needs the role auditor.
#[utoipa::path(
    get,
    path = "/admin/v1/audit",
    params(AuditPart),
    responses(
        (status = 200, description = "A part of the list", body = EntryList),
        Refused<(OfAny, OfPerson, OfQuery, OfRole)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    Asked(part): Asked<AuditPart>,
) -> Result<Json<EntryList>, Problem> {
    asking.may_to_all(Permission::Audit)?;
    let after = part.cursor.unwrap_or(0);
    let entries = plane.store.after(after, part.limit()).await?;
    let is_whole = entries.len() == part.limit();
    let last = entries.last().map(|entry| entry.sequence.to_string());
    Ok(Json(ListDocument {
        items: entries.into_iter().map(EntryDocument::of).collect(),
        next: last.filter(|_| is_whole),
    }))
}

/// Says how many entries of the audit follow from each other. Needs the role auditor.
#[utoipa::path(
    get,
    path = "/admin/v1/audit/verification",
    responses(
        (status = 200, description = "How many, and where the first does not", body = VerificationDocument),
        Refused<(OfAny, OfPerson, OfRole)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn verify(
    State(plane): Plane,
    asking: Asking,
) -> Result<Json<VerificationDocument>, Problem> {
    asking.may_to_all(Permission::Audit)?;
    let found = verified(&*plane.store, &*plane.seal, &Evidence::default()).await;
    Ok(Json(match found {
        Ok(found) => VerificationDocument::of(&found),
        Err(VerifyError::Store { end, fault }) => VerificationDocument::faulty(end, &fault),
        Err(VerifyError::Keeper(KeeperError::Store(error))) => return Err(error.into()),
        Err(VerifyError::Keeper(KeeperError::Key(error))) => return Err(failed(error)),
        // Of files, and of what was kept elsewhere: there is none here.
        Err(other) => return Err(StoreError::Failed(other.to_string()).into()),
    }))
}

/// Lists what an auditor keeps elsewhere: signing keys, and checkpoints in their order. Needs the role auditor.
#[utoipa::path(
    get,
    path = "/admin/v1/audit/checkpoints",
    params(AuditPart),
    responses(
        (status = 200, description = "All keys, and a part of the checkpoints", body = CheckpointsDocument),
        Refused<(OfAny, OfPerson, OfQuery, OfRole)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn checkpoints(
    State(plane): Plane,
    asking: Asking,
    Asked(part): Asked<AuditPart>,
) -> Result<Json<CheckpointsDocument>, Problem> {
    asking.may_to_all(Permission::Audit)?;
    let after = part.cursor.unwrap_or(0);
    let keys = plane.store.signing_keys().await?;
    let items = plane.store.checkpoints(after, part.limit()).await?;
    let is_whole = items.len() == part.limit();
    let last = items
        .last()
        .map(|item| item.statement.end.sequence.to_string());
    Ok(Json(CheckpointsDocument {
        keys: keys.iter().map(SigningKeyDocument::of).collect(),
        items: items.iter().map(CheckpointDocument::of).collect(),
        next: last.filter(|_| is_whole),
    }))
}
