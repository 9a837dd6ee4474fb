//! What a backendRef may name.

use std::fmt;

use super::{EXPERIMENTAL_GROUP, EXTERNAL_BACKEND_KIND};
use crate::names::{ObjectKey, ObjectRef};

/// API group of ServiceImport (Multi-Cluster Services API, KEP-1645).
pub const MULTICLUSTER_GROUP: &str = "multicluster.x-k8s.io";

/// Kind of a Service of several clusters, in group [`MULTICLUSTER_GROUP`].
pub const SERVICE_IMPORT_KIND: &str = "ServiceImport";

/// A kind of object that requests are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum BackendKind {
    /// A Service of the core group, which may be written as nothing or as `core`.
    #[default]
    Service,
    /// A Service of several clusters (GEP-1748).
    ServiceImport,
    /// An XBackend: a host outside of the cluster (GEP-4894).
    External,
}

impl BackendKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Service, Self::ServiceImport, Self::External];

    /// The kind that a reference names; `None` where no request can be sent there.
    pub fn of(object: &ObjectRef) -> Option<Self> {
        let group = match object.group.as_str() {
            "core" => "",
            group => group,
        };
        let mut all = Self::ALL.into_iter();
        all.find(|kind| (group, object.kind.as_str()) == (kind.group(), kind.as_str()))
    }

    /// API group; empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::Service => "",
            Self::ServiceImport => MULTICLUSTER_GROUP,
            Self::External => EXPERIMENTAL_GROUP,
        }
    }

    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::ServiceImport => SERVICE_IMPORT_KIND,
            Self::External => EXTERNAL_BACKEND_KIND,
        }
    }

    /// Whether it is the kind that is meant where none is written.
    #[cfg(feature = "serde")]
    pub(crate) fn is_service(&self) -> bool {
        *self == Self::Service
    }
}

/// An object that requests are sent to, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendName<'a> {
    pub kind: BackendKind,
    pub key: &'a ObjectKey,
}

impl<'a> BackendName<'a> {
    /// A Service.
    pub fn service(key: &'a ObjectKey) -> Self {
        Self {
            kind: BackendKind::Service,
            key,
        }
    }

    /// What a reference names; `None` where no request can be sent there.
    pub fn of(object: &'a ObjectRef) -> Option<Self> {
        let kind = BackendKind::of(object)?;
        Some(Self {
            kind,
            key: &object.key,
        })
    }

    /// A reference to it, its group spelled as grants and sources spell it.
    pub fn reference(self) -> ObjectRef {
        ObjectRef {
            group: self.kind.group().to_owned(),
            kind: self.kind.as_str().to_owned(),
            key: self.key.clone(),
        }
    }
}

/// As in `Service shop/cart`.
impl fmt::Display for BackendName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_backend_by_group_and_kind() {
        for (group, kind, expected) in [
            ("", "Service", Some(BackendKind::Service)),
            ("core", "Service", Some(BackendKind::Service)),
            (
                MULTICLUSTER_GROUP,
                "ServiceImport",
                Some(BackendKind::ServiceImport),
            ),
            (EXPERIMENTAL_GROUP, "XBackend", Some(BackendKind::External)),
            ("", "ServiceImport", None),
            (MULTICLUSTER_GROUP, "Service", None),
            ("", "Secret", None),
        ] {
            let object = ObjectRef {
                group: group.to_owned(),
                kind: kind.to_owned(),
                key: ObjectKey::new("shop", "cart"),
            };
            let name = BackendName::of(&object);
            assert_eq!(name.map(|name| name.kind), expected, "{group}/{kind}");
            if let Some(name) = name {
                assert_eq!(name.to_string(), format!("{kind} shop/cart"));
                assert_eq!(BackendName::of(&name.reference()), Some(name));
            }
        }
    }
}
