//! What an operator does at the store of a broker, whether it runs or not.

use std::fmt::Write as _;
use std::path::Path;

use adapter_broker::identity;
use anyhow::Context;
use domain::Timestamp;
use domain::broker::audit::End;
use domain::broker::cluster::{Cluster, LONGEST_CODE, Standing, Thumbprint, WhenExpired};
use domain::broker::ports::{Audit, Invitation, Turn};
use domain::broker::{AccountName, ClusterName, TenantName};
use secrecy::{ExposeSecret, SecretString};

use super::{Parts, event, tokens};
use crate::system::SystemEntropy;

/// Who has the store and its keys may do everything.
const ACTOR: &str = "operator at the store";

/// Gives out a code for a cluster, which it is enrolled with.
pub async fn invite(
    parts: &Parts,
    cluster: &str,
    tenant: &str,
    when_expired: WhenExpired,
) -> anyhow::Result<SecretString> {
    let code = identity::unpredictable(&SystemEntropy::default());
    let lasts = LONGEST_CODE.as_secs();
    let event = event(ACTOR, "cluster.invite", cluster);
    let invitation = Invitation {
        cluster: ClusterName::parse(cluster)?,
        tenant: TenantName::parse(tenant)?,
        when_expired,
        code: identity::digest(&code),
        expires: Timestamp(event.at.0.saturating_add_unsigned(lasts)),
    };
    parts.store.invite(invitation, event).await?;
    Ok(code)
}

/// Accepts the key of a cluster that asks.
pub async fn accept(parts: &Parts, cluster: &str, key: &str) -> anyhow::Result<()> {
    let key = Thumbprint::parse(key)
        .context("the key must be the thumbprint that the cluster tells, 43 characters")?;
    turn(parts, cluster, Turn::Accept(key), "cluster.accept").await
}

/// Ends the sessions of a cluster.
pub async fn revoke(parts: &Parts, cluster: &str) -> anyhow::Result<()> {
    turn(parts, cluster, Turn::Revoke, "cluster.revoke").await
}

async fn turn(parts: &Parts, cluster: &str, turn: Turn, action: &str) -> anyhow::Result<()> {
    let name = ClusterName::parse(cluster)?;
    parts
        .store
        .turn(&name, turn, event(ACTOR, action, cluster))
        .await?;
    Ok(())
}

/// All clusters, as a table.
pub async fn clusters(parts: &Parts) -> anyhow::Result<String> {
    let mut text = format!(
        "{:<24} {:<16} {:<12} {}\n",
        "CLUSTER", "TENANT", "STANDING", "KEY"
    );
    for cluster in parts.store.clusters(None).await? {
        let key = cluster
            .identity()
            .map_or("", |identity| identity.key.as_str());
        let (name, tenant) = (cluster.name.as_str(), cluster.tenant.as_str());
        let standing = standing(&cluster);
        writeln!(text, "{name:<24} {tenant:<16} {standing:<12} {key}")?;
    }
    Ok(text)
}

fn standing(cluster: &Cluster) -> &'static str {
    match cluster.standing {
        Standing::Invited => "invited",
        Standing::Asking(_) => "asking",
        Standing::Admitted(_) => "admitted",
        Standing::Revoked(_) => "revoked",
        Standing::Quarantined(_) => "quarantined",
        Standing::Tombstoned(_) => "given up",
    }
}

/// Puts an API token in, and tries it.
pub async fn put_token(parts: &Parts, account: &str, file: &Path) -> anyhow::Result<()> {
    let name = AccountName::parse(account)?;
    let account = parts.store.account(&name).await?;
    let token = super::seed::read_token(file)?;
    tokens::put(parts, &account, token, ACTOR).await
}

/// Goes through the audit, and tells its end.
pub async fn verify_audit(parts: &Parts) -> anyhow::Result<End> {
    const PAGE: usize = 1000;
    let mut end = End::default();
    loop {
        let page = parts.store.after(end.sequence, PAGE).await?;
        if page.is_empty() {
            return Ok(end);
        }
        for entry in &page {
            end = end.verify(entry)?;
        }
    }
}

/// Wraps every token by the first of the keys. How many there were.
pub async fn wrap_again(parts: &Parts) -> anyhow::Result<usize> {
    Ok(parts.envelopes.wrap_again(&parts.sql).await?)
}

/// Writes a copy of the store into a file.
pub async fn back_up(parts: &Parts, file: &Path) -> anyhow::Result<()> {
    parts.sql.back_up(file).await?;
    parts.sql.append(event(ACTOR, "store.back-up", "")).await?;
    Ok(())
}

/// A code, for a person to hand on.
pub fn told(code: &SecretString) -> String {
    code.expose_secret().to_owned()
}
