//! Everything that is sealed.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::broker::credential::Version;
use domain::broker::ports::{Sealed, SecretId, Secrets, StoreError};
use sqlx::AnyConnection;

use crate::rows::{Columns, number};
use crate::{SqlStore, failed, malformed};

fn read(row: &Columns<'_>) -> Result<(SecretId, Sealed), StoreError> {
    let version = u32::try_from(row.number("version")?);
    let secret = SecretId {
        owner: row.text("owner")?,
        version: version.map(Version).map_err(|_| malformed("a version"))?,
    };
    let sealed = Sealed {
        key: row.text("wrapping_key")?,
        wrapped: row.bytes("wrapped")?,
        ciphertext: row.bytes("ciphertext")?,
    };
    Ok((secret, sealed))
}

pub(crate) async fn put(
    tx: &mut AnyConnection,
    secret: &SecretId,
    sealed: Sealed,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO secrets (owner, version, wrapping_key, wrapped, ciphertext) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(secret.owner.clone())
    .bind(i64::from(secret.version.0))
    .bind(sealed.key)
    .bind(sealed.wrapped)
    .bind(sealed.ciphertext)
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

pub(crate) async fn find(
    tx: &mut AnyConnection,
    secret: &SecretId,
) -> Result<Option<Sealed>, StoreError> {
    let row = sqlx::query("SELECT * FROM secrets WHERE owner = $1 AND version = $2")
        .bind(secret.owner.clone())
        .bind(i64::from(secret.version.0))
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    let read = row.as_ref().map(|row| read(&Columns(row))).transpose();
    Ok(read?.map(|(_, sealed)| sealed))
}

/// Wipes what an owner has, but for these versions.
pub(crate) async fn keep(
    tx: &mut AnyConnection,
    owner: &str,
    kept: &BTreeSet<Version>,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT * FROM secrets WHERE owner = $1")
        .bind(owner.to_owned())
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
    for row in &rows {
        let (secret, _) = read(&Columns(row))?;
        if !kept.contains(&secret.version) {
            sqlx::query("DELETE FROM secrets WHERE owner = $1 AND version = $2")
                .bind(secret.owner)
                .bind(i64::from(secret.version.0))
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
    }
    Ok(())
}

#[async_trait]
impl Secrets for SqlStore {
    async fn wrapped_otherwise(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Vec<(SecretId, Sealed)>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM secrets WHERE wrapping_key <> $1 ORDER BY owner, version LIMIT $2",
        )
        .bind(key.to_owned())
        .bind(number(limit as u64))
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        rows.iter().map(|row| read(&Columns(row))).collect()
    }

    async fn wrap_again(
        &self,
        secret: &SecretId,
        before: &Sealed,
        after: &Sealed,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        sqlx::query(
            "UPDATE secrets SET wrapping_key = $4, wrapped = $5
             WHERE owner = $1 AND version = $2 AND wrapped = $3",
        )
        .bind(secret.owner.clone())
        .bind(i64::from(secret.version.0))
        .bind(before.wrapped.clone())
        .bind(after.key.clone())
        .bind(after.wrapped.clone())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        self.commit(tx).await
    }
}
