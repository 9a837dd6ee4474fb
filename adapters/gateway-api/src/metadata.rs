//! What every object has.

use std::collections::BTreeMap;

use domain::{ObjectKey, Timestamp};
use serde::Deserialize;

use crate::error::ReadError;
use crate::fields::Fields;

/// Namespace of a namespaced object that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// `apiVersion`, `kind` and `metadata`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    #[serde(default)]
    pub(crate) api_version: String,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
}

/// `metadata`, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectMeta {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) generation: i64,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// The group in an `apiVersion`; empty for the core group.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl Header {
    pub(crate) fn key(&self) -> ObjectKey {
        let namespace = self.metadata.namespace.as_deref();
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        ObjectKey::new(namespace.unwrap_or(DEFAULT_NAMESPACE), &self.metadata.name)
    }

    /// `metadata.creationTimestamp`, the epoch where it is absent.
    pub(crate) fn created(&self, fields: &Fields) -> Result<Timestamp, ReadError> {
        let Some(text) = &self.metadata.creation_timestamp else {
            return Ok(Timestamp::default());
        };
        let moment: jiff::Timestamp = text.parse().map_err(|_| {
            fields.error(
                "metadata.creationTimestamp",
                format!("{text:?} is not a time; write one as in 2026-01-31T12:00:00Z"),
            )
        })?;
        Ok(Timestamp(moment.as_second()))
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.metadata.labels.clone().unwrap_or_default()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        self.metadata.annotations.clone().unwrap_or_default()
    }
}
