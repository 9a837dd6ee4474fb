//! What clusters spend of the budgets of accounts.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::Timestamp;
use domain::broker::AccountName;
use domain::broker::budget::{Spending, Spent};
use domain::broker::ports::{Budgets, StoreError};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::accounts::text;
use crate::rows::Columns;
use crate::{SqlStore, failed};

fn read(row: &AnyRow) -> Result<Spending, StoreError> {
    let row = Columns(row);
    match row.text("spending")?.as_str() {
        "" => Ok(Spending::default()),
        _ => row.json("spending"),
    }
}

async fn find(tx: &mut AnyConnection, account: &AccountName) -> Result<Spending, StoreError> {
    let row = sqlx::query("SELECT spending FROM accounts WHERE name = $1")
        .bind(account.to_string())
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    row.as_ref()
        .map(read)
        .transpose()
        .map(Option::unwrap_or_default)
}

/// All accounts in which something was spent.
pub(crate) async fn all(
    tx: &mut AnyConnection,
) -> Result<BTreeMap<AccountName, Spending>, StoreError> {
    let rows = sqlx::query("SELECT name, spending FROM accounts WHERE spending <> ''")
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    let of = |row| Ok((Columns(row).parsed("name", AccountName::parse)?, read(row)?));
    rows.iter().map(of).collect()
}

pub(crate) async fn add(
    tx: &mut AnyConnection,
    spent: &Spent,
    now: Timestamp,
) -> Result<(), StoreError> {
    for account in spent.accounts() {
        let mut spending = find(&mut *tx, account).await?;
        spending.add(account, spent, now);
        write(&mut *tx, account, &spending, now).await?;
    }
    Ok(())
}

async fn write(
    tx: &mut AnyConnection,
    account: &AccountName,
    spending: &Spending,
    now: Timestamp,
) -> Result<(), StoreError> {
    let spending = match spending.is_over(now) {
        true => String::new(),
        false => text(spending),
    };
    sqlx::query("UPDATE accounts SET spending = $2 WHERE name = $1")
        .bind(account.to_string())
        .bind(spending)
        .execute(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

#[async_trait]
impl Budgets for SqlStore {
    async fn spending(&self, account: &AccountName) -> Result<Spending, StoreError> {
        find(&mut *self.reader().await?, account).await
    }

    async fn spend(&self, spent: Spent, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        add(&mut tx, &spent, now).await?;
        // Nobody has to be told.
        tx.commit().await.map_err(failed)
    }
}
