//! Whether a Gateway or a listener lets objects of a namespace in.

use super::view::{View, namespace_ref};
use crate::gateway::AllowedNamespaces;
use crate::snapshot::{ClusterSnapshot, Reading};

/// Whether objects of a namespace are let in.
pub(super) enum Entry {
    Open,
    /// Nobody is.
    Nobody,
    /// Those of the own namespace only.
    NotSame,
    /// The selector does not select the namespace.
    NotSelected,
    /// There is a selector, and no such namespace.
    NoNamespace,
    /// Why the labels of the namespace are not known.
    Undecided(String),
}

/// Whether `allowed`, written in namespace `own`, lets objects of `namespace` in.
pub(super) fn entry(
    allowed: &AllowedNamespaces,
    own: &str,
    namespace: &str,
    view: &View<'_>,
) -> Entry {
    match allowed {
        AllowedNamespaces::All => Entry::Open,
        AllowedNamespaces::Same if namespace == own => Entry::Open,
        AllowedNamespaces::Same => Entry::NotSame,
        AllowedNamespaces::None => Entry::Nobody,
        AllowedNamespaces::Selector(selector) => match view.labels(namespace) {
            Some(labels) if selector.selects(labels) => Entry::Open,
            Some(_) => Entry::NotSelected,
            None => unlabelled(namespace, view.snapshot),
        },
    }
}

/// What follows from labels that are not known.
fn unlabelled(namespace: &str, snapshot: &ClusterSnapshot) -> Entry {
    let object = namespace_ref(namespace);
    match (
        &snapshot.namespaces,
        snapshot.unreadable.objects.get(&object),
    ) {
        (Reading::Unknown(why), _) => {
            Entry::Undecided(format!("Namespaces could not be read: {why}"))
        }
        (_, Some(found)) => Entry::Undecided(format!("it cannot be read: {}", found.why)),
        _ => Entry::NoNamespace,
    }
}
