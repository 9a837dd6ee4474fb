//! What clusters are told.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::broker::notice::{LONGEST, LONGEST_DETAIL, MOST, Notice, Notices as Kept, Told};
use domain::broker::ports::{Notices, StoreError};
use domain::broker::{AccountName, ClusterName, TenantName};
use domain::{ObjectKey, Timestamp};
use sqlx::AnyConnection;

use crate::rows::{Columns, number};
use crate::{SqlStore, accounts, failed, malformed};

fn oldest(now: Timestamp) -> Timestamp {
    let kept = i64::try_from(LONGEST.as_secs()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(kept))
}

/// Tells a cluster something. What is old or too much is forgotten.
pub(crate) async fn tell(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    notice: &Notice,
    detail: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row =
        sqlx::query("UPDATE clusters SET notices = notices + 1 WHERE name = $1 RETURNING notices")
            .bind(cluster.to_string())
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
    let sequence = Columns(&row).count("notices")?;
    let (namespace, name) = match notice.gateway() {
        Some(gateway) => (gateway.namespace.clone(), gateway.name.clone()),
        None => (String::new(), String::new()),
    };
    sqlx::query(
        "INSERT INTO notices (cluster, sequence, at, kind, namespace, name, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(cluster.to_string())
    .bind(number(sequence))
    .bind(now.0)
    .bind(notice.kind())
    .bind(namespace)
    .bind(name)
    .bind(detail[..detail.floor_char_boundary(LONGEST_DETAIL)].to_owned())
    .execute(&mut *tx)
    .await
    .map_err(failed)?;
    sqlx::query("DELETE FROM notices WHERE cluster = $1 AND (sequence <= $2 OR at < $3)")
        .bind(cluster.to_string())
        .bind(number(sequence.saturating_sub(MOST)))
        .bind(oldest(now).0)
        .execute(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

/// The clusters of a tenant.
pub(crate) async fn tell_tenant(
    tx: &mut AnyConnection,
    tenant: &TenantName,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), StoreError> {
    let of_tenant = "SELECT name FROM clusters WHERE tenant = $1 ORDER BY name";
    tell_all(tx, of_tenant, tenant.as_str(), notice, now).await
}

/// The clusters that have Gateways in an account.
pub(crate) async fn tell_account(
    tx: &mut AnyConnection,
    account: &AccountName,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), StoreError> {
    let of_account =
        "SELECT DISTINCT cluster AS name FROM gateways WHERE accounts LIKE $1 ORDER BY cluster";
    tell_all(tx, of_account, &accounts::like(account), notice, now).await
}

async fn tell_all(
    tx: &mut AnyConnection,
    whom: &'static str,
    of: &str,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = sqlx::query(whom)
        .bind(of.to_owned())
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
    for row in &rows {
        let cluster = Columns(row).parsed("name", ClusterName::parse)?;
        tell(tx, &cluster, notice, "", now).await?;
    }
    Ok(())
}

fn read(row: &Columns<'_>) -> Result<Told, StoreError> {
    let gateway = match row.text("name")? {
        name if name.is_empty() => None,
        name => Some(ObjectKey::new(row.text("namespace")?, name)),
    };
    Ok(Told {
        sequence: row.count("sequence")?,
        at: row.moment("at")?,
        notice: Notice::read(&row.text("kind")?, gateway).ok_or_else(|| malformed("a notice"))?,
        detail: row.text("detail")?,
    })
}

#[async_trait]
impl Notices for SqlStore {
    async fn last_notices(&self) -> Result<BTreeMap<ClusterName, u64>, StoreError> {
        let rows = sqlx::query("SELECT name, notices FROM clusters")
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        let rows = rows.iter().map(Columns);
        rows.map(|row| {
            Ok((
                row.parsed("name", ClusterName::parse)?,
                row.count("notices")?,
            ))
        })
        .collect()
    }

    async fn notices(
        &self,
        cluster: &ClusterName,
        since: u64,
        now: Timestamp,
    ) -> Result<Kept, StoreError> {
        // In this order: one that comes in between is told next time.
        let row = sqlx::query("SELECT notices FROM clusters WHERE name = $1")
            .bind(cluster.to_string())
            .fetch_one(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        let last = Columns(&row).count("notices")?;
        let rows = sqlx::query(
            "SELECT * FROM notices WHERE cluster = $1 AND sequence > $2 AND sequence <= $3 AND at >= $4
             ORDER BY sequence",
        )
        .bind(cluster.to_string())
        .bind(number(since))
        .bind(number(last))
        .bind(oldest(now).0)
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        let rows = rows.iter().map(Columns);
        Ok(Kept {
            told: rows.map(|row| read(&row)).collect::<Result<_, _>>()?,
            last,
        })
    }
}
