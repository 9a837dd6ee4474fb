//! What a cluster and its broker compare again and again, so that what one of them lost is stated again.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::ObjectKey;

/// The versions of Gateways.
pub type Versions = BTreeMap<ObjectKey, u64>;

/// What a cluster says that it has: its Gateways, with the version of its last statement as the broker told it; `None` where that is
/// not known, because something is being stated or nothing was.
pub type Listed = BTreeMap<ObjectKey, Option<u64>>;

/// What came of comparing both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Gateways of which the broker has another version, or `None`, than the cluster was told.
    pub differing: BTreeMap<ObjectKey, Option<u64>>,
    /// Gateways that the broker has and the cluster does not name. They may have come since, so nothing follows from it but that it
    /// is told.
    pub unlisted: BTreeSet<ObjectKey>,
}

/// Compares what a cluster says with what its broker has.
pub fn compare(listed: &Listed, held: &Versions) -> Compared {
    let told = listed
        .iter()
        .filter_map(|(gateway, version)| Some((gateway, (*version)?)));
    let differing = told.filter_map(|(gateway, version)| {
        let has = held.get(gateway).copied();
        (has != Some(version)).then(|| (gateway.clone(), has))
    });
    let unlisted = held.keys().filter(|gateway| !listed.contains_key(*gateway));
    Compared {
        differing: differing.collect(),
        unlisted: unlisted.cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("default", name)
    }

    #[test]
    fn what_differs_is_found_and_what_is_not_known_is_not_compared() {
        for (name, listed, held, differs) in [
            ("the same", Some(Some(7)), Some(7), false),
            ("older than was told", Some(Some(7)), Some(5), true),
            ("newer than was told", Some(Some(7)), Some(8), true),
            ("lost", Some(Some(7)), None, true),
            ("being stated", Some(None), Some(5), false),
            ("never stated", Some(None), None, false),
            ("not named", None, Some(5), false),
        ] {
            let listed = listed
                .map(|version| (key("one"), version))
                .into_iter()
                .collect();
            let versions = held
                .map(|version| (key("one"), version))
                .into_iter()
                .collect();
            let compared = compare(&listed, &versions);
            let expected = differs.then(|| (key("one"), held)).into_iter().collect();
            assert_eq!(compared.differing, expected, "{name}");
            assert_eq!(!compared.unlisted.is_empty(), name == "not named", "{name}");
        }
    }
}
