//! The objects of one kind, as far as its watch has brought them.

use std::collections::{BTreeMap, BTreeSet};

use adapter_gateway_api::{
    Kind, Object, OnlyParentRef, ParentRefs, ReadError, SnapshotBuilder, StatusShape, read,
};
use domain::snapshot::UnreadableObject;
use domain::{ObjectKey, ObjectRef};
use serde_json::Value;

use super::raw::{Head, RawObject};
use super::watch::News;
use crate::kind::Endpoint;

/// Longest path of a field in a message: it may have names in it that users choose.
pub(super) const LONGEST_FIELD: usize = 128;

/// Of an object, what writing its status needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusBase {
    /// `metadata.uid`, by which events find their object.
    pub(crate) uid: String,
    /// `metadata.resourceVersion`.
    pub(crate) version: String,
    /// `status` as JSON text: a tenth of the memory of the parsed value.
    status: Box<str>,
}

impl StatusBase {
    fn of(object: &RawObject<'_>) -> Self {
        let Head {
            uid,
            resource_version,
            ..
        } = object.head.clone();
        Self {
            uid,
            version: resource_version,
            status: object.status().into(),
        }
    }

    pub(crate) fn new(uid: String, version: String, status: &Value) -> Self {
        Self {
            uid,
            version,
            status: status.to_string().into(),
        }
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.status).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) struct Seen {
    key: ObjectKey,
    /// Of kinds that get a status of ours.
    status_base: Option<StatusBase>,
    read: Result<Object, Unread>,
}

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unread {
    uid: String,
    found: UnreadableObject,
}

/// The same with its name, for messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnreadObject {
    pub(crate) kind: Kind,
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    pub(crate) why: String,
}

impl Seen {
    pub(crate) fn of(kind: Kind, endpoint: &Endpoint, object: &RawObject<'_>) -> Self {
        let value = object.value(&endpoint.api_version, kind.as_str());
        let value = value.map_err(|problem| problem.to_string());
        let read = value
            .and_then(|value| read(value).map_err(|error| why(&error)))
            .map_err(|why| Unread {
                uid: object.head.uid.clone(),
                found: UnreadableObject {
                    why,
                    parents: parents(kind, object),
                },
            });
        let gets_status =
            kind.status().is_some() && read.as_ref().map_or(kind != Kind::Service, gets_status);
        Self {
            key: object.head.key(),
            status_base: gets_status.then(|| StatusBase::of(object)),
            read,
        }
    }
}

/// Whether an object of a kind with a status gets one: of Services only those that ask to be exposed.
fn gets_status(object: &Object) -> bool {
    match object {
        Object::Service(service) => service.exposure.is_some(),
        _ => true,
    }
}

/// The message of an error may repeat what the object says, so only the field is named.
fn why(error: &ReadError) -> String {
    let field: String = error.field.chars().take(LONGEST_FIELD).collect();
    format!("{field}: it has no value that this field can have; correct it")
}

/// The Gateways and ListenerSets that a route or a ListenerSet names, if that much of it can be read.
fn parents(kind: Kind, object: &RawObject<'_>) -> Option<BTreeSet<ObjectRef>> {
    let parents: ParentRefs = match kind {
        Kind::ListenerSet => object.of_spec::<OnlyParentRef>("parentRef")?.into(),
        _ if kind.status() == Some(StatusShape::PARENTS) => object.of_spec("parentRefs")?,
        _ => return None,
    };
    Some(parents.targets(&object.head.namespace))
}

#[derive(Debug)]
enum State {
    /// The first list is on its way.
    Listing,
    Known,
    Absent,
    Unknown(String),
}

/// Objects of one kind.
#[derive(Debug)]
pub(crate) struct Table {
    kind: Kind,
    state: State,
    objects: BTreeMap<ObjectKey, Object>,
    /// Objects that cannot be read any more, or never could. What was last read of them stays in `objects`.
    unread: BTreeMap<ObjectKey, Unread>,
    status_bases: BTreeMap<ObjectKey, StatusBase>,
}

impl Table {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Listing,
            objects: BTreeMap::new(),
            unread: BTreeMap::new(),
            status_bases: BTreeMap::new(),
        }
    }

    /// Takes news in. Whether a view of the kind differs now.
    pub(crate) fn take(&mut self, news: News<Seen>) -> bool {
        match news {
            News::Listed(objects) => self.replace(objects),
            News::Put(object) => self.put(object),
            News::Gone(key) => self.remove(&key),
            News::Alive => self.revive(),
            News::Absent => {
                let is_new = !matches!(self.state, State::Absent);
                *self = Self::new(self.kind);
                self.state = State::Absent;
                is_new
            }
            News::Failing(why) => {
                let is_new = !matches!(&self.state, State::Unknown(known) if *known == why);
                self.state = State::Unknown(why);
                is_new
            }
        }
    }

    /// Whether anything can be said yet.
    pub(crate) fn is_listed(&self) -> bool {
        !matches!(self.state, State::Listing)
    }

    /// Whether the API server has the kind.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.state, State::Known)
    }

    pub(crate) fn status_base(&self, key: &ObjectKey) -> Option<&StatusBase> {
        self.status_bases.get(key)
    }

    /// Whether an object is there, read or not.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn knows(&self, key: &ObjectKey) -> bool {
        self.objects.contains_key(key) || self.unread.contains_key(key)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (&ObjectKey, &UnreadableObject)> {
        self.unread.iter().map(|(key, unread)| (key, &unread.found))
    }

    /// The same with its name, for messages.
    pub(crate) fn unread(&self) -> impl Iterator<Item = UnreadObject> {
        self.unread.iter().map(|(key, unread)| UnreadObject {
            kind: self.kind,
            key: key.clone(),
            uid: unread.uid.clone(),
            why: unread.found.why.clone(),
        })
    }

    /// How many objects were read.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn count_read(&self) -> usize {
        self.objects.len()
    }

    /// Says what is known of the kind.
    pub(crate) fn add_to(&self, snapshot: &mut SnapshotBuilder) {
        match &self.state {
            State::Listing => snapshot.unknown(self.kind, "they are being listed".to_owned()),
            State::Known => self
                .objects
                .values()
                .for_each(|object| snapshot.push(object)),
            State::Absent => snapshot.absent(self.kind),
            // An authority that was read stays in force: nothing else waits for it.
            State::Unknown(_)
                if self.kind == Kind::ClusterTrustBundle && !self.objects.is_empty() =>
            {
                let objects = self.objects.values();
                objects.for_each(|object| snapshot.push(object));
            }
            State::Unknown(why) => snapshot.unknown(self.kind, why.clone()),
        }
        for (key, unread) in &self.unread {
            snapshot.unreadable(self.kind.reference(key.clone()), unread.found.clone());
        }
    }

    /// A watch that starts again after a failure brings what was missed: until then the last view stands.
    fn revive(&mut self) -> bool {
        let was_unknown = matches!(self.state, State::Unknown(_));
        if was_unknown {
            self.state = State::Known;
        }
        was_unknown
    }

    fn replace(&mut self, objects: Vec<Seen>) -> bool {
        let mut changed = !matches!(self.state, State::Known);
        self.state = State::Known;
        let known = self.objects.keys().chain(self.unread.keys());
        let mut gone: BTreeSet<ObjectKey> = known.cloned().collect();
        for object in objects {
            gone.remove(&object.key);
            changed |= self.put(object);
        }
        for key in gone {
            changed |= self.remove(&key);
        }
        changed
    }

    fn put(&mut self, seen: Seen) -> bool {
        let revived = self.revive();
        let Seen {
            key,
            status_base,
            read,
        } = seen;
        match status_base {
            Some(status_base) => drop(self.status_bases.insert(key.clone(), status_base)),
            None if read.is_ok() => drop(self.status_bases.remove(&key)),
            None => {}
        }
        let changed = match read {
            Ok(object) => self.put_read(key, object),
            Err(unread) => self.put_unread(key, unread),
        };
        changed || revived
    }

    fn put_read(&mut self, key: ObjectKey, object: Object) -> bool {
        let mended = self.unread.remove(&key).is_some();
        let before = self.objects.get(&key);
        if before == Some(&object) {
            return mended;
        }
        self.objects.insert(key, object);
        true
    }

    fn put_unread(&mut self, key: ObjectKey, unread: Unread) -> bool {
        if self.unread.get(&key) == Some(&unread) {
            return false;
        }
        let object = format!("{} {key}", self.kind.as_str());
        tracing::warn!(object, why = unread.found.why, "an object cannot be read");
        self.unread.insert(key, unread);
        true
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        self.status_bases.remove(key);
        let was_unread = self.unread.remove(key).is_some();
        self.objects.remove(key).is_some() || was_unread
    }
}
