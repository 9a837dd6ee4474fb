//! The records of one zone, and which of them answer for a name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::record::DnsRecord;

/// Records by id and by name. A copy is cheap: records are shared.
#[derive(Debug, Clone, Default)]
pub struct RecordSet {
    by_id: BTreeMap<String, Arc<DnsRecord>>,
    ids_at: HashMap<String, Vec<String>>,
    /// How many records are at or below a name: names that exist, with or without data of their own.
    at_or_below: HashMap<String, usize>,
}

impl RecordSet {
    /// Adds a record, or replaces the one with its id.
    pub fn put(&mut self, record: DnsRecord) {
        self.remove(&record.id);
        for name in name_and_ancestors(&record.name) {
            *self.at_or_below.entry(name.to_owned()).or_default() += 1;
        }
        self.ids_at
            .entry(record.name.clone())
            .or_default()
            .push(record.id.clone());
        self.by_id.insert(record.id.clone(), Arc::new(record));
    }

    /// Takes a record out.
    pub fn remove(&mut self, id: &str) -> Option<Arc<DnsRecord>> {
        let record = self.by_id.remove(id)?;
        if let Some(ids) = self.ids_at.get_mut(&record.name) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.ids_at.remove(&record.name);
            }
        }
        for name in name_and_ancestors(&record.name) {
            if let Some(count) = self.at_or_below.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.at_or_below.remove(name);
                }
            }
        }
        Some(record)
    }

    /// The record with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<DnsRecord>> {
        self.by_id.get(id)
    }

    /// Records whose name is exactly this one.
    pub fn at(&self, name: &str) -> impl Iterator<Item = &Arc<DnsRecord>> {
        self.ids_at
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|id| self.by_id.get(id))
    }

    /// All records, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DnsRecord>> {
        self.by_id.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether the name exists: it has records, or a name below it has.
    pub fn exists(&self, name: &str) -> bool {
        self.at_or_below.contains_key(name)
    }

    /// The records that answer for a name: its own, else those of the wildcard below its closest
    /// existing ancestor (RFC 4592, section 3.3.1), else none.
    pub fn answering(&self, name: &str) -> Vec<Arc<DnsRecord>> {
        if self.exists(name) {
            return self.at(name).cloned().collect();
        }
        let closest = name_and_ancestors(name).find(|ancestor| self.exists(ancestor));
        match closest {
            Some(encloser) => self.at(&format!("*.{encloser}")).cloned().collect(),
            None => Vec::new(),
        }
    }
}

/// `a.b.c`, `b.c`, `c`.
fn name_and_ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |rest| {
        rest.split_once('.').map(|(_, parent)| parent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::record::tests::record;

    #[test]
    fn a_wildcard_answers_only_for_names_without_anything_of_their_own() {
        let mut set = RecordSet::default();
        for name in ["*.example.com", "own.example.com", "a.deep.example.com"] {
            set.put(record(name, "CNAME", name));
        }
        for (asked, answered_by) in [
            ("own.example.com", Some("own.example.com")),
            ("other.example.com", Some("*.example.com")),
            ("x.other.example.com", Some("*.example.com")),
            ("deep.example.com", None),
            ("b.deep.example.com", None),
            ("x.own.example.com", None),
            ("elsewhere.org", None),
        ] {
            let found = set.answering(asked);
            assert_eq!(
                found.first().map(|r| r.name.as_str()),
                answered_by,
                "{asked}"
            );
        }
    }

    #[test]
    fn a_removed_record_leaves_no_trace() {
        let mut set = RecordSet::default();
        let one = record("a.b.example.com", "A", "192.0.2.1");
        let id = one.id.clone();
        set.put(one);
        assert!(set.exists("b.example.com"));
        assert!(set.remove(&id).is_some());
        assert!(!set.exists("b.example.com"));
        assert!(set.is_empty());
    }
}
