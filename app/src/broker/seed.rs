//! Tenants, accounts and grants out of a file, for those who keep them in Git.

use std::path::{Path, PathBuf};

use adapter_broker::tokens::{By, TokenError};
use adapter_broker::wire::people::GrantDocument;
use anyhow::Context;
use domain::AccountId;
use domain::broker::grant::Account;
use domain::broker::{AccountName, TenantName};
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Parts, event};

/// Who does what the file says.
const BY: By<'_> = By {
    actor: "seed",
    source: "",
};

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
    grants: Vec<GrantDocument>,
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

/// Puts what a file says into the store. What is there already and the same is not written; a token that cannot be used is
/// told and stops nothing else. Whether all was taken: not while whatever holds the keys is away.
pub(super) async fn apply(parts: &Parts, file: &Path) -> anyhow::Result<bool> {
    let seed = read(file)?;
    let mut is_whole = true;
    for tenant in seed.tenants {
        let name = tenant.name;
        let put = event(BY.actor, "tenant.put", name.as_str());
        parts.store.put_tenant(&name, put).await?;
        for entry in tenant.accounts {
            is_whole &= put_account(parts, &name, entry).await?;
        }
        let known = parts.store.grants(&name).await?;
        for entry in tenant.grants {
            let field = format!("grant {} of tenant {name}", entry.name);
            let grant = entry.read(&name).context(field)?;
            let seen = known.iter().find(|known| known.name == grant.name);
            let put = event(BY.actor, "grant.put", grant.name.as_str());
            parts.store.put_grant(&grant, seen, put).await?;
        }
    }
    Ok(is_whole)
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
) -> anyhow::Result<bool> {
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
    let known = parts.store.accounts(None).await?;
    let seen = known.iter().find(|known| known.name == account.name);
    let put = event(BY.actor, "account.put", account.name.as_str());
    let put = parts.store.put_account(&account, seen, put);
    put.await.context(field)?;
    let Some(file) = entry.token_file else {
        return Ok(true);
    };
    match put_token(parts, &account, read_token(&file)?).await {
        Ok(()) => Ok(true),
        Err(error @ TokenError::Unusable(_)) => {
            tracing::warn!(account = %account.name, "{error}");
            Ok(true)
        }
        Err(TokenError::Seal(error)) if error.kind.is_transient() => {
            tracing::warn!(account = %account.name, "its token is taken up later: {error}");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn put_token(
    parts: &Parts,
    account: &Account,
    token: SecretString,
) -> Result<(), TokenError> {
    match parts.tokens.is_in_use(account, &token).await? {
        true => Ok(()),
        false => parts.tokens.put(account, token, BY).await,
    }
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
