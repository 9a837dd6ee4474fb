//! Secrets and ConfigMaps that are referred to. No value of a Secret is kept but for certificate authorities: only the names
//! of the keys, what a certificate says of itself, and a keyed number that changes with the values.
//!
//! Which of them there are and when one changes is known from a watch of their metadata, one for all namespaces or one
//! for each that may be read. A value is read by name, once it is referred to and whenever its version is another
//! one; namespaces take turns (`queue`).

mod queue;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use adapter_gateway_api::Kind;
use domain::snapshot::Reading;
use domain::{ObjectKey, ObjectRef};

use super::raw::Head;
use super::watch::News;
use crate::kind::{Area, areas};
use queue::FairQueue;
pub(crate) use read::Read;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use read::parsed;
pub(crate) use read::{config_map, read, secret};

/// What is known of the objects of one of these kinds: `F` of each.
#[derive(Debug)]
pub(crate) struct Referred<F> {
    kind: Kind,
    areas: BTreeMap<Area, Standing>,
    /// `metadata.resourceVersion` of each that is there.
    there: BTreeMap<ObjectKey, Box<str>>,
    followed: BTreeMap<ObjectKey, Followed<F>>,
    queue: FairQueue,
    /// The last number that was given to a [`Ticket`].
    tickets: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The first list is on its way.
    Listing,
    Listed,
    Failing(String),
}

/// One that is referred to.
#[derive(Debug)]
struct Followed<F> {
    /// As it was last read; `None` until that is known for the first time.
    read: Option<Reading<F>>,
    /// Why it could not be read when that was last tried.
    failing: Option<String>,
    /// `metadata.resourceVersion` of what was read.
    version: Box<str>,
    state: ReadState,
    /// Answers to other tickets do not count any more.
    ticket: Ticket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    Idle,
    Queued,
    Reading,
    /// It changed while it was being read.
    ReadingAgain,
}

/// Which of several reads of an object this is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl<F: Clone + PartialEq> Referred<F> {
    /// Of a kind, in these namespaces, or in all.
    pub(crate) fn new(kind: Kind, namespaces: Option<&BTreeSet<String>>) -> Self {
        let areas = areas(namespaces).into_iter();
        Self {
            kind,
            areas: areas.map(|area| (area, Standing::Listing)).collect(),
            there: BTreeMap::new(),
            followed: BTreeMap::new(),
            queue: FairQueue::default(),
            tickets: 0,
        }
    }

    /// What is to be watched.
    pub(crate) fn areas(&self) -> Vec<Area> {
        self.areas.keys().cloned().collect()
    }

    /// Follows these and no others. Whether a view of all changes by it.
    pub(crate) fn follow(&mut self, refs: &BTreeSet<ObjectRef>) -> bool {
        let of_kind = refs.iter().filter(|reference| self.kind.has(reference));
        let keys: BTreeSet<ObjectKey> = of_kind.map(|reference| reference.key.clone()).collect();
        let before = self.followed.len();
        self.followed.retain(|key, _| keys.contains(key));
        let mut changed = self.followed.len() != before;
        for key in keys {
            if !self.followed.contains_key(&key) && self.standing(&key.namespace).is_some() {
                let followed = Followed {
                    read: None,
                    failing: None,
                    version: "".into(),
                    state: ReadState::Idle,
                    ticket: self.next_ticket(),
                };
                self.followed.insert(key.clone(), followed);
                changed |= self.compare(&key);
            }
        }
        changed
    }

    /// What is known of each that was read.
    pub(crate) fn facts(&self) -> BTreeMap<ObjectRef, Reading<F>> {
        let read = self.followed.iter();
        read.filter_map(|(key, followed)| {
            let reading = match self.standing(&key.namespace) {
                Some(Standing::Failing(why)) => Some(Reading::Unknown(why.clone())),
                _ => followed.reading(),
            };
            Some((self.kind.reference(key.clone()), reading?))
        })
        .collect()
    }

    /// What was last read of each, also where it cannot be read now.
    pub(crate) fn last_known(&self) -> impl Iterator<Item = (ObjectRef, Reading<&F>)> {
        self.followed.iter().filter_map(|(key, followed)| {
            let reading = match (&followed.read, &followed.failing) {
                (Some(Reading::Known(read)), _) => Reading::Known(read),
                (Some(Reading::Absent), None) => Reading::Absent,
                (Some(Reading::Unknown(why)), None) | (_, Some(why)) => {
                    Reading::Unknown(why.clone())
                }
                (None, None) => match self.standing(&key.namespace) {
                    Some(Standing::Failing(why)) => Reading::Unknown(why.clone()),
                    _ => return None,
                },
            };
            Some((self.kind.reference(key.clone()), reading))
        })
    }

    /// Takes news of an area in. Whether a view differs now.
    pub(crate) fn take(&mut self, area: &Area, news: News<Head>) -> bool {
        match news {
            News::Listed(heads) => self.replace(area, heads),
            News::Absent => self.replace(area, Vec::new()),
            News::Put(head) => {
                let key = head.key();
                self.there.insert(key.clone(), head.resource_version.into());
                self.compare(&key)
            }
            News::Gone(key) => {
                self.there.remove(&key);
                self.compare(&key)
            }
            News::Alive => self.stands(area, Standing::Listed),
            News::Failing(why) => self.stands(area, Standing::Failing(why)),
        }
    }

    /// The next that is to be read.
    pub(crate) fn next(&mut self) -> Option<(ObjectKey, Ticket)> {
        while let Some(key) = self.queue.pop() {
            let followed = self.followed.get_mut(&key);
            if let Some(followed) = followed.filter(|followed| followed.state == ReadState::Queued)
            {
                followed.state = ReadState::Reading;
                return Some((key, followed.ticket));
            }
        }
        None
    }

    /// Whether another one waits to be read.
    pub(crate) fn has_next(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes the answer to a read in. Whether a view differs now.
    pub(crate) fn done(
        &mut self,
        key: &ObjectKey,
        ticket: Ticket,
        answer: Result<Read<F>, String>,
    ) -> bool {
        let followed = self.followed.get_mut(key);
        let Some(followed) = followed.filter(|followed| followed.ticket == ticket) else {
            return false;
        };
        let before = followed.reading();
        let again = followed.state == ReadState::ReadingAgain;
        followed.state = ReadState::Idle;
        followed.failing = None;
        match answer {
            Ok((version, reading)) => {
                followed.version = version;
                followed.read = Some(reading);
            }
            Err(why) => followed.failing = Some(why),
        }
        let changed = before != followed.reading();
        if again {
            self.enqueue(key);
        }
        changed
    }

    /// Those that could not be read are tried again.
    pub(crate) fn try_again(&mut self) {
        let failing = self.followed.iter();
        let failing: Vec<ObjectKey> = failing
            .filter(|(_, followed)| followed.failing.is_some())
            .map(|(key, _)| key.clone())
            .collect();
        for key in failing {
            self.enqueue(&key);
        }
    }

    /// What a watch says of a namespace; `None` where it is not watched.
    fn standing(&self, namespace: &str) -> Option<&Standing> {
        let of_all = || self.areas.get(&None);
        self.areas.get(&Some(namespace.to_owned())).or_else(of_all)
    }

    fn stands(&mut self, area: &Area, standing: Standing) -> bool {
        let before = self.areas.insert(area.clone(), standing);
        before.as_ref() != self.areas.get(area)
    }

    fn replace(&mut self, area: &Area, heads: Vec<Head>) -> bool {
        let is_in = |key: &ObjectKey| area.as_ref().is_none_or(|area| key.namespace == *area);
        self.there.retain(|key, _| !is_in(key));
        for head in heads {
            self.there.insert(head.key(), head.resource_version.into());
        }
        let mut changed = self.stands(area, Standing::Listed);
        let keys: Vec<ObjectKey> = self
            .followed
            .keys()
            .filter(|key| is_in(key))
            .cloned()
            .collect();
        for key in keys {
            changed |= self.compare(&key);
        }
        changed
    }

    /// Compares one with what the watch says of it. Whether a view differs now: what has to be read first does not
    /// change it yet.
    fn compare(&mut self, key: &ObjectKey) -> bool {
        if self.standing(&key.namespace) == Some(&Standing::Listing) {
            return false;
        }
        let Some(followed) = self.followed.get(key) else {
            return false;
        };
        match self.there.get(key) {
            Some(version) if *version == followed.version => false,
            Some(_) => {
                self.enqueue(key);
                false
            }
            None => self.is_missing(key),
        }
    }

    fn is_missing(&mut self, key: &ObjectKey) -> bool {
        let ticket = self.next_ticket();
        let missing = Followed {
            read: Some(Reading::Absent),
            failing: None,
            version: "".into(),
            state: ReadState::Idle,
            ticket,
        };
        let before = self.followed.insert(key.clone(), missing);
        before.is_none_or(|before| before.reading() != Some(Reading::Absent))
    }

    fn enqueue(&mut self, key: &ObjectKey) {
        let Some(followed) = self.followed.get_mut(key) else {
            return;
        };
        followed.state = match followed.state {
            ReadState::Idle => {
                self.queue.push(key);
                ReadState::Queued
            }
            ReadState::Reading => ReadState::ReadingAgain,
            waiting => waiting,
        };
    }

    fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

impl<F: Clone> Followed<F> {
    fn reading(&self) -> Option<Reading<F>> {
        let failing = self.failing.clone().map(Reading::Unknown);
        failing.or_else(|| self.read.clone())
    }
}
