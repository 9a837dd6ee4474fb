//! The audit. Entries are put in within the transaction that they tell of.

use async_trait::async_trait;
use domain::broker::audit::{End, Entry, Event, Link};
use domain::broker::ports::{Audit, StoreError};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::rows::{Columns, number};
use crate::{SqlStore, failed};

/// Puts an event at the end of the chain. The last statement of a transaction, which has the store for itself.
pub(crate) async fn append(tx: &mut AnyConnection, event: Event) -> Result<(), StoreError> {
    let Entry {
        sequence,
        event,
        link,
    } = end(tx).await?.follow(event);
    sqlx::query(
        "INSERT INTO audit (sequence, at, actor, source, action, object, result, detail, ray, link)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(number(sequence))
    .bind(event.at.0)
    .bind(event.actor)
    .bind(event.source)
    .bind(event.action)
    .bind(event.object)
    .bind(event.result)
    .bind(event.detail)
    .bind(event.ray)
    .bind(link.0.to_vec())
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn end(tx: &mut AnyConnection) -> Result<End, StoreError> {
    let last = sqlx::query("SELECT sequence, link FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    let Some(last) = last else {
        return Ok(End::default());
    };
    let last = Columns(&last);
    Ok(End {
        sequence: last.count("sequence")?,
        link: Link(last.digest("link")?),
    })
}

fn entry(row: &AnyRow) -> Result<Entry, StoreError> {
    let row = Columns(row);
    Ok(Entry {
        sequence: row.count("sequence")?,
        event: Event {
            at: row.moment("at")?,
            actor: row.text("actor")?,
            source: row.text("source")?,
            action: row.text("action")?,
            object: row.text("object")?,
            result: row.text("result")?,
            detail: row.text("detail")?,
            ray: row.text("ray")?,
        },
        link: Link(row.digest("link")?),
    })
}

#[async_trait]
impl Audit for SqlStore {
    async fn append(&self, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn after(&self, sequence: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(number(sequence))
                .bind(number(limit as u64))
                .fetch_all(&mut *self.reader().await?)
                .await
                .map_err(failed)?;
        rows.iter().map(entry).collect()
    }

    async fn end(&self) -> Result<End, StoreError> {
        end(&mut *self.reader().await?).await
    }
}
