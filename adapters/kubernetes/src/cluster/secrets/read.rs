//! Reads Secrets that changed, few at the same time.

use std::sync::Arc;

use adapter_gateway_api::{Kind, Object, Secret};
use domain::ObjectKey;
use domain::snapshot::Reading;
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::super::Cluster;
use super::super::raw::{Head, RawObject};
use super::super::watch::Watch;
use super::{Area, Read};
use crate::failure::{is_absent, told};
use crate::kind::Endpoint;

/// Secrets that are read at the same time.
const AT_ONCE: usize = 4;

impl Cluster {
    /// Watches the metadata of Secrets and reads those that are followed, for as long as the cluster is watched.
    pub(in super::super) fn start_secrets(self: &Arc<Self>) {
        for area in self.inner.lock().secrets.areas() {
            let watch = self.watch_of_secrets(&area);
            let taker = self.clone();
            self.spawn(watch.run(move |news| {
                let mut inner = taker.inner.lock();
                let changed = inner.secrets.take(&area, news);
                taker.secrets_changed(inner, changed);
            }));
        }
        for _ in 0..AT_ONCE {
            self.spawn(self.clone().read_secrets());
        }
        self.spawn(self.clone().try_secrets_again());
    }

    fn watch_of_secrets(&self, area: &Area) -> Watch<Head> {
        let (path, name) = match area {
            None => ("/api/v1/secrets".to_owned(), "Secrets".to_owned()),
            Some(namespace) => (
                format!("/api/v1/namespaces/{namespace}/secrets"),
                format!("Secrets of namespace {namespace}"),
            ),
        };
        Watch {
            client: self.client.clone(),
            endpoints: vec![Endpoint {
                api_version: Kind::Secret.api_version(),
                path,
            }],
            name,
            metadata_only: true,
            reader: Arc::new(|_, object| object.head.clone()),
            times: self.times,
        }
    }

    async fn read_secrets(self: Arc<Self>) {
        loop {
            let next = self.inner.lock().secrets.next();
            let Some((key, ticket)) = next else {
                self.unread_secrets.notified().await;
                continue;
            };
            if self.inner.lock().secrets.has_next() {
                self.unread_secrets.notify_one();
            }
            let answer = read(&self.client, &key).await;
            let mut inner = self.inner.lock();
            let changed = inner.secrets.done(&key, ticket, answer);
            self.secrets_changed(inner, changed);
        }
    }

    async fn try_secrets_again(self: Arc<Self>) {
        loop {
            sleep(self.times.longest_pause).await;
            let mut inner = self.inner.lock();
            inner.secrets.try_again();
            self.secrets_changed(inner, false);
        }
    }
}

/// Reads one and keeps of it what may be known.
async fn read(client: &Client, key: &ObjectKey) -> Result<Read, String> {
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
