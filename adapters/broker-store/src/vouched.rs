//! Who is signed in because a provider vouched for them, and by which tokens.

use domain::Timestamp;
use domain::broker::oidc::{Subject, Vouched, used};
use domain::broker::ports::{Digest, Session, StoreError, UsedToken};
use sqlx::AnyConnection;

use crate::accounts::text;
use crate::failed;
use crate::people::rights;
use crate::rows::Columns;

/// Remembers a token. Refused where it was used already.
pub(crate) async fn use_token(
    tx: &mut AnyConnection,
    token: UsedToken,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM used_tokens WHERE until <= $1")
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    let statement = "INSERT INTO used_tokens (token, until) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let put = sqlx::query(statement)
        .bind(token.token.to_vec())
        .bind(token.until.0)
        .execute(tx)
        .await
        .map_err(failed)?;
    match put.rows_affected() {
        0 => Err(used().into()),
        _ => Ok(()),
    }
}

pub(crate) async fn sign_in(
    tx: &mut AnyConnection,
    vouched: &Vouched,
    session: Session,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM vouched WHERE expires <= $1")
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    let Vouched {
        subject,
        rights,
        terms,
    } = vouched;
    sqlx::query(
        "INSERT INTO vouched (token, issuer, subject, name, tenant, roles, terms, expires)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.token.to_vec())
    .bind(subject.issuer.clone())
    .bind(subject.id.clone())
    .bind(subject.name.clone())
    .bind(rights.tenant.as_ref().map(ToString::to_string))
    .bind(text(&rights.roles))
    .bind(terms.to_vec())
    .bind(session.expires.0)
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Whose a session is that is not over.
pub(crate) async fn find(
    reader: &mut AnyConnection,
    token: &Digest,
    now: Timestamp,
) -> Result<Option<Vouched>, StoreError> {
    let row = sqlx::query("SELECT * FROM vouched WHERE token = $1 AND expires > $2")
        .bind(token.to_vec())
        .bind(now.0)
        .fetch_optional(reader)
        .await
        .map_err(failed)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let row = Columns(&row);
    Ok(Some(Vouched {
        subject: Subject {
            issuer: row.text("issuer")?,
            id: row.text("subject")?,
            name: row.optional_text("name")?,
        },
        rights: rights(&row)?,
        terms: row.digest("terms")?,
    }))
}
