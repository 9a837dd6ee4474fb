//! The key by which a broker knows this cluster: made once, and kept.

use std::collections::BTreeMap;
use std::path::Path;

use adapter_broker::identity::key::ClusterKey;
use adapter_kubernetes::{KeptSecret, KeptSecretErrorKind};
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

/// In a Secret under this key, in a state folder under this name.
const NAME: &str = "broker-key";

/// The key in a Secret, made where there is none. Of replicas that make one at once, one wins.
pub(crate) async fn in_secret(secret: &KeptSecret) -> anyhow::Result<ClusterKey> {
    loop {
        let kept = secret.read().await?;
        if let Some(bytes) = kept.as_ref().and_then(|values| values.get(NAME)) {
            let text = SecretString::from(String::from_utf8_lossy(bytes).into_owned());
            return Ok(ClusterKey::parse(&text)?);
        }
        let key = ClusterKey::generate();
        let text = key.text().expose_secret().as_bytes().to_vec();
        match secret
            .write(BTreeMap::from([(NAME.to_owned(), text)]))
            .await
        {
            Ok(()) => return Ok(key),
            Err(error) if error.kind == KeptSecretErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The key in a state folder, made where there is none.
pub(crate) fn in_folder(state: &Path) -> anyhow::Result<ClusterKey> {
    let file = || state.join(NAME).display().to_string();
    let make = || ClusterKey::generate().text().clone();
    let text = adapter_manifests::kept_secret(state, NAME, make).with_context(file)?;
    ClusterKey::parse(&text).with_context(file)
}
