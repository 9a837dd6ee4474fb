//! The objects in force, file by file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_gateway_api::{Object, ReadError, read};
use domain::ObjectRef;
use serde_json::Value;

use crate::documents::documents;
use crate::listing::{FileText, Listing};
use crate::problem::Problem;

const UNREAD_STAYS: &str = "until then what was read before stays in force";
const UNREAD_MISSING: &str =
    "until then its objects may be missing, and nothing is deleted at Cloudflare";

/// The objects in force, and what was wrong with the rest.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    files: BTreeMap<PathBuf, FileRecord>,
    closed: BTreeMap<PathBuf, String>,
}

/// What one file contributes.
#[derive(Debug, Default)]
struct FileRecord {
    fingerprint: u64,
    placed: Vec<Placed>,
    problems: Vec<Problem>,
    /// A document could not be read, and no earlier reading of this file stands for it.
    has_gap: bool,
}

/// An object where it was written.
#[derive(Debug, Clone)]
struct Placed {
    line: u64,
    object: Arc<Object>,
}

/// What follows from an inventory.
#[derive(Debug)]
pub(crate) struct InForce {
    /// One for each kind, namespace and name.
    pub(crate) objects: BTreeMap<ObjectRef, Arc<Object>>,
    /// Sorted by file and line.
    pub(crate) problems: Vec<Problem>,
    /// Why objects may be missing.
    pub(crate) incomplete: Option<String>,
}

impl InForce {
    /// Kind, namespace and name of every object.
    pub(crate) fn references(&self) -> BTreeSet<ObjectRef> {
        self.objects.keys().cloned().collect()
    }
}

impl Inventory {
    /// Whether a listing says what is known already.
    pub(crate) fn is_current(&self, listing: &Listing) -> bool {
        let known = |(path, file): (&PathBuf, &FileText)| {
            let record = self.files.get(path);
            record.is_some_and(|record| record.fingerprint == file.fingerprint)
        };
        let gone = |path: &PathBuf| !listing.files.contains_key(path) && !listing.is_closed(path);
        self.closed == listing.closed
            && listing.files.iter().all(known)
            && !self.files.keys().any(gone)
    }

    /// Takes a listing over, except for files that have not come to rest.
    pub(crate) fn take(&mut self, listing: &Listing, unsettled: &BTreeSet<PathBuf>) {
        let earlier = self.objects_by_reference();
        self.closed.clone_from(&listing.closed);
        self.files.retain(|path, _| {
            listing.files.contains_key(path) || listing.is_closed(path) || unsettled.contains(path)
        });
        for (path, file) in &listing.files {
            let record = self.files.get(path);
            let is_known = record.is_some_and(|record| record.fingerprint == file.fingerprint);
            if !is_known && !unsettled.contains(path) {
                let record = FileReader::new(path, record, &earlier).read(file);
                self.files.insert(path.clone(), record);
            }
        }
    }

    fn objects_by_reference(&self) -> HashMap<ObjectRef, Arc<Object>> {
        self.files
            .values()
            .flat_map(|record| &record.placed)
            .map(|placed| (placed.object.reference(), Arc::clone(&placed.object)))
            .collect()
    }

    /// The objects in force. Of several with one name the first stands, by file and line.
    pub(crate) fn in_force(&self) -> InForce {
        let mut first: BTreeMap<ObjectRef, (&Path, &Placed)> = BTreeMap::new();
        let mut problems = Vec::new();
        for (path, record) in &self.files {
            problems.extend(record.problems.iter().cloned());
            for placed in &record.placed {
                let reference = placed.object.reference();
                if let Some((file, standing)) = first.get(&reference) {
                    problems.push(duplicate(path, placed, &reference, file, standing));
                } else {
                    first.insert(reference, (path, placed));
                }
            }
        }
        problems.extend(self.closed.iter().map(|(folder, reason)| Problem {
            file: folder.clone(),
            line: None,
            object: None,
            message: format!("it cannot be listed ({reason}); make it readable; {UNREAD_STAYS}"),
        }));
        problems.sort();
        let objects = first
            .into_iter()
            .map(|(reference, (_, placed))| (reference, Arc::clone(&placed.object)))
            .collect();
        InForce {
            objects,
            problems,
            incomplete: self.incomplete(),
        }
    }

    fn incomplete(&self) -> Option<String> {
        let gaps = self.files.iter().filter(|(_, record)| record.has_gap);
        let gaps = gaps.map(|(path, _)| path.display().to_string());
        // A folder that was never listed may hold anything.
        let unknown = self
            .closed
            .keys()
            .filter(|folder| !self.files.keys().any(|path| path.starts_with(folder)));
        let unknown = unknown.map(|folder| format!("{}/", folder.display()));
        let unread: Vec<String> = gaps.chain(unknown).collect();
        (!unread.is_empty()).then(|| format!("not read: {}", unread.join(", ")))
    }
}

fn duplicate(
    file: &Path,
    placed: &Placed,
    reference: &ObjectRef,
    standing_file: &Path,
    standing: &Placed,
) -> Problem {
    Problem {
        file: file.to_owned(),
        line: Some(placed.line),
        object: Some(named(reference)),
        message: format!(
            "it is written already in {}:{}, which stands; remove one of the two",
            standing_file.display(),
            standing.line
        ),
    }
}

/// Reads one changed file.
struct FileReader<'i> {
    path: &'i Path,
    before: Option<&'i FileRecord>,
    /// Everything that was in force, in whatever file: an object may have moved here.
    earlier: &'i HashMap<ObjectRef, Arc<Object>>,
    record: FileRecord,
    /// A document could not even be named: any object of the file may be meant.
    has_unnamed: bool,
}

impl<'i> FileReader<'i> {
    fn new(
        path: &'i Path,
        before: Option<&'i FileRecord>,
        earlier: &'i HashMap<ObjectRef, Arc<Object>>,
    ) -> Self {
        Self {
            path,
            before,
            earlier,
            record: FileRecord::default(),
            has_unnamed: false,
        }
    }

    fn read(mut self, file: &FileText) -> FileRecord {
        self.record.fingerprint = file.fingerprint;
        match &file.text {
            Ok(text) if text.trim().is_empty() && self.had_objects() => {
                self.unreadable(None, "it is empty; remove the file to remove its objects");
            }
            Ok(text) => {
                for document in documents(text) {
                    match document.value {
                        Ok(value) => self.read_document(document.line, value),
                        Err(message) => {
                            let message = format!("this is not YAML: {message}; correct it");
                            self.unreadable(Some(document.line), &message);
                        }
                    }
                }
            }
            Err(message) => self.unreadable(None, &format!("{message}; make the file readable")),
        }
        self.keep_what_may_be_meant();
        self.record
    }

    fn had_objects(&self) -> bool {
        self.before.is_some_and(|record| !record.placed.is_empty())
    }

    /// Reads one document; the items of a list (`kubectl get -o yaml`) count as documents of their own.
    fn read_document(&mut self, line: u64, value: Value) {
        if value["apiVersion"] == "v1" && value["kind"] == "List" {
            let items = value["items"].as_array().cloned().unwrap_or_default();
            for item in items {
                self.read_object(line, item);
            }
        } else {
            self.read_object(line, value);
        }
    }

    fn read_object(&mut self, line: u64, value: Value) {
        match read(value) {
            Ok(Object::Unknown {
                api_version,
                kind,
                key,
            }) => self.problem(
                Some(line),
                Some(format!("{kind} {key}")),
                format!("{kind} of {api_version} is not served; it is passed over"),
            ),
            Ok(object) => self.place(line, Arc::new(object)),
            Err(error) => self.refuse(line, error),
        }
    }

    fn place(&mut self, line: u64, object: Arc<Object>) {
        self.record.placed.push(Placed { line, object });
    }

    /// An object that can be named stays as it was, wherever it was written.
    fn refuse(&mut self, line: u64, error: ReadError) {
        let named = error.reference.as_deref();
        let standing = named.and_then(|reference| self.earlier.get(reference));
        let message = format!("{}: {}", error.field, error.message);
        match (standing, named) {
            (Some(object), _) => {
                self.place(line, Arc::clone(object));
                let message = format!("{message}; {UNREAD_STAYS}");
                self.problem(Some(line), Some(error.object), message);
            }
            (None, Some(_)) => {
                self.record.has_gap |= self.is_first_reading();
                let message = format!("{message}; {}", self.consequence());
                self.problem(Some(line), Some(error.object), message);
            }
            (None, None) => {
                self.unreadable(Some(line), &format!("{}: {message}", error.object));
            }
        }
    }

    /// Something that cannot be told to be any object.
    fn unreadable(&mut self, line: Option<u64>, message: &str) {
        self.has_unnamed = true;
        self.record.has_gap |= self.is_first_reading();
        let message = format!("{message}; {}", self.consequence());
        self.problem(line, None, message);
    }

    fn is_first_reading(&self) -> bool {
        self.before.is_none_or(|record| record.has_gap)
    }

    fn consequence(&self) -> &'static str {
        if self.is_first_reading() {
            UNREAD_MISSING
        } else {
            UNREAD_STAYS
        }
    }

    fn problem(&mut self, line: Option<u64>, object: Option<String>, message: String) {
        self.record.problems.push(Problem {
            file: self.path.to_owned(),
            line,
            object,
            message,
        });
    }

    /// While a document cannot be named, every object of the earlier reading may be the one it means.
    fn keep_what_may_be_meant(&mut self) {
        let (true, Some(before)) = (self.has_unnamed, self.before) else {
            return;
        };
        let read: BTreeSet<ObjectRef> = self
            .record
            .placed
            .iter()
            .map(|placed| placed.object.reference())
            .collect();
        let missing = before
            .placed
            .iter()
            .filter(|placed| !read.contains(&placed.object.reference()));
        self.record.placed.extend(missing.cloned());
    }
}

/// The object for people.
fn named(reference: &ObjectRef) -> String {
    if reference.key.namespace.is_empty() {
        format!("{} {}", reference.kind, reference.key.name)
    } else {
        reference.to_string()
    }
}
