//! The keys that secrets are sealed by, as the settings name them.

use std::path::Path;
use std::sync::Arc;

use adapter_broker::seal::ring::KeyRing;
use adapter_broker::seal::written::WrittenKeys;
use adapter_kms::{Pkcs11Keys, Pkcs11Settings, VaultKeys, VaultSettings};
use anyhow::Context;
use config::BrokerSettings;
use config::values::{KeyKind, KeyLabel};
use domain::broker::ports::KeyWrap;
use secrecy::SecretString;

use crate::system::SystemEntropy;

/// All keys; those of the kind that seals come first.
pub(super) fn keys(settings: &BrokerSettings) -> anyhow::Result<Arc<dyn KeyWrap>> {
    let kinds = settings.kinds_of_keys().into_iter();
    let all: anyhow::Result<Vec<_>> = kinds.map(|kind| of_kind(kind, settings)).collect();
    let mut all = all?.into_iter();
    let seals = all.next().context("keys_file is not set")?;
    Ok(Arc::new(KeyRing::new(seals, all.collect())))
}

fn of_kind(kind: KeyKind, settings: &BrokerSettings) -> anyhow::Result<Arc<dyn KeyWrap>> {
    Ok(match kind {
        KeyKind::File => {
            let file = needed(settings.keys_file.as_deref(), "keys_file")?;
            let text = read(file)?;
            let named = || format!("keys_file {}", file.display());
            Arc::new(WrittenKeys::parse(&text).with_context(named)?)
        }
        KeyKind::Variable => {
            let name = needed(settings.keys_variable.as_ref(), "keys_variable")?.as_str();
            let text = std::env::var(name).map(SecretString::from);
            let text = text.map_err(|_| {
                anyhow::anyhow!("keys_variable: the environment variable {name} is not set")
            })?;
            let named = || format!("the environment variable {name}");
            Arc::new(WrittenKeys::parse(&text).with_context(named)?)
        }
        KeyKind::Pkcs11 => Arc::new(of_module(settings)?),
        KeyKind::Vault => Arc::new(of_vault(settings)?),
    })
}

fn of_module(settings: &BrokerSettings) -> anyhow::Result<Pkcs11Keys> {
    let settings = &settings.pkcs11;
    let module = needed(settings.module.as_deref(), "pkcs11.module")?;
    let settings = Pkcs11Settings {
        module: module.to_owned(),
        token: needed(settings.token.as_ref(), "pkcs11.token")?
            .as_str()
            .to_owned(),
        key: settings.key.as_str().to_owned(),
        pin_file: needed(settings.pin_file.as_deref(), "pkcs11.pin_file")?.to_owned(),
    };
    let keys = Pkcs11Keys::new(settings, Arc::new(SystemEntropy::default()));
    keys.map_err(|reason| {
        anyhow::anyhow!(
            "pkcs11.module {} cannot be loaded: {reason}",
            module.display()
        )
    })
}

fn of_vault(settings: &BrokerSettings) -> anyhow::Result<VaultKeys> {
    let settings = &settings.vault;
    let address = needed(settings.address.as_ref(), "vault.address")?;
    Ok(VaultKeys::new(VaultSettings {
        address: address.as_str().to_owned(),
        mount: settings.mount.as_str().to_owned(),
        key: settings.key.as_str().to_owned(),
        namespace: settings
            .namespace
            .as_ref()
            .map(KeyLabel::as_str)
            .map(str::to_owned),
        token_file: needed(settings.token_file.as_deref(), "vault.token_file")?.to_owned(),
        ca_file: settings.ca_file.clone(),
        timeout: settings.request_timeout.get(),
    })?)
}

fn needed<'s, T: ?Sized>(setting: Option<&'s T>, name: &str) -> anyhow::Result<&'s T> {
    setting.with_context(|| format!("{name} is not set"))
}

fn read(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(SecretString::from(text))
}
