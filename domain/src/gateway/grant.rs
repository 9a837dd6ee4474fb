//! ReferenceGrant.

use crate::names::{ObjectKey, ObjectRef};

/// Allows references into its own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceGrant {
    /// The grant's own name; its namespace is the one that is opened.
    pub key: ObjectKey,
    pub from: Vec<GrantFrom>,
    pub to: Vec<GrantTo>,
}

/// One of `spec.from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFrom {
    /// API group of the referring object.
    pub group: String,
    pub kind: String,
    pub namespace: String,
}

/// One of `spec.to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTo {
    /// API group of the object referred to; empty for core.
    pub group: String,
    pub kind: String,
    /// Only this object; `None` for all of the kind.
    pub name: Option<String>,
}

impl ReferenceGrant {
    /// Whether an object of `from_group`/`from_kind` in `from_namespace` may refer to `target`.
    pub fn permits(
        &self,
        from_group: &str,
        from_kind: &str,
        from_namespace: &str,
        target: &ObjectRef,
    ) -> bool {
        self.key.namespace == target.key.namespace
            && self.from.iter().any(|f| {
                f.group == from_group && f.kind == from_kind && f.namespace == from_namespace
            })
            && self.to.iter().any(|t| {
                t.group == target.group
                    && t.kind == target.kind
                    && t.name.as_ref().is_none_or(|name| *name == target.key.name)
            })
    }
}
