//! What is signed of the audit, and what is cut out of it.

use async_trait::async_trait;
use domain::broker::audit::checkpoint::{Checkpoint, KeyId, Mark, Statement};
use domain::broker::audit::{End, Event, Link};
use domain::broker::ports::{Checkpoints, SecretId, SigningKey, StoreError};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::rows::{Columns, number};
use crate::{SqlStore, audit, failed, malformed, secrets};

fn read(row: &AnyRow) -> Result<Checkpoint, StoreError> {
    let row = Columns(row);
    let mark = Mark::parse(&row.text("mark")?);
    let key = KeyId::parse(&row.text("signing_key")?);
    Ok(Checkpoint {
        statement: Statement {
            mark: mark.ok_or_else(|| malformed("a checkpoint"))?,
            end: End {
                sequence: row.count("sequence")?,
                link: Link(row.digest("link")?),
            },
            at: row.moment("at")?,
            key: key.ok_or_else(|| malformed("a checkpoint"))?,
        },
        signature: row.bytes("signature")?,
    })
}

async fn last(tx: &mut AnyConnection, mark: Mark) -> Result<Option<Checkpoint>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM audit_checkpoints WHERE mark = $1 ORDER BY sequence DESC LIMIT 1",
    )
    .bind(mark.as_str())
    .fetch_optional(tx)
    .await
    .map_err(failed)?;
    row.as_ref().map(read).transpose()
}

async fn put(tx: &mut AnyConnection, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let Statement { mark, end, at, key } = &checkpoint.statement;
    sqlx::query(
        "INSERT INTO audit_checkpoints (sequence, mark, link, at, signing_key, signature)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sequence, mark) DO NOTHING",
    )
    .bind(number(end.sequence))
    .bind(mark.as_str())
    .bind(end.link.0.to_vec())
    .bind(at.0)
    .bind(key.to_string())
    .bind(checkpoint.signature.clone())
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn signing_keys(tx: &mut AnyConnection) -> Result<Vec<SigningKey>, StoreError> {
    let rows = sqlx::query("SELECT * FROM signing_keys ORDER BY number")
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
    let mut keys = Vec::new();
    for row in &rows {
        let row = Columns(row);
        let id = KeyId::parse(&row.text("id")?).ok_or_else(|| malformed("a signing key"))?;
        let sealed = secrets::find(&mut *tx, &SecretId::signing_key(&id)).await?;
        keys.push(SigningKey {
            id,
            public_key: row.bytes("public_key")?,
            since: row.moment("since")?,
            sealed: sealed.ok_or_else(|| malformed("a signing key"))?,
        });
    }
    Ok(keys)
}

#[async_trait]
impl Checkpoints for SqlStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        signing_keys(&mut *self.reader().await?).await
    }

    async fn add_signing_key(
        &self,
        newest: Option<&KeyId>,
        key: SigningKey,
        event: Event,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin_writing().await?;
        let known = signing_keys(&mut tx).await?;
        if known.last().map(|last| &last.id) != newest {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO signing_keys (id, number, public_key, since) VALUES ($1, $2, $3, $4)",
        )
        .bind(key.id.to_string())
        .bind(number(known.len() as u64 + 1))
        .bind(key.public_key)
        .bind(key.since.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        secrets::put(&mut tx, &SecretId::signing_key(&key.id), key.sealed).await?;
        audit::append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(true)
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM audit_checkpoints WHERE sequence > $1 ORDER BY sequence, mark LIMIT $2",
        )
        .bind(number(after))
        .bind(number(limit as u64))
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        rows.iter().map(read).collect()
    }

    async fn last_checkpoint(&self, mark: Mark) -> Result<Option<Checkpoint>, StoreError> {
        last(&mut *self.reader().await?, mark).await
    }

    async fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        put(&mut tx, checkpoint).await?;
        // Nobody has to be told.
        tx.commit().await.map_err(failed)
    }

    async fn cut(&self, start: u64, cut: &Checkpoint, event: Event) -> Result<bool, StoreError> {
        let mut tx = self.begin_writing().await?;
        let before = last(&mut tx, Mark::Cut).await?;
        if before.map_or(0, |before| before.statement.end.sequence) != start {
            return Ok(false);
        }
        let end = cut.statement.end;
        // An entry is left in any case, which the next one follows.
        audit::append(&mut tx, event).await?;
        for statement in [
            "DELETE FROM audit WHERE sequence <= $1",
            "DELETE FROM audit_checkpoints WHERE sequence <= $1",
        ] {
            sqlx::query(statement)
                .bind(number(end.sequence))
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        put(&mut tx, cut).await?;
        self.commit(tx).await?;
        Ok(true)
    }
}
