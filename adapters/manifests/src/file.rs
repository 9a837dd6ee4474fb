//! What one file says, and what stays in force of it while it says nothing that can be read.

use std::path::Path;
use std::sync::Arc;

use adapter_gateway_api::{Object, ReadError, read};
use domain::ObjectRef;
use serde_json::Value;

use crate::list::{self, TooDeep};
use crate::problem::Problem;
use crate::store::is_object_name;
use crate::yaml::{self, Document};

/// One file: the objects of it that are in force.
#[derive(Debug, Default)]
pub(crate) struct ManifestFile {
    /// Fingerprint of the text that this was made of; `None` where the file could not be read.
    pub(crate) fingerprint: Option<u64>,
    /// Objects, in the order written.
    pub(crate) objects: Vec<Written>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Problem>,
    /// Whether it holds objects that were never read.
    pub(crate) incomplete: bool,
}

/// An object and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Written {
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
        let (meanwhile, objects, incomplete) = match last {
            // What was never read before is not there to stand in.
            Some(last) if !(last.incomplete && last.objects.is_empty()) => {
                let meanwhile = "what it said before stays in force";
                (meanwhile, last.objects.clone(), last.incomplete)
            }
            _ => ("nothing of it is in force", Vec::new(), true),
        };
        let message = match line {
            Some(_) => format!("not valid YAML: {message}; {remedy}; {meanwhile}"),
            None => format!("{message}; {remedy}; {meanwhile}"),
        };
        Self {
            fingerprint: None,
            objects,
            problems: vec![Problem::of_file(path, line, message)],
            incomplete,
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

    /// Adds what one object says, or what it said `last` while it cannot be told.
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
        let written = |reference, object| Written {
            document: position,
            line,
            reference,
            object,
        };
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
                let earlier = error.reference.as_ref().and_then(|r| last?.find(r));
                let Some(earlier) = earlier else {
                    self.incomplete = true;
                    return self.problems.push(problem(error.object, told));
                };
                let message = format!("{told}; what it said before stays in force");
                self.problems.push(problem(error.object, message));
                let written = written(earlier.reference.clone(), earlier.object.clone());
                self.objects.push(written);
            }
        }
    }

    fn find(&self, reference: &ObjectRef) -> Option<&Written> {
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
            message: format!("{name:?} is no object name; use a-z, 0-9, inner `-` and `.`"),
        }));
    }
    Ok(object)
}
