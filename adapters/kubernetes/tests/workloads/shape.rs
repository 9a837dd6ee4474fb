//! What the objects look like.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::gateway::{Json, PodParameters, ProxySettings, Resources, TunnelParameters};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

/// The four objects of a Gateway with alike replicas.
const OBJECTS: [&str; 4] = [
    "serviceaccounts",
    "secrets",
    "deployments",
    "poddisruptionbudgets",
];

async fn pod(spec: &WorkloadSpec) -> Value {
    let stage = Stage::set().await;
    stage.ensure(spec).await.expect("a proxy that runs");
    stage.object("deployments", "gateway-web")["spec"]["template"].clone()
}

/// Panics where the API would not know a field.
fn assert_known<K: Serialize + DeserializeOwned>(object: &Value) {
    let typed: K = serde_json::from_value(object.clone()).expect("of its kind");
    let mut known = serde_json::to_value(typed).expect("an object");
    let mut object = object.clone();
    without_empty(&mut known);
    without_empty(&mut object);
    assert_eq!(known, object);
}

fn without_empty(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(without_empty);
        fields.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(without_empty);
    }
}

#[tokio::test]
async fn every_object_has_the_gateways_name_labels_owner_and_infrastructure() {
    let stage = Stage::set().await;
    let mut spec = WorkloadSpec {
        class: "cloudflare".to_owned(),
        ..WorkloadSpec::default()
    };
    let infrastructure = &mut spec.infrastructure;
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    infrastructure.labels.extend([
        label("team", "shop"),
        label("gateway.networking.k8s.io/gateway-class-name", "mine"),
        label("app.kubernetes.io/managed-by", "somebody"),
    ]);
    infrastructure.annotations.extend([label("note", "hello")]);
    stage.ensure(&spec).await.unwrap();
    for resource in OBJECTS {
        let metadata = &stage.object(resource, "gateway-web")["metadata"];
        let labels = &metadata["labels"];
        assert_eq!(labels["gateway.networking.k8s.io/gateway-name"], "web");
        let class = &labels["gateway.networking.k8s.io/gateway-class-name"];
        assert_eq!(class, "cloudflare", "{resource}");
        assert_eq!(
            labels["app.kubernetes.io/managed-by"], "cloudflare-gateway-controller",
            "ours stand"
        );
        assert_eq!(labels["team"], "shop", "{resource}");
        assert_eq!(metadata["annotations"]["note"], "hello", "{resource}");
        let owner = &metadata["ownerReferences"][0];
        assert_eq!(owner["uid"], "uid-of-web", "{resource}");
        assert_eq!(owner["controller"], true, "{resource}");
    }
    let deployment = stage.object("deployments", "gateway-web");
    let template = &deployment["spec"]["template"]["metadata"];
    assert_eq!(template["labels"]["team"], "shop");
    assert_eq!(template["annotations"]["note"], "hello");
}

#[tokio::test]
async fn the_api_knows_every_field_that_is_applied() {
    let stage = Stage::set().await;
    stage.run().await;
    let object = |resource| stage.object(resource, "gateway-web");
    assert_known::<ServiceAccount>(&object("serviceaccounts"));
    assert_known::<Secret>(&object("secrets"));
    assert_known::<Deployment>(&object("deployments"));
    assert_known::<PodDisruptionBudget>(&object("poddisruptionbudgets"));
}

#[tokio::test]
async fn a_pod_can_do_nothing_but_its_work() {
    let template = pod(&WorkloadSpec::default()).await;
    let pod = &template["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let profile = &pod["securityContext"]["seccompProfile"];
    assert_eq!(profile["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    let identity = &pod["volumes"][1]["projected"]["sources"];
    assert_eq!(identity.as_array().map(Vec::len), Some(1));
    assert_eq!(identity[0]["serviceAccountToken"]["audience"], "audience");
}

#[tokio::test]
async fn the_token_is_in_the_secret_and_nowhere_else() {
    let stage = Stage::set().await;
    stage.run().await;
    let secret = stage.object("secrets", "gateway-web");
    let data = |key: &str| {
        let encoded = secret["data"][key].as_str().expect("a value");
        String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
    };
    assert_eq!(data("tunnel-token"), TOKEN);
    assert!(data("controller-ca.crt").starts_with("-----BEGIN"));
    assert_eq!(data("edge-ca.crt"), "roots");
    let encoded = BASE64_STANDARD.encode(TOKEN);
    for resource in ["serviceaccounts", "deployments", "poddisruptionbudgets"] {
        let text = stage.object(resource, "gateway-web").to_string();
        assert!(!text.contains(TOKEN) && !text.contains(&encoded), "{text}");
    }
    let metadata = secret["metadata"].to_string();
    assert!(!metadata.contains(TOKEN) && !metadata.contains(&encoded));
}

#[tokio::test]
async fn settings_come_by_the_environment_and_files_by_mounts() {
    let template = pod(&WorkloadSpec::default()).await;
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["proxy"]));
    let variables = container["env"].as_array().unwrap();
    let value = |name: &str| {
        let mut found = variables.iter().filter(|variable| variable["name"] == name);
        let value = found.next().map(|variable| variable["value"].clone());
        assert!(found.next().is_none(), "{name} is set once");
        value.unwrap_or_else(|| panic!("{name} in {variables:?}"))
    };
    let table = [
        ("CFGW_CONTROLLER__ADDRESS", "cfgw.cfgw-system.svc:8443"),
        ("CFGW_CONTROLLER__CA_FILE", "/etc/cfgw/controller-ca.crt"),
        ("CFGW_CONTROLLER__TOKEN_FILE", "/var/run/secrets/cfgw/token"),
        ("CFGW_TOKEN_FILE", "/etc/cfgw/tunnel-token"),
        ("CFGW_TUNNEL__CA_FILE", "/etc/cfgw/edge-ca.crt"),
        ("CFGW_STATE_DIR", "/var/lib/cfgw"),
        ("CFGW_TUNNEL__PROTOCOL", "http2"),
        ("CFGW_ADMIN__LISTEN", "[::]:8081"),
    ];
    for (name, expected) in table {
        assert_eq!(value(name), expected, "{name}");
    }
    let mounts = container["volumeMounts"].as_array().unwrap();
    for (_, file) in table.iter().filter(|(_, value)| value.starts_with('/')) {
        let is_mounted = |mount: &Value| file.starts_with(mount["mountPath"].as_str().unwrap());
        assert!(mounts.iter().any(is_mounted), "{file}");
    }
}

#[tokio::test]
async fn an_edge_that_is_away_restarts_nothing() {
    let template = pod(&WorkloadSpec::default()).await;
    let container = &template["spec"]["containers"][0];
    let table = [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ];
    for (probe, path) in table {
        assert_eq!(container[probe]["httpGet"]["path"], path, "{probe}");
    }
    let grace = &template["spec"]["terminationGracePeriodSeconds"];
    assert_eq!(*grace, 45, "the drain and some time to stop");
}

#[tokio::test]
async fn two_spread_replicas_are_the_default_and_one_may_be_evicted() {
    let stage = Stage::set().await;
    stage.run().await;
    let deployment = stage.object("deployments", "gateway-web");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let strategy = &deployment["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(*strategy, json!({"maxSurge": 1, "maxUnavailable": 0}));
    let pod = &deployment["spec"]["template"];
    let spread = pod["spec"]["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(spread.len(), 2);
    let budget = stage.object("poddisruptionbudgets", "gateway-web");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let chosen = budget["spec"]["selector"]["matchLabels"].as_object();
    for (label, value) in chosen.unwrap() {
        assert_eq!(pod["metadata"]["labels"][label], *value, "{label}");
    }
}

#[tokio::test]
async fn named_replicas_have_a_deployment_each_in_their_place() {
    let stage = Stage::set().await;
    let mut spec = named(&["east", "west"]);
    if let Replicas::Named(replicas) = &mut spec.replicas {
        replicas[0].zone = Some("us-east-1a".to_owned());
        let node = ("disk".to_owned(), "fast".to_owned());
        replicas[1].node_selector.extend([node]);
        replicas[1].affinity = Some(Json::new(r#"{"podAntiAffinity": {}}"#));
    }
    spec.resources = Resources {
        requests: [("cpu".to_owned(), "1".to_owned())].into(),
        limits: [].into(),
    };
    spec.min_ready_seconds = 7;
    stage.ensure(&spec).await.unwrap();
    let in_zone = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]},
        ]}],
    }}});
    let table = [
        ("gateway-web-east", json!(null), in_zone),
        (
            "gateway-web-west",
            json!({"disk": "fast"}),
            json!({"podAntiAffinity": {}}),
        ),
    ];
    let mut selectors = Vec::new();
    for (name, nodes, affinity) in table {
        let deployment = stage.object("deployments", name);
        let spec = &deployment["spec"];
        assert_eq!(spec["replicas"], 1, "{name}");
        assert_eq!(spec["minReadySeconds"], 7, "{name}");
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["nodeSelector"], nodes, "{name}");
        assert_eq!(pod["affinity"], affinity, "{name}");
        let resources = &pod["containers"][0]["resources"];
        assert_eq!(resources["requests"], json!({"cpu": "1"}), "{name}");
        selectors.push(spec["selector"].clone());
    }
    assert_ne!(
        selectors[0], selectors[1],
        "no Deployment takes another's pods"
    );
}

#[tokio::test]
async fn what_the_gateway_says_of_its_pods_and_settings_reaches_them() {
    let text = |text: &str| text.to_owned();
    let spec = WorkloadSpec {
        tunnel: Box::new(TunnelParameters {
            pods: PodParameters {
                tolerations: Some(Json::new(r#"[{"operator": "Exists"}]"#)),
                topology_spread: Some(Json::new("[]")),
                priority_class: Some(text("high")),
                image_pull_secrets: Some(vec![text("registry"), text("own")]),
                labels: Some([(text("team"), text("shop"))].into()),
                annotations: Some([(text("note"), text("hello"))].into()),
            },
            settings: ProxySettings {
                log_level: Some(text("debug")),
                protocol: Some(text("quic")),
                grace_period: Some(Duration::from_secs(90)),
                max_in_flight: Some(5),
                ..ProxySettings::default()
            },
            ..TunnelParameters::default()
        }),
        min_ready_seconds: 900,
        ..WorkloadSpec::default()
    };
    let stage = Stage::set().await;
    stage.ensure(&spec).await.unwrap();
    let deployment = stage.object("deployments", "gateway-web");
    assert_known::<Deployment>(&deployment);
    assert_eq!(
        deployment["spec"]["progressDeadlineSeconds"], 1500,
        "Kubernetes wants more than minReadySeconds"
    );
    assert!(deployment["metadata"]["labels"]["team"].is_null());
    let template = &deployment["spec"]["template"];
    let pod = &template["spec"];
    let table = [
        (&template["metadata"]["labels"]["team"], json!("shop")),
        (&template["metadata"]["annotations"]["note"], json!("hello")),
        (&pod["tolerations"], json!([{"operator": "Exists"}])),
        (&pod["topologySpreadConstraints"], json!([])),
        (&pod["priorityClassName"], json!("high")),
        (
            &pod["imagePullSecrets"],
            json!([{"name": "own"}, {"name": "registry"}]),
        ),
        (&pod["terminationGracePeriodSeconds"], json!(105)),
        (&pod["shareProcessNamespace"], json!(true)),
    ];
    for (found, expected) in table {
        assert_eq!(*found, expected);
    }
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    for (name, value) in [
        ("CFGW_LOG__FILTER", "debug"),
        ("CFGW_TUNNEL__PROTOCOL", "quic"),
        ("CFGW_TUNNEL__GRACE_PERIOD", "90000ms"),
        ("CFGW_REQUESTS__MAX_IN_FLIGHT", "5"),
    ] {
        let variable = json!({"name": name, "value": value});
        assert!(variables.contains(&variable), "{name}: {variables:?}");
    }
}
