//! The pod of a proxy: no permission in the cluster, nothing writable but its state, secrets in files only.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::gateway::{Json, ProxySettings, Replica};
use serde_json::{Value, json};

use super::blueprint::{AUTHORITY_FILE, Blueprint, EDGE_ROOTS_FILE, TOKEN_FILE, token_key};
use super::names::{self, ALIKE};

/// The tunnel that a pod was made for: another tunnel needs other pods. Another token of the same tunnel does
/// not, the proxy takes it from its file.
pub(super) const TUNNEL_ANNOTATION: &str = "cloudflare-gateway-controller.io/tunnel";

/// Name of the container.
pub(super) const CONTAINER: &str = "proxy";

pub(super) const ADMIN_PORT: u16 = 8081;

/// User and group; a number, because the kubelet cannot tell from a name that it is not root.
const USER: u32 = 65532;

/// Folder of the Gateway's Secret.
const ACCESS: &str = "/etc/cfgw";

/// Folder of the token that says whose proxy this is.
const IDENTITY: &str = "/var/run/secrets/cfgw";

/// Folder of the last routes: it outlives the container, not the pod.
const STATE: &str = "/var/lib/cfgw";

/// How long a token that says whose proxy this is holds; the kubelet renews it in time.
const IDENTITY_SECONDS: u32 = 3600;

/// What a proxy needs to stop, once its requests are done or given up.
const STOP_SECONDS: u64 = 15;

/// `spec` of a replica's pod, but for its place.
pub(super) fn spec(blueprint: &Blueprint<'_>, replica: Option<&Replica>) -> Value {
    let options = blueprint.options;
    let parameters = &blueprint.spec.tunnel;
    let drain = parameters.settings.grace_period.unwrap_or(options.drain);
    let gateway = &blueprint.owner.gateway.name;
    let mut spec = json!({
        "serviceAccountName": names::object_name(gateway),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // The first process of a namespace takes no signal before it has a handler: a pod that is deleted while it starts
        // would stay for its whole grace period. So that process is the pause container's.
        "shareProcessNamespace": true,
        "terminationGracePeriodSeconds": drain.as_secs() + STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": match &parameters.pods.topology_spread {
            Some(written) => value(written),
            None => spread(gateway),
        },
        "containers": [container(blueprint)],
        "volumes": volumes(blueprint, replica),
    });
    let own = parameters.pods.image_pull_secrets.iter().flatten();
    let secrets: BTreeSet<&String> = options.image_pull_secrets.iter().chain(own).collect();
    if !secrets.is_empty() {
        let secrets = secrets.into_iter();
        spec["imagePullSecrets"] = secrets.map(|name| json!({ "name": name })).collect();
    }
    if let Some(tolerations) = &parameters.pods.tolerations {
        spec["tolerations"] = value(tolerations);
    }
    if let Some(class) = &parameters.pods.priority_class {
        spec["priorityClassName"] = json!(class);
    }
    spec
}

/// Where a named replica runs. It is set after the patches of users, in place of what they may say of it.
pub(super) fn place(spec: &mut Value, replica: &Replica) {
    if !replica.node_selector.is_empty() {
        spec["nodeSelector"] = json!(replica.node_selector);
    }
    let zone = replica.zone.as_ref().map(|zone| {
        let expression = json!({
            "key": "topology.kubernetes.io/zone",
            "operator": "In",
            "values": [zone],
        });
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [expression]}],
        }}})
    });
    if let Some(affinity) = zone.or_else(|| replica.affinity.as_ref().map(value)) {
        spec["affinity"] = affinity;
    }
}

fn value(json: &Json) -> Value {
    serde_json::from_str(json.as_str()).unwrap_or_default()
}

/// Over zones and nodes as far as there are any.
fn spread(gateway: &str) -> Value {
    let over = |key: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names::pod_labels(gateway)},
        })
    };
    json!([
        over("topology.kubernetes.io/zone"),
        over("kubernetes.io/hostname")
    ])
}

fn container(blueprint: &Blueprint<'_>) -> Value {
    let resources = &blueprint.spec.resources;
    json!({
        "name": CONTAINER,
        "image": blueprint.options.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["proxy"],
        "env": environment(blueprint),
        "ports": [{"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"}],
        "resources": {"requests": resources.requests, "limits": resources.limits},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": probe("/healthz", 1, 60),
        "livenessProbe": probe("/healthz", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
        "volumeMounts": [
            {"name": "access", "mountPath": ACCESS, "readOnly": true},
            {"name": "identity", "mountPath": IDENTITY, "readOnly": true},
            {"name": "state", "mountPath": STATE},
        ],
    })
}

/// `/healthz` tells that the process works, whatever the edge does, so an outage of the edge restarts nothing;
/// `/readyz` tells that it has its routes and a connection to the edge.
fn probe(path: &str, period: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    })
}

/// What the Gateway sets for its own proxies.
fn own_settings(settings: &ProxySettings) -> impl Iterator<Item = (String, String)> {
    let time = |time: Option<Duration>| time.map(|time| format!("{}ms", time.as_millis()));
    [
        ("CFGW_LOG__FILTER", settings.log_level.clone()),
        ("CFGW_TUNNEL__PROTOCOL", settings.protocol.clone()),
        ("CFGW_TUNNEL__GRACE_PERIOD", time(settings.grace_period)),
        (
            "CFGW_REQUESTS__MAX_IN_FLIGHT",
            settings.max_in_flight.map(|count| count.to_string()),
        ),
        (
            "CFGW_REQUESTS__CONNECT_TIMEOUT",
            time(settings.connect_timeout),
        ),
        (
            "CFGW_REQUESTS__ANSWER_TIMEOUT",
            time(settings.answer_timeout),
        ),
        (
            "CFGW_REQUESTS__BODY_IDLE_TIMEOUT",
            time(settings.body_idle_timeout),
        ),
        (
            "CFGW_REQUESTS__UPGRADE_IDLE_TIMEOUT",
            time(settings.upgrade_idle_timeout),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// What is passed on, and over it what the Gateway sets, and over that what only we know.
fn environment(blueprint: &Blueprint<'_>) -> Vec<Value> {
    let options = blueprint.options;
    let mut settings = options.proxy_environment.clone();
    settings.extend(own_settings(&blueprint.spec.tunnel.settings));
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("CFGW_ADMIN__LISTEN", format!("[::]:{ADMIN_PORT}"));
    set("CFGW_CONTROLLER__ADDRESS", options.stream_address.clone());
    set(
        "CFGW_CONTROLLER__CA_FILE",
        format!("{ACCESS}/{AUTHORITY_FILE}"),
    );
    set("CFGW_CONTROLLER__TOKEN_FILE", format!("{IDENTITY}/token"));
    set("CFGW_STATE_DIR", STATE.to_owned());
    set("CFGW_TOKEN_FILE", format!("{ACCESS}/{TOKEN_FILE}"));
    if options.edge_roots.is_some() {
        set(
            "CFGW_TUNNEL__CA_FILE",
            format!("{ACCESS}/{EDGE_ROOTS_FILE}"),
        );
    }
    let settings = settings.iter().filter(|(_, value)| !value.is_empty());
    let mut variables: Vec<Value> = settings
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    variables.push(json!({
        "name": "CFGW_REPLICA",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
    }));
    variables
}

/// Each replica sees its own token alone.
fn access(blueprint: &Blueprint<'_>, replica: Option<&Replica>) -> Vec<Value> {
    let token = token_key(replica.map_or(ALIKE, |replica| &replica.name));
    let mut items = vec![
        json!({"key": token, "path": TOKEN_FILE}),
        json!({"key": AUTHORITY_FILE, "path": AUTHORITY_FILE}),
    ];
    if blueprint.options.edge_roots.is_some() {
        items.push(json!({"key": EDGE_ROOTS_FILE, "path": EDGE_ROOTS_FILE}));
    }
    items
}

fn volumes(blueprint: &Blueprint<'_>, replica: Option<&Replica>) -> Value {
    // Readable by the group that `fsGroup` gives the pod.
    let mode = 0o440;
    json!([
        {"name": "access", "secret": {
            "secretName": names::object_name(&blueprint.owner.gateway.name),
            "defaultMode": mode,
            "items": access(blueprint, replica),
        }},
        {"name": "identity", "projected": {
            "defaultMode": mode,
            "sources": [{"serviceAccountToken": {
                "audience": blueprint.options.stream_audience,
                "expirationSeconds": IDENTITY_SECONDS,
                "path": "token",
            }}],
        }},
        {"name": "state", "emptyDir": {}},
    ])
}
