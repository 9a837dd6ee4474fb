//! People who have a password at the broker, and who is signed in.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::Timestamp;
use domain::broker::audit::Event;
use domain::broker::oidc::{SignedIn, Vouched};
use domain::broker::ports::{
    Credentials, Digest, PasswordHash, People, Sealed, SecretId, Session, StoreError, UsedToken,
    Whom,
};
use domain::broker::role::{Person, Rights};
use domain::broker::sign_in::Attempts;
use domain::broker::{Code, PersonName, Refusal, TenantName};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::accounts::text;
use crate::audit::append;
use crate::clusters::unknown;
use crate::rows::{Columns, number};
use crate::{SqlStore, exists, failed, malformed, secrets, vouched};

fn read(row: &AnyRow) -> Result<Person, StoreError> {
    let row = Columns(row);
    Ok(Person {
        name: row.parsed("name", PersonName::parse)?,
        rights: rights(&row)?,
    })
}

pub(crate) fn rights(row: &Columns<'_>) -> Result<Rights, StoreError> {
    let tenant = row.optional_text("tenant")?;
    let tenant = tenant.map(|name| TenantName::parse(&name)).transpose();
    Ok(Rights {
        roles: row.json("roles")?,
        tenant: tenant.map_err(|_| malformed("the tenant of a person"))?,
    })
}

fn attempts(row: &AnyRow) -> Result<Attempts, StoreError> {
    let row = Columns(row);
    Ok(Attempts {
        failures: u32::try_from(row.number("failures")?).map_err(|_| malformed("a count"))?,
        not_before: row.moment("not_before")?,
        last_step: row.count("last_step")?,
    })
}

async fn find(tx: &mut AnyConnection, name: &PersonName) -> Result<Option<AnyRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM people WHERE name = $1")
        .bind(name.to_string())
        .fetch_optional(tx)
        .await;
    row.map_err(failed)
}

async fn write_attempts(
    tx: &mut AnyConnection,
    name: &PersonName,
    attempts: Attempts,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE people SET failures = $2, not_before = $3, last_step = $4 WHERE name = $1")
        .bind(name.to_string())
        .bind(i64::from(attempts.failures))
        .bind(attempts.not_before.0)
        .bind(number(attempts.last_step))
        .execute(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Ends what somebody was signed in by, and wipes what their codes came from.
async fn end(tx: &mut AnyConnection, name: &PersonName) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sign_ins WHERE person = $1")
        .bind(name.to_string())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    let owner = SecretId::one_time_codes(name).owner;
    secrets::keep(tx, &owner, &BTreeSet::new()).await
}

#[async_trait]
impl People for SqlStore {
    async fn people(&self) -> Result<Vec<Person>, StoreError> {
        let rows = sqlx::query("SELECT * FROM people ORDER BY name")
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        rows.iter().map(read).collect()
    }

    async fn put_person(
        &self,
        person: &Person,
        password: PasswordHash,
        codes: Sealed,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        if let Some(tenant) = &person.rights.tenant {
            let known = "SELECT name FROM tenants WHERE name = $1";
            if !exists(&mut tx, known, tenant.as_str()).await? {
                return Err(unknown("tenant", tenant.as_str()));
            }
        }
        end(&mut tx, &person.name).await?;
        sqlx::query(
            "INSERT INTO people (name, tenant, roles, password, failures, not_before, last_step)
             VALUES ($1, $2, $3, $4, 0, 0, 0)
             ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, roles = excluded.roles,
                 password = excluded.password, failures = 0, not_before = 0, last_step = 0",
        )
        .bind(person.name.to_string())
        .bind(person.rights.tenant.as_ref().map(ToString::to_string))
        .bind(text(&person.rights.roles))
        .bind(password.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let secret = SecretId::one_time_codes(&person.name);
        secrets::put(&mut tx, &secret, codes).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn remove_person(&self, name: &PersonName, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        end(&mut tx, name).await?;
        let removed = sqlx::query("DELETE FROM people WHERE name = $1")
            .bind(name.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        if removed.rows_affected() == 0 {
            return Err(unknown("person", name.as_str()));
        }
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn begin_sign_in(
        &self,
        name: &PersonName,
        now: Timestamp,
    ) -> Result<Option<Credentials>, StoreError> {
        let mut tx = self.begin_writing().await?;
        let Some(row) = find(&mut tx, name).await? else {
            return Ok(None);
        };
        let mut attempts = attempts(&row)?;
        attempts.begin(now)?;
        write_attempts(&mut tx, name, attempts).await?;
        let codes = secrets::find(&mut tx, &SecretId::one_time_codes(name)).await?;
        let credentials = Credentials {
            person: read(&row)?,
            password: PasswordHash(Columns(&row).text("password")?),
            codes: codes.ok_or_else(|| malformed("what the codes of a person come from"))?,
        };
        self.commit(tx).await?;
        Ok(Some(credentials))
    }

    async fn sign_in(
        &self,
        name: &PersonName,
        step: u64,
        session: Session,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let row = find(&mut tx, name).await?;
        let row = row.ok_or_else(domain::broker::sign_in::refused)?;
        let mut attempts = attempts(&row)?;
        attempts.succeed(step)?;
        write_attempts(&mut tx, name, attempts).await?;
        sqlx::query("DELETE FROM sign_ins WHERE expires <= $1")
            .bind(event.at.0)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT INTO sign_ins (token, person, expires) VALUES ($1, $2, $3)")
            .bind(session.token.to_vec())
            .bind(name.to_string())
            .bind(session.expires.0)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn sign_in_vouched(
        &self,
        vouched: &Vouched,
        used: UsedToken,
        session: Session,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        vouched::use_token(&mut tx, used, event.at).await?;
        vouched::sign_in(&mut tx, vouched, session, event.at).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn signed_in(&self, token: &Digest, now: Timestamp) -> Result<SignedIn, StoreError> {
        let mut reader = self.reader().await?;
        let row = sqlx::query(
            "SELECT p.* FROM sign_ins s JOIN people p ON p.name = s.person
             WHERE s.token = $1 AND s.expires > $2",
        )
        .bind(token.to_vec())
        .bind(now.0)
        .fetch_optional(&mut *reader)
        .await
        .map_err(failed)?;
        if let Some(row) = row {
            return read(&row).map(SignedIn::Person);
        }
        let vouched = vouched::find(&mut reader, token, now).await?;
        let vouched = vouched.ok_or_else(|| {
            let detail = "nobody is signed in by this token any more; sign in again";
            Refusal::new(Code::SessionOver, detail)
        })?;
        Ok(SignedIn::Vouched(vouched))
    }

    async fn sign_out(&self, token: &Digest, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        for statement in [
            "DELETE FROM sign_ins WHERE token = $1",
            "DELETE FROM vouched WHERE token = $1",
        ] {
            sqlx::query(statement)
                .bind(token.to_vec())
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn sign_out_everywhere(&self, whom: &Whom, event: Event) -> Result<u64, StoreError> {
        let mut tx = self.begin_writing().await?;
        let ending = match whom {
            Whom::Person(name) => {
                sqlx::query("DELETE FROM sign_ins WHERE person = $1").bind(name.to_string())
            }
            Whom::Vouched { issuer, id } => {
                sqlx::query("DELETE FROM vouched WHERE issuer = $1 AND subject = $2")
                    .bind(issuer.clone())
                    .bind(id.clone())
            }
        };
        let ended = ending.execute(&mut *tx).await.map_err(failed)?;
        let ended = ended.rows_affected();
        let detail = format!("{ended} sessions");
        append(&mut tx, Event { detail, ..event }).await?;
        self.commit(tx).await?;
        Ok(ended)
    }
}
