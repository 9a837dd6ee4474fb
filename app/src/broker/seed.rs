//! Tenants, accounts and grants out of a file, for those who keep them in Git.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use domain::broker::grant::{Account, Clusters, Grant};
use domain::broker::{AccountName, ClusterName, GrantName, TenantName};
use domain::{AccountId, AllowedHostnames, Hostname, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Parts, event, tokens};

/// Who does what the file says.
const ACTOR: &str = "seed";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    tenants: Vec<Tenant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    name: TenantName,
    #[serde(default)]
    accounts: Vec<AccountEntry>,
    #[serde(default)]
    grants: Vec<GrantEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountEntry {
    name: AccountName,
    /// Its id at Cloudflare.
    cloudflare: String,
    /// Whether grants of other tenants may name it.
    #[serde(default)]
    shared: bool,
    /// The file with its API token. Without one the token is put in by hand.
    token_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantEntry {
    name: GrantName,
    /// Absent: all clusters of the tenant.
    clusters: Option<BTreeSet<String>>,
    /// Names, and wildcards for every name below. `*` alone: every name.
    hostnames: Vec<String>,
    #[serde(default)]
    except: Vec<Hostname>,
    account: Option<AccountName>,
    max_hostnames: Option<u32>,
    max_gateways: Option<u32>,
    /// RFC 3339.
    expires: Option<String>,
}

impl GrantEntry {
    fn read(self, tenant: &TenantName) -> anyhow::Result<Grant> {
        let names = self.clusters.map(|names| {
            let names = names.iter().map(|name| ClusterName::parse(name));
            names.collect::<Result<BTreeSet<_>, _>>()
        });
        let expires = self.expires.map(|text| text.parse::<jiff::Timestamp>());
        Ok(Grant {
            clusters: names.transpose()?.map_or(Clusters::All, Clusters::Named),
            hostnames: hostnames(&self.hostnames)?,
            except: self.except.into_iter().collect(),
            account: self.account,
            max_hostnames: self.max_hostnames,
            max_gateways: self.max_gateways,
            expires: expires.transpose()?.map(|at| Timestamp(at.as_second())),
            name: self.name,
            tenant: tenant.clone(),
        })
    }
}

fn hostnames(texts: &[String]) -> anyhow::Result<AllowedHostnames> {
    if texts == ["*"] {
        return Ok(AllowedHostnames::Any);
    }
    let names = texts.iter().map(|text| Hostname::parse(text));
    let names: Vec<Hostname> = names.collect::<Result<_, _>>()?;
    Ok(AllowedHostnames::listed(names))
}

/// Puts what a file says into the store. What is there already and the same is not written; a token that cannot be used is
/// told and stops nothing else.
pub(super) async fn apply(parts: &Parts, file: &Path) -> anyhow::Result<()> {
    let seed = read(file)?;
    for tenant in seed.tenants {
        let name = tenant.name;
        if !parts.store.tenants().await?.contains(&name) {
            let put = event(ACTOR, "tenant.put", name.as_str());
            parts.store.put_tenant(&name, put).await?;
        }
        for entry in tenant.accounts {
            put_account(parts, &name, entry).await?;
        }
        let known = parts.store.grants(&name).await?;
        for entry in tenant.grants {
            let field = format!("grant {} of tenant {name}", entry.name);
            let grant = entry.read(&name).context(field)?;
            if !known.contains(&grant) {
                let put = event(ACTOR, "grant.put", grant.name.as_str());
                parts.store.put_grant(&grant, put).await?;
            }
        }
    }
    Ok(())
}

/// The hash of a seed and of the tokens that it names: with another one there is something to take up. `None` where the file
/// cannot be read.
pub(super) fn present(file: &Path) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(std::fs::read(file).ok()?);
    let tenants = read(file).map_or_else(|_| Vec::new(), |seed| seed.tenants);
    let accounts = tenants.into_iter().flat_map(|tenant| tenant.accounts);
    for token in accounts.filter_map(|account| account.token_file) {
        hash.update(std::fs::read(token).unwrap_or_default());
    }
    Some(hash.finalize().into())
}

fn read(file: &Path) -> anyhow::Result<Seed> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    // Its message may repeat a value; there is no secret in such a file.
    serde_saphyr::from_str(&text).with_context(|| format!("seed {}", file.display()))
}

async fn put_account(
    parts: &Parts,
    tenant: &TenantName,
    entry: AccountEntry,
) -> anyhow::Result<()> {
    let field = format!("account {} of tenant {tenant}", entry.name);
    let id = entry.cloudflare.to_ascii_lowercase();
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    anyhow::ensure!(
        is_id,
        "{field}: cloudflare: must be the account's id, 32 hexadecimal digits"
    );
    let account = Account {
        name: entry.name,
        tenant: tenant.clone(),
        cloudflare: AccountId::new(id),
        shared: entry.shared,
        zones: None,
    };
    let put = event(ACTOR, "account.put", account.name.as_str());
    parts
        .store
        .put_account(&account, put)
        .await
        .context(field)?;
    let Some(file) = entry.token_file else {
        return Ok(());
    };
    let token = read_token(&file)?;
    if !tokens::is_in_use(&*parts.store, &parts.envelopes, &account, &token).await?
        && let Err(error) = tokens::put(parts, &account, token, ACTOR).await
    {
        tracing::warn!("{error:#}");
    }
    Ok(())
}

/// Reads a file with one token in it. No error repeats it.
pub(super) fn read_token(file: &Path) -> anyhow::Result<SecretString> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    anyhow::ensure!(
        is_token,
        "{} does not hold a token: one line of visible ASCII is expected",
        file.display()
    );
    Ok(SecretString::from(token))
}
