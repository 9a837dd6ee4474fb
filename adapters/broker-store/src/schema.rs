//! The tables, and what differs between SQLite and PostgreSQL.

use sqlx::{AnyPool, Executor as _, Row as _};

use crate::OpenError;

/// The database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(crate) fn of(address: &str) -> Option<Self> {
        match address.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// For every connection. A commit is on the disk when it is done.
    pub(crate) fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA busy_timeout = 10000",
                "PRAGMA foreign_keys = ON",
                // What is deleted is overwritten: a code or a token that is over is in no page of the file.
                "PRAGMA secure_delete = ON",
            ],
            Self::Postgres => &["SET statement_timeout = '10s'", "SET lock_timeout = '10s'"],
        }
    }

    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// One writer at a time. The number is of no meaning; whoever uses the database for something else must not take it.
    pub(crate) fn lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(7205759403792793601)"),
        }
    }

    /// Asks whether the server takes no writes: the answer is on or off.
    pub(crate) fn read_only(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            // It is "on" during recovery too.
            Self::Postgres => Some("SELECT current_setting('transaction_read_only')"),
        }
    }

    /// Tells other brokers of a change.
    pub(crate) fn notify(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("NOTIFY cfgw"),
        }
    }

    fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => SQLITE,
            Self::Postgres => POSTGRES,
        }
    }
}

macro_rules! tables {
    ($bytes:literal) => {
        &[
            "CREATE TABLE tenants (name TEXT PRIMARY KEY)",
            "CREATE TABLE clusters (
                name TEXT PRIMARY KEY,
                tenant TEXT NOT NULL REFERENCES tenants,
                standing TEXT NOT NULL,
                key_thumbprint TEXT UNIQUE,
                public_key TEXT,
                instance TEXT,
                attestation TEXT,
                attest_anew TEXT,
                epoch BIGINT NOT NULL,
                term BIGINT NOT NULL,
                last_contact BIGINT,
                controller TEXT,
                contact TEXT NOT NULL,
                when_expired TEXT NOT NULL,
                notices BIGINT NOT NULL DEFAULT 0)",
            concat!(
                "CREATE TABLE codes (
                code ",
                $bytes,
                " PRIMARY KEY,
                cluster TEXT NOT NULL REFERENCES clusters,
                expires BIGINT NOT NULL)"
            ),
            concat!(
                "CREATE TABLE sessions (
                token ",
                $bytes,
                " PRIMARY KEY,
                cluster TEXT NOT NULL REFERENCES clusters,
                key_thumbprint TEXT NOT NULL,
                epoch BIGINT NOT NULL,
                expires BIGINT NOT NULL)"
            ),
            "CREATE TABLE accounts (
                name TEXT PRIMARY KEY,
                tenant TEXT NOT NULL REFERENCES tenants,
                cloudflare TEXT NOT NULL UNIQUE,
                shared BIGINT NOT NULL,
                zones TEXT NOT NULL,
                slots TEXT NOT NULL,
                spending TEXT NOT NULL)",
            concat!(
                "CREATE TABLE secrets (
                owner TEXT NOT NULL,
                version BIGINT NOT NULL,
                wrapping_key TEXT NOT NULL,
                wrapped ",
                $bytes,
                " NOT NULL,
                ciphertext ",
                $bytes,
                " NOT NULL,
                PRIMARY KEY (owner, version))"
            ),
            "CREATE TABLE people (
                name TEXT PRIMARY KEY,
                tenant TEXT REFERENCES tenants,
                roles TEXT NOT NULL,
                password TEXT NOT NULL,
                failures BIGINT NOT NULL,
                not_before BIGINT NOT NULL,
                last_step BIGINT NOT NULL)",
            concat!(
                "CREATE TABLE sign_ins (
                token ",
                $bytes,
                " PRIMARY KEY,
                person TEXT NOT NULL REFERENCES people,
                expires BIGINT NOT NULL)"
            ),
            concat!(
                "CREATE TABLE vouched (
                token ",
                $bytes,
                " PRIMARY KEY,
                issuer TEXT NOT NULL,
                subject TEXT NOT NULL,
                name TEXT,
                tenant TEXT,
                roles TEXT NOT NULL,
                terms ",
                $bytes,
                " NOT NULL,
                expires BIGINT NOT NULL)"
            ),
            concat!(
                "CREATE TABLE used_tokens (
                token ",
                $bytes,
                " PRIMARY KEY,
                until BIGINT NOT NULL)"
            ),
            "CREATE TABLE grants (
                tenant TEXT NOT NULL REFERENCES tenants,
                name TEXT NOT NULL,
                document TEXT NOT NULL,
                PRIMARY KEY (tenant, name))",
            "CREATE TABLE claims (
                hostname TEXT PRIMARY KEY,
                tenant TEXT NOT NULL,
                cluster TEXT NOT NULL REFERENCES clusters)",
            "CREATE INDEX claims_of_cluster ON claims (cluster)",
            "CREATE TABLE gateways (
                cluster TEXT NOT NULL REFERENCES clusters,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                accounts TEXT NOT NULL,
                former TEXT NOT NULL,
                done_at BIGINT NOT NULL,
                version BIGINT NOT NULL,
                document TEXT NOT NULL,
                PRIMARY KEY (cluster, namespace, name))",
            // Which Gateway may have a record of which name, so that a claim ends without a look into every document.
            "CREATE TABLE gateway_names (
                cluster TEXT NOT NULL,
                hostname TEXT NOT NULL,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                PRIMARY KEY (cluster, hostname, namespace, name))",
            "CREATE TABLE notices (
                cluster TEXT NOT NULL REFERENCES clusters,
                sequence BIGINT NOT NULL,
                at BIGINT NOT NULL,
                kind TEXT NOT NULL,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                detail TEXT NOT NULL,
                PRIMARY KEY (cluster, sequence))",
            "CREATE TABLE work (
                cluster TEXT NOT NULL,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                priority BIGINT NOT NULL,
                due BIGINT NOT NULL,
                attempts BIGINT NOT NULL,
                holder TEXT NOT NULL,
                held_until BIGINT NOT NULL,
                renewed BIGINT NOT NULL,
                PRIMARY KEY (cluster, namespace, name))",
            concat!(
                "CREATE TABLE audit (
                sequence BIGINT PRIMARY KEY,
                at BIGINT NOT NULL,
                actor TEXT NOT NULL,
                source TEXT NOT NULL,
                action TEXT NOT NULL,
                object TEXT NOT NULL,
                result TEXT NOT NULL,
                detail TEXT NOT NULL,
                ray TEXT NOT NULL,
                link ",
                $bytes,
                " NOT NULL)"
            ),
            concat!(
                "CREATE TABLE audit_checkpoints (
                sequence BIGINT NOT NULL,
                mark TEXT NOT NULL,
                link ",
                $bytes,
                " NOT NULL,
                at BIGINT NOT NULL,
                signing_key TEXT NOT NULL,
                signature ",
                $bytes,
                " NOT NULL,
                PRIMARY KEY (sequence, mark))"
            ),
            // Their private halves are secrets.
            concat!(
                "CREATE TABLE signing_keys (
                id TEXT PRIMARY KEY,
                number BIGINT NOT NULL UNIQUE,
                public_key ",
                $bytes,
                " NOT NULL,
                since BIGINT NOT NULL)"
            ),
        ]
    };
}

const SQLITE: &[&str] = tables!("BLOB");
const POSTGRES: &[&str] = tables!("BYTEA");

/// How many versions of the schema there are. Nothing was released with one, so there is one.
const KNOWN: usize = 1;

/// Makes the tables where they are missing.
pub(crate) async fn bring_up_to_date(pool: &AnyPool, dialect: Dialect) -> Result<(), OpenError> {
    let unreachable = |error: sqlx::Error| OpenError::Unreachable(error.to_string());
    let mut tx = pool
        .begin_with(dialect.begin())
        .await
        .map_err(unreachable)?;
    if let Some(lock) = dialect.lock() {
        tx.execute(lock).await.map_err(unreachable)?;
    }
    tx.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .await
        .map_err(unreachable)?;
    let row = tx
        .fetch_optional("SELECT version FROM schema_version")
        .await
        .map_err(unreachable)?;
    let found: i64 = match row {
        Some(row) => row.try_get(0).map_err(unreachable)?,
        None => 0,
    };
    if found > KNOWN as i64 {
        return Err(OpenError::Newer {
            found,
            known: KNOWN,
        });
    }
    if found == 0 {
        for statement in dialect.tables() {
            tx.execute(*statement).await.map_err(unreachable)?;
        }
        tx.execute("INSERT INTO schema_version (version) VALUES (1)")
            .await
            .map_err(unreachable)?;
    }
    tx.commit().await.map_err(unreachable)
}
