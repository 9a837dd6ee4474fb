//! `diagnose`: what a report of a fault needs, in one folder, without secrets.
//!
//! - [`mod@scrub`]: texts without what looks like a secret; [`shown`]: objects without what may hold one.
//!
//! No Secret and no ConfigMap is read.

pub mod scrub;
pub mod shown;

use std::collections::BTreeMap;
use std::path::Path;

use adapter_gateway_api::Kind;
use domain::names::{is_dns_label, is_object_name};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::run::seen;
use crate::screen::{Format, Screen, as_yaml, harmless};
use crate::status::Overview;
use crate::version;
use scrub::scrub;

/// Longest file of a bundle, in bytes. Of a log the end is kept, of all else the beginning.
pub const LONGEST: usize = 1 << 20;

/// Objects of one kind.
const MOST_OBJECTS: usize = 2000;

/// Pods whose logs and metrics are taken.
const MOST_PODS: usize = 40;

/// Lines of one log.
const LOG_LINES: usize = 5000;

/// Our pods, as the chart and the controller label them.
const OURS: &str = "app.kubernetes.io/name in (cfgw-controller,cfgw-proxy)";

/// Port of health, readiness and metrics.
const ADMIN_PORT: u16 = 8081;

/// Kinds of objects that are taken.
const KINDS: [Kind; 8] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::ReferenceGrant,
    Kind::GatewayParameters,
    Kind::GatewayStatus,
];

/// Files by their names.
#[derive(Debug, Default)]
pub struct Bundle {
    files: BTreeMap<String, String>,
    /// What could not be taken.
    missing: Vec<String>,
}

/// Takes all that can be read. `check` is what `cfgwctl check` says.
pub async fn collect(cluster: &Cluster, check: String) -> Bundle {
    let mut bundle = Bundle::default();
    bundle.put("check.txt", check);
    bundle.put("versions.txt", version::text(cluster.controllers().await));
    match seen(cluster, true).await {
        Ok(seen) => {
            let mut out = Vec::new();
            let screen = Screen::new(&mut out, false);
            let text = Overview::of(seen).text(Format::Wide, &screen);
            bundle.put("status.txt", text);
        }
        Err(failure) => bundle.lacks("status.txt", &failure),
    }
    for kind in KINDS {
        let name = format!("objects/{}.yaml", kind.plural());
        match cluster.list::<Value>(kind, None).await {
            Ok(objects) => bundle.put_objects(&name, objects.unwrap_or_default()),
            Err(failure) => bundle.lacks(&name, &failure),
        }
    }
    for (name, path) in [
        ("deployments", "/apis/apps/v1/deployments"),
        ("pods", "/api/v1/pods"),
    ] {
        let file = format!("objects/{name}.yaml");
        match cluster.list_at(path, Some(OURS)).await {
            Ok(objects) => {
                if name == "pods" {
                    bundle.take_pods(cluster, &objects).await;
                }
                bundle.put_objects(&file, objects);
            }
            Err(failure) => bundle.lacks(&file, &failure),
        }
    }
    match cluster.list_at("/api/v1/events", None).await {
        Ok(events) => bundle.put("events.txt", shown::events(&events)),
        Err(failure) => bundle.lacks("events.txt", &failure),
    }
    bundle
}

impl Bundle {
    /// Texts of others come in here only without what looks like a secret.
    fn put(&mut self, name: &str, text: impl AsRef<str>) {
        let text = harmless(&scrub(text.as_ref()));
        self.files.insert(name.to_owned(), beginning(text));
    }

    fn put_log(&mut self, name: &str, text: &str) {
        let text = harmless(&scrub(text));
        self.files.insert(name.to_owned(), end(text));
    }

    fn lacks(&mut self, name: &str, failure: &Failure) {
        self.missing.push(format!("{name}: {failure}"));
    }

    fn put_objects(&mut self, name: &str, mut objects: Vec<Value>) {
        let more = objects.len().saturating_sub(MOST_OBJECTS);
        if more > 0 {
            self.missing.push(format!("{name}: {more} more objects"));
        }
        objects.truncate(MOST_OBJECTS);
        objects.iter_mut().for_each(shown::clean);
        let documents: Vec<String> = objects.iter().map(as_yaml).collect();
        self.put(name, documents.join("---\n"));
    }

    async fn take_pods(&mut self, cluster: &Cluster, pods: &[Value]) {
        let more = pods.len().saturating_sub(MOST_PODS);
        if more > 0 {
            self.missing
                .push(format!("logs and metrics of {more} more pods"));
        }
        for pod in pods.iter().take(MOST_PODS) {
            let metadata = &pod["metadata"];
            let (namespace, name) = (&metadata["namespace"], &metadata["name"]);
            if let (Some(namespace), Some(name)) = (namespace.as_str(), name.as_str())
                // They become names of files.
                && is_dns_label(namespace)
                && is_object_name(name)
            {
                self.take_pod(cluster, namespace, name).await;
            }
        }
    }

    async fn take_pod(&mut self, cluster: &Cluster, namespace: &str, pod: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
        let limits = format!("tailLines={LOG_LINES}&limitBytes={LONGEST}&timestamps=true");
        for (suffix, query) in [("", ""), (".previous", "&previous=true")] {
            let file = format!("logs/{namespace}_{pod}{suffix}.log");
            match cluster
                .text_at(&format!("{path}/log?{limits}{query}"))
                .await
            {
                Ok(text) => self.put_log(&file, &text),
                // Most pods were never restarted.
                Err(_) if !query.is_empty() => {}
                Err(failure) => self.lacks(&file, &failure),
            }
        }
        let file = format!("metrics/{namespace}_{pod}.txt");
        let path = format!("{path}:{ADMIN_PORT}/proxy/metrics");
        match cluster.text_at(&path).await {
            Ok(text) => self.put(&file, text),
            Err(failure) => self.lacks(&file, &failure),
        }
    }

    /// Names and texts of the files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Writes the bundle into a folder that must not be there yet. How many files it has.
    ///
    /// # Errors
    /// It is there, or cannot be written.
    pub fn write(mut self, folder: &Path) -> Result<usize, Failure> {
        let missing: String = self
            .missing
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        self.put("missing.txt", missing);
        let failed = |error: std::io::Error| {
            Failure::new(
                format!("{}: {error}", folder.display()),
                "name a folder that is not there yet and can be made",
            )
        };
        std::fs::create_dir(folder).map_err(failed)?;
        for (name, text) in self.files() {
            let file = folder.join(name);
            let parent = file.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(failed)?;
            std::fs::write(&file, text).map_err(failed)?;
        }
        Ok(self.files.len())
    }
}

const CUT: &str = "(cut here)\n";

fn beginning(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('\n');
        text.push_str(CUT);
    }
    text
}

fn end(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let start = (text.len() - LONGEST..text.len()).find(|at| text.is_char_boundary(*at));
    format!("{CUT}{}", &text[start.unwrap_or(text.len())..])
}
