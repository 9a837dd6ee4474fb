//! The objects of one kind as they are read of texts, without an API server.

use std::collections::BTreeSet;

use adapter_gateway_api::Kind;
use domain::ObjectKey;

use super::raw::RawObject;
use super::referred;
use super::table::{LONGEST_FIELD, Seen, Table};
use super::watch::{Event, News, Page};
use crate::kind::{Endpoint, endpoints, watched};

/// Bytes of the words that surround the field in the reason why an object cannot be read.
const LONGEST_WHY: usize = 4 * LONGEST_FIELD + 256;

/// What is known of a kind.
pub(crate) struct Known {
    kind: Kind,
    endpoint: Endpoint,
    table: Table,
}

impl Known {
    /// Nothing yet, of the kind with this number.
    pub(crate) fn new(number: usize) -> Self {
        let kinds: Vec<Kind> = watched().collect();
        let kind = kinds[number % kinds.len()];
        Self {
            kind,
            endpoint: endpoints(kind, &None).next().expect("a kind is somewhere"),
            table: Table::new(kind),
        }
    }

    fn seen(&self, object: &RawObject<'_>) -> (ObjectKey, Seen) {
        let seen = Seen::of(self.kind, &self.endpoint, object);
        (object.head.key(), seen)
    }

    /// Takes in a page of a list. Returns the names in it; a text that is no page has none.
    pub(crate) fn list(&mut self, text: &str) -> BTreeSet<ObjectKey> {
        let page = Page::read(text, &|object| self.seen(object));
        let items = page.map_or_else(|_| Vec::new(), |page| page.items);
        let (names, objects) = items.into_iter().unzip();
        self.table.take(News::Listed(objects));
        names
    }

    /// Takes in an event. Returns the name of an object that is there now.
    pub(crate) fn event(&mut self, line: &str) -> Option<ObjectKey> {
        let event = Event::read(line.as_bytes(), &|object| self.seen(object)).ok()?;
        match event.news? {
            News::Put((name, seen)) => {
                self.table.take(News::Put(seen));
                Some(name)
            }
            News::Gone(name) => {
                self.table.take(News::Gone(name.clone()));
                assert!(!self.table.knows(&name), "{name} is gone");
                None
            }
            _ => None,
        }
    }

    /// The objects of these names are known, or known as unreadable, and no reason is longer than it may be.
    pub(crate) fn judge(&self, names: &BTreeSet<ObjectKey>) {
        for name in names {
            assert!(self.table.knows(name), "{name} is not known");
        }
        for (_, found) in self.table.unreadable() {
            assert!(found.why.len() <= LONGEST_WHY, "{}", found.why);
        }
    }

    /// Objects that were read, and those that cannot be.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.table.count_read(), self.table.unreadable().count())
    }
}

/// Reads a text as a Secret, and what may be known of it.
pub(crate) fn secret_facts(text: &str) {
    if let Ok(secret) = referred::parsed(text) {
        secret.facts();
        let _ = secret.credentials();
    }
}
