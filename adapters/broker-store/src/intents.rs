//! What clusters state, whose hostnames are, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use domain::broker::audit::Event;
use domain::broker::certificates::{self, SealedPair};
use domain::broker::claim::Claim;
use domain::broker::departure::Departure;
use domain::broker::grant::Granted;
use domain::broker::held::{Held, Place, Stated, Statement};
use domain::broker::lease::Versions;
use domain::broker::ports::{Finished, Intents, Placed, Sealed, SecretId, StoreError};
use domain::broker::settle::{LARGEST_CLUSTER, Seen, Settled};
use domain::broker::work::{Priority, Taken};
use domain::broker::{ClusterName, Code, Refusal, TenantName};
use domain::certificate::Fingerprint;
use domain::secret::TokenHash;
use domain::{Hostname, ObjectKey, Timestamp};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::accounts::text;
use crate::audit::append;
use crate::documents::HeldDocument;
use crate::rows::{Columns, number};
use crate::{SqlStore, accounts, budgets, clusters, failed, grants, notices, queue, secrets};

fn read(row: &AnyRow) -> Result<Held, StoreError> {
    let row = Columns(row);
    let document: HeldDocument = row.json("document")?;
    let (accounts, former) = row.accounts()?;
    document.read(key(&row)?, accounts, former)
}

fn key(row: &Columns<'_>) -> Result<ObjectKey, StoreError> {
    Ok(ObjectKey::new(row.text("namespace")?, row.text("name")?))
}

pub(crate) async fn find(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
) -> Result<Option<Held>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM gateways WHERE cluster = $1 AND namespace = $2 AND name = $3")
            .bind(cluster.to_string())
            .bind(gateway.namespace.clone())
            .bind(gateway.name.clone())
            .fetch_optional(tx)
            .await
            .map_err(failed)?;
    row.as_ref().map(read).transpose()
}

async fn write(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    held: &Held,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO gateways (cluster, namespace, name, accounts, former, done_at, version, document)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (cluster, namespace, name) DO UPDATE SET accounts = excluded.accounts, former = excluded.former,
             done_at = excluded.done_at, version = excluded.version, document = excluded.document",
    )
    .bind(cluster.to_string())
    .bind(held.gateway.namespace.clone())
    .bind(held.gateway.name.clone())
    .bind(text(&held.accounts))
    .bind(text(&held.former))
    .bind(held.done.as_ref().map_or(0, |done| done.at.0))
    .bind(number(held.version))
    .bind(HeldDocument::of(held).text())
    .execute(tx)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn all_of(tx: &mut AnyConnection, cluster: &ClusterName) -> Result<Vec<Held>, StoreError> {
    let rows = sqlx::query("SELECT * FROM gateways WHERE cluster = $1")
        .bind(cluster.to_string())
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    rows.iter().map(read).collect()
}

/// Wipes chains and keys that are kept no more.
async fn forget_pairs(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
    forgotten: impl IntoIterator<Item = &Fingerprint>,
) -> Result<(), StoreError> {
    for fingerprint in forgotten {
        let secret = SecretId::pair(cluster, gateway, fingerprint);
        secrets::keep(tx, &secret.owner, &BTreeSet::new()).await?;
    }
    Ok(())
}

/// Keeps those that were taken.
async fn keep_pairs(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
    taken: Vec<SealedPair>,
) -> Result<(), StoreError> {
    for pair in taken {
        let secret = SecretId::pair(cluster, gateway, &pair.fingerprint);
        secrets::keep(tx, &secret.owner, &BTreeSet::new()).await?;
        secrets::put(tx, &secret, pair.sealed).await?;
    }
    Ok(())
}

/// A cluster goes: each of its Gateways has the work for that.
pub(crate) async fn depart(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    departure: Departure,
    now: Timestamp,
) -> Result<(), StoreError> {
    for mut held in all_of(tx, cluster).await? {
        let before = held.pairs.clone();
        if held.depart(departure) {
            write(tx, cluster, &held).await?;
            forget_pairs(tx, cluster, &held.gateway, before.difference(&held.pairs)).await?;
            queue::add(tx, cluster, &held.gateway, Priority::of(&held), now).await?;
        }
    }
    Ok(())
}

/// A cluster leaves with all that it has: nothing is known of its Gateways any more, and its hostnames are free.
pub(crate) async fn forget_all(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
) -> Result<(), StoreError> {
    for held in all_of(tx, cluster).await? {
        forget_pairs(tx, cluster, &held.gateway, &held.pairs).await?;
    }
    for statement in [
        "DELETE FROM work WHERE cluster = $1",
        "DELETE FROM claims WHERE cluster = $1",
        "DELETE FROM gateway_names WHERE cluster = $1",
        "DELETE FROM gateways WHERE cluster = $1",
    ] {
        sqlx::query(statement)
            .bind(cluster.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

async fn forget(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM gateways WHERE cluster = $1 AND namespace = $2 AND name = $3")
        .bind(cluster.to_string())
        .bind(gateway.namespace.clone())
        .bind(gateway.name.clone())
        .execute(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Whether a cluster may have one Gateway more, whatever it was granted.
async fn has_room(tx: &mut AnyConnection, cluster: &ClusterName) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS gateways FROM gateways WHERE cluster = $1")
        .bind(cluster.to_string())
        .fetch_one(tx)
        .await
        .map_err(failed)?;
    if Columns(&row).count("gateways")? >= LARGEST_CLUSTER as u64 {
        let detail = format!("a broker takes {LARGEST_CLUSTER} Gateways of one cluster");
        return Err(Refusal::new(Code::TooManyGateways, detail).into());
    }
    Ok(())
}

/// Every claim of a cluster, and those of the wanted names and of the wildcards above them.
async fn claims(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    wanted: &BTreeSet<Hostname>,
) -> Result<Vec<Claim>, StoreError> {
    let mut rows = sqlx::query("SELECT * FROM claims WHERE cluster = $1")
        .bind(cluster.to_string())
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
    let above: BTreeSet<String> = wanted.iter().flat_map(names_above).collect();
    for name in above {
        let row = sqlx::query("SELECT * FROM claims WHERE hostname = $1 AND cluster <> $2")
            .bind(name)
            .bind(cluster.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        rows.extend(row);
    }
    let rows = rows.iter().map(Columns);
    rows.map(|row| {
        Ok(Claim {
            hostname: row.hostname("hostname")?,
            tenant: row.parsed("tenant", TenantName::parse)?,
            cluster: row.parsed("cluster", ClusterName::parse)?,
        })
    })
    .collect()
}

/// A name, and each wildcard that covers it.
fn names_above(hostname: &Hostname) -> Vec<String> {
    let mut names = vec![hostname.to_string()];
    let mut rest = hostname.wildcard_suffix().unwrap_or(hostname.as_str());
    while let Some((_, parent)) = rest.split_once('.') {
        names.push(format!("*.{parent}"));
        rest = parent;
    }
    names
}

/// Writes down which names a Gateway may have records of now, and ends the claims on those that no Gateway of the cluster may
/// have any more.
async fn rename(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
    before: &BTreeSet<Hostname>,
    after: &BTreeSet<Hostname>,
) -> Result<(), StoreError> {
    const ADD: &str =
        "INSERT INTO gateway_names (cluster, hostname, namespace, name) VALUES ($1, $2, $3, $4)";
    const REMOVE: &str = "DELETE FROM gateway_names WHERE cluster = $1 AND hostname = $2 AND namespace = $3 AND name = $4";
    let added = after.difference(before).map(|name| (ADD, name));
    let removed = before.difference(after).map(|name| (REMOVE, name));
    for (statement, hostname) in added.chain(removed) {
        sqlx::query(statement)
            .bind(cluster.to_string())
            .bind(hostname.to_string())
            .bind(gateway.namespace.clone())
            .bind(gateway.name.clone())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
    }
    for hostname in before.difference(after) {
        sqlx::query(
            "DELETE FROM claims WHERE cluster = $1 AND hostname = $2
             AND NOT EXISTS (SELECT 1 FROM gateway_names WHERE cluster = $1 AND hostname = $2)",
        )
        .bind(cluster.to_string())
        .bind(hostname.to_string())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    }
    Ok(())
}

/// Whoever took a piece of work has it no longer, and may have written at Cloudflare after somebody else did: the Gateway is
/// looked at again.
pub(crate) async fn look_after_late(
    tx: &mut AnyConnection,
    taken: &Taken,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (cluster, gateway) = (&taken.cluster, &taken.gateway);
    match find(&mut *tx, cluster, gateway).await? {
        Some(held) => queue::add(tx, cluster, gateway, Priority::of(&held), now).await,
        None => Ok(()),
    }
}

/// Other Gateways of a cluster that have or are to have a tunnel.
async fn others(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
) -> Result<BTreeSet<ObjectKey>, StoreError> {
    let rows =
        sqlx::query("SELECT namespace, name FROM gateways WHERE cluster = $1 AND accounts <> '[]'")
            .bind(cluster.to_string())
            .fetch_all(tx)
            .await
            .map_err(failed)?;
    let keys = rows.iter().map(|row| key(&Columns(row)));
    let mut keys: BTreeSet<ObjectKey> = keys.collect::<Result<_, _>>()?;
    keys.remove(gateway);
    Ok(keys)
}

/// Which of the wanted hostnames a Gateway gets, as it is now, and whose the cluster is.
async fn decided(
    tx: &mut AnyConnection,
    cluster: &ClusterName,
    gateway: &ObjectKey,
    wanted: &BTreeSet<Hostname>,
    keeps: bool,
    now: Timestamp,
) -> Result<(Held, TenantName, Settled), StoreError> {
    let known = clusters::find(&mut *tx, cluster).await?;
    let own = find(&mut *tx, cluster, gateway).await?;
    let own = own.unwrap_or_else(|| Held::new(gateway.clone()));
    let others = others(&mut *tx, cluster, gateway).await?;
    let grants = grants::of_tenant(&mut *tx, &known.tenant).await?;
    let accounts = accounts::of_tenant(&mut *tx, &known.tenant).await?;
    let claims = claims(&mut *tx, cluster, wanted).await?;
    let settled = Seen {
        tenant: &known.tenant,
        cluster,
        now,
        grants: &grants,
        accounts_of_tenant: &accounts,
        claims: &claims,
        others: &others,
        accounts: &own.accounts,
        keeps,
    }
    .settle(wanted, own.accounts.is_empty())?;
    Ok((own, known.tenant, settled))
}

#[async_trait]
impl Intents for SqlStore {
    async fn placed(&self, cluster: &ClusterName) -> Result<Placed, StoreError> {
        let rows = sqlx::query(
            "SELECT namespace, name, accounts, former FROM gateways WHERE cluster = $1",
        )
        .bind(cluster.to_string())
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(failed)?;
        let mut placed = Placed::default();
        for row in rows.iter().map(Columns) {
            placed.gateways.insert(key(&row)?);
            let (accounts, former) = row.accounts()?;
            placed.accounts.extend(accounts);
            placed.accounts.extend(former);
        }
        Ok(placed)
    }

    async fn versions(&self, cluster: &ClusterName) -> Result<Versions, StoreError> {
        let rows = sqlx::query("SELECT namespace, name, version FROM gateways WHERE cluster = $1")
            .bind(cluster.to_string())
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        let rows = rows.iter().map(Columns);
        rows.map(|row| Ok((key(&row)?, row.count("version")?)))
            .collect()
    }

    async fn held(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
    ) -> Result<Option<Held>, StoreError> {
        find(&mut *self.reader().await?, cluster, gateway).await
    }

    async fn state(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        statement: Statement,
        place: Place,
        if_match: Option<u64>,
        event: Event,
    ) -> Result<(Stated, Held), StoreError> {
        // Most statements say what is true already, and take no turn among those who write.
        let known = self.held(cluster, gateway).await?;
        if let Some(mut held) = known.filter(|held| place.term == held.place.term) {
            let stated = held.state(statement.clone(), place, if_match)?;
            if stated != Stated::Changed {
                return Ok((stated, held));
            }
        }
        let mut tx = self.begin_writing().await?;
        let known = clusters::find(&mut tx, cluster).await?;
        known.require_served()?;
        if place.term != known.term {
            let detail = "another controller of this cluster leads; begin a term to write";
            return Err(Refusal::new(Code::StaleTerm, detail).into());
        }
        let mut held = match find(&mut tx, cluster, gateway).await? {
            Some(held) => held,
            None => {
                has_room(&mut tx, cluster).await?;
                Held::new(gateway.clone())
            }
        };
        if held.version == 0 && statement == Statement::Remove {
            // One that this store never knew may have something all the same: the store may be a backup of before.
            let accounts = accounts::of_tenant(&mut tx, &known.tenant).await?;
            held.former = accounts.into_iter().map(|account| account.name).collect();
        }
        let before = held.clone();
        let mut sent = match &statement {
            Statement::Pairs(pairs) => pairs.clone(),
            _ => Vec::new(),
        };
        let stated = held.state(statement, place, if_match)?;
        if held == before {
            return Ok((stated, held));
        }
        write(&mut tx, cluster, &held).await?;
        let is_new = |one: &Fingerprint| held.pairs.contains(one) && !before.pairs.contains(one);
        sent.retain(|pair| is_new(&pair.fingerprint));
        keep_pairs(&mut tx, cluster, gateway, sent).await?;
        let forgotten = before.pairs.difference(&held.pairs);
        forget_pairs(&mut tx, cluster, gateway, forgotten).await?;
        if stated == Stated::Changed {
            queue::add(&mut tx, cluster, gateway, Priority::of(&held), event.at).await?;
            append(&mut tx, event).await?;
        }
        self.commit(tx).await?;
        Ok((stated, held))
    }

    async fn refused_certificates(
        &self,
        cluster: &ClusterName,
        wanted: &BTreeMap<ObjectKey, BTreeSet<Hostname>>,
        now: Timestamp,
    ) -> Result<BTreeMap<ObjectKey, Refusal>, StoreError> {
        let mut reader = self.reader().await?;
        let known = clusters::find(&mut reader, cluster).await?;
        let grants = grants::of_tenant(&mut reader, &known.tenant).await?;
        let all = wanted.values().flatten().cloned().collect();
        let claims = claims(&mut reader, cluster, &all).await?;
        let granted = Granted::new(&grants, cluster, now);
        let refusal = |(secret, names): (&ObjectKey, &BTreeSet<Hostname>)| {
            let decided = certificates::decide(names, &known.tenant, cluster, &claims, granted);
            Some((secret.clone(), decided.err()?))
        };
        Ok(wanted.iter().filter_map(refusal).collect())
    }

    async fn sealed_pair(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Sealed>, StoreError> {
        let secret = SecretId::pair(cluster, gateway, fingerprint);
        secrets::find(&mut *self.reader().await?, &secret).await
    }

    async fn note_tokens(
        &self,
        taken: &Taken,
        found: BTreeSet<TokenHash>,
    ) -> Result<BTreeSet<TokenHash>, StoreError> {
        let (cluster, gateway) = (&taken.cluster, &taken.gateway);
        let mut tx = self.begin_writing().await?;
        queue::require_held(&mut tx, taken).await?;
        let Some(mut held) = find(&mut tx, cluster, gateway).await? else {
            return Ok(BTreeSet::new());
        };
        let noted = held.note_tokens(found);
        write(&mut tx, cluster, &held).await?;
        self.commit_untold(tx).await?;
        Ok(noted)
    }

    async fn settle(
        &self,
        taken: &Taken,
        wanted: &BTreeSet<Hostname>,
        keeps: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let (cluster, gateway) = (&taken.cluster, &taken.gateway);
        let mut tx = self.begin_writing().await?;
        queue::require_held(&mut tx, taken).await?;
        // Its cluster may have been released since the work began.
        if find(&mut tx, cluster, gateway).await?.is_none() {
            let message = "the Gateway is not known any more";
            return Err(StoreError::Failed(message.to_owned()));
        }
        let (mut own, tenant, settled) =
            decided(&mut tx, cluster, gateway, wanted, keeps, now).await?;
        for hostname in settled.permitted() {
            sqlx::query(
                "INSERT INTO claims (hostname, tenant, cluster) VALUES ($1, $2, $3) ON CONFLICT (hostname) DO NOTHING",
            )
            .bind(hostname.to_string())
            .bind(tenant.to_string())
            .bind(cluster.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        let before = own.clone();
        own.place(&settled);
        if own != before {
            rename(&mut tx, cluster, gateway, &before.names, &own.names).await?;
            write(&mut tx, cluster, &own).await?;
        }
        self.commit(tx).await?;
        Ok(settled)
    }

    async fn would_settle(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        wanted: &BTreeSet<Hostname>,
        keeps: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let mut reader = self.reader().await?;
        let (_, _, settled) = decided(&mut reader, cluster, gateway, wanted, keeps, now).await?;
        Ok(settled)
    }

    async fn finish(
        &self,
        taken: &Taken,
        finished: Finished,
        again: Duration,
        event: Option<Event>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_writing().await?;
        let (cluster, gateway) = (&taken.cluster, &taken.gateway);
        budgets::add(&mut tx, &finished.spent, finished.at).await?;
        let Some(is_renewed) = queue::is_renewed(&mut tx, taken).await? else {
            look_after_late(&mut tx, taken, finished.at).await?;
            return self.commit(tx).await;
        };
        let Some(mut held) = find(&mut tx, cluster, gateway).await? else {
            queue::remove(&mut tx, taken).await?;
            return self.commit(tx).await;
        };
        let (names, pairs) = (held.names.clone(), held.pairs.clone());
        let Finished {
            version,
            permitted,
            outcome,
            at,
            spent: _,
        } = finished;
        if let Some((notice, detail)) = held.notice(version, &outcome) {
            notices::tell(&mut tx, cluster, &notice, &detail, at).await?;
        }
        held.finish(version, &permitted, outcome, at);
        rename(&mut tx, cluster, gateway, &names, &held.names).await?;
        forget_pairs(&mut tx, cluster, gateway, pairs.difference(&held.pairs)).await?;
        match held.is_gone() {
            true => forget(&mut tx, cluster, gateway).await?,
            false => write(&mut tx, cluster, &held).await?,
        }
        let wait = i64::try_from(again.as_secs()).unwrap_or(i64::MAX);
        let later = Timestamp(at.0.saturating_add(wait));
        let priority = Priority::of(&held);
        match (is_renewed, held.is_settled()) {
            _ if held.is_gone() => queue::remove(&mut tx, taken).await?,
            (true, _) => queue::again(&mut tx, taken, priority, at, 0).await?,
            (false, true) => queue::remove(&mut tx, taken).await?,
            (false, false) => {
                let attempts = taken.attempts.saturating_add(1);
                queue::again(&mut tx, taken, priority, later, attempts).await?;
            }
        }
        if let Some(event) = event {
            append(&mut tx, event).await?;
        }
        self.commit(tx).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wildcard_above_a_name_is_looked_at() {
        for (hostname, expected) in [
            ("a.b.com", vec!["a.b.com", "*.b.com", "*.com"]),
            ("*.b.com", vec!["*.b.com", "*.com"]),
            ("com", vec!["com"]),
        ] {
            let hostname = Hostname::parse(hostname).unwrap();
            assert_eq!(names_above(&hostname), expected);
        }
    }
}
