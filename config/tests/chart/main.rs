//! The Helm chart, rendered by helm: what it sets are settings, what it runs is confined, what it grants is
//! spelled out. `HELM` names the program; without it, one on the `PATH` is used.

mod broker;
mod crd;
mod helm;
mod policies;
mod values;

use std::path::Path;

use config::values::Backend;
use config::{ControllerSettings, ProgramSettings, SettingsError};
use helm::{Chart, Helm, Rendered};
use serde_json::{Value, json};

/// Value sets: one as in the readme, one with everything, one with a broker.
const README: &[&str] = &["installation=my-cluster", "credentials.secretName=creds"];
const FULL: &[&str] = &[
    "installation=full",
    "replicas=3",
    "image.tag=v2",
    "credentials.secretName=creds",
    "credentials.secretNamespace=vault",
    "cloudflare.apiUrl=https://api.example.com/v4",
    "cloudflare.ca.configMapName=api-roots",
    "tunnel.edgeAddresses={192.0.2.1:7844,192.0.2.2:7844}",
    "tunnel.protocol=http2",
    "tunnel.gracePeriod=1m",
    "tunnel.ca.secretName=edge-roots",
    "endpoints.names=true",
    "endpoints.externalHosts=true",
    "endpoints.clusterRanges={198.18.0.0/15}",
    "defaults.dns=false",
    "defaults.uploadCertificates=true",
    "imagePullSecrets={registry}",
    "nodeSelector.disk=fast",
    "deploymentAnnotations.reload=yes",
    "podAnnotations.note=hello",
    "priorityClassName=high",
];
const BROKER: &[&str] = &[
    "edge.backend=broker",
    "edge.broker.url=https://broker.example.com:8443",
    "edge.broker.code=dGhlLWNvZGU",
    "edge.broker.ca.secretName=broker-roots",
];

/// The settings that a rendered program starts with: its variables as the kubelet would fill them in, and
/// its files in a folder of the test's.
fn settings<S: ProgramSettings>(rendered: &Rendered, files: &Path) -> Result<S, SettingsError> {
    let container = rendered.container();
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let mut env = Vec::new();
    for variable in container["env"].as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name").to_owned();
        let from = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
        let value = match (from, variable["value"].as_str()) {
            (Some("status.podIP"), _) => "10.1.2.3".to_owned(),
            (Some("metadata.namespace"), _) => "cfgw-system".to_owned(),
            (Some("metadata.name"), _) => "controller-0".to_owned(),
            (None, Some(file)) if file.starts_with('/') => {
                let is_mounted =
                    |m: &Value| file.starts_with(m["mountPath"].as_str().expect("a path"));
                assert!(
                    mounts.iter().any(is_mounted),
                    "{name}: {file} is in no mount"
                );
                let place = files.join(file.trim_start_matches('/'));
                std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
                std::fs::write(&place, "content").expect("a file");
                place.display().to_string()
            }
            (None, Some(text)) => text.replace("$(POD_IP)", "10.1.2.3"),
            other => panic!("{name} has a source that is not served here: {other:?}"),
        };
        env.push((name, value));
    }
    S::load(None, env.into_iter(), ())
}

#[test]
fn what_the_chart_sets_are_settings_of_the_controller() {
    let Some(helm) = Helm::find() else { return };
    let files = tempfile::tempdir().unwrap();
    let load = |values| -> ControllerSettings {
        settings(&helm.render(values), files.path()).expect("settings")
    };

    let readme = load(README);
    assert_eq!(readme.installation.unwrap().as_str(), "my-cluster");
    assert_eq!(readme.namespace.as_str(), "cfgw-system");
    assert_eq!(readme.stream.advertise.unwrap().as_str(), "10.1.2.3:8443");
    let service = "cfgw-cloudflare-gateway-controller.cfgw-system.svc:8443";
    assert_eq!(readme.stream.service.as_str(), service);
    let image = "ghcr.io/cloudflare-gateway-controller/cfgw:0.1.0";
    assert_eq!(readme.proxies.image.unwrap().as_str(), image);
    assert!(readme.defaults.dns.is_on());

    let full = load(FULL);
    assert!(!full.defaults.dns.is_on() && full.defaults.upload_certificates.is_on());
    assert_eq!(
        full.tunnel.edge.to_string(),
        "192.0.2.1:7844,192.0.2.2:7844"
    );
    assert_eq!(full.tunnel.grace_period.to_string(), "1m");
    assert!(full.tunnel.ca_file.is_some() && full.cloudflare.ca_file.is_some());
    let url = full.cloudflare.base_url.as_str();
    assert_eq!(url, "https://api.example.com/v4");

    let broker = load(BROKER).edge;
    assert_eq!(broker.backend, Backend::Broker);
    let (code, roots) = (broker.broker.code_file, broker.broker.ca_file);
    assert!(code.is_some() && roots.is_some());
}

#[test]
fn the_controller_has_a_token_for_the_broker_and_for_nobody_else() {
    let Some(helm) = Helm::find() else { return };
    let volume = |values: &[&str]| -> Option<Value> {
        let pod = helm.render(values).pod();
        let volumes = pod["volumes"].as_array().unwrap();
        let mut volumes = volumes.iter();
        let found = volumes.find(|volume| volume["name"] == "broker-token");
        found.map(|volume| volume["projected"].clone())
    };
    let expected = json!({"sources": [{"serviceAccountToken": {
        "audience": "cloudflare-gateway-broker",
        "expirationSeconds": 600,
        "path": "token",
    }}]});
    assert_eq!(volume(BROKER), Some(expected));
    assert_eq!(volume(README), None);
    let without = [BROKER, &["edge.broker.attest=false"]].concat();
    assert_eq!(volume(&without), None);

    let files = tempfile::tempdir().unwrap();
    let load = |values: &[&str]| -> ControllerSettings {
        settings(&helm.render(values), files.path()).expect("settings")
    };
    let file = load(BROKER).edge.broker.service_account_token_file;
    let mounted = "var/run/secrets/cloudflare-gateway-broker/token";
    assert_eq!(file, Some(files.path().join(mounted)));
    let file = load(&without).edge.broker.service_account_token_file;
    assert_eq!(file, None);
}

#[test]
fn the_controllers_pod_is_confined() {
    let Some(helm) = Helm::find() else { return };
    for values in [README, FULL, BROKER] {
        let rendered = helm.render(values);
        let pod = rendered.pod();
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let profile = &pod["securityContext"]["seccompProfile"];
        assert_eq!(profile["type"], "RuntimeDefault");
        let security = &rendered.container()["securityContext"];
        let expected = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(*security, expected);
    }
}

#[test]
fn nothing_secret_is_an_argument_or_a_variable() {
    let Some(helm) = Helm::find() else { return };
    for values in [README, FULL, BROKER] {
        let container = helm.render(values).container();
        assert_eq!(container["args"], json!(["controller"]));
        for variable in container["env"].as_array().unwrap() {
            let source = &variable["valueFrom"];
            assert!(source["secretKeyRef"].is_null(), "{variable}");
            assert!(source["configMapKeyRef"].is_null(), "{variable}");
        }
    }
}

#[test]
fn the_class_names_the_secret_only_where_one_is_given() {
    let Some(helm) = Helm::find() else { return };
    let reference =
        |values| helm.render(values).one("GatewayClass")["spec"]["parametersRef"].clone();
    let named = |namespace: &str| json!({"group": "", "kind": "Secret", "name": "creds", "namespace": namespace});
    assert_eq!(reference(README), named("cfgw-system"));
    assert_eq!(reference(FULL), named("vault"));
    assert_eq!(reference(BROKER), Value::Null);
    let of_class = helm.render(README).all("CloudflareGatewayParameters").len();
    assert_eq!(of_class, 0);
    let without = helm.render(&["gatewayClass.create=false"]);
    assert!(without.all("GatewayClass").is_empty());
}

#[test]
fn tenants_are_in_parameters_that_the_class_names() {
    let Some(helm) = Helm::find() else { return };
    let rendered = helm.render(&[
        "credentials.secretName=creds",
        "credentials.secretNamespace=vault",
        "tenants[0].namespaceSelector.matchLabels.team=shop",
        "tenants[0].hostnames={shop.example.com,*.shop.example.com}",
        "tenants[0].maxGateways=5",
    ]);
    let reference = rendered.one("GatewayClass")["spec"]["parametersRef"].clone();
    let named = json!({
        "group": "cloudflare-gateway-controller.io",
        "kind": "CloudflareGatewayParameters",
        "name": "cloudflare",
        "namespace": "vault",
    });
    assert_eq!(reference, named);
    let parameters = rendered.one("CloudflareGatewayParameters");
    assert_eq!(parameters["metadata"]["namespace"], "vault");
    let spec = json!({
        "secretRef": {"name": "creds"},
        "tenants": [{
            "namespaceSelector": {"matchLabels": {"team": "shop"}},
            "hostnames": ["shop.example.com", "*.shop.example.com"],
            "maxGateways": 5,
        }],
    });
    assert_eq!(parameters["spec"], spec);
}

#[test]
fn no_permission_is_a_wildcard_and_an_own_account_gets_none() {
    let Some(helm) = Helm::find() else { return };
    let rendered = helm.render(README);
    for kind in ["ClusterRole", "Role"] {
        for rule in rendered.one(kind)["rules"].as_array().unwrap() {
            assert!(!rule.to_string().contains('*'), "{rule}");
            let verbs = rule["verbs"].as_array().unwrap();
            assert!(!verbs.is_empty() && !verbs.contains(&json!("deletecollection")));
            assert!(!rule["resources"].to_string().contains("role"), "{rule}");
        }
    }
    let own = helm.render(&["serviceAccount.name=mine"]);
    for kind in [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
    ] {
        assert!(own.all(kind).is_empty(), "{kind}");
    }
    assert_eq!(own.pod()["serviceAccountName"], "mine");
}

#[test]
fn secrets_are_read_in_the_namespaces_that_are_listed() {
    let Some(helm) = Helm::find() else { return };
    let files = tempfile::tempdir().unwrap();
    let of_secrets = |role: &Value| {
        let rules = role["rules"].as_array().unwrap().iter();
        let mut of_secrets = rules.filter(|rule| rule["resources"] == json!(["secrets"]));
        of_secrets.any(|rule| rule["verbs"].as_array().unwrap().contains(&json!("list")))
    };
    let roles = |rendered: &Rendered| -> Vec<String> {
        let roles = rendered.all("Role").into_iter();
        let roles = roles.filter(|role| of_secrets(role));
        let namespace = |role: &Value| role["metadata"]["namespace"].as_str().unwrap().to_owned();
        roles.map(namespace).collect()
    };
    let everywhere = helm.render(FULL);
    assert!(of_secrets(&everywhere.one("ClusterRole")));
    assert!(roles(&everywhere).is_empty());

    let listed: Vec<&str> = FULL
        .iter()
        .copied()
        .chain(["secrets.namespaces={shop,apps}"])
        .collect();
    let listed = helm.render(&listed);
    assert!(!of_secrets(&listed.one("ClusterRole")));
    assert_eq!(roles(&listed), ["apps", "cfgw-system", "shop", "vault"]);
    let settings: ControllerSettings = settings(&listed, files.path()).expect("settings");
    assert_eq!(settings.secrets.namespaces.names(), roles(&listed));
}

#[test]
fn a_budget_keeps_one_of_several_replicas_and_nothing_of_one() {
    let Some(helm) = Helm::find() else { return };
    let budgets = |values| helm.render(values).all("PodDisruptionBudget").len();
    assert_eq!(budgets(FULL), 1);
    assert_eq!(budgets(&["replicas=1"]), 0);
    assert_eq!(budgets(&["podDisruptionBudget.enabled=false"]), 0);
}

#[test]
fn pod_monitors_select_the_pods_of_controllers_and_of_proxies_where_they_are_asked_for() {
    let Some(helm) = Helm::find() else { return };
    assert!(helm.render(&[]).all("PodMonitor").is_empty());
    let values = [
        "monitoring.podMonitors.enabled=true",
        "monitoring.podMonitors.interval=30s",
        "monitoring.podMonitors.labels.release=prometheus",
    ];
    let rendered = helm.render(&values);
    let listed = helm.render(&[&values[..], &["watch.namespaces={shop}"]].concat());
    let selector = &listed.all("PodMonitor")[1]["spec"]["namespaceSelector"];
    assert_eq!(selector["matchNames"], json!(["cfgw-system", "shop"]));
    let [controllers, proxies] = &rendered.all("PodMonitor")[..] else {
        panic!("{rendered:?}");
    };
    let pod = &rendered.one("Deployment")["spec"]["template"];
    let selected = controllers["spec"]["selector"]["matchLabels"].as_object();
    for (label, value) in selected.expect("labels") {
        assert_eq!(pod["metadata"]["labels"][label], *value);
    }
    assert_eq!(proxies["spec"]["namespaceSelector"]["any"], true);
    let ports = rendered.container()["ports"].as_array().cloned();
    let mut ports = ports.expect("ports").into_iter();
    assert!(ports.any(|port| port["name"] == "admin"));
    for monitor in [controllers, proxies] {
        assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        assert_eq!(
            (&endpoint["port"], &endpoint["interval"]),
            (&"admin".into(), &"30s".into())
        );
    }
}

#[test]
fn controllers_are_spread_over_nodes_unless_values_say_otherwise() {
    let Some(helm) = Helm::find() else { return };
    let spread = |values: &[&str]| {
        let pod = helm.render(values).pod();
        pod["topologySpreadConstraints"][0]["topologyKey"].clone()
    };
    assert_eq!(spread(&[]), "kubernetes.io/hostname");
    let zones = "topologySpreadConstraints[0].topologyKey=topology.kubernetes.io/zone";
    assert_eq!(spread(&[zones]), "topology.kubernetes.io/zone");
}

#[test]
fn values_that_cannot_be_used_are_refused_by_name() {
    let Some(helm) = Helm::find() else { return };
    let table: &[(&[&str], &str)] = &[
        (&["replica=1"], "replica"),
        (&["installation=Upper"], "/installation"),
        (
            &["installation="],
            "installation: Required value: name this cluster, such as --set installation=my-cluster",
        ),
        (&["edge.backend=guess"], "/edge/backend"),
        (&["edge.backend=broker"], "edge.broker.url"),
        (
            &[
                "edge.backend=broker",
                "edge.broker.url=http://broker.example.com",
            ],
            "/edge/broker/url",
        ),
        (
            &["edge.broker.url={https://a.example,http://b.example}"],
            "/edge/broker/url",
        ),
        (&["edge.broker.code=no code"], "/edge/broker/code"),
        (&["tunnel.gracePeriod=soon"], "/tunnel/gracePeriod"),
        (&["tunnel.gracePeriod=0s"], "/tunnel/gracePeriod"),
        (&["resyncInterval=0h0m"], "/resyncInterval"),
        (&["cloudflare.requestBudget=9"], "/cloudflare/requestBudget"),
        (
            &["cloudflare.requestBudget=1201"],
            "/cloudflare/requestBudget",
        ),
        (
            &["cloudflare.apiUrl=http://api.example.com"],
            "/cloudflare/apiUrl",
        ),
        (
            &["cloudflare.apiUrl=https://user@api.example.com"],
            "/cloudflare/apiUrl",
        ),
        (
            &["tunnel.edgeAddresses={edge.example.com:7844}"],
            "/tunnel/edgeAddresses",
        ),
        (
            &["tunnel.edgeAddresses={192.0.2.1}"],
            "/tunnel/edgeAddresses",
        ),
        (
            &["tunnel.ca.secretName=a", "tunnel.ca.configMapName=b"],
            "/tunnel/ca",
        ),
        (&["tenants[0].hostname={a.example.com}"], "hostname"),
        (&["watch.namespaces={Shop}"], "/watch/namespaces/0"),
        (
            &["networkPolicy.endpointRanges={192.0.2.1}"],
            "/networkPolicy/endpointRanges/0",
        ),
        (
            &["networkPolicy.apiServer.ports={0}"],
            "/networkPolicy/apiServer/ports/0",
        ),
        (&["gatewayClass.name=it's"], "/gatewayClass/name"),
        (&["tenants[0].hostnames={*}"], "/tenants/0/hostnames/0"),
        (
            &["tenants[0].maxGateways=1", "gatewayClass.create=false"],
            "gatewayClass.create=true",
        ),
    ];
    for (values, word) in table {
        let refused = helm.try_render(values).expect_err("a refusal");
        assert!(refused.contains(word), "{values:?}: {refused}");
    }
}

#[test]
fn helm_finds_no_fault_in_the_charts() {
    for chart in Chart::ALL {
        let Some(helm) = Helm::of(chart) else { return };
        helm.lint();
    }
}
