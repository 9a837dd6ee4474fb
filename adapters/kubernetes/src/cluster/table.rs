//! The objects of one kind, as far as its watch has brought them.

use std::collections::BTreeMap;

use adapter_gateway_api::{Object, ReadError, read};
use domain::ObjectKey;
use domain::snapshot::Reading;
use serde_json::Value;

use super::kind::Kind;
use super::watch::News;

/// Of an object, what writing its status needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// `metadata.uid`, by which events find their object.
    pub(crate) uid: String,
    /// `metadata.resourceVersion`.
    pub(crate) version: String,
    /// `status` as JSON text: a tenth of the memory of the parsed value.
    status: Box<str>,
}

impl Written {
    pub(crate) fn of(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        Self::new(text("uid"), text("resourceVersion"), &object["status"])
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
    /// Objects that cannot be told, and why.
    malformed: BTreeMap<ObjectKey, String>,
    written: BTreeMap<ObjectKey, Written>,
}

impl Table {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Listing,
            objects: BTreeMap::new(),
            malformed: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// Takes news in. Whether a view of the kind differs now.
    pub(crate) fn take(&mut self, news: News) -> bool {
        match news {
            News::Listed(objects) => self.replace(objects),
            News::Put(object) => self.put(object),
            News::Gone(object) => self.remove(&key(&object)),
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

    pub(crate) fn written(&self, key: &ObjectKey) -> Option<&Written> {
        self.written.get(key)
    }

    /// Why objects of the kind may be missing although it was read.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = &String> {
        self.malformed.values()
    }

    /// The objects, as values of their kind.
    pub(crate) fn reading<T>(&self, value: impl Fn(&Object) -> Option<T>) -> Reading<Vec<T>> {
        match &self.state {
            State::Listing => Reading::Unknown("they are being listed".to_owned()),
            State::Known => Reading::Known(self.objects.values().filter_map(value).collect()),
            State::Absent => Reading::Absent,
            State::Unknown(why) => Reading::Unknown(why.clone()),
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

    fn replace(&mut self, objects: Vec<Value>) -> bool {
        let mut changed = !matches!(self.state, State::Known);
        self.state = State::Known;
        let mut gone: Vec<_> = self
            .objects
            .keys()
            .chain(self.malformed.keys())
            .cloned()
            .collect();
        gone.sort();
        for object in objects {
            if let Ok(at) = gone.binary_search(&key(&object)) {
                gone.remove(at);
            }
            changed |= self.put(object);
        }
        for key in gone {
            changed |= self.remove(&key);
        }
        changed
    }

    fn put(&mut self, object: Value) -> bool {
        let revived = self.revive();
        let key = key(&object);
        if self.kind.has_status_of_ours() {
            self.written.insert(key.clone(), Written::of(&object));
        }
        let changed = match read(object) {
            Ok(object) => self.put_read(key, object),
            Err(error) => self.put_malformed(key, &error),
        };
        changed || revived
    }

    fn put_read(&mut self, key: ObjectKey, object: Object) -> bool {
        let mended = self.malformed.remove(&key).is_some();
        let before = self.objects.get(&key);
        if before.is_some_and(|before| before.is_same(&object)) {
            return mended;
        }
        self.objects.insert(key, object);
        true
    }

    fn put_malformed(&mut self, key: ObjectKey, error: &ReadError) -> bool {
        tracing::warn!(%error, "an object cannot be read");
        let gone = self.objects.remove(&key).is_some();
        let told = self.malformed.insert(key, error.to_string());
        gone || told.as_deref() != Some(error.to_string().as_str())
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        self.written.remove(key);
        let was_malformed = self.malformed.remove(key).is_some();
        self.objects.remove(key).is_some() || was_malformed
    }
}

/// Namespace and name as they are written, so that whatever else is wrong, an object replaces itself.
fn key(object: &Value) -> ObjectKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("");
    ObjectKey::new(text("namespace"), text("name"))
}
