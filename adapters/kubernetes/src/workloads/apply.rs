//! Makes an object be as desired, with the fewest writes, and never one that somebody else made.

use std::fmt;

use domain::ObjectKey;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::blueprint::Owner;
use super::error::WorkloadError;
use super::names::{hex, is_labelled};
use super::objects::{Desired, Kind};
use super::scaling::kept;

/// Field manager of what is applied here. Other parts of the controller write as others.
const FIELD_MANAGER: &str = "cloudflare-gateway-controller/workloads";

/// Who writes the annotation of what was let go of, and takes its owner away.
const ORPHANS_MANAGER: &str = "cloudflare-gateway-controller/orphans";

/// Annotation with a hash of what was applied last, secrets left out: it tells that something is to be taken
/// away again, which a look at the live object cannot.
const APPLIED_ANNOTATION: &str = "cloudflare-gateway-controller.io/applied";

/// Annotation of what was let go of, with the name of the Gateway that it was made for. A Gateway of that name may take
/// it up again.
const ORPHANED_ANNOTATION: &str = "cloudflare-gateway-controller.io/orphaned";

/// Applies an object if it differs from what is there. What was let go of is taken up again.
pub(super) async fn apply(
    api: &Api<DynamicObject>,
    owner: &Owner,
    desired: Desired,
) -> Result<(), WorkloadError> {
    let Desired {
        kind,
        name,
        mut object,
        scaled,
    } = desired;
    let what = described(kind, &owner.gateway.namespace, &name);
    let live = api.get_opt(&name).await;
    let live = live.map_err(|error| WorkloadError::api("reading", &what, &error))?;
    let mut was_let_go = false;
    if let Some(live) = &live {
        check_owner(&live.metadata, owner, &what)?;
        was_let_go = orphaned(&live.metadata).is_some();
    }
    if scaled.is_some() {
        object["spec"]["replicas"] = Value::Null;
    }
    let fingerprint = fingerprint(&object);
    if let Some(scaling) = scaled {
        let replicas = live
            .as_ref()
            .and_then(|it| it.data["spec"]["replicas"].as_u64());
        object["spec"]["replicas"] = json!(kept(replicas, scaling));
    }
    object["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(fingerprint);
    let mut params = PatchParams::apply(FIELD_MANAGER);
    if let Some(live) = live {
        // Another object of the name that came in between is refused by its UID.
        object["metadata"]["uid"] = json!(live.metadata.uid);
        let live = serde_json::to_value(live).unwrap_or_default();
        if contains(&live, &object) {
            return Ok(());
        }
        params = params.force();
    }
    // Without force, an object of the name that came in between keeps its fields.
    let written = api.patch(&name, &params, &Patch::Apply(Body(object))).await;
    let written = written.map_err(|error| WorkloadError::api("applying", &what, &error))?;
    if was_let_go {
        // Only now that it has an owner again.
        let metadata = json!({
            "uid": written.metadata.uid,
            "annotations": { ORPHANED_ANNOTATION: null },
        });
        mark(api, &name, &metadata, &what).await?;
    }
    Ok(())
}

/// Lets go of an object of a Gateway: it has no owner any more, so that it stays when the Gateway goes.
pub(super) async fn release(
    api: &Api<DynamicObject>,
    gateway: &ObjectKey,
    kind: Kind,
    name: &str,
) -> Result<(), WorkloadError> {
    let what = described(kind, &gateway.namespace, name);
    let live = api.get_metadata_opt(name).await;
    let live = live.map_err(|error| WorkloadError::api("reading", &what, &error))?;
    let is_owned = |live: &ObjectMeta| owner_of(live).is_some() && is_of(live, gateway);
    let Some(live) = live.map(|live| live.metadata).filter(is_owned) else {
        return Ok(());
    };
    let mut owners = live.owner_references.clone().unwrap_or_default();
    owners.retain(|owner| owner.controller != Some(true));
    let metadata = json!({
        "uid": live.uid,
        // No other owner may be lost.
        "resourceVersion": live.resource_version,
        "ownerReferences": owners,
        "annotations": { ORPHANED_ANNOTATION: gateway.name },
    });
    mark(api, name, &metadata, &what).await
}

async fn mark(
    api: &Api<DynamicObject>,
    name: &str,
    metadata: &Value,
    what: &str,
) -> Result<(), WorkloadError> {
    let params = PatchParams {
        field_manager: Some(ORPHANS_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({ "metadata": metadata });
    match api
        .patch_metadata(name, &params, &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(WorkloadError::api("letting go of", what, &error)),
    }
}

/// Deletes an object of a Gateway, whichever object of that Gateway's name it was; nobody else's.
pub(super) async fn delete(
    api: &Api<DynamicObject>,
    gateway: &ObjectKey,
    kind: Kind,
    name: &str,
) -> Result<(), WorkloadError> {
    let what = described(kind, &gateway.namespace, name);
    let live = api.get_metadata_opt(name).await;
    let live = live.map_err(|error| WorkloadError::api("reading", &what, &error))?;
    let Some(live) = live.filter(|live| is_of(&live.metadata, gateway)) else {
        return Ok(());
    };
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: live.metadata.uid,
        resource_version: None,
    });
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(WorkloadError::api("deleting", &what, &error)),
    }
}

/// Whether an object was made for a Gateway of this name, and is nobody else's since.
pub(crate) fn is_of(object: &ObjectMeta, gateway: &ObjectKey) -> bool {
    is_labelled(object.labels.as_ref(), &gateway.name)
        && match owner_of(object) {
            Some(owner) => owner == *gateway,
            None => orphaned(object) == Some(&gateway.name),
        }
}

/// The Gateway that let go of an object which nobody controls since.
fn orphaned(object: &ObjectMeta) -> Option<&String> {
    let mut owners = object.owner_references.iter().flatten();
    let annotations = object.annotations.as_ref();
    let gateway = annotations.and_then(|annotations| annotations.get(ORPHANED_ANNOTATION));
    gateway.filter(|_| !owners.any(|owner| owner.controller == Some(true)))
}

/// The Gateway that controls an object.
pub(super) fn owner_of(object: &ObjectMeta) -> Option<ObjectKey> {
    let (gateway, _) = controller(object)?;
    Some(ObjectKey::new(object.namespace.as_deref()?, gateway))
}

/// Name and UID of the Gateway that controls an object.
fn controller(object: &ObjectMeta) -> Option<(&str, &str)> {
    let mut owners = object.owner_references.iter().flatten();
    owners
        .find(|owner| {
            owner.controller == Some(true)
                && owner.kind == "Gateway"
                && owner.api_version.starts_with("gateway.networking.k8s.io/")
        })
        .map(|owner| (owner.name.as_str(), owner.uid.as_str()))
}

fn check_owner(live: &ObjectMeta, owner: &Owner, what: &str) -> Result<(), WorkloadError> {
    if !is_of(live, &owner.gateway) {
        return Err(WorkloadError::Foreign(what.to_owned()));
    }
    let is_same = controller(live).is_none_or(|(_, uid)| uid == owner.uid);
    if !is_same || live.deletion_timestamp.is_some() {
        return Err(WorkloadError::Going(what.to_owned()));
    }
    Ok(())
}

fn described(kind: Kind, namespace: &str, name: &str) -> String {
    format!("{} {namespace}/{name}", kind.resource().kind)
}

/// Of all but what a Secret holds. Its keys count, so that one that is not desired any more is taken away.
fn fingerprint(object: &Value) -> String {
    let mut public = object.clone();
    if let Some(data) = public.get_mut("data") {
        let keys = data.as_object().into_iter().flat_map(|data| data.keys());
        *data = keys.cloned().collect();
    }
    hex(&Sha256::digest(public.to_string().as_bytes())[..16])
}

/// Whether a live object has all that is desired. Lists are compared without their order, because others may
/// add to them. Resources are left to the fingerprint: the API server writes quantities in its own way.
fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, desired)| {
            key == "resources"
                || match live.get(key) {
                    Some(live) => contains(live, desired),
                    // The API server leaves empty fields out.
                    None => is_empty(desired),
                }
        }),
        (Value::Array(live), Value::Array(desired)) => desired
            .iter()
            .all(|desired| live.iter().any(|live| contains(live, desired))),
        (live, desired) => live == desired,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    }
}

/// What is sent. It may hold secrets, so it cannot be printed.
#[derive(Serialize)]
struct Body(Value);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_object_may_have_more_than_is_desired_but_not_less() {
        let table = [
            (json!({"a": 1, "b": 2}), json!({"a": 1}), true),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!({}), json!({"a": 1}), false),
            (json!({}), json!({"a": {}, "b": [], "c": 0}), true),
            (json!([{"n": 2}, {"n": 1, "m": 0}]), json!([{"n": 1}]), true),
            (json!([{"n": 2}]), json!([{"n": 1}]), false),
            (
                json!({"resources": {"cpu": "1"}}),
                json!({"resources": {"cpu": "1000m"}}),
                true,
            ),
        ];
        for (live, desired, expected) in table {
            assert_eq!(contains(&live, &desired), expected, "{live} {desired}");
        }
    }

    #[test]
    fn what_was_let_go_of_is_a_gateways_of_that_name_until_somebody_else_controls_it() {
        let gateway = ObjectKey::new("shop", "web");
        let object = |mark: Option<&str>, owners: Value| {
            let labels = super::super::names::labels("web");
            let annotations = mark.map(|mark| json!({ ORPHANED_ANNOTATION: mark }));
            let metadata = json!({ "namespace": "shop", "name": "gateway-web", "labels": labels,
                "annotations": annotations, "ownerReferences": owners });
            serde_json::from_value::<ObjectMeta>(metadata).expect("metadata")
        };
        let owner = |kind: &str, name: &str, controls: bool| {
            json!([{ "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "name": name,
                "uid": "1", "controller": controls }])
        };
        for (case, object, expected) in [
            ("owned", object(None, owner("Gateway", "web", true)), true),
            (
                "of another Gateway",
                object(None, owner("Gateway", "api", true)),
                false,
            ),
            ("let go of", object(Some("web"), json!([])), true),
            (
                "let go of by another",
                object(Some("api"), json!([])),
                false,
            ),
            ("with no owner", object(None, json!([])), false),
            (
                "taken up by somebody else",
                object(Some("web"), owner("Other", "x", true)),
                false,
            ),
            (
                "with another owner beside",
                object(Some("web"), owner("Other", "x", false)),
                true,
            ),
        ] {
            assert_eq!(is_of(&object, &gateway), expected, "{case}");
        }
    }

    #[test]
    fn a_fingerprint_tells_nothing_of_a_secret() {
        let one = json!({"kind": "Secret", "data": {"t": "b25l"}});
        let other = json!({"kind": "Secret", "data": {"t": "b3RoZXI="}});
        assert_eq!(fingerprint(&one), fingerprint(&other));
        let more = json!({"kind": "Secret", "data": {"t": "b25l", "u": "b25l"}});
        assert_ne!(fingerprint(&one), fingerprint(&more));
        let labelled = json!({"kind": "Secret", "metadata": {"labels": {"a": "b"}}});
        assert_ne!(fingerprint(&one), fingerprint(&labelled));
    }
}
