//! Grants, one document each.

use async_trait::async_trait;
use domain::Timestamp;
use domain::broker::audit::Event;
use domain::broker::grant::Grant;
use domain::broker::notice::Notice;
use domain::broker::ports::{Grants, StoreError};
use domain::broker::work::Priority;
use domain::broker::{GrantName, Refusal, TenantName};
use sqlx::AnyConnection;

use crate::audit::append;
use crate::clusters::unknown;
use crate::documents::GrantDocument;
use crate::rows::Columns;
use crate::{SqlStore, exists, failed, notices, queue};

pub(crate) async fn of_tenant(
    tx: &mut AnyConnection,
    tenant: &TenantName,
) -> Result<Vec<Grant>, StoreError> {
    let rows = sqlx::query("SELECT document FROM grants WHERE tenant = $1 ORDER BY name")
        .bind(tenant.to_string())
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    let rows = rows.iter().map(Columns);
    rows.map(|row| {
        let document: GrantDocument = row.json("document")?;
        Ok(document.read())
    })
    .collect()
}

async fn find(
    tx: &mut AnyConnection,
    tenant: &TenantName,
    name: &GrantName,
) -> Result<Option<Grant>, StoreError> {
    let mut known = of_tenant(tx, tenant).await?.into_iter();
    Ok(known.find(|grant| grant.name == *name))
}

/// What was granted or is not granted any more counts for every Gateway of the tenant.
async fn look_again(
    tx: &mut AnyConnection,
    tenant: &TenantName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT g.cluster, g.namespace, g.name FROM gateways g JOIN clusters c ON c.name = g.cluster
         WHERE c.tenant = $1",
    )
    .bind(tenant.to_string())
    .fetch_all(&mut *tx)
    .await
    .map_err(failed)?;
    for row in &rows {
        let (cluster, gateway) = queue::gateway(&Columns(row))?;
        queue::add(tx, &cluster, &gateway, Priority::Publish, now).await?;
    }
    Ok(())
}

#[async_trait]
impl Grants for SqlStore {
    async fn grants(&self, tenant: &TenantName) -> Result<Vec<Grant>, StoreError> {
        of_tenant(&mut *self.reader().await?, tenant).await
    }

    async fn put_grant(
        &self,
        grant: &Grant,
        seen: Option<&Grant>,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let tenant = grant.tenant.as_str();
        if !exists(&mut tx, "SELECT name FROM tenants WHERE name = $1", tenant).await? {
            return Err(unknown("tenant", tenant));
        }
        let known = find(&mut tx, &grant.tenant, &grant.name).await?;
        if known.as_ref() == Some(grant) {
            return Ok(());
        }
        if known.as_ref() != seen {
            return Err(Refusal::changed().into());
        }
        sqlx::query(
            "INSERT INTO grants (tenant, name, document) VALUES ($1, $2, $3)
             ON CONFLICT (tenant, name) DO UPDATE SET document = excluded.document",
        )
        .bind(grant.tenant.to_string())
        .bind(grant.name.to_string())
        .bind(GrantDocument::of(grant).text())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        look_again(&mut tx, &grant.tenant, event.at).await?;
        notices::tell_tenant(&mut tx, &grant.tenant, &Notice::GrantsChanged, event.at).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn remove_grant(&self, seen: &Grant, event: Event) -> Result<(), StoreError> {
        let Grant { tenant, name, .. } = seen;
        let mut tx = self.begin_writing().await?;
        if find(&mut tx, tenant, name).await?.as_ref() != Some(seen) {
            return Err(Refusal::changed().into());
        }
        sqlx::query("DELETE FROM grants WHERE tenant = $1 AND name = $2")
            .bind(tenant.to_string())
            .bind(name.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        look_again(&mut tx, tenant, event.at).await?;
        notices::tell_tenant(&mut tx, tenant, &Notice::GrantsChanged, event.at).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }
}
