//! The program helm, and what it renders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A version of Kubernetes that the chart takes; helm on its own assumes an old one.
const KUBERNETES: &str = "v1.34.0";

/// Helm, for one of our charts.
pub(crate) struct Helm {
    program: PathBuf,
    chart: Chart,
}

/// One of our charts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chart {
    Controller,
    Broker,
}

impl Chart {
    pub(crate) const ALL: [Self; 2] = [Self::Controller, Self::Broker];

    fn name(self) -> &'static str {
        match self {
            Self::Controller => "cloudflare-gateway-controller",
            Self::Broker => "cloudflare-gateway-broker",
        }
    }

    pub(crate) fn folder(self) -> PathBuf {
        let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
        charts.join(self.name())
    }

    /// Values without which nothing is rendered.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Controller => &["installation=one"],
            Self::Broker => &["keys.secretName=keys", "tls.secretName=tls"],
        }
    }
}

impl Helm {
    /// For the controller's chart. `None`, and a word about it, where there is no helm. One that `HELM` names must be there.
    pub(crate) fn find() -> Option<Self> {
        Self::of(Chart::Controller)
    }

    /// The same for any chart.
    pub(crate) fn of(chart: Chart) -> Option<Self> {
        let program = Self::program()?;
        Some(Self { program, chart })
    }

    fn program() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os("HELM") {
            let named = PathBuf::from(named);
            assert!(named.is_file(), "HELM: {} is no file", named.display());
            return Some(named);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|folder| folder.join("helm"));
        let found = places.find(|place| place.is_file());
        if found.is_none() {
            println!("NOT RUN: there is no helm; name one in HELM");
        }
        found
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_remove("KUBECONFIG");
        command.output().expect("helm runs")
    }

    /// The chart with these values, as release `cfgw` in `cfgw-system`; else what helm says.
    pub(crate) fn try_render(&self, values: &[&str]) -> Result<Rendered, String> {
        self.try_render_for(KUBERNETES, values)
    }

    /// The same for a version of Kubernetes.
    pub(crate) fn try_render_for(
        &self,
        kubernetes: &str,
        values: &[&str],
    ) -> Result<Rendered, String> {
        // What is set later counts.
        let all = self.chart.needed().iter().chain(values);
        let arguments: Vec<&str> = all.flat_map(|value| ["--set", value]).collect();
        let text = self.template(kubernetes, &arguments)?;
        let documents = text.split("\n---\n").map(|document| {
            let document = document.trim_start_matches("---\n");
            serde_saphyr::from_str(document).unwrap_or_else(|e| panic!("{e}: {document}"))
        });
        Ok(Rendered(documents.collect()))
    }

    /// What the chart is with a file of values, as text; the path is that from this crate.
    pub(crate) fn render_file(&self, file: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let arguments = ["--values", file.to_str().expect("a path")];
        let rendered = self.template(KUBERNETES, &arguments);
        rendered.unwrap_or_else(|error| panic!("{file:?}: {error}"))
    }

    fn template(&self, kubernetes: &str, more: &[&str]) -> Result<String, String> {
        let chart = self.chart.folder();
        let chart = chart.to_str().expect("a path");
        let arguments = ["template", "cfgw", chart, "--namespace", "cfgw-system"];
        let version = ["--kube-version", kubernetes];
        let output = self.run(&[&arguments[..], &version, more].concat());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8(output.stdout).expect("text"))
    }

    pub(crate) fn render(&self, values: &[&str]) -> Rendered {
        let rendered = self.try_render(values);
        rendered.unwrap_or_else(|error| panic!("{values:?}: {error}"))
    }

    pub(crate) fn lint(&self) {
        let chart = self.chart.folder();
        let output = self.run(&["lint", "--strict", chart.to_str().expect("a path")]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
}

/// The objects of a release.
#[derive(Debug)]
pub(crate) struct Rendered(Vec<Value>);

impl Rendered {
    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        let objects = self.0.iter();
        objects.filter(|object| object["kind"] == kind).collect()
    }

    pub(crate) fn one(&self, kind: &str) -> Value {
        let found = self.all(kind);
        assert_eq!(found.len(), 1, "{kind}");
        found[0].clone()
    }

    /// `spec` of the pods.
    pub(crate) fn pod(&self) -> Value {
        self.one("Deployment")["spec"]["template"]["spec"].clone()
    }

    pub(crate) fn container(&self) -> Value {
        let pod = self.pod();
        let containers = pod["containers"].as_array().expect("containers");
        assert_eq!(containers.len(), 1);
        containers[0].clone()
    }
}
