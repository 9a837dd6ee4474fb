//! Statuses, written to the objects that they are about.
//!
//! - GatewayClass and Gateway by server-side apply: their lists are maps, so each writer owns its entries;
//! - routes by a patch that holds the version it was made for: `status.parents` is one list for all
//!   controllers, and server-side apply would take the others' entries away;
//! - Services that ask to be exposed by the same, and only their `status.loadBalancer`: their conditions are told in
//!   Events (`services`);
//! - `merge`: what is to be written, and whether anything is; `events`: what flipped, as Events.

mod events;
mod merge;
mod services;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use adapter_gateway_api::status::{kind_of, status};
use adapter_gateway_api::{Kind, Scope, StatusShape};
use async_trait::async_trait;
use domain::capabilities::{DataPlaneKind, EdgeKind, Feature, FeatureSet};
use domain::ports::{Events as GatewayEvents, Leadership, PortError, PortErrorKind, StatusSink};
use domain::status::{GatewayEvent, StatusUpdate};
use domain::{ObjectKey, ObjectRef};
use futures_util::{StreamExt, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::client::FIELD_MANAGER;
use crate::cluster::{Cluster, StatusBase, UnreadObject};
use crate::failure::{self, is_absent, is_conflict, port_error};
use crate::kind::resource;
use events::Events;
use services::ToldServices;

/// Statuses written at the same time.
const AT_ONCE: usize = 8;

/// Attempts while others write the same object.
const ATTEMPTS: usize = 6;

/// Writes statuses to a cluster, and an Event for each condition that flips.
pub struct Statuses {
    client: Client,
    cluster: Arc<Cluster>,
    leadership: Arc<dyn Leadership>,
    /// What stands before the proxies; GatewayClasses claim features by it.
    edge: EdgeKind,
    events: Events,
    /// What was written last, until the watch has brought it.
    last: Mutex<HashMap<ObjectRef, Last>>,
    /// Unreadable objects that Events were written about.
    told: Mutex<BTreeSet<UnreadObject>>,
    services: ToldServices,
}

struct Last {
    /// Version that was there before.
    replaced: String,
    now: StatusBase,
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statuses").finish_non_exhaustive()
    }
}

impl Statuses {
    /// Present statuses are those that the cluster shows, so comparing costs no call. What was begun in one term of
    /// `leadership` is not gone on with in another: a process that stood still for a while must not put its old
    /// conclusions over those of the next leader.
    pub fn new(client: Client, cluster: Arc<Cluster>, leadership: Arc<dyn Leadership>) -> Self {
        Self {
            events: Events::new(client.clone()),
            client,
            cluster,
            leadership,
            edge: EdgeKind::default(),
            last: Mutex::default(),
            told: Mutex::default(),
            services: ToldServices::default(),
        }
    }

    /// With GatewayClasses that claim features for proxies behind that edge.
    #[must_use]
    pub fn behind(self, edge: EdgeKind) -> Self {
        Self { edge, ..self }
    }

    /// What a GatewayClass claims. What the cluster has no kind for cannot be served (GEP-5075).
    fn claimed(&self) -> FeatureSet {
        let claimed = DataPlaneKind::Native.claims(self.edge);
        match self.cluster.serves(Kind::ClusterTrustBundle) {
            true => claimed,
            false => claimed.without(FeatureSet::of(&[Feature::ClusterTrustBundle])),
        }
    }

    /// Writes an Event for each object that cannot be read: most of them have no status of ours.
    fn tell_of_unread(&self) {
        let unread: BTreeSet<UnreadObject> = self.cluster.unread().into_iter().collect();
        let mut told = self.told.lock();
        told.retain(|object| unread.contains(object));
        for object in unread {
            if !told.contains(&object) && self.events.of_unread(&object) {
                told.insert(object);
            }
        }
    }

    /// Writes one, if it differs.
    async fn write_one(&self, update: &StatusUpdate, term: Option<u64>) -> Result<(), PortError> {
        let (kind, about) = (kind_of(update), &update.object);
        let present = match self.present(kind, about) {
            Some(present) => Some(present),
            None => self.make(kind, about).await?,
        };
        let Some(mut present) = present else {
            // Gone, or so new that the watch has not brought it.
            return Ok(());
        };
        if kind == Kind::Service {
            self.services.tell(update, &present.uid, &self.events);
        }
        for _ in 0..ATTEMPTS {
            let earlier = present.status();
            let Some(next) = next(update, &earlier, self.claimed()) else {
                return Ok(());
            };
            if self.leadership.term() != term {
                let message = format!("the status of {about}: the lead was lost");
                return Err(PortError::unavailable(message));
            }
            match self.put(kind, about, &present, next).await {
                Ok(after) => {
                    self.events
                        .of_flips(about, &present.uid, &earlier, &after.status());
                    self.remember(kind, about, present, after);
                    return Ok(());
                }
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) if is_conflict(&error) => match self.read(kind, about).await {
                    Ok(Some(read)) => present = read,
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(failed(about, &error)),
                },
                Err(error) => return Err(failed(about, &error)),
            }
        }
        let message = format!("the status of {about}: others keep writing it");
        Err(PortError::new(PortErrorKind::Conflict, message))
    }

    /// Makes an object that is nothing but its status, where its kind is there; its Gateway owns it, so that it goes
    /// with the Gateway. It has no finalizer: nothing is lost with it.
    async fn make(&self, kind: Kind, about: &ObjectRef) -> Result<Option<StatusBase>, PortError> {
        let owner = self.cluster.status_base(Kind::Gateway, &about.key);
        let is_made = kind.status() == Some(StatusShape::Details) && self.cluster.serves(kind);
        let Some(owner) = owner.filter(|_| is_made) else {
            return Ok(None);
        };
        let object = json!({
            "apiVersion": kind.api_version(),
            "kind": about.kind,
            "metadata": {
                "name": about.key.name,
                "ownerReferences": [{
                    "apiVersion": Kind::Gateway.api_version(),
                    "kind": Kind::Gateway.as_str(),
                    "name": about.key.name,
                    "uid": owner.uid,
                    "controller": true,
                }],
            },
        });
        let params = PatchParams::apply(FIELD_MANAGER);
        let api = self.api(kind, about);
        let made = Patch::Apply(&object);
        match api.patch(&about.key.name, &params, &made).await {
            Ok(made) => Ok(Some(status_base_of(&made))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(about, &error)),
        }
    }

    /// The object as it was last seen or written.
    fn present(&self, kind: Kind, about: &ObjectRef) -> Option<StatusBase> {
        let seen = self.cluster.status_base(kind, &about.key)?;
        let mut last = self.last.lock();
        match last.get(about) {
            Some(last) if last.replaced == seen.version => Some(last.now.clone()),
            Some(_) => {
                last.remove(about);
                Some(seen)
            }
            None => Some(seen),
        }
    }

    fn remember(&self, kind: Kind, about: &ObjectRef, before: StatusBase, now: StatusBase) {
        let mut last = self.last.lock();
        // Where the watch is several writes behind, it still shows the version before the first of them.
        let replaced = match self.cluster.status_base(kind, &about.key) {
            Some(seen) if seen.version != now.version => seen.version,
            _ => before.version,
        };
        last.insert(about.clone(), Last { replaced, now });
    }

    async fn put(
        &self,
        kind: Kind,
        about: &ObjectRef,
        present: &StatusBase,
        status: Value,
    ) -> Result<StatusBase, kube::Error> {
        let api = self.api(kind, about);
        let name = &about.key.name;
        let written = match kind.status() {
            Some(StatusShape::References { .. } | StatusShape::LoadBalancer) => {
                let patch = json!({
                    "metadata": { "resourceVersion": present.version },
                    "status": status,
                });
                let params = PatchParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                let patch = Patch::Merge(&patch);
                api.patch_status(name, &params, &patch).await?
            }
            _ => {
                let object = json!({
                    "apiVersion": kind.api_version(),
                    "kind": about.kind,
                    // With the version too: times of transition are those of the status that was read.
                    "metadata": { "name": name, "resourceVersion": present.version },
                    "status": status,
                });
                let params = PatchParams::apply(FIELD_MANAGER).force();
                let patch = Patch::Apply(&object);
                api.patch_status(name, &params, &patch).await?
            }
        };
        Ok(status_base_of(&written))
    }

    async fn read(&self, kind: Kind, about: &ObjectRef) -> Result<Option<StatusBase>, kube::Error> {
        let found = self.api(kind, about).get_opt(&about.key.name).await?;
        Ok(found.as_ref().map(status_base_of))
    }

    fn api(&self, kind: Kind, about: &ObjectRef) -> Api<DynamicObject> {
        let resource = resource(kind);
        match kind.scope() {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), &about.key.namespace, &resource)
            }
        }
    }
}

/// The status to write; `None` where what is there says the same.
fn next(update: &StatusUpdate, earlier: &Value, claimed: FeatureSet) -> Option<Value> {
    let mut ours = status(update, earlier, &now());
    let kind = kind_of(update);
    if kind.status() == Some(StatusShape::LoadBalancer) {
        return merge::load_balancer(&ours, earlier);
    }
    if let Some(StatusShape::References { list, .. }) = kind.status() {
        return merge::entries(list, earlier, &ours);
    }
    if kind.status() == Some(StatusShape::Details) {
        return merge::part_differs(&ours, earlier).then_some(ours);
    }
    if kind == Kind::GatewayClass {
        // In the order of the alphabet (Gateway API, `supportedFeatures`).
        let claimed: BTreeSet<_> = claimed.iter().map(Feature::name).collect();
        let claimed = claimed.iter().map(|name| json!({ "name": name }));
        ours["supportedFeatures"] = claimed.collect();
    }
    merge::differs(&ours, earlier).then_some(ours)
}

/// The time, as conditions have it.
fn now() -> String {
    let now = jiff::Timestamp::now();
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    now.to_string()
}

fn status_base_of(object: &DynamicObject) -> StatusBase {
    let metadata = &object.metadata;
    StatusBase::new(
        metadata.uid.clone().unwrap_or_default(),
        metadata.resource_version.clone().unwrap_or_default(),
        &object.data["status"],
    )
}

fn failed(about: &ObjectRef, error: &kube::Error) -> PortError {
    port_error(format!("the status of {about}"), error)
}

#[async_trait]
impl StatusSink for Statuses {
    /// One failure does not stop the others.
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        let term = self.leadership.term();
        if term.is_some() {
            self.tell_of_unread();
            let is_there = |about: &ObjectRef| self.cluster.status_base(Kind::Service, &about.key);
            self.services.forget(|about| is_there(about).is_none());
        }
        let writes: Vec<_> = updates
            .iter()
            .map(|update| self.write_one(update, term))
            .collect();
        let writes = stream::iter(writes).buffer_unordered(AT_ONCE);
        let written: Vec<_> = writes.collect().await;
        failure::all(written.into_iter().filter_map(Result::err).collect())
    }
}

impl GatewayEvents for Statuses {
    fn tell(&self, gateway: &ObjectKey, event: &GatewayEvent) {
        // Without its UID an Event is of no object. One that is gone gets none.
        if let Some(seen) = self.cluster.status_base(Kind::Gateway, gateway) {
            self.events.of_gateway(gateway, &seen.uid, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::status::{Part, StatusPart};

    use super::*;

    #[test]
    fn the_features_of_a_class_are_in_the_order_of_the_alphabet() {
        let update = StatusUpdate {
            object: Kind::GatewayClass.reference(ObjectKey::new("", "cloudflare")),
            addresses: Vec::new(),
            details: None,
            parts: vec![StatusPart {
                part: Part::Object,
                gateway: None,
                conditions: Vec::new(),
            }],
        };
        for edge in [EdgeKind::Cloudflare, EdgeKind::TellingArrival] {
            let claimed = DataPlaneKind::Native.claims(edge);
            let next = next(&update, &Value::Null, claimed).expect("a status");
            let features = next["supportedFeatures"].as_array().expect("a list");
            let names = features.iter().filter_map(|it| it["name"].as_str());
            let names: Vec<&str> = names.collect();
            assert!(names.len() > 30, "{names:?}");
            assert!(names.is_sorted(), "{names:?}");
        }
    }
}
