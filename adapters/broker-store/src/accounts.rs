//! Cloudflare accounts, and the tokens for them, sealed.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::credential::{Slots, Version};
use domain::broker::grant::Account;
use domain::broker::ports::{Accounts, Judgement, Sealed, StoreError};
use domain::broker::{AccountName, Code, Refusal, TenantName};
use domain::{AccountId, Timestamp};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::clusters::unknown;
use crate::rows::Columns;
use crate::{SqlStore, exists, failed, malformed};

fn read(row: &AnyRow) -> Result<Account, StoreError> {
    let row = Columns(row);
    Ok(Account {
        name: row.parsed("name", AccountName::parse)?,
        tenant: row.parsed("tenant", TenantName::parse)?,
        cloudflare: AccountId::new(row.text("cloudflare")?),
        shared: row.number("shared")? != 0,
        zones: row.json("zones")?,
    })
}

/// Accounts of a tenant and those that are shared.
pub(crate) async fn of_tenant(
    tx: &mut AnyConnection,
    tenant: &TenantName,
) -> Result<Vec<Account>, StoreError> {
    let rows = sqlx::query("SELECT * FROM accounts WHERE tenant = $1 OR shared = 1 ORDER BY name")
        .bind(tenant.to_string())
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    rows.iter().map(read).collect()
}

async fn slots(tx: &mut AnyConnection, name: &AccountName) -> Result<Slots, StoreError> {
    let row = sqlx::query("SELECT slots FROM accounts WHERE name = $1")
        .bind(name.to_string())
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    let row = row.ok_or_else(|| unknown("account", name.as_str()))?;
    Columns(&row).json("slots")
}

/// Writes the slots, and wipes the tokens that are in none.
async fn keep(tx: &mut AnyConnection, name: &AccountName, slots: &Slots) -> Result<(), StoreError> {
    sqlx::query("UPDATE accounts SET slots = $2 WHERE name = $1")
        .bind(name.to_string())
        .bind(text(slots))
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    let kept: BTreeSet<i64> = slots.kept().map(|version| i64::from(version.0)).collect();
    let rows = sqlx::query("SELECT version FROM secrets WHERE account = $1")
        .bind(name.to_string())
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
    for row in &rows {
        let version = Columns(row).number("version")?;
        if !kept.contains(&version) {
            sqlx::query("DELETE FROM secrets WHERE account = $1 AND version = $2")
                .bind(name.to_string())
                .bind(version)
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
    }
    Ok(())
}

pub(crate) fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a value of texts and numbers can be written")
}

fn sealed(row: &Columns<'_>) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        key: row.text("wrapping_key")?,
        wrapped: row.bytes("wrapped")?,
        ciphertext: row.bytes("ciphertext")?,
    })
}

fn version(row: &Columns<'_>) -> Result<Version, StoreError> {
    let number = u32::try_from(row.number("version")?);
    number.map(Version).map_err(|_| malformed("a version"))
}

#[async_trait]
impl Accounts for SqlStore {
    async fn accounts(&self, tenant: Option<&TenantName>) -> Result<Vec<Account>, StoreError> {
        let mut reader = self.reader().await?;
        if let Some(tenant) = tenant {
            return of_tenant(&mut reader, tenant).await;
        }
        let rows = sqlx::query("SELECT * FROM accounts ORDER BY name")
            .fetch_all(&mut *reader)
            .await
            .map_err(failed)?;
        rows.iter().map(read).collect()
    }

    async fn account(&self, name: &AccountName) -> Result<Account, StoreError> {
        let row = sqlx::query("SELECT * FROM accounts WHERE name = $1")
            .bind(name.to_string())
            .fetch_optional(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        let row = row.ok_or_else(|| unknown("account", name.as_str()))?;
        read(&row)
    }

    async fn put_account(&self, account: &Account, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let tenant = account.tenant.as_str();
        if !exists(&mut tx, "SELECT name FROM tenants WHERE name = $1", tenant).await? {
            return Err(unknown("tenant", tenant));
        }
        let rows = sqlx::query("SELECT * FROM accounts WHERE name = $1 OR cloudflare = $2")
            .bind(account.name.to_string())
            .bind(account.cloudflare.to_string())
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        for row in &rows {
            let known = read(row)?;
            let is_same = known.name == account.name
                && known.tenant == account.tenant
                && known.cloudflare == account.cloudflare;
            if !is_same {
                let detail = "the name or the Cloudflare account is in use; an account belongs to one tenant";
                return Err(Refusal::new(Code::AlreadyExists, detail).into());
            }
        }
        sqlx::query(
            "INSERT INTO accounts (name, tenant, cloudflare, shared, zones, slots) VALUES ($1, $2, $3, $4, 'null', $5)
             ON CONFLICT (name) DO UPDATE SET shared = excluded.shared",
        )
        .bind(account.name.to_string())
        .bind(account.tenant.to_string())
        .bind(account.cloudflare.to_string())
        .bind(i64::from(account.shared))
        .bind(text(&Slots::default()))
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn remove_account(&self, name: &AccountName, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        slots(&mut tx, name).await?;
        if exists(
            &mut tx,
            "SELECT name FROM gateways WHERE account = $1",
            name.as_str(),
        )
        .await?
        {
            let detail =
                format!("Gateways have their tunnels in account {name}; remove these first");
            return Err(Refusal::new(Code::InUse, detail).into());
        }
        for statement in [
            "DELETE FROM secrets WHERE account = $1",
            "DELETE FROM accounts WHERE name = $1",
        ] {
            sqlx::query(statement)
                .bind(name.to_string())
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn slots(&self, name: &AccountName) -> Result<Slots, StoreError> {
        slots(&mut *self.reader().await?, name).await
    }

    async fn offer(
        &self,
        name: &AccountName,
        sealed: Sealed,
        expected: Version,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut slots = slots(&mut tx, name).await?;
        if slots.offer() != expected {
            let detail =
                format!("another token was put in for account {name} meanwhile; try again");
            return Err(Refusal::new(Code::EtagMismatch, detail).into());
        }
        sqlx::query(
            "INSERT INTO secrets (account, version, wrapping_key, wrapped, ciphertext) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(name.to_string())
        .bind(i64::from(expected.0))
        .bind(sealed.key)
        .bind(sealed.wrapped)
        .bind(sealed.ciphertext)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        keep(&mut tx, name, &slots).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn judge(
        &self,
        name: &AccountName,
        judgement: Judgement,
        now: Timestamp,
        event: Event,
    ) -> Result<Slots, StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut slots = slots(&mut tx, name).await?;
        match judgement {
            Judgement::Works { version, zones } => {
                slots.activate(version, now);
                sqlx::query("UPDATE accounts SET zones = $2 WHERE name = $1")
                    .bind(name.to_string())
                    .bind(text(&zones))
                    .execute(&mut *tx)
                    .await
                    .map_err(failed)?;
            }
            Judgement::Fails(version) => slots.reject(version),
            Judgement::Refused(version) => {
                slots.refused(version, now);
            }
            Judgement::Expire => slots.expire(now),
        }
        keep(&mut tx, name, &slots).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(slots)
    }

    async fn sealed(&self, name: &AccountName, version: Version) -> Result<Sealed, StoreError> {
        let row = sqlx::query("SELECT * FROM secrets WHERE account = $1 AND version = $2")
            .bind(name.to_string())
            .bind(i64::from(version.0))
            .fetch_optional(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        let row = row.ok_or_else(|| unknown("token of account", name.as_str()))?;
        sealed(&Columns(&row))
    }

    async fn wrapped_otherwise(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Vec<(AccountName, Version, Sealed)>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM secrets WHERE wrapping_key <> $1 ORDER BY account, version LIMIT $2",
        )
        .bind(key.to_owned())
        .bind(crate::rows::number(limit as u64))
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        let rows = rows.iter().map(Columns);
        rows.map(|row| {
            let account = row.parsed("account", AccountName::parse)?;
            Ok((account, version(&row)?, sealed(&row)?))
        })
        .collect()
    }

    async fn wrap_again(
        &self,
        name: &AccountName,
        version: Version,
        before: &Sealed,
        after: &Sealed,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        sqlx::query(
            "UPDATE secrets SET wrapping_key = $4, wrapped = $5
             WHERE account = $1 AND version = $2 AND wrapped = $3",
        )
        .bind(name.to_string())
        .bind(i64::from(version.0))
        .bind(before.wrapped.clone())
        .bind(after.key.clone())
        .bind(after.wrapped.clone())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        self.commit(tx).await
    }
}
