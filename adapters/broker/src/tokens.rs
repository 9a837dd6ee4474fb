//! API tokens of accounts: tried before they count, without a write.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::broker::audit::Event;
use domain::broker::credential::Version;
use domain::broker::grant::Account;
use domain::broker::ports::{Judgement, Purpose, Seal, Store, StoreError};
use domain::edge::api::{CloudflareAccounts, CloudflareApi};
use domain::ports::{Clock, PortError, PortErrorKind};
use domain::secret::CloudflareCredentials;
use secrecy::{ExposeSecret, SecretString};

use crate::rays;

/// Puts tokens in and looks after those that are there.
pub struct Tokens {
    pub store: Arc<dyn Store>,
    pub seal: Arc<dyn Seal>,
    pub accounts: Arc<dyn CloudflareAccounts>,
    pub clock: Arc<dyn Clock>,
}

/// Who puts a token in, as the audit has it.
#[derive(Debug, Clone, Copy)]
pub struct By<'s> {
    pub actor: &'s str,
    /// The address that it was asked from; empty for what is done at the store.
    pub source: &'s str,
}

/// The broker by itself.
const BROKER: By<'_> = By {
    actor: "broker",
    source: "",
};

/// Why a token was not put in.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be sealed, or what is sealed cannot be opened.
    #[error("the token cannot be sealed: {0}")]
    Seal(PortError),
    /// It was tried and does not do what is needed.
    #[error("the token does not work: {0}; the one before stays in use")]
    Unusable(PortError),
}

impl Tokens {
    /// Puts a token in, and tries it. It counts if it works; else the one before stays.
    pub async fn put(
        &self,
        account: &Account,
        token: SecretString,
        by: By<'_>,
    ) -> Result<(), TokenError> {
        let version = self.store.slots(&account.name).await?.next_version();
        let sealed = self.seal.seal(Purpose::Token(account, version), &token);
        let sealed = sealed.await.map_err(TokenError::Seal)?;
        let put = self.event(by, "token.put", account, format!("version {}", version.0));
        let offered = self.store.offer(&account.name, sealed, version, put);
        offered.await?;
        let credentials = CloudflareCredentials {
            account: account.cloudflare.clone(),
            token,
        };
        let api = self.accounts.open(&credentials);
        let (tried, ray) = rays::noting(async { (probe(&*api).await, rays::noted()) }).await;
        self.judge(account, version, &tried, by, ray).await?;
        tried.map(|_| ()).map_err(TokenError::Unusable)
    }

    async fn judge(
        &self,
        account: &Account,
        version: Version,
        tried: &Result<Option<BTreeSet<String>>, PortError>,
        by: By<'_>,
        ray: String,
    ) -> Result<(), StoreError> {
        let (judgement, result, detail) = match tried {
            Ok(zones) => {
                let detail = seen(zones.as_ref());
                let zones = zones.clone();
                (Judgement::Works { version, zones }, "done", detail)
            }
            Err(error) => (Judgement::Fails(version), "failed", error.message.clone()),
        };
        let event = Event {
            result: result.to_owned(),
            ray,
            ..self.event(by, "token.verify", account, detail)
        };
        let at = event.at;
        self.store
            .judge(&account.name, judgement, at, event)
            .await?;
        Ok(())
    }

    /// Whether a token is the one that is in use.
    pub async fn is_in_use(
        &self,
        account: &Account,
        token: &SecretString,
    ) -> Result<bool, TokenError> {
        let slots = self.store.slots(&account.name).await?;
        let Some(version) = slots.active else {
            return Ok(false);
        };
        let known = self.opened(account, version).await?;
        Ok(known.expose_secret() == token.expose_secret())
    }

    async fn opened(
        &self,
        account: &Account,
        version: Version,
    ) -> Result<SecretString, TokenError> {
        let sealed = self.store.sealed(&account.name, version).await?;
        let opened = self.seal.open(Purpose::Token(account, version), &sealed);
        opened.await.map_err(TokenError::Seal)
    }

    /// Looks again which zones the tokens see: one may have come since a token was tried.
    pub async fn look_again(&self) -> Result<(), TokenError> {
        for account in self.store.accounts(None).await? {
            let Some(version) = self.store.slots(&account.name).await?.in_use() else {
                continue;
            };
            let credentials = CloudflareCredentials {
                account: account.cloudflare.clone(),
                token: self.opened(&account, version).await?,
            };
            // What cannot be read now is as it was.
            let Ok(zones) = probe(&*self.accounts.open(&credentials)).await else {
                continue;
            };
            if zones != account.zones {
                let event = self.event(BROKER, "zones.see", &account, seen(zones.as_ref()));
                let (judgement, at) = (Judgement::Works { version, zones }, event.at);
                self.store
                    .judge(&account.name, judgement, at, event)
                    .await?;
            }
        }
        Ok(())
    }

    /// Forgets tokens that were replaced long enough ago.
    pub async fn expire(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for account in self.store.accounts(None).await? {
            let slots = self.store.slots(&account.name).await?;
            let mut after = slots;
            after.expire(now);
            if after != slots {
                let event = self.event(BROKER, "token.expire", &account, String::new());
                let expire = Judgement::Expire;
                self.store.judge(&account.name, expire, now, event).await?;
            }
        }
        Ok(())
    }

    fn event(&self, by: By<'_>, action: &str, account: &Account, detail: String) -> Event {
        Event {
            at: self.clock.now(),
            actor: by.actor.to_owned(),
            source: by.source.to_owned(),
            action: action.to_owned(),
            object: account.name.to_string(),
            result: "done".to_owned(),
            detail,
            ..Event::default()
        }
    }
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

fn seen(zones: Option<&BTreeSet<String>>) -> String {
    let count = zones.map(|zones| zones.len().to_string());
    format!("zones: {}", count.as_deref().unwrap_or("none by list"))
}
