//! All files together: one set of objects, and the snapshot of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_gateway_api::{Kind, Object, Secret, SnapshotBuilder};
use domain::ObjectRef;
use domain::certificate::TrustBundle;
use domain::gateway::Namespace;
use domain::snapshot::{ClusterSnapshot, EndpointRules, Reading, SecretFacts, UnreadableObject};

use crate::file::{FileObject, ManifestFile};
use crate::problem::Problem;

/// Label that the API server puts on every namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The objects in force. Where one is written twice, the first by path and position stands.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    objects: BTreeMap<Arc<ObjectRef>, Arc<Object>>,
    /// Problems of all files, in their order.
    pub(crate) problems: Vec<Problem>,
    unread: BTreeMap<ObjectRef, UnreadableObject>,
    /// Why there may be others, whose names are not known.
    incomplete: Option<String>,
}

impl Cluster {
    /// Puts files together. `unlisted` are the problems of places that could not be looked at:
    /// whatever is in them may be missing.
    pub(crate) fn of(files: &BTreeMap<PathBuf, ManifestFile>, unlisted: Vec<Problem>) -> Self {
        let folders = unlisted.iter().map(|problem| shown_path(&problem.file));
        let mut missing: Vec<String> = folders.collect();
        let mut cluster = Self {
            problems: unlisted,
            ..Self::default()
        };
        let mut places: BTreeMap<&ObjectRef, (&Path, usize)> = BTreeMap::new();
        for (path, file) in files {
            cluster.problems.extend(file.problems.iter().cloned());
            cluster.unread.extend(file.unread.clone());
            if file.incomplete {
                missing.push(shown_path(path));
            }
            for written in &file.objects {
                match places.entry(&*written.reference) {
                    Entry::Vacant(place) => {
                        place.insert((path, written.line));
                        cluster
                            .objects
                            .insert(written.reference.clone(), written.object.clone());
                    }
                    Entry::Occupied(first) => {
                        cluster
                            .problems
                            .push(duplicate(path, written, *first.get()));
                    }
                }
            }
        }
        if !missing.is_empty() {
            cluster.incomplete = Some(format!(
                "objects may be missing that could not be read: {}; see the problems of the \
                 manifests folder",
                missing.join(", ")
            ));
        }
        cluster
    }

    /// Every object in the folder that may have a status.
    pub(crate) fn references(&self) -> BTreeSet<Arc<ObjectRef>> {
        let objects = self.objects.iter();
        let objects = objects.filter(|(_, object)| match object.as_ref() {
            Object::Service(service) => service.exposure.is_some(),
            _ => true,
        });
        objects.map(|(reference, _)| reference.clone()).collect()
    }

    /// A Secret, with its values.
    pub(crate) fn secret(&self, reference: &ObjectRef) -> Option<&Secret> {
        match self.objects.get(reference)?.as_ref() {
            Object::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// The view that the domain gets; of Secrets only those that are followed or that a class or parameters name.
    pub(crate) fn snapshot(&self, followed: &BTreeSet<ObjectRef>) -> ClusterSnapshot {
        let mut builder = SnapshotBuilder::default();
        for namespace in self.namespaces() {
            builder.push(&Object::Namespace(namespace));
        }
        let objects = self.objects.values();
        let others = objects.filter(|object| !matches!(***object, Object::Namespace(_)));
        others.for_each(|object| builder.push(object));
        for (object, found) in &self.unread {
            builder.unreadable(object.clone(), found.clone());
        }
        let mut snapshot = builder.build();
        snapshot.endpoint_rules = EndpointRules::STANDALONE;
        snapshot.unreadable.nameless.clone_from(&self.incomplete);
        let of_classes = snapshot.classes.items().iter();
        let of_classes = of_classes.filter_map(|class| class.parameters.clone());
        let of_gateways = snapshot.parameters.items().iter();
        let of_gateways = of_gateways.filter_map(|parameters| parameters.credentials.clone());
        let named = of_classes.chain(of_gateways);
        snapshot.secrets = named
            .chain(followed.iter().cloned())
            .filter(|named| Kind::Secret.has(named))
            .map(|reference| {
                let facts = self.facts(&reference);
                (reference, facts)
            })
            .collect();
        let trusted = followed
            .iter()
            .map(|reference| (reference.clone(), self.trust(reference)));
        snapshot.trust = trusted.collect();
        snapshot
    }

    /// Whether every Secret that a snapshot shows has the same values in another cluster.
    pub(crate) fn shows_same_secrets(&self, other: &Self, shown: &ClusterSnapshot) -> bool {
        let mut secrets = shown.secrets.keys();
        secrets.all(|reference| self.secret(reference) == other.secret(reference))
    }

    fn trust(&self, reference: &ObjectRef) -> Reading<TrustBundle> {
        let unread = self.unread.get(reference).map(|found| &found.why);
        let found = self.objects.get(reference).map(|object| &**object);
        match (found, unread.or(self.incomplete.as_ref())) {
            (Some(Object::ConfigMap(config)), _) => Reading::Known(config.trust.clone()),
            (Some(Object::Secret(secret)), _) => Reading::Known(secret.trust()),
            (_, Some(reason)) => Reading::Unknown(reason.clone()),
            (_, None) => Reading::Absent,
        }
    }

    fn facts(&self, reference: &ObjectRef) -> Reading<SecretFacts> {
        let unread = self.unread.get(reference).map(|found| &found.why);
        match (self.secret(reference), unread.or(self.incomplete.as_ref())) {
            (Some(secret), _) => Reading::Known(secret.facts()),
            (None, Some(reason)) => Reading::Unknown(reason.clone()),
            (None, None) => Reading::Absent,
        }
    }

    /// Namespaces that are written, and one for every object that is in one.
    fn namespaces(&self) -> Vec<Namespace> {
        let mut namespaces: BTreeMap<&str, Namespace> = BTreeMap::new();
        for (reference, object) in &self.objects {
            let (name, labels) = match object.as_ref() {
                Object::Namespace(namespace) => (&namespace.name, namespace.labels.clone()),
                _ if reference.key.namespace.is_empty() => continue,
                _ => (&reference.key.namespace, BTreeMap::new()),
            };
            let namespace = namespaces.entry(name).or_insert_with(|| Namespace {
                name: name.clone(),
                deleting: false,
                labels: BTreeMap::new(),
            });
            namespace.labels.extend(labels);
            let label = NAMESPACE_NAME_LABEL.to_owned();
            namespace.labels.insert(label, name.clone());
        }
        namespaces.into_values().collect()
    }
}

fn shown_path(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => "the folder itself".to_owned(),
        false => path.display().to_string(),
    }
}

fn duplicate(path: &Path, written: &FileObject, (first, line): (&Path, usize)) -> Problem {
    let object = written.reference.to_string();
    Problem {
        file: path.to_owned(),
        document: written.document,
        line: Some(written.line),
        message: format!(
            "{object} is written twice: {}:{line} stands, {}:{} has no effect; remove one of them",
            first.display(),
            path.display(),
            written.line
        ),
        object: Some(object),
    }
}
