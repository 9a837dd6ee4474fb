//! RFC 6902 operations of users on a Deployment. What would give the proxy a permission in the cluster or on its node,
//! or hide the Deployment from the controller, is refused. What weakens the proxy otherwise is carried out and told.

use std::collections::{BTreeMap, BTreeSet};

use domain::gateway::{FieldError, FieldErrorKind, MOST_CONNECTORS, PatchOperation};
use json_patch::PatchErrorKind;
use serde_json::Value;

use super::names;
use super::pod::{CONTAINER, TUNNEL_ANNOTATION};

/// What a Deployment may hold after an operation: copies can double it each time.
const MOST_NODES: usize = 20_000;
const MOST_BYTES: usize = 256 * 1024;
const DEEPEST: usize = 64;

/// What must stay as it is.
const FIXED: [&str; 13] = [
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/uid",
    "/metadata/ownerReferences",
    "/metadata/finalizers",
    "/spec/selector",
    "/spec/template/spec/serviceAccount",
    "/spec/template/spec/serviceAccountName",
    "/spec/template/spec/automountServiceAccountToken",
    "/spec/template/spec/hostPID",
    "/spec/template/spec/hostIPC",
];

/// What of the pod is told of where it differs.
const TOLD: [&str; 4] = [
    "/spec/template/spec/hostNetwork",
    "/spec/template/spec/hostUsers",
    "/spec/template/spec/shareProcessNamespace",
    "/spec/template/spec/terminationGracePeriodSeconds",
];

/// A Deployment with operations carried out, and what they weaken.
pub(super) struct Patched {
    pub(super) object: Value,
    pub(super) weakened: Vec<FieldError>,
}

/// Carries operations out, all or none. There are `deployments` alike, of whose replicas Cloudflare limits the sum.
pub(super) fn patched(
    base: &Value,
    operations: &[PatchOperation],
    deployments: usize,
) -> Result<Patched, FieldError> {
    let mut object = base.clone();
    // With the operation since which each finding holds.
    let mut known: BTreeMap<Finding, usize> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        carry_out(&mut object, operation)
            .map_err(|problem| field_error(operations, index, FieldErrorKind::Invalid, &problem))?;
        let found = findings(base, &object, deployments);
        known.retain(|finding, _| found.contains(finding));
        for finding in found {
            known.entry(finding).or_insert(index);
        }
    }
    let mut weakened = Vec::new();
    for (finding, index) in known {
        match finding {
            Finding::Refused(why) => {
                let problem = format!("Forbidden: {why}; remove the operation");
                return Err(field_error(
                    operations,
                    index,
                    FieldErrorKind::Invalid,
                    &problem,
                ));
            }
            Finding::Weaker(what) => {
                let problem = format!(
                    "it is carried out, and the proxy is weaker for it: {what} is not what the controller sets"
                );
                let told = field_error(operations, index, FieldErrorKind::Unsupported, &problem);
                weakened.push(told);
            }
        }
    }
    Ok(Patched { object, weakened })
}

fn field_error(
    operations: &[PatchOperation],
    index: usize,
    kind: FieldErrorKind,
    problem: &str,
) -> FieldError {
    let PatchOperation { op, path, .. } = &operations[index];
    let path: String = path.chars().take(200).collect();
    FieldError {
        field: format!("spec.tunnel.patches[{index}]"),
        kind,
        message: format!("{op} {path}: {problem}"),
    }
}

fn carry_out(object: &mut Value, operation: &PatchOperation) -> Result<(), String> {
    let parsed = serde_json::from_str(operation.json.as_str());
    let parsed: json_patch::PatchOperation =
        parsed.map_err(|error| format!("Invalid value: {error}; correct the operation"))?;
    let done = json_patch::patch(object, std::slice::from_ref(&parsed));
    done.map_err(|error| {
        let remedy = match error.kind {
            PatchErrorKind::TestFailed => "the Deployment has another value; correct it",
            PatchErrorKind::InvalidFromPointer => {
                "the Deployment has nothing at `from`; correct it"
            }
            PatchErrorKind::CannotMoveInsideItself => "nothing can be moved into itself",
            _ if operation.op == "replace" => {
                "the Deployment has nothing there; write add in place of replace, or correct the path"
            }
            _ => "the Deployment has no such place; correct the path, or add what is around it first",
        };
        format!("Invalid value: {remedy}")
    })?;
    let mut room = Room {
        nodes: MOST_NODES,
        bytes: MOST_BYTES,
    };
    match room.takes(object, DEEPEST) {
        true => Ok(()),
        false => Err(format!(
            "Too long: the Deployment must stay below {MOST_BYTES} bytes and {DEEPEST} levels; remove the operation"
        )),
    }
}

/// What a value may still take.
struct Room {
    nodes: usize,
    bytes: usize,
}

impl Room {
    fn takes(&mut self, value: &Value, levels: usize) -> bool {
        if levels == 0 || !self.less(0) {
            return false;
        }
        match value {
            Value::String(text) => self.less(text.len()),
            Value::Array(items) => items.iter().all(|item| self.takes(item, levels - 1)),
            Value::Object(fields) => fields
                .iter()
                .all(|(name, value)| self.less(name.len()) && self.takes(value, levels - 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    fn less(&mut self, bytes: usize) -> bool {
        let left = (self.nodes.checked_sub(1), self.bytes.checked_sub(bytes));
        if let (Some(nodes), Some(bytes)) = left {
            *self = Self { nodes, bytes };
        }
        matches!(left, (Some(_), Some(_)))
    }
}

/// What of a patched Deployment is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    /// Why it is not carried out.
    Refused(String),
    /// Which field weakens the proxy.
    Weaker(String),
}

fn findings(base: &Value, patched: &Value, deployments: usize) -> BTreeSet<Finding> {
    let mut found = BTreeSet::new();
    let differs = |pointer: &&&str| base.pointer(pointer) != patched.pointer(pointer);
    let fixed = FIXED.iter().filter(differs).map(|pointer| {
        let field = dotted(pointer);
        Finding::Refused(format!("{field} must stay as the controller sets it"))
    });
    found.extend(fixed);
    let told = TOLD.iter().filter(differs);
    found.extend(told.map(|pointer| Finding::Weaker(dotted(pointer))));
    found.extend(marks(base, patched));
    found.extend(replicas(patched, deployments));
    let pod = |object: &Value| object.pointer("/spec/template/spec").cloned();
    let (base, patched) = (
        pod(base).unwrap_or_default(),
        pod(patched).unwrap_or_default(),
    );
    found.extend(containers(&base, &patched));
    found.extend(volumes(&base, &patched));
    let security = "spec.template.spec.securityContext";
    found.extend(security_of(
        &base["securityContext"],
        &patched["securityContext"],
        security,
    ));
    found
}

/// `/spec/selector` as `spec.selector`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// Labels and annotations by which the controller finds what it made.
fn marks(base: &Value, patched: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    for (pointer, is_ours) in [
        ("/metadata/labels", names::is_own_label as fn(&str) -> bool),
        ("/spec/template/metadata/labels", names::is_own_label),
        ("/spec/template/metadata/annotations", |key| {
            key == TUNNEL_ANNOTATION
        }),
    ] {
        let nothing = serde_json::Map::new();
        let marks = |object: &Value| object.pointer(pointer).and_then(Value::as_object).cloned();
        let (before, after) = (marks(base), marks(patched));
        let (before, after) = (
            before.unwrap_or_else(|| nothing.clone()),
            after.unwrap_or(nothing),
        );
        let ours = before.iter().filter(|(key, _)| is_ours(key));
        let changed = ours.filter(|(key, value)| after.get(*key) != Some(value));
        found.extend(changed.map(|(key, _)| {
            let field = dotted(pointer);
            Finding::Refused(format!(
                "{field}: {key} must stay, because the controller finds its objects by it"
            ))
        }));
    }
    found
}

/// Each replica is a connector.
fn replicas(patched: &Value, deployments: usize) -> Option<Finding> {
    let count = patched.pointer("/spec/replicas")?.as_u64()?;
    let all = count.saturating_mul(deployments as u64);
    (all > u64::from(MOST_CONNECTORS)).then(|| {
        Finding::Refused(format!(
            "spec.replicas: {all} in all Deployments together are more than {MOST_CONNECTORS}, and Cloudflare takes {MOST_CONNECTORS} connectors for a tunnel"
        ))
    })
}

fn list<'v>(pod: &'v Value, name: &str) -> &'v [Value] {
    pod[name].as_array().map_or(&[], Vec::as_slice)
}

fn named<'v>(items: &'v [Value], name: &Value) -> Option<&'v Value> {
    items.iter().find(|item| item["name"] == *name)
}

fn containers(base: &Value, patched: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let proxy = &base["containers"][0];
    match named(list(patched, "containers"), &proxy["name"]) {
        None => found.push(Finding::Refused(format!(
            "the container {CONTAINER} must stay: it is the proxy"
        ))),
        Some(now) => found.extend(of_proxy(proxy, now)),
    }
    for name in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list(patched, name) {
            let field = format!(
                "spec.template.spec.{name}[{}].securityContext",
                container["name"].as_str().unwrap_or_default()
            );
            let (wanted, now) = (&proxy["securityContext"], &container["securityContext"]);
            found.extend(security_of(wanted, now, &field));
        }
    }
    found
}

/// What the proxy's own container must have, so that it is the proxy and gets what only the controller knows.
fn of_proxy(base: &Value, now: &Value) -> Vec<Finding> {
    let field = |name: &str| format!("spec.template.spec.containers[{CONTAINER}].{name}");
    let own = ["image", "command", "args", "envFrom", "lifecycle"];
    let changed = own.into_iter().filter(|name| base[name] != now[name]);
    let mut found: Vec<String> = changed.map(field).collect();
    for name in ["env", "volumeMounts"] {
        let lost = list(base, name).iter();
        let lost = lost.filter(|item| !list(now, name).contains(item));
        let text = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
        found.extend(lost.map(|item| field(&format!("{name}[{}]", text(item)))));
    }
    let before: BTreeSet<&str> = variables(base).collect();
    let added = variables(now).filter(|name| name.starts_with("CFGW_") && !before.contains(name));
    found.extend(added.map(|name| field(&format!("env[{name}]"))));
    found.into_iter().map(Finding::Weaker).collect()
}

fn variables(container: &Value) -> impl Iterator<Item = &str> {
    let variables = list(container, "env").iter();
    variables.filter_map(|variable| variable["name"].as_str())
}

/// A securityContext of a pod or container against the one that the controller sets.
fn security_of(wanted: &Value, now: &Value, field: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let reaches_node = |what: &str| {
        Finding::Refused(format!(
            "{field}.{what} would give the pod power over its node"
        ))
    };
    if now["privileged"] == true {
        found.push(reaches_node("privileged"));
    }
    if now["windowsOptions"]["hostProcess"] == true {
        found.push(reaches_node("windowsOptions.hostProcess"));
    }
    let added = list(&now["capabilities"], "add").iter();
    let mut added = added.filter(|name| *name != "NET_BIND_SERVICE");
    if added.next().is_some() {
        found.push(reaches_node("capabilities.add"));
    }
    let fields = wanted.as_object().into_iter().flatten();
    let weaker = fields.filter(|(name, value)| match name.as_str() {
        "capabilities" => now[*name]["drop"] != value["drop"],
        _ => now[*name] != **value,
    });
    found.extend(weaker.map(|(name, _)| Finding::Weaker(format!("{field}.{name}"))));
    found
}

fn volumes(base: &Value, patched: &Value) -> Vec<Finding> {
    let field = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        format!("spec.template.spec.volumes[{name}]")
    };
    let (before, now) = (list(base, "volumes"), list(patched, "volumes"));
    let lost = before.iter().filter(|volume| !now.contains(volume));
    let mut found: Vec<Finding> = lost
        .map(|volume| Finding::Weaker(field(&volume["name"])))
        .collect();
    for volume in now.iter().filter(|volume| !before.contains(volume)) {
        let mut sources = list(&volume["projected"], "sources").iter();
        let refusal = if !volume["hostPath"].is_null() {
            "hostPath would give the pod files of its node"
        } else if sources.any(|source| !source["serviceAccountToken"].is_null()) {
            "serviceAccountToken would give the pod a permission in the cluster"
        } else {
            continue;
        };
        found.push(Finding::Refused(format!(
            "{}: {refusal}",
            field(&volume["name"])
        )));
    }
    found
}
