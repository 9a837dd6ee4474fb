//! Removing certificates.

use std::collections::BTreeSet;

use super::{Note, NoteKeys};
use crate::edge::cache::CachedApi;
use crate::edge::{EdgeError, EdgeErrorKind, gone_is_fine};
use crate::names::TunnelId;

/// Removes every certificate that a tunnel's document notes, and those that it should.
pub(crate) async fn remove(
    api: &CachedApi,
    tunnel: TunnelId,
    keys: &NoteKeys,
    unnoted: &BTreeSet<Note>,
) -> Result<(), EdgeError> {
    let document = match api.configuration(tunnel).await {
        Err(error) if error.kind == EdgeErrorKind::NotFound => None,
        answer => answer?,
    };
    let noted = Note::all(document.as_ref(), keys.all());
    for note in &noted | unnoted {
        gone_is_fine(api.delete_certificate(&note.zone, &note.id).await)?;
    }
    Ok(())
}
