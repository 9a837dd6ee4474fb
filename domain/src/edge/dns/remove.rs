//! Removing records.

use crate::edge::EdgeError;
use crate::edge::api::BATCH_LIMIT;
use crate::edge::cache::CachedApi;
use crate::edge::objects::RecordBatch;
use crate::names::{RecordId, ZoneId};

/// Removes these records of a zone.
pub(crate) async fn delete_records(
    api: &CachedApi,
    zone: &ZoneId,
    ids: &[RecordId],
) -> Result<(), EdgeError> {
    for part in ids.chunks(BATCH_LIMIT) {
        let batch = RecordBatch {
            deletes: part.to_vec(),
            ..RecordBatch::default()
        };
        api.change_records(zone, &batch).await?;
    }
    Ok(())
}
