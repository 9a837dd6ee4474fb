//! API tokens of accounts: tried before they count, without a write.

use std::collections::BTreeSet;

use adapter_broker::seal::Envelopes;
use anyhow::Context;
use domain::broker::audit::Event;
use domain::broker::credential::Version;
use domain::broker::grant::Account;
use domain::broker::ports::{Judgement, Seal, Store};
use domain::edge::api::{CloudflareAccounts, CloudflareApi};
use domain::ports::{Clock, PortError, PortErrorKind};
use domain::secret::CloudflareCredentials;
use secrecy::{ExposeSecret, SecretString};

use super::{Parts, event};
use crate::system::SystemClock;

/// Puts a token in, and tries it. It counts if it works; else the one before stays.
pub(super) async fn put(
    parts: &Parts,
    account: &Account,
    token: SecretString,
    actor: &str,
) -> anyhow::Result<()> {
    let store = &*parts.store;
    let version = store.slots(&account.name).await?.next_version();
    let sealed = parts.envelopes.seal(account, version, &token).await?;
    let put = told(
        actor,
        "token.put",
        account,
        "done",
        format!("version {}", version.0),
    );
    store.offer(&account.name, sealed, version, put).await?;
    let credentials = CloudflareCredentials {
        account: account.cloudflare.clone(),
        token,
    };
    let tried = probe(&*parts.accounts.open(&credentials)).await;
    let (judgement, result, detail) = match &tried {
        Ok(zones) => {
            let zones = zones.clone();
            let seen = zones
                .as_ref()
                .map_or("none by list".to_owned(), |it| it.len().to_string());
            (
                Judgement::Works { version, zones },
                "done",
                format!("zones: {seen}"),
            )
        }
        Err(error) => (Judgement::Fails(version), "failed", error.message.clone()),
    };
    let event = told(actor, "token.verify", account, result, detail);
    store
        .judge(&account.name, judgement, event.at, event)
        .await?;
    tried.with_context(|| {
        format!(
            "the token of account {}; the one before stays in use",
            account.name
        )
    })?;
    Ok(())
}

/// Whether a token is the one that is in use.
pub(super) async fn is_in_use(
    store: &dyn Store,
    envelopes: &Envelopes,
    account: &Account,
    token: &SecretString,
) -> anyhow::Result<bool> {
    let slots = store.slots(&account.name).await?;
    let Some(version) = slots.active else {
        return Ok(false);
    };
    let known = opened(store, envelopes, account, version).await?;
    Ok(known.expose_secret() == token.expose_secret())
}

async fn opened(
    store: &dyn Store,
    envelopes: &Envelopes,
    account: &Account,
    version: Version,
) -> anyhow::Result<SecretString> {
    let sealed = store.sealed(&account.name, version).await?;
    Ok(envelopes.open(account, version, &sealed).await?)
}

/// Tries what a token may do, without a write: see the account's tunnels, and its zones. The zones are `None` where it may
/// not list them; each is looked up by its name then.
async fn probe(api: &dyn CloudflareApi) -> Result<Option<BTreeSet<String>>, PortError> {
    api.tunnels("cfgw-probe/").await?;
    match api.zones().await {
        Ok(zones) => Ok(Some(zones.into_iter().map(|zone| zone.name).collect())),
        Err(error) if error.kind == PortErrorKind::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks again which zones the tokens see: one may have come since a token was tried.
pub(super) async fn look_again(parts: &Parts) -> anyhow::Result<()> {
    let store = &*parts.store;
    for account in store.accounts(None).await? {
        let Some(version) = store.slots(&account.name).await?.in_use() else {
            continue;
        };
        let credentials = CloudflareCredentials {
            account: account.cloudflare.clone(),
            token: opened(store, &parts.envelopes, &account, version).await?,
        };
        // What cannot be read now is as it was.
        let Ok(zones) = probe(&*parts.accounts.open(&credentials)).await else {
            continue;
        };
        if zones != account.zones {
            let seen = zones.as_ref().map_or(0, BTreeSet::len);
            let event = told(
                "broker",
                "zones.see",
                &account,
                "done",
                format!("zones: {seen}"),
            );
            let judgement = Judgement::Works { version, zones };
            store
                .judge(&account.name, judgement, event.at, event)
                .await?;
        }
    }
    Ok(())
}

/// Forgets tokens that were replaced long enough ago.
pub(super) async fn expire(store: &dyn Store) -> anyhow::Result<()> {
    let now = SystemClock.now();
    for account in store.accounts(None).await? {
        let slots = store.slots(&account.name).await?;
        let mut after = slots;
        after.expire(now);
        if after != slots {
            let event = told("broker", "token.expire", &account, "done", String::new());
            store
                .judge(&account.name, Judgement::Expire, now, event)
                .await?;
        }
    }
    Ok(())
}

fn told(actor: &str, action: &str, account: &Account, result: &str, detail: String) -> Event {
    Event {
        result: result.to_owned(),
        detail,
        ..event(actor, action, account.name.as_str())
    }
}
