//! What users read in statuses, for a few hundred generated clusters, held to two files:
//!
//! - `conditions.txt`: a line for each cluster, a hash of its conditions without their messages. Where one changes, the
//!   same cluster is judged in another way than before.
//! - `messages.txt`: messages by kind of object, condition and reason, as many as show every sentence once. It is there
//!   to be read.
//!
//! `UPDATE=1 cargo test -p tests conditions` writes both anew; `SEED=7` prints one cluster and its conditions.

mod generated;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use adapter_manifests::{ManifestFolder, ObjectStatus, read_statuses};
use domain::attachment::{GatewayDefaults, resolve};
use domain::gateway::CONTROLLER_NAME;
use domain::ports::{ClusterSource, StatusSink};
use domain::report::report;
use sha2::{Digest, Sha256};

const CLUSTERS: u64 = 400;

/// What the statuses of one cluster say; what could not be read of it comes last.
async fn judged(objects: &[serde_json::Value]) -> Vec<ObjectStatus> {
    let folder = tempfile::tempdir().unwrap();
    let (manifests, state) = (folder.path().join("manifests"), folder.path().join("state"));
    std::fs::create_dir(&manifests).unwrap();
    let texts = objects.iter().map(|object| format!("{object}\n---\n"));
    std::fs::write(manifests.join("all.yaml"), texts.collect::<String>()).unwrap();
    let source = ManifestFolder::open(manifests, state.clone()).unwrap();
    let resolution = || async {
        let snapshot = source.snapshot().await;
        resolve(&snapshot, CONTROLLER_NAME, &GatewayDefaults::default())
    };
    // Secrets are read once they are referred to.
    source.follow(resolution().await.referenced_secrets());
    let updates = report(&resolution().await, &BTreeMap::new());
    source.write(&updates).await.unwrap();
    read_statuses(&state).unwrap()
}

/// The conditions without their messages.
fn verdicts(statuses: &[ObjectStatus]) -> String {
    let mut text = String::new();
    for object in statuses {
        for condition in &object.conditions {
            let (kind, status) = (&condition.kind, &condition.status);
            writeln!(
                text,
                "{} {kind}={status} {}",
                object.object, condition.reason
            )
            .unwrap();
        }
    }
    text
}

/// What an object is, without its name.
fn kind(object: &ObjectStatus) -> String {
    let mut words = object.object.split_whitespace();
    let kind = words.next().unwrap_or_default();
    match object.object.contains(" listener ") && ["Gateway", "ListenerSet"].contains(&kind) {
        true => "listener".to_owned(),
        false => kind.to_owned(),
    }
}

/// Messages, each by what it is about.
#[derive(Default)]
struct Messages {
    sentences: BTreeSet<(String, String)>,
    shown: BTreeMap<String, Vec<String>>,
}

impl Messages {
    fn add(&mut self, statuses: &[ObjectStatus]) {
        for object in statuses {
            // The messages of these are those of the others.
            let is_sum = |kind: &str| matches!(kind, "Ready" | "Stalled");
            let conditions = object.conditions.iter();
            for condition in conditions.filter(|condition| !is_sum(&condition.kind)) {
                let (kind, name) = (kind(object), &condition.kind);
                let (status, reason) = (&condition.status, &condition.reason);
                let about = format!("{kind} {name}={status} {reason}");
                self.show(about, &condition.message);
            }
        }
    }

    /// Shows a message if it has a sentence that none before had.
    fn show(&mut self, about: String, message: &str) {
        let sentences = message
            .split("; ")
            .map(|text| (about.clone(), nameless(text)));
        let before = self.sentences.len();
        self.sentences.extend(sentences);
        if self.sentences.len() > before {
            let shown = self.shown.entry(about).or_default();
            shown.push(message.to_owned());
        }
    }

    fn text(self) -> String {
        let groups = self.shown.into_iter();
        let groups =
            groups.map(|(about, messages)| format!("{about}\n  {}\n", messages.join("\n  ")));
        groups.collect()
    }
}

/// A sentence without the names and numbers in it.
fn nameless(sentence: &str) -> String {
    let words = sentence.split([' ', '/', ',', '(', ')', '[', ']', ':']);
    let words: BTreeSet<_> = words.filter(|word| !generated::is_name(word)).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

fn kept(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("suite/conditions")
        .join(file)
}

/// Compares with what is kept, line by line, or keeps it.
fn held_to(file: &str, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(kept(file), text).unwrap();
    }
    let before = std::fs::read_to_string(kept(file)).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (before, now) = (lines(&before), lines(text));
    let gone: Vec<_> = before.difference(&now).collect();
    let new: Vec<_> = now.difference(&before).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "{file}: no longer {gone:#?}, but {new:#?}; SEED=n shows a cluster, UPDATE=1 keeps what is now"
    );
}

#[tokio::test]
async fn generated_clusters_have_the_conditions_that_are_kept() {
    if let Some(seed) = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        let objects = generated::cluster(seed);
        for object in &objects {
            println!("{object:#}");
        }
        return println!("{:#?}", judged(&objects).await);
    }
    let mut hashes = String::new();
    let mut messages = Messages::default();
    for seed in 0..CLUSTERS {
        let statuses = judged(&generated::cluster(seed)).await;
        let hash = Sha256::digest(verdicts(&statuses));
        writeln!(hashes, "{seed} {}", hex(&hash[..8])).unwrap();
        messages.add(&statuses);
    }
    held_to("conditions.txt", &hashes);
    held_to("messages.txt", &messages.text());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
