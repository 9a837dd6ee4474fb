//! [`SqlStore`]: what a broker keeps, in SQLite (one file, one broker) or PostgreSQL (several brokers).
//!
//! The statements are the same for both; `schema` has what differs. Every transaction that writes has the store for itself:
//! SQLite takes one writer at a time, and with PostgreSQL each takes the same advisory lock first. So a decision of the domain
//! that is made of what was read stays true until it is written, and the audit has one order. Writes are short: no call
//! to Cloudflare is made within one.
//!
//! - `address`: where it is. - `schema`: the tables. - `rows`: columns as values. - `documents`: what is kept as JSON.
//! - the other modules: one port each.
//! - [`testing`], with the feature of that name: where a test ends a broker.

mod accounts;
mod address;
mod audit;
mod budgets;
mod checkpoints;
mod clusters;
mod documents;
mod grants;
mod intents;
mod notices;
mod people;
mod queue;
mod rows;
mod schema;
mod secrets;
#[cfg(feature = "testing")]
pub mod testing;
mod vouched;

use std::sync::Arc;
use std::time::Duration;

use domain::broker::ports::StoreError;
use secrecy::SecretString;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, Transaction};
use tokio::sync::{Notify, watch};

use address::Address;
use schema::Dialect;

/// How long a statement waits for a connection or a lock before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that read, and with PostgreSQL write.
const CONNECTIONS: u32 = 8;

/// The store of a broker.
#[derive(Clone)]
pub struct SqlStore {
    dialect: Dialect,
    /// As it was written.
    written: Arc<str>,
    address: watch::Sender<Address>,
    readers: AnyPool,
    writers: AnyPool,
    changed: Arc<Notify>,
    /// Listens to other brokers for as long as a store is there.
    _listening: Arc<Option<queue::Listening>>,
    #[cfg(feature = "testing")]
    commits: Option<Arc<dyn testing::Commits>>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the store's address must be `sqlite:` and a path, or `postgres://user@host/database`; a password belongs into the file of store_password_file"
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
    /// The password is for PostgreSQL. Another machine is reached with TLS that checks its name, unless the address has an `sslmode`.
    pub async fn open(written: &str, password: Option<&SecretString>) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(written).ok_or(OpenError::Address)?;
        let address = Address::new(dialect, written, password)?;
        let options = address.options()?;
        let address = watch::Sender::new(address);
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
            Dialect::Postgres => {
                let address = address.subscribe();
                Some(queue::Listening::start(address, changed.clone()))
            }
        };
        Ok(Self {
            dialect,
            written: written.into(),
            address,
            readers,
            writers,
            changed,
            _listening: Arc::new(listening),
            #[cfg(feature = "testing")]
            commits: None,
        })
    }

    /// New connections are made with this password; those that are there go on.
    pub fn set_password(&self, password: &SecretString) -> Result<(), OpenError> {
        let address = Address::new(self.dialect, &self.written, Some(password))?;
        let options = address.options()?;
        self.writers.set_connect_options(options.clone());
        self.readers.set_connect_options(options);
        self.address.send_replace(address);
        Ok(())
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

    /// Commits, and tells those who wait for a change.
    async fn commit(&self, mut tx: Tx) -> Result<(), StoreError> {
        if let Some(notify) = self.dialect.notify() {
            tx.execute(notify).await.map_err(failed)?;
        }
        self.commit_untold(tx).await?;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Commits what nobody waits for.
    async fn commit_untold(&self, tx: Tx) -> Result<(), StoreError> {
        #[cfg(feature = "testing")]
        testing::before(self.commits.as_deref()).await;
        tx.commit().await.map_err(failed)?;
        #[cfg(feature = "testing")]
        testing::after(self.commits.as_deref()).await;
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
                require_writable(connection, dialect).await
            })
        })
        .connect_with(options)
        .await
        .map_err(|error| OpenError::Unreachable(error.to_string()))
}

/// A standby is as away as a server that does not answer: what it shows may be of before, and nothing is decided by that.
async fn require_writable(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<(), sqlx::Error> {
    let Some(question) = dialect.read_only() else {
        return Ok(());
    };
    let row = connection.fetch_one(question).await?;
    let answer: String = sqlx::Row::try_get(&row, 0)?;
    if answer == "off" {
        return Ok(());
    }
    let message =
        "the server is a standby or takes no writes; the store's address must lead to the primary";
    tracing::warn!("the store: {message}");
    Err(sqlx::Error::Protocol(message.to_owned()))
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
