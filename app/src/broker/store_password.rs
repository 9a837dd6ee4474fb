//! The password of the broker's user at PostgreSQL.

use anyhow::Context as _;
use config::BrokerSettings;
use secrecy::{ExposeSecret as _, SecretString};

use super::Parts;

/// What the file has, without the end of its line; `None` where the settings name none.
pub(super) fn read(settings: &BrokerSettings) -> anyhow::Result<Option<SecretString>> {
    let Some(file) = &settings.store_password_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("store_password_file: cannot read {}", file.display()))?;
    let password = text.trim_end_matches(['\n', '\r']);
    Ok(Some(SecretString::from(password)))
}

/// Gives the store the password of its file, where that differs from what is known of it; what is known then.
pub(super) fn renew(
    parts: &Parts,
    settings: &BrokerSettings,
    known: Option<SecretString>,
) -> Option<SecretString> {
    let same = |one: &SecretString| {
        known
            .as_ref()
            .is_some_and(|known| known.expose_secret() == one.expose_secret())
    };
    match read(settings) {
        Ok(Some(now)) if !same(&now) => match parts.sql.set_password(&now) {
            Ok(()) => {
                tracing::info!("the store has another password");
                Some(now)
            }
            Err(error) => {
                tracing::warn!("the store keeps its password: {error}");
                known
            }
        },
        Ok(_) => known,
        Err(error) => {
            tracing::warn!("the store keeps its password: {error:#}");
            known
        }
    }
}
