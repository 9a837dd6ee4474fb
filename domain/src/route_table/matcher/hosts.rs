//! Values by hostname.

use std::collections::HashMap;

use crate::names::Hostname;

/// Values by hostname, found by host: the exact one, then wildcards from the longest down, then the one
/// for every name.
#[derive(Debug)]
pub(super) struct HostMap<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, T>,
    /// Distinct lengths of the keys of `wildcard`, longest first. Only these suffixes of a host are
    /// looked up, so that a host of a thousand labels costs no more than any other.
    lengths: Vec<usize>,
    every: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            lengths: Vec::new(),
            every: None,
        }
    }
}

impl<T> HostMap<T> {
    /// Whether no hostname has a value.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.every.is_none()
    }

    /// The value of a hostname (`None` for every name), made where there is none.
    pub(super) fn get_or_insert_with(
        &mut self,
        hostname: Option<&Hostname>,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        let Some(hostname) = hostname else {
            return self.every.get_or_insert_with(make);
        };
        let Some(suffix) = hostname.wildcard_suffix() else {
            return self
                .exact
                .entry(hostname.as_str().into())
                .or_insert_with(make);
        };
        insert_length(&mut self.lengths, suffix.len());
        self.wildcard.entry(suffix.into()).or_insert_with(make)
    }

    /// Values whose hostname covers the host, the most specific first.
    pub(super) fn covering<'m>(&'m self, host: &'m str) -> impl Iterator<Item = &'m T> {
        let wildcards = self.lengths.iter().filter_map(move |length| {
            let dot = host.len().checked_sub(length + 1)?;
            let covered = dot > 0 && host.as_bytes()[dot] == b'.';
            covered.then(|| self.wildcard.get(&host[dot + 1..]))?
        });
        self.exact
            .get(host)
            .into_iter()
            .chain(wildcards)
            .chain(&self.every)
    }
}

/// Keeps a list of distinct lengths sorted from the longest down.
pub(super) fn insert_length(lengths: &mut Vec<usize>, length: usize) {
    if let Err(position) = lengths.binary_search_by(|known| length.cmp(known)) {
        lengths.insert(position, length);
    }
}
