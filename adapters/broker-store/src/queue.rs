//! The work, and who is told that there is some.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::broker::budget::Budget;
use domain::broker::ports::{StoreError, WorkQueue};
use domain::broker::work::{Due, Holder, Priority, Queue, Taken, UnderWay};
use domain::broker::{AccountName, ClusterName};
use domain::{ObjectKey, Timestamp};
use futures_util::future::BoxFuture;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::rows::Columns;
use crate::schema::Dialect;
use crate::{SqlStore, accounts, budgets, failed, intents, malformed};

fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Withdraw => 0,
        Priority::Publish => 1,
        Priority::Repair => 2,
    }
}

fn priority(rank: i64) -> Result<Priority, StoreError> {
    match rank {
        0 => Ok(Priority::Withdraw),
        1 => Ok(Priority::Publish),
        2 => Ok(Priority::Repair),
        _ => Err(malformed("a priority")),
    }
}

/// Cluster and Gateway of a row.
pub(crate) fn gateway(row: &Columns<'_>) -> Result<(ClusterName, ObjectKey), StoreError> {
    let cluster = row.parsed("cluster", ClusterName::parse)?;
    Ok((
        cluster,
        ObjectKey::new(row.text("namespace")?, row.text("name")?),
    ))
}

/// There is work for a Gateway. What waits for another attempt is due at once, as something changed since.
pub(crate) async fn add(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
    priority: Priority,
    due: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO work (cluster, namespace, name, priority, due, attempts, holder, held_until, renewed)
         VALUES ($1, $2, $3, $4, $5, 0, '', 0, 0)
         ON CONFLICT (cluster, namespace, name) DO UPDATE SET
             priority = CASE WHEN work.priority < excluded.priority THEN work.priority ELSE excluded.priority END,
             due = CASE WHEN work.due < excluded.due THEN work.due ELSE excluded.due END,
             attempts = 0, renewed = 1",
    )
    .bind(cluster.to_string())
    .bind(gateway.namespace.clone())
    .bind(gateway.name.clone())
    .bind(rank(priority))
    .bind(due.0)
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

/// What failed in an account may be done now: nobody waits for another attempt.
pub(crate) async fn hurry(
    tx: &mut AnyConnection,
    account: &AccountName,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE work SET due = $2, attempts = 0, renewed = 1 WHERE due > $2 AND EXISTS (
             SELECT 1 FROM gateways g WHERE g.accounts LIKE $1
                 AND g.cluster = work.cluster AND g.namespace = work.namespace AND g.name = work.name)",
    )
    .bind(accounts::like(account))
    .bind(now.0)
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

/// A piece of work is over.
pub(crate) async fn remove(tx: &mut AnyConnection, taken: &Taken) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM work WHERE cluster = $1 AND namespace = $2 AND name = $3")
        .bind(taken.cluster.to_string())
        .bind(taken.gateway.namespace.clone())
        .bind(taken.gateway.name.clone())
        .execute(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

/// The same work again later.
pub(crate) async fn again(
    tx: &mut AnyConnection,
    taken: &Taken,
    priority: Priority,
    due: Timestamp,
    attempts: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE work SET priority = $4, due = $5, attempts = $6, holder = '', held_until = 0, renewed = 0
         WHERE cluster = $1 AND namespace = $2 AND name = $3",
    )
    .bind(taken.cluster.to_string())
    .bind(taken.gateway.namespace.clone())
    .bind(taken.gateway.name.clone())
    .bind(rank(priority))
    .bind(due.0)
    .bind(i64::from(attempts))
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Whether there is a reason since for more work on it; `None` where the one who took it has it no longer: its time was over,
/// and another broker may have taken it.
pub(crate) async fn is_renewed(
    tx: &mut AnyConnection,
    taken: &Taken,
) -> Result<Option<bool>, StoreError> {
    let row = sqlx::query(
        "SELECT renewed FROM work WHERE cluster = $1 AND namespace = $2 AND name = $3 AND holder = $4",
    )
    .bind(taken.cluster.to_string())
    .bind(taken.gateway.namespace.clone())
    .bind(taken.gateway.name.clone())
    .bind(taken.holder.0.clone())
    .fetch_optional(tx)
    .await
    .map_err(failed)?;
    let renewed = row.map(|row| Columns(&row).number("renewed")).transpose()?;
    Ok(renewed.map(|renewed| renewed != 0))
}

/// An error where the one who took it has it no longer.
pub(crate) async fn require_held(tx: &mut AnyConnection, taken: &Taken) -> Result<(), StoreError> {
    match is_renewed(tx, taken).await? {
        Some(_) => Ok(()),
        None => {
            let message = "another broker does this work, or did it";
            Err(StoreError::Failed(message.to_owned()))
        }
    }
}

/// The accounts of a row; none where the Gateway is not there any more.
fn accounts_of(row: &Columns<'_>) -> Result<BTreeSet<AccountName>, StoreError> {
    match row.optional_text("accounts")? {
        Some(_) => row.json("accounts"),
        None => Ok(BTreeSet::new()),
    }
}

/// All that is due and that nobody has, in groups.
async fn all_due(tx: &mut AnyConnection, now: Timestamp) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query(
        "SELECT w.cluster, g.accounts, w.priority, MIN(w.due) AS since FROM work w
         LEFT JOIN gateways g ON g.cluster = w.cluster AND g.namespace = w.namespace AND g.name = w.name
         WHERE w.due <= $1 AND w.held_until <= $1 GROUP BY w.cluster, g.accounts, w.priority",
    )
    .bind(now.0)
    .fetch_all(tx)
    .await
    .map_err(failed)?;
    let of = |row: Columns<'_>| {
        Ok(Due {
            cluster: row.parsed("cluster", ClusterName::parse)?,
            accounts: accounts_of(&row)?,
            priority: priority(row.number("priority")?)?,
            since: row.moment("since")?,
        })
    };
    rows.iter().map(|row| of(Columns(row))).collect()
}

/// All that somebody has.
async fn under_way(tx: &mut AnyConnection, now: Timestamp) -> Result<Vec<UnderWay>, StoreError> {
    let rows = sqlx::query(
        "SELECT w.cluster, g.accounts, COUNT(*) AS number FROM work w
         LEFT JOIN gateways g ON g.cluster = w.cluster AND g.namespace = w.namespace AND g.name = w.name
         WHERE w.held_until > $1 GROUP BY w.cluster, g.accounts",
    )
    .bind(now.0)
    .fetch_all(tx)
    .await
    .map_err(failed)?;
    let of = |row: Columns<'_>| {
        Ok(UnderWay {
            cluster: row.parsed("cluster", ClusterName::parse)?,
            accounts: accounts_of(&row)?,
            number: row.count("number")?,
        })
    };
    rows.iter().map(|row| of(Columns(row))).collect()
}

/// That of a group which is due longest.
async fn first_of(tx: &mut AnyConnection, due: &Due, now: Timestamp) -> Result<AnyRow, StoreError> {
    sqlx::query(
        "SELECT w.cluster, w.namespace, w.name, w.attempts FROM work w
         LEFT JOIN gateways g ON g.cluster = w.cluster AND g.namespace = w.namespace AND g.name = w.name
         WHERE w.cluster = $2 AND w.priority = $3 AND COALESCE(g.accounts, '[]') = $4
             AND w.due <= $1 AND w.held_until <= $1
         ORDER BY w.due, w.namespace, w.name LIMIT 1",
    )
    .bind(now.0)
    .bind(due.cluster.to_string())
    .bind(rank(due.priority))
    .bind(accounts::text(&due.accounts))
    .fetch_one(tx)
    .await
    .map_err(failed)
}

#[async_trait]
impl WorkQueue for SqlStore {
    async fn begin(&self) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(());
        }
        let mut tx = self.begin_writing().await?;
        sqlx::query("UPDATE work SET holder = '', held_until = 0")
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        self.commit(tx).await
    }

    async fn hold(&self, taken: &Taken, until: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin_writing().await?;
        let held = sqlx::query(
            "UPDATE work SET held_until = $5 WHERE cluster = $1 AND namespace = $2 AND name = $3 AND holder = $4",
        )
        .bind(taken.cluster.to_string())
        .bind(taken.gateway.namespace.clone())
        .bind(taken.gateway.name.clone())
        .bind(taken.holder.0.clone())
        .bind(until.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let is_held = held.rows_affected() == 1;
        if !is_held {
            // Due before everything of its urgency, whatever the time is.
            intents::look_after_late(&mut tx, taken, Timestamp(0)).await?;
        }
        self.commit_untold(tx).await?;
        Ok(is_held)
    }

    async fn take(
        &self,
        holder: Holder,
        budget: Budget,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Taken>, StoreError> {
        // Most often there is none, and to look for it takes no turn among those who write.
        let due =
            sqlx::query("SELECT cluster FROM work WHERE due <= $1 AND held_until <= $1 LIMIT 1")
                .bind(now.0)
                .fetch_optional(&mut *self.reader().await?)
                .await
                .map_err(failed)?;
        if due.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin_writing().await?;
        let due = all_due(&mut tx, now).await?;
        let spending = budgets::all(&mut tx).await?;
        let queue = Queue::new(budget, now, spending, &under_way(&mut tx, now).await?);
        let Some(next) = queue.next(&due) else {
            return Ok(None);
        };
        let row = first_of(&mut tx, next, now).await?;
        let row = Columns(&row);
        let (cluster, gateway) = gateway(&row)?;
        let attempts = u32::try_from(row.number("attempts")?);
        let held = intents::find(&mut tx, &cluster, &gateway).await?;
        let taken = Taken {
            cluster,
            gateway,
            attempts: attempts.map_err(|_| malformed("a number of attempts"))?,
            holder,
            held,
        };
        sqlx::query(
            "UPDATE work SET held_until = $4, holder = $5, renewed = 0 WHERE cluster = $1 AND namespace = $2 AND name = $3",
        )
        .bind(taken.cluster.to_string())
        .bind(taken.gateway.namespace.clone())
        .bind(taken.gateway.name.clone())
        .bind(until.0)
        .bind(taken.holder.0.clone())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        self.commit_untold(tx).await?;
        Ok(Some(taken))
    }

    async fn look_again(&self, since: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let rows = sqlx::query(
            "SELECT cluster, namespace, name FROM gateways WHERE done_at <= $1 ORDER BY done_at LIMIT 1000",
        )
        .bind(since.0)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        for row in &rows {
            let (cluster, gateway) = gateway(&Columns(row))?;
            add(&mut tx, &cluster, &gateway, Priority::Repair, now).await?;
        }
        self.commit(tx).await
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.changed.clone().notified_owned())
    }

    async fn time(&self) -> Result<Option<i64>, StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS time",
        )
        .fetch_one(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        Columns(&row).number("time").map(Some)
    }
}

/// Hears what other brokers write to the same PostgreSQL.
pub(crate) struct Listening(JoinHandle<()>);

impl Listening {
    pub(crate) fn start(address: watch::Receiver<Address>, changed: Arc<Notify>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                let present = address.borrow().clone();
                if let Err(error) = listen(&present, &changed).await {
                    tracing::warn!(%error, "what other brokers change is not heard of; it is looked for in steps");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(address: &Address, changed: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(address.expose()).await?;
    listener.listen("cfgw").await?;
    loop {
        listener.recv().await?;
        changed.notify_waiters();
    }
}
