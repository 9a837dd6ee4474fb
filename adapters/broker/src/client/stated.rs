//! What was stated of each Gateway, as the broker told it.

use std::collections::{BTreeMap, BTreeSet};

use domain::ObjectKey;
use domain::broker::lease::Listed;
use parking_lot::Mutex;

/// What is known of the Gateways of the cluster, in this term.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// `None` for one of which something is being stated, or of which it is not known what became of that.
    listed: Listed,
    /// Whether every Gateway of the cluster is in it.
    is_whole: bool,
    /// Those that the broker alone has, as was told last.
    told: BTreeSet<ObjectKey>,
}

impl Known {
    /// A term begins: nothing of this counts any more. The Gateways that were known.
    pub(super) fn clear(&self) -> BTreeSet<ObjectKey> {
        let before = std::mem::take(&mut *self.0.lock());
        before.listed.into_keys().collect()
    }

    /// Something is about to be stated.
    pub(super) fn begin(&self, gateway: &ObjectKey) {
        self.0.lock().listed.insert(gateway.clone(), None);
    }

    /// It was, and became this version, where that is known.
    pub(super) fn end(&self, gateway: &ObjectKey, version: Option<u64>) {
        self.0.lock().listed.insert(gateway.clone(), version);
    }

    pub(super) fn forget(&self, gateway: &ObjectKey) {
        self.0.lock().listed.remove(gateway);
    }

    /// These are all that the cluster has, and those that were stated.
    pub(super) fn all(&self, live: &BTreeSet<ObjectKey>) {
        let mut inner = self.0.lock();
        inner.is_whole = true;
        for gateway in live {
            inner.listed.entry(gateway.clone()).or_default();
        }
    }

    pub(super) fn listed(&self) -> Listed {
        self.0.lock().listed.clone()
    }

    /// Those of the ones that differ of which nothing was stated since they were listed so.
    pub(super) fn unchanged(
        &self,
        since: &Listed,
        differing: &BTreeMap<ObjectKey, Option<u64>>,
    ) -> BTreeSet<ObjectKey> {
        let inner = self.0.lock();
        let differing = differing.keys();
        let unchanged = differing.filter(|gateway| {
            let version = inner.listed.get(*gateway).copied().flatten();
            version.is_some() && version == since.get(*gateway).copied().flatten()
        });
        unchanged.cloned().collect()
    }

    /// Those that the broker alone has, where all are known here and that is news.
    pub(super) fn news_of(&self, unlisted: BTreeSet<ObjectKey>) -> Option<BTreeSet<ObjectKey>> {
        let mut inner = self.0.lock();
        let unlisted: BTreeSet<ObjectKey> = unlisted
            .into_iter()
            .filter(|gateway| inner.is_whole && !inner.listed.contains_key(gateway))
            .collect();
        let is_news = !unlisted.is_subset(&inner.told);
        inner.told.clone_from(&unlisted);
        is_news.then_some(unlisted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("default", name)
    }

    #[test]
    fn what_is_stated_meanwhile_does_not_differ() {
        type Meanwhile = fn(&Known);
        let rows: [(Meanwhile, bool); 5] = [
            (|_| {}, true),
            (|known| known.begin(&key("one")), false),
            (|known| known.end(&key("one"), Some(8)), false),
            (|known| known.end(&key("one"), Some(7)), true),
            (|known| known.forget(&key("one")), false),
        ];
        for (number, (meanwhile, differs)) in rows.into_iter().enumerate() {
            let known = Known::default();
            known.end(&key("one"), Some(7));
            let since = known.listed();
            meanwhile(&known);
            let found = known.unchanged(&since, &[(key("one"), Some(5))].into());
            assert_eq!(!found.is_empty(), differs, "{number}");
        }
    }

    #[test]
    fn what_the_broker_alone_has_is_told_once_and_only_where_all_are_known() {
        let known = Known::default();
        known.begin(&key("one"));
        let both = || BTreeSet::from([key("other"), key("third")]);
        assert_eq!(known.news_of(both()), None, "more may come");
        known.all(&[key("two"), key("third")].into());
        assert_eq!(known.news_of(both()), Some([key("other")].into()));
        assert_eq!(known.news_of(both()), None, "it was told");
        assert_eq!(known.listed().len(), 3);
    }
}
