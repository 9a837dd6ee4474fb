//! Reads a Secret by its name.

use adapter_gateway_api::{Object, Secret};
use domain::ObjectKey;
use domain::snapshot::{Reading, SecretFacts};
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use tokio::task::spawn_blocking;

use super::super::raw::RawObject;
use crate::failure::{is_absent, told};

/// A Secret as it was read: its version and what may be known of it.
pub(crate) type Read = (Box<str>, Reading<SecretFacts>);

/// Reads one and keeps of it what may be known.
pub(crate) async fn read(client: &Client, key: &ObjectKey) -> Result<Read, String> {
    let gone = || (Box::from(""), Reading::Absent);
    let Some(text) = get(client, key).await.map_err(|error| told(&error))? else {
        return Ok(gone());
    };
    // A certificate chain takes a while to be examined.
    let read = spawn_blocking(move || {
        let version = RawObject::of(&text).map(|object| object.head.resource_version);
        let facts = parsed(&text).map(|secret| secret.facts());
        Ok((
            version.unwrap_or_default().into(),
            facts.map_or_else(Reading::Unknown, Reading::Known),
        ))
    });
    read.await
        .unwrap_or_else(|_| Err("reading it was stopped".to_owned()))
}

/// A Secret with its values; `None` where there is none. An error repeats nothing of it.
pub(crate) async fn secret(client: &Client, key: &ObjectKey) -> Result<Option<Secret>, String> {
    match get(client, key).await {
        Ok(text) => text.map(|text| parsed(&text)).transpose(),
        Err(error) => Err(told(&error)),
    }
}

async fn get(client: &Client, key: &ObjectKey) -> Result<Option<String>, kube::Error> {
    let path = format!("/api/v1/namespaces/{}/secrets", key.namespace);
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
