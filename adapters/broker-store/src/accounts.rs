//! Cloudflare accounts, and which of their tokens are kept.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::credential::{Slots, Version};
use domain::broker::grant::Account;
use domain::broker::notice::Notice;
use domain::broker::ports::{Accounts, Judgement, Sealed, SecretId, StoreError};
use domain::broker::{AccountName, Code, Refusal, TenantName};
use domain::{AccountId, Timestamp};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::clusters::unknown;
use crate::rows::Columns;
use crate::{SqlStore, exists, failed, notices, queue, secrets};

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

async fn find(tx: &mut AnyConnection, name: &AccountName) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query("SELECT * FROM accounts WHERE name = $1")
        .bind(name.to_string())
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    row.as_ref().map(read).transpose()
}

/// Whether two are the same but for the zones, which are found and not put in.
fn is_put_as(one: &Account, other: &Account) -> bool {
    let zones = one.zones.clone();
    *one == Account {
        zones,
        ..other.clone()
    }
}

fn require_as_seen(known: Option<&Account>, seen: Option<&Account>) -> Result<(), StoreError> {
    let is_as_seen = match (known, seen) {
        (Some(known), Some(seen)) => is_put_as(known, seen),
        (None, None) => true,
        _ => false,
    };
    is_as_seen
        .then_some(())
        .ok_or_else(|| Refusal::changed().into())
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
    let kept: BTreeSet<Version> = slots.kept().collect();
    secrets::keep(tx, &owner(name), &kept).await
}

/// What a list of accounts that has this one is like. A name has no letter that means something there.
pub(crate) fn like(name: &AccountName) -> String {
    format!("%\"{name}\"%")
}

/// The owner of an account's tokens.
fn owner(name: &AccountName) -> String {
    SecretId::token(name, Version(0)).owner
}

pub(crate) fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a value of texts and numbers can be written")
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
        let known = find(&mut *self.reader().await?, name).await?;
        known.ok_or_else(|| unknown("account", name.as_str()))
    }

    async fn put_account(
        &self,
        account: &Account,
        seen: Option<&Account>,
        event: Event,
    ) -> Result<(), StoreError> {
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
        let known = rows.first().map(read).transpose()?;
        if known
            .as_ref()
            .is_some_and(|known| is_put_as(known, account))
        {
            return Ok(());
        }
        require_as_seen(known.as_ref(), seen)?;
        sqlx::query(
            "INSERT INTO accounts (name, tenant, cloudflare, shared, zones, slots, spending)
             VALUES ($1, $2, $3, $4, 'null', $5, '')
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

    async fn remove_account(&self, seen: &Account, event: Event) -> Result<(), StoreError> {
        let name = &seen.name;
        let mut tx = self.begin_writing().await?;
        let known = find(&mut tx, name).await?;
        require_as_seen(known.as_ref(), Some(seen))?;
        let used = "SELECT name FROM gateways WHERE accounts LIKE $1 LIMIT 1";
        if exists(&mut tx, used, &like(name)).await? {
            let detail =
                format!("Gateways have their tunnels in account {name}; remove these first");
            return Err(Refusal::new(Code::InUse, detail).into());
        }
        secrets::keep(&mut tx, &owner(name), &BTreeSet::new()).await?;
        sqlx::query("DELETE FROM accounts WHERE name = $1")
            .bind(name.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
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
        secrets::put(&mut tx, &SecretId::token(name, expected), sealed).await?;
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
        let before = slots.in_use();
        match judgement {
            Judgement::Works { version, zones } => {
                slots.activate(version, now);
                sqlx::query("UPDATE accounts SET zones = $2 WHERE name = $1")
                    .bind(name.to_string())
                    .bind(text(&zones))
                    .execute(&mut *tx)
                    .await
                    .map_err(failed)?;
                queue::hurry(&mut tx, name, now).await?;
            }
            Judgement::Fails(version) => slots.reject(version),
            Judgement::Refused(version) => {
                slots.refused(version, now);
            }
            Judgement::Expire => slots.expire(now),
        }
        keep(&mut tx, name, &slots).await?;
        if slots.in_use().is_some() && slots.in_use() != before {
            notices::tell_account(&mut tx, name, &Notice::CredentialReplaced, now).await?;
        }
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(slots)
    }

    async fn sealed(&self, name: &AccountName, version: Version) -> Result<Sealed, StoreError> {
        let secret = SecretId::token(name, version);
        let found = secrets::find(&mut *self.reader().await?, &secret).await?;
        found.ok_or_else(|| unknown("token of account", name.as_str()))
    }
}
