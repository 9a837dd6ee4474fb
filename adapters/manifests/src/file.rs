//! What one file says, and what stays in force of it while it says nothing that can be read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use adapter_gateway_api::{Object, OnlyParentRef, ParentRefs, ReadError, read};
use domain::ObjectRef;
use domain::names::is_object_name;
use domain::snapshot::UnreadableObject;
use serde::Deserialize;
use serde_json::Value;

use crate::list::{self, TooDeep};
use crate::problem::Problem;
use crate::yaml::{self, Document};

/// One file: the objects of it that are in force.
#[derive(Debug, Default)]
pub(crate) struct ManifestFile {
    /// Fingerprint of the text that this was made of; `None` where the file could not be read.
    pub(crate) fingerprint: Option<u64>,
    /// Objects, in the order written.
    pub(crate) objects: Vec<FileObject>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Problem>,
    /// Objects in it that cannot be read. What was read of them before stands in `objects`.
    pub(crate) unread: BTreeMap<ObjectRef, UnreadableObject>,
    /// Whether it may hold objects that were never read and whose names are not known.
    pub(crate) incomplete: bool,
}

/// An object and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct FileObject {
    /// Position of the document in its file, from 1.
    pub(crate) document: usize,
    /// Line, from 1.
    pub(crate) line: usize,
    pub(crate) reference: Arc<ObjectRef>,
    pub(crate) object: Arc<Object>,
}

impl ManifestFile {
    /// The next version of a file after its present text.
    pub(crate) fn read(path: &Path, text: &str, fingerprint: u64, last: Option<&Self>) -> Self {
        let mut file = Self {
            fingerprint: Some(fingerprint),
            ..Self::default()
        };
        for document in yaml::documents(text) {
            match document {
                Ok(document) => file.add(path, document, last),
                // A file counts as a whole or not at all.
                Err(malformed) => {
                    let (line, message) = (Some(malformed.line), malformed.message);
                    return Self {
                        fingerprint: file.fingerprint,
                        ..Self::broken(path, line, &message, "mend it", last)
                    };
                }
            }
        }
        file.objects.shrink_to_fit();
        file
    }

    /// The next version of a file that is there and cannot be opened.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error, last: Option<&Self>) -> Self {
        let message = format!("it cannot be read: {error}");
        Self::broken(path, None, &message, "make it readable or remove it", last)
    }

    fn broken(
        path: &Path,
        line: Option<usize>,
        message: &str,
        remedy: &str,
        last: Option<&Self>,
    ) -> Self {
        // What was never read before is not there to stand in.
        let last = last.filter(|last| !(last.incomplete && last.objects.is_empty()));
        let meanwhile = match last {
            Some(_) => "what it said before stays in force",
            None => "nothing of it is in force",
        };
        let message = match line {
            Some(_) => format!("not valid YAML: {message}; {remedy}; {meanwhile}"),
            None => format!("{message}; {remedy}; {meanwhile}"),
        };
        Self {
            fingerprint: None,
            objects: last.map(|last| last.objects.clone()).unwrap_or_default(),
            problems: vec![Problem::of_file(path, line, message)],
            unread: last.map(|last| last.unread.clone()).unwrap_or_default(),
            incomplete: last.is_none_or(|last| last.incomplete),
        }
    }

    /// Adds what one document says: an object, or a list of them.
    fn add(&mut self, path: &Path, document: Document, last: Option<&Self>) {
        let Document {
            position,
            line,
            value,
        } = document;
        for object in list::objects(value) {
            match object {
                Ok(object) => self.add_object(path, (position, line), object, last),
                Err(TooDeep) => {
                    self.incomplete = true;
                    self.problems.push(Problem {
                        file: path.to_owned(),
                        document: position,
                        line: Some(line),
                        object: Some("List".to_owned()),
                        message: TooDeep::message(),
                    });
                }
            }
        }
    }

    /// Adds what one object says, or what it said in `last` while it cannot be read.
    fn add_object(
        &mut self,
        path: &Path,
        (position, line): (usize, usize),
        value: Value,
        last: Option<&Self>,
    ) {
        let problem = |object: String, message: String| Problem {
            file: path.to_owned(),
            document: position,
            line: Some(line),
            object: Some(object),
            message,
        };
        let written = |reference, object| FileObject {
            document: position,
            line,
            reference,
            object,
        };
        let spec = &value["spec"];
        let only = || OnlyParentRef::deserialize(&spec["parentRef"]).map(ParentRefs::from);
        let parents = ParentRefs::deserialize(&spec["parentRefs"]);
        let parents = parents.or_else(|_| only()).ok();
        match read(value).map_err(Box::new).and_then(well_named) {
            Ok(Object::Unknown {
                api_version,
                kind,
                key,
            }) => {
                let message = format!(
                    "apiVersion {api_version} kind {kind} is not served and has no effect; remove \
                     it, or check its spelling"
                );
                self.problems
                    .push(problem(format!("{kind} {key}"), message));
            }
            Ok(object) => {
                let written = written(Arc::new(object.reference()), Arc::new(object));
                self.objects.push(written);
            }
            Err(error) => {
                let told = format!("{}: {}", error.field, error.message);
                match &error.reference {
                    Some(reference) => self.add_unread(reference, &error, parents),
                    None => self.incomplete = true,
                }
                let earlier = error.reference.as_ref().and_then(|r| last?.find(r));
                let Some(earlier) = earlier else {
                    return self.problems.push(problem(error.object, told));
                };
                let message = format!("{told}; what it said before stays in force");
                self.problems.push(problem(error.object, message));
                let written = written(earlier.reference.clone(), earlier.object.clone());
                self.objects.push(written);
            }
        }
    }

    /// Notes which object cannot be read. The problem alone says what is written in it.
    fn add_unread(
        &mut self,
        reference: &ObjectRef,
        error: &ReadError,
        parents: Option<ParentRefs>,
    ) {
        let why = format!(
            "{}: it cannot be read; see the problems of the manifests folder",
            error.field
        );
        let parents = parents.map(|parents| parents.targets(&reference.key.namespace));
        let found = UnreadableObject { why, parents };
        self.unread.insert(reference.clone(), found);
    }

    fn find(&self, reference: &ObjectRef) -> Option<&FileObject> {
        self.objects
            .iter()
            .find(|written| *written.reference == *reference)
    }
}

/// Refuses a name that Kubernetes would refuse: nothing later has to fear it in a path or a message.
fn well_named(object: Object) -> Result<Object, Box<ReadError>> {
    if matches!(object, Object::Unknown { .. }) {
        return Ok(object);
    }
    let reference = object.reference();
    let named = [
        ("metadata.name", &reference.key.name, false),
        ("metadata.namespace", &reference.key.namespace, true),
    ];
    for (field, name, may_be_empty) in named {
        if is_object_name(name) || (may_be_empty && name.is_empty()) {
            continue;
        }
        return Err(Box::new(ReadError {
            reference: None,
            object: format!("{} {:?}", reference.kind, reference.key.name),
            field: field.to_owned(),
            message: format!("Invalid value: {name:?}: must be a-z, 0-9, inner `-` and `.`"),
        }));
    }
    Ok(object)
}
