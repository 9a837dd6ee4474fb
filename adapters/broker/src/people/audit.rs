//! The audit. It is of all tenants, so whoever sees one tenant only cannot read it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::broker::ports::StoreError;
use domain::broker::role::Permission;

use super::PeoplePlane;
use super::asking::{Asking, Part};
use crate::audit::{Evidence, KeeperError, VerifyError, verify as verified};
use crate::problem::Problem;
use crate::server::answer::{failed, malformed};
use crate::wire::audit::{CheckpointDocument, CheckpointsDocument, SigningKeyDocument};
use crate::wire::people::{EntryDocument, ListDocument, VerificationDocument};

type Plane = State<Arc<PeoplePlane>>;

/// Entries in the order in which they came; `?after=` takes a sequence.
pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    part: Part,
) -> Result<Json<ListDocument<EntryDocument>>, Problem> {
    asking.may_to_all(Permission::Audit)?;
    let after = after(&part)?;
    let entries = plane.store.after(after, part.limit()).await?;
    let is_whole = entries.len() == part.limit();
    let last = entries.last().map(|entry| entry.sequence.to_string());
    Ok(Json(ListDocument {
        items: entries.into_iter().map(EntryDocument::of).collect(),
        next: last.filter(|_| is_whole),
    }))
}

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

/// What an auditor keeps elsewhere: keys, and checkpoints in their order; `?after=` takes a sequence.
pub(super) async fn checkpoints(
    State(plane): Plane,
    asking: Asking,
    part: Part,
) -> Result<Json<CheckpointsDocument>, Problem> {
    asking.may_to_all(Permission::Audit)?;
    let after = after(&part)?;
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

fn after(part: &Part) -> Result<u64, Problem> {
    let after = part.after.as_deref().unwrap_or("0").parse();
    after.map_err(|_| malformed("after: Invalid value: must be a sequence"))
}
