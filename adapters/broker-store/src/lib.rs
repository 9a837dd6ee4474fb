//! [`SqlStore`]: what a broker keeps, in SQLite (one file, one broker) or PostgreSQL (several brokers).
//!
//! The statements are the same for both; `schema` has what differs. Every transaction that writes has the store for itself:
//! SQLite takes one writer at a time, and with PostgreSQL each takes the same advisory lock first. So a decision of the domain
//! that is made of what was read stays true until it is written, and the audit has one order. Writes are short: no call
//! to Cloudflare is made within one.
//!
//! - `schema`: the tables. - `rows`: columns as values. - `documents`: what is kept as JSON.
//! - the other modules: one port each.

mod accounts;
mod audit;
mod clusters;
mod documents;
mod grants;
mod intents;
mod people;
mod queue;
mod rows;
mod schema;
mod secrets;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::broker::ports::StoreError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, Transaction};
use tokio::sync::Notify;

use schema::Dialect;

/// How long a statement waits for a connection or a lock before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that read, and with PostgreSQL write.
const CONNECTIONS: u32 = 8;

/// The store of a broker.
#[derive(Clone)]
pub struct SqlStore {
    dialect: Dialect,
    readers: AnyPool,
    writers: AnyPool,
    changed: Arc<Notify>,
    /// Listens to other brokers for as long as a store is there.
    _listening: Arc<Option<queue::Listening>>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the store's address must be `sqlite:` and a path, or `postgres://user@host/database`; a password belongs into the file that PGPASSFILE names"
    )]
    Address,
    #[error("the store cannot be opened: {0}")]
    Unreachable(String),
    #[error(
        "the store has schema {found}, and this program knows {known}: run the newer program, or restore a backup of before"
    )]
    Newer { found: i64, known: usize },
}

impl SqlStore {
    /// Opens a store and brings its schema up to date. With PostgreSQL the database must be there; a file of SQLite is made.
    pub async fn open(address: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(address).ok_or(OpenError::Address)?;
        let options = dialect.address(address);
        let options = AnyConnectOptions::from_str(&options).map_err(|_| OpenError::Address)?;
        let writers = match dialect {
            Dialect::Sqlite => 1,
            Dialect::Postgres => CONNECTIONS,
        };
        let writers = pool(dialect, writers, options.clone()).await?;
        schema::bring_up_to_date(&writers, dialect).await?;
        let readers = match dialect {
            Dialect::Sqlite => pool(dialect, CONNECTIONS, options).await?,
            Dialect::Postgres => writers.clone(),
        };
        let changed = Arc::new(Notify::new());
        let listening = match dialect {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(queue::Listening::start(address, changed.clone())),
        };
        Ok(Self {
            dialect,
            readers,
            writers,
            changed,
            _listening: Arc::new(listening),
        })
    }

    /// A copy of all that is in it, as one file of SQLite that can be opened in its place. PostgreSQL has `pg_dump`.
    pub async fn back_up(&self, file: &std::path::Path) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            let message = "use pg_dump for PostgreSQL";
            return Err(StoreError::Failed(message.to_owned()));
        }
        let file = file.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO $1")
            .bind(file)
            .execute(&self.readers)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn begin_writing(&self) -> Result<Tx, StoreError> {
        let mut tx = self
            .writers
            .begin_with(self.dialect.begin())
            .await
            .map_err(failed)?;
        if let Some(lock) = self.dialect.lock() {
            tx.execute(lock).await.map_err(failed)?;
        }
        Ok(tx)
    }

    async fn commit(&self, mut tx: Tx) -> Result<(), StoreError> {
        if let Some(notify) = self.dialect.notify() {
            tx.execute(notify).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        self.changed.notify_waiters();
        Ok(())
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<Any>, StoreError> {
        self.readers.acquire().await.map_err(failed)
    }
}

/// A transaction that has the store for itself.
type Tx = Transaction<'static, Any>;

async fn pool(
    dialect: Dialect,
    connections: u32,
    options: AnyConnectOptions,
) -> Result<AnyPool, OpenError> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in dialect.settings() {
                    connection.execute(*statement).await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(|error| OpenError::Unreachable(error.to_string()))
}

/// An error of the database. No value of a row is in its text.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: sqlx::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// What is in a row and cannot be.
fn malformed(what: &str) -> StoreError {
    StoreError::Failed(format!("{what} in the store cannot be read"))
}

/// Whether anything has these columns.
async fn exists(
    tx: &mut AnyConnection,
    statement: &'static str,
    name: &str,
) -> Result<bool, StoreError> {
    let row = sqlx::query(statement)
        .bind(name.to_owned())
        .fetch_optional(tx)
        .await;
    Ok(row.map_err(failed)?.is_some())
}
