//! Reads a Secret or a ConfigMap by its name.

use adapter_gateway_api::{ConfigMap, Kind, Object, Secret};
use domain::ObjectKey;
use domain::certificate::TrustBundle;
use domain::snapshot::{Reading, SecretFacts};
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use tokio::task::spawn_blocking;

use super::super::raw::RawObject;
use crate::failure::{is_absent, told};

/// An object as it was read: its version and what may be known of it.
pub(crate) type Read<F> = (Box<str>, Reading<F>);

/// Reads a Secret and keeps of it what may be known.
pub(crate) async fn read(client: &Client, key: &ObjectKey) -> Result<Read<SecretFacts>, String> {
    kept(client, Kind::Secret, key, |text| {
        parsed(text).map(|secret| secret.facts())
    })
    .await
}

/// Reads a ConfigMap and keeps the certificate authorities in it.
pub(crate) async fn config_map(
    client: &Client,
    key: &ObjectKey,
) -> Result<Read<TrustBundle>, String> {
    kept(client, Kind::ConfigMap, key, |text| {
        parsed_config_map(text).map(|config| config.trust)
    })
    .await
}

async fn kept<F: Send + 'static>(
    client: &Client,
    kind: Kind,
    key: &ObjectKey,
    facts: impl FnOnce(&str) -> Result<F, String> + Send + 'static,
) -> Result<Read<F>, String> {
    let answer = get(client, kind, key).await.map_err(|error| told(&error))?;
    let Some(text) = answer else {
        return Ok((Box::from(""), Reading::Absent));
    };
    // A certificate chain takes a while to be examined.
    let read = spawn_blocking(move || {
        let version = RawObject::of(&text).map(|object| object.head.resource_version);
        Ok((
            version.unwrap_or_default().into(),
            facts(&text).map_or_else(Reading::Unknown, Reading::Known),
        ))
    });
    read.await
        .unwrap_or_else(|_| Err("reading it was stopped".to_owned()))
}

/// A Secret with its values; `None` where there is none. An error repeats nothing of it.
pub(crate) async fn secret(client: &Client, key: &ObjectKey) -> Result<Option<Secret>, String> {
    match get(client, Kind::Secret, key).await {
        Ok(text) => text.map(|text| parsed(&text)).transpose(),
        Err(error) => Err(told(&error)),
    }
}

async fn get(client: &Client, kind: Kind, key: &ObjectKey) -> Result<Option<String>, kube::Error> {
    let path = format!("/api/v1/namespaces/{}/{}", key.namespace, kind.plural());
    let request = Request::new(path).get(&key.name, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    match client.request_text(request).await {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn parsed(text: &str) -> Result<Secret, String> {
    let object = RawObject::of(text).ok_or("the API server's answer is not an object")?;
    let value = object
        .value("v1", "Secret")
        .map_err(|problem| problem.to_string())?;
    match adapter_gateway_api::read(value) {
        Ok(Object::Secret(secret)) => Ok(secret),
        Ok(_) => Err("the API server answered with another kind".to_owned()),
        // Its messages about Secrets name keys and quote no value.
        Err(error) => Err(error.to_string()),
    }
}

fn parsed_config_map(text: &str) -> Result<ConfigMap, String> {
    let object = RawObject::of(text).ok_or("the API server's answer is not an object")?;
    let value = object
        .value("v1", "ConfigMap")
        .map_err(|problem| problem.to_string())?;
    match adapter_gateway_api::read(value) {
        Ok(Object::ConfigMap(config)) => Ok(config),
        Ok(_) => Err("the API server answered with another kind".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
