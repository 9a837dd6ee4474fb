//! A Secret that the controller keeps for itself, e.g. its certificate authority.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;

use crate::client::FIELD_MANAGER;
use crate::failure::{is_answered, is_conflict, told};
use crate::owner::with_owner;

/// Why a kept Secret was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Secret {secret}: {message}")]
pub struct KeptSecretError {
    pub kind: KeptSecretErrorKind,
    pub secret: String,
    /// What failed. Holds no value.
    pub message: String,
}

/// What a [`KeptSecretError`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeptSecretErrorKind {
    /// Somebody else wrote it since it was read. Read it again.
    Conflict,
    /// The API server refuses, e.g. for lack of permission.
    Refused,
    /// The API server does not answer.
    Unavailable,
}

/// One Secret by its name. What is written replaces what was last read, and nothing else.
pub struct KeptSecret {
    api: Api<Secret>,
    secret: String,
    name: String,
    /// What it goes with, if with anything.
    owner: Option<OwnerReference>,
    /// `metadata.resourceVersion` as last read or written; `None` where there was no Secret.
    version: Mutex<Option<String>>,
}

impl std::fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptSecret")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl KeptSecret {
    /// Of this namespace and name. No call is made.
    pub fn new(client: Client, namespace: impl AsRef<str>, name: impl Into<String>) -> Self {
        let (namespace, name) = (namespace.as_ref(), name.into());
        Self {
            api: Api::namespaced(client, namespace),
            secret: format!("{namespace}/{name}"),
            name,
            owner: None,
            version: Mutex::new(None),
        }
    }

    /// Goes with this owner from when it is next written.
    #[must_use]
    pub fn owned_by(self, owner: Option<OwnerReference>) -> Self {
        Self { owner, ..self }
    }

    /// Has one that is there already go with the owner. Its values stay as they are.
    ///
    /// # Errors
    /// [`KeptSecretErrorKind::Conflict`] where somebody else changed it meanwhile.
    pub async fn give_to_owner(&self) -> Result<(), KeptSecretError> {
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        let found = self.api.get_opt(&self.name).await;
        let Some(mut secret) = found.map_err(|error| self.error(&error))? else {
            return Ok(());
        };
        if secret.owner_references().contains(owner) {
            return Ok(());
        }
        let owners = secret.metadata.owner_references.take();
        secret.metadata.owner_references = Some(with_owner(owners, owner));
        let written = self.api.replace(&self.name, &params(), &secret).await;
        let written = written.map_err(|error| self.error(&error))?;
        self.note(Some(&written));
        Ok(())
    }

    /// Its values by their keys; `None` where there is none.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn read(&self) -> Result<Option<BTreeMap<String, Vec<u8>>>, KeptSecretError> {
        let found = self.api.get_opt(&self.name).await;
        let found = found.map_err(|error| self.error(&error))?;
        self.note(found.as_ref());
        Ok(found.map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter();
            data.map(|(key, value)| (key, value.0)).collect()
        }))
    }

    /// Makes it, or replaces all of what was last read.
    ///
    /// # Errors
    /// [`KeptSecretErrorKind::Conflict`] where somebody else made or changed it since it was read.
    pub async fn write(&self, values: BTreeMap<String, Vec<u8>>) -> Result<(), KeptSecretError> {
        let version = self.version.lock().clone();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: version.clone(),
                owner_references: self.owner.clone().map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some(
                values
                    .into_iter()
                    .map(|(key, value)| (key, ByteString(value)))
                    .collect(),
            ),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        let written = match version {
            None => self.api.create(&params(), &secret).await,
            Some(_) => self.api.replace(&self.name, &params(), &secret).await,
        };
        let written = written.map_err(|error| self.error(&error))?;
        self.note(Some(&written));
        Ok(())
    }

    fn note(&self, secret: Option<&Secret>) {
        let version = secret.and_then(ResourceExt::resource_version);
        *self.version.lock() = version;
    }

    fn error(&self, error: &kube::Error) -> KeptSecretError {
        KeptSecretError {
            kind: match error {
                error if is_conflict(error) => KeptSecretErrorKind::Conflict,
                error if is_answered(error) => KeptSecretErrorKind::Refused,
                _ => KeptSecretErrorKind::Unavailable,
            },
            secret: self.secret.clone(),
            message: told(error),
        }
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
