//! Who is read next.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use domain::ObjectKey;

/// A queue for each namespace. They take turns, so that one with thousands of Secrets delays the others by one each.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    waiting: BTreeMap<String, VecDeque<String>>,
    /// The namespace that was served last.
    last: String,
}

impl FairQueue {
    pub(crate) fn push(&mut self, key: &ObjectKey) {
        let namespace = self.waiting.entry(key.namespace.clone()).or_default();
        namespace.push_back(key.name.clone());
    }

    pub(crate) fn pop(&mut self) -> Option<ObjectKey> {
        let after = (Excluded(self.last.as_str()), Unbounded);
        let mut later = self.waiting.range_mut::<str, _>(after);
        let next = later.next().map(|(namespace, _)| namespace.clone());
        let namespace = next.or_else(|| self.waiting.keys().next().cloned())?;
        let names = self.waiting.get_mut(&namespace)?;
        let name = names.pop_front();
        if names.is_empty() {
            self.waiting.remove(&namespace);
        }
        self.last.clone_from(&namespace);
        name.map(|name| ObjectKey::new(namespace, name))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns_and_each_keeps_its_order() {
        let mut queue = FairQueue::default();
        for (namespace, names) in [
            ("evil", &["1", "2", "3"][..]),
            ("a", &["x"]),
            ("shop", &["y", "z"]),
        ] {
            for name in names {
                queue.push(&ObjectKey::new(namespace, *name));
            }
        }
        let served: Vec<String> = std::iter::from_fn(|| queue.pop())
            .map(|key| key.to_string())
            .collect();
        assert_eq!(
            served,
            ["a/x", "evil/1", "shop/y", "evil/2", "shop/z", "evil/3"]
        );
        assert!(queue.is_empty());
    }
}
