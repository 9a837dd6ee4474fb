//! Secrets and ConfigMaps, each watched by its name. No value is kept: only the names of the keys, what a certificate
//! says of itself, and a keyed number that changes with the values.

use std::collections::{BTreeMap, BTreeSet};

use adapter_gateway_api::Object;
use domain::ObjectRef;
use domain::snapshot::{Reading, SecretFacts};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Cluster;
use super::kind::Endpoint;
use super::watch::{News, Watch};
use crate::object_name::is_possible;

/// Those that are followed.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    followed: BTreeMap<ObjectRef, Followed>,
}

#[derive(Debug)]
struct Followed {
    /// As it was last read; `None` until it was read for the first time.
    read: Option<Reading<SecretFacts>>,
    /// Why it cannot be read now.
    failing: Option<String>,
    /// `metadata.resourceVersion`: another one may mean other values under the same keys.
    version: String,
    stop: CancellationToken,
}

impl Secrets {
    /// Follows these and no others. Returns those that are new, with what ends each, and whether a view of
    /// all changes by it.
    pub(crate) fn follow(
        &mut self,
        refs: BTreeSet<ObjectRef>,
        stop: &CancellationToken,
    ) -> (Vec<(ObjectRef, CancellationToken)>, bool) {
        let before = self.followed.len();
        self.followed.retain(|reference, followed| {
            let stays = refs.contains(reference);
            if !stays {
                followed.stop.cancel();
            }
            stays
        });
        let mut changed = self.followed.len() != before;
        let mut new = Vec::new();
        for reference in refs {
            if self.followed.contains_key(&reference) || collection(&reference).is_none() {
                continue;
            }
            let stop = stop.child_token();
            let is_possible = is_possible(&reference.key);
            changed |= !is_possible;
            let followed = Followed {
                // No object has such a name.
                read: (!is_possible).then_some(Reading::Absent),
                failing: None,
                version: String::new(),
                stop: stop.clone(),
            };
            if is_possible {
                new.push((reference.clone(), stop));
            }
            self.followed.insert(reference, followed);
        }
        (new, changed)
    }

    /// What is known of each that was read.
    pub(crate) fn facts(&self) -> BTreeMap<ObjectRef, Reading<SecretFacts>> {
        let read = self.followed.iter();
        read.filter_map(|(reference, followed)| Some((reference.clone(), followed.reading()?)))
            .collect()
    }

    /// Takes news of one in. Whether a view differs now.
    fn take(&mut self, reference: &ObjectRef, news: News) -> bool {
        let Some(followed) = self.followed.get_mut(reference) else {
            return false;
        };
        let before = (followed.reading(), followed.version.clone());
        let (failing, read) = match news {
            News::Listed(objects) => (None, Some(objects.first().map_or_else(absent, seen))),
            News::Put(object) => (None, Some(seen(&object))),
            News::Gone(_) | News::Absent => (None, Some(absent())),
            News::Alive => (None, None),
            News::Failing(why) => (Some(why), None),
        };
        followed.failing = failing;
        if let Some((reading, version)) = read {
            followed.read = Some(reading);
            followed.version = version;
        }
        before != (followed.reading(), followed.version.clone())
    }
}

impl Followed {
    fn reading(&self) -> Option<Reading<SecretFacts>> {
        let failing = self.failing.clone().map(Reading::Unknown);
        failing.or_else(|| self.read.clone())
    }
}

fn absent() -> (Reading<SecretFacts>, String) {
    (Reading::Absent, String::new())
}

/// Plural of a kind that may be followed.
fn collection(reference: &ObjectRef) -> Option<(&'static str, &'static str)> {
    match (reference.group.as_str(), reference.kind.as_str()) {
        ("", "Secret") => Some(("secrets", "Secret")),
        ("", "ConfigMap") => Some(("configmaps", "ConfigMap")),
        _ => None,
    }
}

/// What is kept of one: never a value.
fn seen(object: &Value) -> (Reading<SecretFacts>, String) {
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or("");
    let facts = match adapter_gateway_api::read(object.clone()) {
        Ok(Object::Secret(secret)) => secret.facts(),
        // A ConfigMap, or a Secret whose values are no base64, which the API server would not have taken.
        _ => SecretFacts {
            keys: keys(object),
            ..SecretFacts::default()
        },
    };
    (Reading::Known(facts), version.to_owned())
}

fn keys(object: &Value) -> Vec<String> {
    let maps = ["data", "binaryData"].map(|field| object[field].as_object());
    let keys = maps
        .into_iter()
        .flatten()
        .flat_map(|map| map.keys().cloned());
    keys.collect()
}

impl Cluster {
    /// Watches one until `stop`.
    pub(super) fn follow_one(&self, reference: ObjectRef, stop: CancellationToken) {
        let (Some((plural, kind)), Some(cluster)) = (collection(&reference), self.me.upgrade())
        else {
            return;
        };
        let namespace = &reference.key.namespace;
        let watch = Watch {
            client: self.client.clone(),
            endpoints: vec![Endpoint {
                api_version: "v1",
                path: format!("/api/v1/namespaces/{namespace}/{plural}"),
            }],
            kind,
            field_selector: Some(format!("metadata.name={}", reference.key.name)),
            times: self.times,
        };
        let run = watch.run(move |news| cluster.take_secret(&reference, news));
        tokio::spawn(async move {
            stop.run_until_cancelled(run).await;
        });
    }

    fn take_secret(&self, reference: &ObjectRef, news: News) {
        let mut inner = self.lock();
        if inner.secrets.take(reference, news) {
            inner.stale.secrets = true;
            drop(inner);
            self.news.notify_one();
        }
    }
}
