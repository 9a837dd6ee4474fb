//! What an operator does at the store of a broker, whether it runs or not.

use std::fmt::Write as _;
use std::path::Path;

use adapter_broker::audit::{self, Evidence, Verified};
use adapter_broker::identity;
use adapter_broker::tokens::By;
use adapter_broker::wire::audit::{CheckpointDocument, CheckpointsDocument, SigningKeyDocument};
use adapter_broker::wire::people::{attested, moment, standing};
use anyhow::Context;
use domain::broker::audit::Event;
use domain::broker::audit::checkpoint::Checkpoint;
use domain::broker::cluster::{Cluster, LONGEST_CODE, Standing, Thumbprint, WhenExpired};
use domain::broker::contact::{Contact, Patience};
use domain::broker::ports::{Audit, Invitation, Turn};
use domain::broker::{AccountName, ClusterName, TenantName};
use domain::ports::Clock;
use domain::{Hostname, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::{Parts, event};
use crate::system::SystemEntropy;

/// Who has the store and its keys may do everything.
pub(super) const ACTOR: &str = "operator at the store";

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

/// Accepts the key of a cluster that asks, or what it is attested by anew. What it is attested by now.
pub async fn accept(
    parts: &Parts,
    cluster: &str,
    key: &str,
    attest_anew: Option<&str>,
) -> anyhow::Result<String> {
    let thumbprint = |option: &str, text: &str| {
        Thumbprint::parse(text).with_context(|| {
            format!(
                "{option}: Invalid value: must be the thumbprint that the cluster tells, 43 characters"
            )
        })
    };
    let key = thumbprint("--key", key)?;
    let attest_anew = attest_anew
        .map(|text| thumbprint("--attest-anew", text))
        .transpose()?;
    let detail = attest_anew
        .as_ref()
        .map_or(String::new(), |anew| format!("attest anew: {anew}"));
    let event = Event {
        detail,
        ..event(ACTOR, "cluster.accept", cluster)
    };
    let name = ClusterName::parse(cluster)?;
    let accept = Turn::Accept { key, attest_anew };
    let accepted = parts.store.turn(&name, accept, event).await?;
    Ok(attested_by(&accepted))
}

fn attested_by(cluster: &Cluster) -> String {
    let by = cluster.attestation.as_ref();
    attested(by.map(|by| (by.subject.as_str(), by.issuer.as_str())))
}

/// Ends the sessions of a cluster.
pub async fn revoke(parts: &Parts, cluster: &str) -> anyhow::Result<()> {
    turn(parts, cluster, Turn::Revoke, "cluster.revoke").await
}

/// Ends the sessions of a cluster, and has its connectors shut out.
pub async fn quarantine(parts: &Parts, cluster: &str) -> anyhow::Result<()> {
    turn(parts, cluster, Turn::Quarantine, "cluster.quarantine").await
}

/// A cluster leaves: what it has at Cloudflare stays, and is not looked after here any more.
pub async fn release(parts: &Parts, cluster: &str) -> anyhow::Result<()> {
    turn(parts, cluster, Turn::Release, "cluster.release").await
}

/// What becomes of a cluster once it has expired.
pub async fn when_expired(parts: &Parts, cluster: &str, when: WhenExpired) -> anyhow::Result<()> {
    let name = ClusterName::parse(cluster)?;
    let seen = parts.store.cluster(&name).await?.when_expired;
    let event = Event {
        detail: when.as_str().to_owned(),
        ..event(ACTOR, "cluster.when-expired", cluster)
    };
    let turn = Turn::WhenExpired { seen, then: when };
    parts.store.turn(&name, turn, event).await?;
    Ok(())
}

/// Has everything removed that a cluster has, if its name is repeated as `confirmed`; else nothing is changed. What is or
/// would be removed.
pub async fn give_up(
    parts: &Parts,
    cluster: &str,
    confirmed: Option<&str>,
) -> anyhow::Result<String> {
    let name = ClusterName::parse(cluster)?;
    let known = parts.store.cluster(&name).await?;
    let mut text = plan_of_removal(parts, &known).await?;
    let Some(confirmed) = confirmed else {
        writeln!(text, "Nothing was changed; add --confirm {name} to do it")?;
        return Ok(text);
    };
    anyhow::ensure!(
        confirmed == cluster,
        "--confirm: Invalid value: {confirmed:?}: must be {cluster}, the cluster that is given up"
    );
    turn(parts, cluster, Turn::GiveUp, "cluster.give-up").await?;
    writeln!(
        text,
        "cluster {name} is given up; the broker removes what it has"
    )?;
    Ok(text)
}

/// Gateways, accounts and hostnames of a cluster.
async fn plan_of_removal(parts: &Parts, cluster: &Cluster) -> anyhow::Result<String> {
    let Cluster { name, tenant, .. } = cluster;
    let gateways = parts.store.placed(name).await?.gateways;
    let mut text = format!(
        "To be removed: records and tunnels of {} Gateways of cluster {name}, tenant {tenant}\n",
        gateways.len()
    );
    if !gateways.is_empty() {
        writeln!(text, "{:<32} {:<16} HOSTNAMES", "GATEWAY", "ACCOUNT")?;
    }
    for gateway in gateways {
        let Some(held) = parts.store.held(name, &gateway).await? else {
            continue;
        };
        let accounts = held.everywhere().into_iter();
        let accounts: Vec<&str> = accounts.map(AccountName::as_str).collect();
        let hostnames: Vec<&str> = held.names.iter().map(Hostname::as_str).collect();
        let (accounts, hostnames) = (accounts.join(","), hostnames.join(","));
        let gateway = gateway.to_string();
        writeln!(text, "{gateway:<32} {accounts:<16} {hostnames}")?;
    }
    Ok(text)
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
    let now = parts.clock.now();
    let mut text = row([
        "CLUSTER",
        "TENANT",
        "STANDING",
        "CONTACT",
        "LAST CONTACT",
        "KEY",
        "ATTESTED",
    ]);
    for cluster in parts.store.clusters(None).await? {
        let key = cluster.identity().map(|identity| &identity.key);
        let last = cluster.last_contact.map_or("never".to_owned(), moment);
        text.push_str(&row([
            cluster.name.as_str(),
            cluster.tenant.as_str(),
            standing(&cluster.standing),
            contact(&cluster, now, parts.patience),
            &last,
            key.map_or("", Thumbprint::as_str),
            &attested_by(&cluster),
        ]));
    }
    Ok(text)
}

fn row([cluster, tenant, standing, contact, last, key, attested]: [&str; 7]) -> String {
    let row = format!(
        "{cluster:<24} {tenant:<16} {standing:<12} {contact:<8} {last:<21} {key:<43} {attested}"
    );
    format!("{}\n", row.trim_end())
}

/// As the broker found it last; one that has fallen silent while no broker ran is stale all the same.
fn contact(cluster: &Cluster, now: Timestamp, patience: Patience) -> &'static str {
    let (Standing::Admitted(_), Some(last)) = (&cluster.standing, cluster.last_contact) else {
        return "-";
    };
    let contact = match cluster.contact {
        Contact::Live => Contact::of(last, now, patience, None),
        found => found,
    };
    contact.as_str()
}

/// Puts an API token in, and tries it.
pub async fn put_token(parts: &Parts, account: &str, file: &Path) -> anyhow::Result<()> {
    let name = AccountName::parse(account)?;
    let account = parts.store.account(&name).await?;
    let token = super::seed::read_token(file)?;
    let by = By {
        actor: ACTOR,
        source: "",
    };
    let put = parts.tokens.put(&account, token, by).await;
    put.with_context(|| format!("account {name}"))
}

/// Goes through the audit, with files of what was cut and with what was kept elsewhere. What was found.
pub async fn verify_audit(
    parts: &Parts,
    exported: Option<&Path>,
    kept: Option<&Path>,
) -> anyhow::Result<String> {
    let evidence = Evidence {
        files: exported.map(Path::to_owned),
        kept: kept.map(read_kept).transpose()?,
    };
    let found = audit::verify(&*parts.store, &*parts.envelopes, &evidence).await?;
    let Verified {
        first,
        end,
        signed,
        files,
    } = found;
    let mut text = format!(
        "entries {first} to {} are whole, with {files} exported files; the last has hash {}\n",
        end.sequence, end.link
    );
    match signed.map(|signed| signed.statement) {
        Some(signed) => writeln!(
            text,
            "up to entry {} they are signed, by key {} at {}",
            signed.end.sequence,
            signed.key,
            moment(signed.at)
        )?,
        None => writeln!(text, "nothing is signed yet")?,
    }
    Ok(text)
}

fn read_kept(file: &Path) -> anyhow::Result<CheckpointsDocument> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("--kept {}", file.display()))
}

/// Signs the audit as it is now. The keys, and the checkpoint.
pub async fn sign_audit(parts: &Parts) -> anyhow::Result<String> {
    let checkpoint = parts.keeper.sign().await?;
    to_keep(parts, &checkpoint).await
}

/// Makes another key that signs the audit from now on. The keys, and the first checkpoint of the new one.
pub async fn new_signing_key(parts: &Parts) -> anyhow::Result<String> {
    let checkpoint = parts.keeper.replace_key().await?;
    to_keep(parts, &checkpoint).await
}

async fn to_keep(parts: &Parts, checkpoint: &Checkpoint) -> anyhow::Result<String> {
    let keys = parts.store.signing_keys().await?;
    let document = CheckpointsDocument {
        keys: keys.iter().map(SigningKeyDocument::of).collect(),
        items: vec![CheckpointDocument::of(checkpoint)],
        next: None,
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

/// Wraps every secret by the key that seals now. How many there were.
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
