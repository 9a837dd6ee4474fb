//! A folder to write into and what comes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_manifests::ManifestFolder;
use domain::ports::ClusterSource;
use domain::snapshot::ClusterSnapshot;
use tempfile::TempDir;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// A value that must be nowhere.
pub(crate) const CANARY: &str = "canary-3f1d";

/// Manifests and state, empty at first.
pub(crate) struct World {
    root: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("manifests")).unwrap();
        Self { root }
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let world = Self::new();
        for (name, text) in files {
            world.write(name, text);
        }
        world
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.root.path().join("manifests")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.manifests().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn open(&self) -> Arc<ManifestFolder> {
        ManifestFolder::open(self.manifests(), self.state()).unwrap()
    }

    pub(crate) fn state_file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.state().join(name)).ok()
    }

    /// All text in the state folder, file names included.
    pub(crate) fn all_state(&self) -> String {
        let mut text = String::new();
        collect(&self.state(), &mut text);
        text
    }
}

fn collect(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text.push_str(&path.display().to_string());
        text.push('\n');
        if path.is_dir() {
            collect(&path, text);
        } else {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Waits until the snapshot is as it should be.
pub(crate) async fn until(
    folder: &ManifestFolder,
    what: &str,
    is_so: impl Fn(&ClusterSnapshot) -> bool,
) -> Arc<ClusterSnapshot> {
    let started = Instant::now();
    loop {
        let snapshot = folder.snapshot().await;
        if is_so(&snapshot) {
            return snapshot;
        }
        assert!(started.elapsed() < DEADLINE, "never: {what}: {snapshot:#?}");
        let _ = tokio::time::timeout(Duration::from_millis(100), folder.changed()).await;
    }
}

/// Waits until the problems, one to a line, are as they should be.
pub(crate) async fn until_problems(
    folder: &ManifestFolder,
    what: &str,
    is_so: impl Fn(&str) -> bool,
) -> String {
    let started = Instant::now();
    loop {
        let problems = problems(folder);
        if is_so(&problems) {
            return problems;
        }
        assert!(started.elapsed() < DEADLINE, "never: {what}: {problems}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn problems(folder: &ManifestFolder) -> String {
    let problems = folder.problems();
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// `namespace/name` of the routes, sorted.
pub(crate) fn routes(snapshot: &ClusterSnapshot) -> Vec<String> {
    let routes = snapshot.routes.items().iter();
    let mut names: Vec<_> = routes.map(|route| route.key.to_string()).collect();
    names.sort();
    names
}

pub(crate) fn route(name: &str) -> String {
    route_to(name, "app")
}

pub(crate) fn route_to(name: &str, service: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec:\n  parentRefs: [{{name: web}}]\n  rules:\n  - backendRefs: [{{name: {service}, port: 80}}]\n"
    )
}

/// Name of the first backend of a route.
pub(crate) fn backend(snapshot: &ClusterSnapshot, name: &str) -> String {
    let mut routes = snapshot.routes.items().iter();
    let route = routes.find(|route| route.key.name == name).unwrap();
    format!("{:?}", route.rules[0].backends[0])
}

pub(crate) fn class(controller: &str, name: &str, secret: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: {name}}}\n\
         spec:\n  controllerName: {controller}\n  parametersRef: {{group: \"\", kind: Secret, name: {secret}, \
         namespace: default}}\n"
    )
}

pub(crate) fn gateway(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n\
         spec:\n  gatewayClassName: cloudflare\n  listeners: [{{name: https, port: 443, protocol: HTTPS}}]\n"
    )
}

pub(crate) fn secret(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n");
    for (key, value) in fields {
        text.push_str(&format!("  {key}: \"{value}\"\n"));
    }
    text
}
