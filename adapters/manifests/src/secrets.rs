//! Cloudflare credentials from Secrets of the folder.

use adapter_gateway_api::Secret;
use domain::AccountId;
use domain::edge::{EdgeError, EdgeErrorKind};
use domain::secret::CloudflareCredentials;
use secrecy::{ExposeSecret, SecretString};

/// Key of the API token.
const TOKEN: &str = "CLOUDFLARE_API_TOKEN";

/// Key of the account id.
const ACCOUNT: &str = "CLOUDFLARE_ACCOUNT_ID";

/// Whether a Secret has the keys of credentials.
pub(crate) fn has_credentials(secret: &Secret) -> bool {
    secret.value(TOKEN).is_some() && secret.value(ACCOUNT).is_some()
}

/// The credentials in a Secret. White space around a value is dropped, as `echo` adds it.
pub(crate) fn credentials(secret: &Secret) -> Result<CloudflareCredentials, EdgeError> {
    let account = text(secret, ACCOUNT)?;
    Ok(CloudflareCredentials {
        account: AccountId::new(account.expose_secret()),
        token: text(secret, TOKEN)?,
    })
}

fn text(secret: &Secret, key: &str) -> Result<SecretString, EdgeError> {
    let problem =
        |what: &str| credentials_error(format!("Secret {}: key {key} {what}", secret.key));
    let value = secret
        .value(key)
        .ok_or_else(|| problem("is missing; add it to stringData"))?;
    let text = std::str::from_utf8(value.expose_secret())
        .map_err(|_| problem("is not text; write it to stringData"))?
        .trim();
    if text.is_empty() {
        return Err(problem("is empty; write its value to stringData"));
    }
    Ok(SecretString::from(text))
}

/// An error that the user must mend.
pub(crate) fn credentials_error(message: String) -> EdgeError {
    EdgeError::new(EdgeErrorKind::Credentials, message)
}
