//! Tenants, clusters, enrolment codes and sessions.

use async_trait::async_trait;
use domain::broker::attestation::{Attestation, Attested, Shown};
use domain::broker::audit::Event;
use domain::broker::cluster::{
    self, Cluster, Identity, LONGEST_SESSION, Standing, Thumbprint, WhenExpired,
};
use domain::broker::contact::Contact;
use domain::broker::notice::Notice;
use domain::broker::ports::{Clusters, Digest, Invitation, Session, StoreError, Turn};
use domain::broker::{ClusterName, Code, Refusal, TenantName};
use domain::{InstanceId, Timestamp};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::documents::AttestationDocument;
use crate::rows::{Columns, number};
use crate::{SqlStore, exists, failed, intents, malformed, notices};

/// What the columns of a standing hold.
fn standing_in_words(standing: &Standing) -> &'static str {
    match standing {
        Standing::Invited => "invited",
        Standing::Asking(_) => "asking",
        Standing::Admitted(_) => "admitted",
        Standing::Revoked(_) => "revoked",
        Standing::Quarantined(_) => "quarantined",
        Standing::Tombstoned(_) => "tombstoned",
        Standing::Released(_) => "released",
    }
}

fn standing(row: &Columns<'_>) -> Result<Standing, StoreError> {
    let word = row.text("standing")?;
    let with_identity: fn(Identity) -> Standing = match word.as_str() {
        "invited" => return Ok(Standing::Invited),
        // Of one that never asked, no identity is known.
        "tombstoned" if row.optional_text("key_thumbprint")?.is_none() => {
            return Ok(Standing::Tombstoned(None));
        }
        "tombstoned" => |identity| Standing::Tombstoned(Some(identity)),
        "asking" => Standing::Asking,
        "admitted" => Standing::Admitted,
        "revoked" => Standing::Revoked,
        "quarantined" => Standing::Quarantined,
        "released" => Standing::Released,
        _ => return Err(malformed("the standing of a cluster")),
    };
    Ok(with_identity(Identity {
        key: row
            .optional_text("key_thumbprint")?
            .and_then(|text| Thumbprint::parse(&text))
            .ok_or_else(|| malformed("a thumbprint"))?,
        instance: row.parsed("instance", InstanceId::parse)?,
    }))
}

/// Which cluster it last asked as, whether its key has ended since or not.
fn instance(row: &Columns<'_>) -> Result<Option<InstanceId>, StoreError> {
    match row.optional_text("instance")? {
        Some(_) => row.parsed("instance", InstanceId::parse).map(Some),
        None => Ok(None),
    }
}

/// By what it is attested.
fn attestation(row: &Columns<'_>) -> Result<Option<Attestation>, StoreError> {
    match row.optional_text("attestation")? {
        Some(_) => row
            .json::<AttestationDocument>("attestation")?
            .read()
            .map(Some),
        None => Ok(None),
    }
}

fn read(row: &AnyRow) -> Result<Cluster, StoreError> {
    let row = Columns(row);
    Ok(Cluster {
        name: row.parsed("name", ClusterName::parse)?,
        tenant: row.parsed("tenant", TenantName::parse)?,
        standing: standing(&row)?,
        instance: instance(&row)?,
        attestation: attestation(&row)?,
        attest_anew: match row.optional_text("attest_anew")? {
            Some(text) => Some(Thumbprint::parse(&text).ok_or_else(|| malformed("a thumbprint"))?),
            None => None,
        },
        epoch: row.count("epoch")?,
        term: row.count("term")?,
        last_contact: row.optional_moment("last_contact")?,
        controller: row.optional_text("controller")?,
        contact: Contact::parse(&row.text("contact")?)
            .ok_or_else(|| malformed("the contact of a cluster"))?,
        when_expired: WhenExpired::parse(&row.text("when_expired")?)
            .ok_or_else(|| malformed("what a cluster's silence means"))?,
    })
}

/// A cluster, or that there is none.
pub(crate) async fn find(
    tx: &mut AnyConnection,
    name: &ClusterName,
) -> Result<Cluster, StoreError> {
    let row = sqlx::query("SELECT * FROM clusters WHERE name = $1")
        .bind(name.to_string())
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    let row = row.ok_or_else(|| unknown("cluster", name.as_str()))?;
    read(&row)
}

/// The cluster that has a key.
async fn by_key(
    tx: &mut AnyConnection,
    identity: &Identity,
) -> Result<Option<Cluster>, StoreError> {
    let row = sqlx::query("SELECT * FROM clusters WHERE key_thumbprint = $1")
        .bind(identity.key.to_string())
        .fetch_optional(tx)
        .await
        .map_err(failed)?;
    row.as_ref().map(read).transpose()
}

/// The refusal of what is not there.
pub(crate) fn unknown(what: &str, name: &str) -> StoreError {
    Refusal::new(Code::NotFound, format!("there is no {what} {name}")).into()
}

async fn write(tx: &mut AnyConnection, cluster: &Cluster) -> Result<(), StoreError> {
    let identity = cluster.identity();
    sqlx::query(
        "INSERT INTO clusters (name, tenant, standing, key_thumbprint, instance, epoch, term, last_contact, contact,
             when_expired, controller, attestation, attest_anew)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (name) DO UPDATE SET standing = excluded.standing, key_thumbprint = excluded.key_thumbprint,
             instance = excluded.instance, epoch = excluded.epoch, term = excluded.term,
             last_contact = excluded.last_contact, contact = excluded.contact, when_expired = excluded.when_expired,
             controller = excluded.controller, attestation = excluded.attestation, attest_anew = excluded.attest_anew",
    )
    .bind(cluster.name.to_string())
    .bind(cluster.tenant.to_string())
    .bind(standing_in_words(&cluster.standing))
    .bind(identity.map(|identity| identity.key.to_string()))
    .bind(cluster.instance.map(|instance| instance.to_string()))
    .bind(number(cluster.epoch))
    .bind(number(cluster.term))
    .bind(cluster.last_contact.map(|at| at.0))
    .bind(cluster.contact.as_str())
    .bind(cluster.when_expired.as_str())
    .bind(cluster.controller.clone())
    .bind(cluster.attestation.as_ref().map(AttestationDocument::of))
    .bind(cluster.attest_anew.as_ref().map(ToString::to_string))
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Ends codes or sessions of a cluster.
async fn end(
    tx: &mut AnyConnection,
    statement: &'static str,
    name: &ClusterName,
) -> Result<(), StoreError> {
    let ended = sqlx::query(statement)
        .bind(name.to_string())
        .execute(tx)
        .await;
    ended.map(|_| ()).map_err(failed)
}

/// What it had is found by its instance alone, and another one may be enrolled under its name.
async fn require_nothing_left(
    tx: &mut AnyConnection,
    name: &ClusterName,
) -> Result<(), StoreError> {
    let left = "SELECT name FROM gateways WHERE cluster = $1 LIMIT 1";
    if exists(tx, left, name.as_str()).await? {
        let detail = format!(
            "cluster {name} was given up and what it had is still being removed; invite it once that is done, or choose another name"
        );
        return Err(Refusal::new(Code::InUse, detail).into());
    }
    Ok(())
}

/// What the cluster is told of a turn.
fn notice_of(turn: &Turn) -> Option<Notice> {
    match turn {
        Turn::Revoke | Turn::Release => Some(Notice::Revoked),
        Turn::Quarantine => Some(Notice::Quarantined),
        Turn::GiveUp => Some(Notice::GivenUp),
        Turn::Accept { .. } | Turn::WhenExpired { .. } => None,
    }
}

const END_CODES: &str = "DELETE FROM codes WHERE cluster = $1";
const END_SESSIONS: &str = "DELETE FROM sessions WHERE cluster = $1";

#[async_trait]
impl Clusters for SqlStore {
    async fn tenants(&self) -> Result<Vec<TenantName>, StoreError> {
        let rows = sqlx::query("SELECT name FROM tenants ORDER BY name")
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        let names = rows.iter();
        names
            .map(|row| Columns(row).parsed("name", TenantName::parse))
            .collect()
    }

    async fn put_tenant(&self, tenant: &TenantName, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let put =
            sqlx::query("INSERT INTO tenants (name) VALUES ($1) ON CONFLICT (name) DO NOTHING")
                .bind(tenant.to_string())
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        if put.rows_affected() == 0 {
            return Ok(());
        }
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn remove_tenant(&self, tenant: &TenantName, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let used = exists(
            &mut tx,
            "SELECT name FROM clusters WHERE tenant = $1 UNION SELECT name FROM accounts WHERE tenant = $1
             UNION SELECT name FROM grants WHERE tenant = $1 UNION SELECT name FROM people WHERE tenant = $1",
            tenant.as_str(),
        );
        if used.await? {
            let detail = format!(
                "tenant {tenant} has clusters, accounts, grants or people; remove these first"
            );
            return Err(Refusal::new(Code::InUse, detail).into());
        }
        let removed = sqlx::query("DELETE FROM tenants WHERE name = $1")
            .bind(tenant.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        if removed.rows_affected() == 0 {
            return Err(unknown("tenant", tenant.as_str()));
        }
        append(&mut tx, event).await?;
        self.commit(tx).await
    }

    async fn clusters(&self, tenant: Option<&TenantName>) -> Result<Vec<Cluster>, StoreError> {
        let rows = sqlx::query("SELECT * FROM clusters WHERE tenant = $1 OR $1 = '' ORDER BY name")
            .bind(tenant.map_or_else(String::new, ToString::to_string))
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        rows.iter().map(read).collect()
    }

    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, StoreError> {
        find(&mut *self.reader().await?, name).await
    }

    async fn invite(&self, invitation: Invitation, event: Event) -> Result<Cluster, StoreError> {
        let mut tx = self.begin_writing().await?;
        let Invitation {
            cluster: name,
            tenant,
            when_expired,
            code,
            expires,
        } = invitation;
        if !exists(
            &mut tx,
            "SELECT name FROM tenants WHERE name = $1",
            tenant.as_str(),
        )
        .await?
        {
            return Err(unknown("tenant", tenant.as_str()));
        }
        let cluster = match find(&mut tx, &name).await {
            Ok(cluster) if cluster.tenant != tenant => {
                let detail = format!("the name {name} is in use; choose another one");
                return Err(Refusal::new(Code::AlreadyExists, detail).into());
            }
            Ok(mut cluster) => {
                if matches!(cluster.standing, Standing::Tombstoned(_)) {
                    require_nothing_left(&mut tx, &name).await?;
                }
                cluster.invite_again();
                cluster
            }
            Err(StoreError::Refused(_)) => Cluster::invited(name, tenant, when_expired),
            Err(failed) => return Err(failed),
        };
        write(&mut tx, &cluster).await?;
        end(&mut tx, END_CODES, &cluster.name).await?;
        end(&mut tx, END_SESSIONS, &cluster.name).await?;
        sqlx::query("INSERT INTO codes (code, cluster, expires) VALUES ($1, $2, $3)")
            .bind(code.to_vec())
            .bind(cluster.name.to_string())
            .bind(expires.0)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(cluster)
    }

    async fn redeem(
        &self,
        code: &Digest,
        identity: Identity,
        attestation: Option<Attestation>,
        public_key: &str,
        now: Timestamp,
        mut event: Event,
    ) -> Result<Cluster, StoreError> {
        let mut tx = self.begin_writing().await?;
        let row = sqlx::query("SELECT cluster, expires FROM codes WHERE code = $1")
            .bind(code.to_vec())
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        let row = row.ok_or_else(cluster::unknown_code)?;
        let row = Columns(&row);
        if row.moment("expires")? <= now {
            return Err(cluster::unknown_code().into());
        }
        let name = row.parsed("cluster", ClusterName::parse)?;
        let mut cluster = find(&mut tx, &name).await?;
        if by_key(&mut tx, &identity)
            .await?
            .is_some_and(|other| other.name != name)
        {
            let detail = "this key is another cluster's; make a new one";
            return Err(Refusal::new(Code::KeyMismatch, detail).into());
        }
        cluster.ask(identity, attestation)?;
        write(&mut tx, &cluster).await?;
        sqlx::query("UPDATE clusters SET public_key = $2 WHERE name = $1")
            .bind(name.to_string())
            .bind(public_key.to_owned())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        end(&mut tx, END_CODES, &name).await?;
        event.actor = format!("cluster {name}");
        event.object = name.to_string();
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(cluster)
    }

    async fn turn(
        &self,
        name: &ClusterName,
        turn: Turn,
        event: Event,
    ) -> Result<Cluster, StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut cluster = find(&mut tx, name).await?;
        let mut departure = None;
        let notice = notice_of(&turn);
        match turn {
            Turn::Accept { key, attest_anew } => cluster.accept(&key, attest_anew.as_ref())?,
            Turn::Revoke => cluster.revoke()?,
            Turn::Quarantine => departure = cluster.quarantine()?,
            Turn::GiveUp => departure = cluster.give_up(),
            Turn::Release => {
                if cluster.release()? {
                    intents::forget_all(&mut tx, name).await?;
                }
            }
            Turn::WhenExpired { seen, then } => cluster.set_when_expired(seen, then)?,
        }
        write(&mut tx, &cluster).await?;
        if let Some(departure) = departure {
            intents::depart(&mut tx, name, departure, event.at).await?;
        }
        if let Some(notice) = notice {
            notices::tell(&mut tx, name, &notice, "", event.at).await?;
        }
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(cluster)
    }

    async fn note_contact(
        &self,
        name: &ClusterName,
        last: Option<Timestamp>,
        contact: Contact,
        event: Event,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut cluster = find(&mut tx, name).await?;
        let is_as_seen = cluster.last_contact == last && cluster.require_served().is_ok();
        if !is_as_seen || cluster.contact == contact {
            return Ok(false);
        }
        let departure = cluster.note_contact(contact);
        write(&mut tx, &cluster).await?;
        if let Some(departure) = departure {
            intents::depart(&mut tx, name, departure, event.at).await?;
        }
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(true)
    }

    async fn hear(
        &self,
        name: &ClusterName,
        controller: &str,
        event: Event,
    ) -> Result<Cluster, StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut cluster = find(&mut tx, name).await?;
        cluster.require_served()?;
        let is_same = cluster.controller.as_deref() == Some(controller);
        let is_news = cluster.contact != Contact::Live || !is_same;
        cluster.hear(event.at);
        cluster.controller = Some(controller.to_owned());
        write(&mut tx, &cluster).await?;
        match is_news {
            true => {
                append(&mut tx, event).await?;
                self.commit(tx).await?;
            }
            // Nobody has to be told.
            false => tx.commit().await.map_err(failed)?,
        }
        Ok(cluster)
    }

    async fn open_session(
        &self,
        session: Session,
        identity: &Identity,
        shown: Option<&Shown>,
        mut event: Event,
    ) -> Result<(Cluster, Attested), StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut cluster = by_key(&mut tx, identity).await?.ok_or_else(stranger)?;
        cluster.admit(identity)?;
        let attested = cluster.attest(shown, event.at)?;
        let lasts = i64::try_from(LONGEST_SESSION.as_secs()).unwrap_or(i64::MAX);
        // One that goes on is no news.
        let last = cluster.last_contact;
        let is_back = last.is_none_or(|last| event.at.0.saturating_sub(last.0) > lasts);
        let other_keys = attested.in_words();
        let is_news = is_back || other_keys.is_some();
        if let Some(words) = other_keys {
            event.detail += &format!(", {words}");
        }
        cluster.hear(event.at);
        write(&mut tx, &cluster).await?;
        sqlx::query("DELETE FROM sessions WHERE expires <= $1")
            .bind(event.at.0)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        sqlx::query(
            "INSERT INTO sessions (token, cluster, key_thumbprint, epoch, expires) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(session.token.to_vec())
        .bind(cluster.name.to_string())
        .bind(identity.key.to_string())
        .bind(number(cluster.epoch))
        .bind(session.expires.0)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        event.actor = format!("cluster {}", cluster.name);
        event.object = cluster.name.to_string();
        if is_news {
            append(&mut tx, event).await?;
        }
        self.commit(tx).await?;
        Ok((cluster, attested))
    }

    async fn session(
        &self,
        token: &Digest,
        now: Timestamp,
    ) -> Result<(Cluster, Thumbprint), StoreError> {
        let row = sqlx::query(
            "SELECT c.*, s.key_thumbprint AS shown FROM sessions s JOIN clusters c ON c.name = s.cluster
             WHERE s.token = $1 AND s.expires > $2 AND s.epoch = c.epoch",
        )
        .bind(token.to_vec())
        .bind(now.0)
        .fetch_optional(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        let row = row.ok_or_else(over)?;
        let key = Columns(&row).optional_text("shown")?;
        let key = key.and_then(|text| Thumbprint::parse(&text));
        Ok((read(&row)?, key.ok_or_else(|| malformed("a thumbprint"))?))
    }

    async fn begin_term(&self, name: &ClusterName, event: Event) -> Result<u64, StoreError> {
        let mut tx = self.begin_writing().await?;
        let mut cluster = find(&mut tx, name).await?;
        cluster.require_served()?;
        cluster.term += 1;
        write(&mut tx, &cluster).await?;
        append(&mut tx, event).await?;
        self.commit(tx).await?;
        Ok(cluster.term)
    }
}

fn stranger() -> StoreError {
    let detail = "no cluster has this key; enrol it with a code";
    Refusal::new(Code::Forbidden, detail).into()
}

fn over() -> StoreError {
    let detail = "the session is over; open another one";
    Refusal::new(Code::SessionOver, detail).into()
}
