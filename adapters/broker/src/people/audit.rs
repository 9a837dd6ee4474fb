//! The audit. It is of all tenants, so whoever sees one tenant only cannot read it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::broker::audit::{Broken, End};
use domain::broker::ports::{Store, StoreError};
use domain::broker::role::Permission;

use super::PeoplePlane;
use super::asking::{Asking, Part};
use crate::problem::Problem;
use crate::server::answer::malformed;
use crate::wire::people::{EntryDocument, ListDocument, VerificationDocument};

type Plane = State<Arc<PeoplePlane>>;

/// Entries in the order in which they came; `?after=` takes a sequence.
pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    part: Part,
) -> Result<Json<ListDocument<EntryDocument>>, Problem> {
    asking.may_to_all(Permission::Audit)?;
    let after = part.after.as_deref().unwrap_or("0").parse();
    let after = after.map_err(|_| malformed("after: Invalid value: must be a sequence"))?;
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
    let (end, broken) = verified(&*plane.store).await?;
    Ok(Json(VerificationDocument {
        entries: end.sequence,
        hash: end.link.to_string(),
        broken_at: broken.map(|broken| broken.sequence),
    }))
}

/// Goes through the audit from its beginning, to its end or to where it is broken.
pub async fn verified(store: &dyn Store) -> Result<(End, Option<Broken>), StoreError> {
    const PAGE: usize = 1000;
    let mut end = End::default();
    loop {
        let page = store.after(end.sequence, PAGE).await?;
        if page.is_empty() {
            return Ok((end, None));
        }
        for entry in &page {
            end = match end.verify(entry) {
                Ok(end) => end,
                Err(broken) => return Ok((end, Some(broken))),
            };
        }
    }
}
