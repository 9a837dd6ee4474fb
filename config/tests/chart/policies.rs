//! What the chart restricts: the network, and permissions where namespaces are listed.

use std::collections::BTreeSet;

use config::ControllerSettings;
use serde_json::{Value, json};

use super::helm::{Helm, Rendered};
use super::{BROKER, README, settings};

/// Each as `443/TCP`.
pub(crate) fn ports(rule: &Value) -> Vec<String> {
    let ports = rule["ports"].as_array().expect("ports").iter();
    let text = |port: &Value| format!("{}/{}", port["port"], port["protocol"]);
    ports.map(|port| text(port).replace('"', "")).collect()
}

#[test]
fn controllers_are_reached_by_proxies_and_probes_and_reach_what_the_table_of_the_docs_has() {
    let Some(helm) = Helm::find() else { return };
    assert!(helm.render(README).all("NetworkPolicy").is_empty());
    let on = "networkPolicy.enabled=true";
    let rendered = helm.render(&[README, &[on]].concat());
    let spec = rendered.one("NetworkPolicy")["spec"].clone();
    let labels = &rendered.one("Deployment")["spec"]["selector"];
    assert_eq!(spec["podSelector"], *labels);
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    let container = rendered.container();
    let named = container["ports"].as_array().unwrap();
    let ingress = spec["ingress"].as_array().unwrap();
    for (rule, name) in ingress.iter().zip(["stream", "admin"]) {
        assert_eq!(rule["ports"][0]["port"], name);
        assert!(named.iter().any(|port| port["name"] == name));
    }
    let proxies = &ingress[0]["from"][0];
    assert_eq!(proxies["namespaceSelector"], json!({}));
    let component = &proxies["podSelector"]["matchLabels"]["app.kubernetes.io/component"];
    assert_eq!(component, "proxy");
    assert!(ingress[1]["from"].is_null());

    let egress = spec["egress"].as_array().unwrap();
    let reached: Vec<_> = egress.iter().map(ports).collect();
    let expected = [
        &["53/UDP", "53/TCP"][..],
        &["443/TCP", "6443/TCP"],
        &["443/TCP"],
    ];
    assert_eq!(reached, expected);
    assert!(egress.iter().all(|rule| rule["to"].is_null()));

    let broker = [on, "networkPolicy.apiServer.ranges={10.96.0.1/32}"];
    let rendered = helm.render(&[BROKER, &broker].concat());
    let egress = rendered.one("NetworkPolicy")["spec"]["egress"].clone();
    let api_server = json!([{"ipBlock": {"cidr": "10.96.0.1/32"}}]);
    assert_eq!(egress[1]["to"], api_server);
    assert_eq!(ports(&egress[2]), ["8443/TCP"]);

    let several = "edge.broker.url={https://a.example:8443,https://b.example,https://c.example}";
    let rendered = helm.render(&[BROKER, &[on, several]].concat());
    let egress = rendered.one("NetworkPolicy")["spec"]["egress"].clone();
    assert_eq!(ports(&egress[2]), ["8443/TCP", "443/TCP"]);
    let files = tempfile::tempdir().unwrap();
    let urls = settings::<ControllerSettings>(&rendered, files.path())
        .unwrap()
        .edge
        .broker
        .url;
    let urls = urls.unwrap().to_string();
    assert_eq!(
        urls,
        "https://a.example:8443,https://b.example,https://c.example"
    );
}

#[test]
fn the_controller_is_told_what_the_network_is_to_hold_proxies_to() {
    let Some(helm) = Helm::find() else { return };
    let files = tempfile::tempdir().unwrap();
    let told = |values: &[&str]| {
        let rendered = helm.render(&[README, values].concat());
        settings::<ControllerSettings>(&rendered, files.path())
            .expect("settings")
            .proxies
    };
    assert!(!told(&[]).network_policy.is_on());
    let ranges = "networkPolicy.endpointRanges={192.0.2.0/24,2001:db8::/32}";
    let proxies = told(&["networkPolicy.enabled=true", ranges]);
    assert!(proxies.network_policy.is_on());
    let expected = ["192.0.2.0/24", "2001:db8::/32"];
    assert_eq!(proxies.endpoint_ranges.ranges(), expected);
}

/// Namespaces of the Roles with this end of their name.
fn namespaces<'r>(rendered: &'r Rendered, end: &str) -> BTreeSet<&'r str> {
    let roles = rendered.all("Role").into_iter();
    let roles = roles.map(|role| &role["metadata"]);
    let roles = roles.filter(|role| {
        role["name"]
            .as_str()
            .is_some_and(|name| name.ends_with(end))
    });
    roles
        .filter_map(|role| role["namespace"].as_str())
        .collect()
}

#[test]
fn permissions_in_namespaces_are_roles_where_namespaces_are_listed() {
    let Some(helm) = Helm::find() else { return };
    let files = tempfile::tempdir().unwrap();
    let everywhere = helm.render(README);
    let listed = [README, &["watch.namespaces={shop,apps}"]].concat();
    let rendered = helm.render(&listed);
    let watched = BTreeSet::from(["apps", "cfgw-system", "shop"]);
    assert_eq!(namespaces(&rendered, "-watched"), watched);
    assert_eq!(namespaces(&rendered, "-secrets"), watched);
    assert_eq!(namespaces(&rendered, "-events"), ["default"].into());
    let told: ControllerSettings = settings(&rendered, files.path()).expect("settings");
    let names: Vec<&str> = watched.iter().copied().collect();
    assert_eq!(told.watch.namespaces.names(), names);
    assert_eq!(told.secrets.namespaces.names(), names);

    // What is left to the ClusterRole is in no namespace.
    let role = rendered.one("ClusterRole");
    let rules = role["rules"].as_array().unwrap().iter();
    let resources: BTreeSet<&str> = rules
        .flat_map(|rule| rule["resources"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    let expected = [
        "clustertrustbundles",
        "customresourcedefinitions",
        "gatewayclasses",
        "gatewayclasses/status",
        "namespaces",
        "tokenreviews",
    ];
    assert_eq!(resources, expected.into());

    // Together they permit what the ClusterRole permits otherwise.
    let rules = |rendered: &Rendered, kind: &str, of: fn(&str) -> bool| -> BTreeSet<String> {
        let roles = rendered.all(kind).into_iter();
        let roles = roles.filter(|role| of(role["metadata"]["namespace"].as_str().unwrap_or("")));
        let rules = roles.flat_map(|role| role["rules"].as_array().unwrap().iter());
        rules.map(ToString::to_string).collect()
    };
    let whole = rules(&everywhere, "ClusterRole", |_| true);
    let mut parts = rules(&rendered, "ClusterRole", |_| true);
    parts.extend(rules(&rendered, "Role", |namespace| namespace == "shop"));
    assert_eq!(parts, whole);

    // Secrets may be in fewer namespaces than what is watched.
    let fewer = helm.render(&[&listed[..], &["secrets.namespaces={shop}"]].concat());
    assert_eq!(
        namespaces(&fewer, "-secrets"),
        ["cfgw-system", "shop"].into()
    );
    let of_default = helm.render(&["watch.namespaces={default}"]);
    assert!(namespaces(&of_default, "-events").is_empty());
}

#[test]
fn admission_needs_a_kubernetes_that_has_it_and_reads_the_parameters_of_the_class() {
    let Some(helm) = Helm::find() else { return };
    assert!(
        helm.render(README)
            .all("ValidatingAdmissionPolicy")
            .is_empty()
    );
    let of = |values: &[&str]| {
        let values = [README, &["admission.enabled=true"], values].concat();
        helm.render(&values)
    };
    let names = |rendered: &Rendered| -> Vec<String> {
        let policies = rendered.all("ValidatingAdmissionPolicyBinding");
        let name = |policy: &&Value| policy["spec"]["policyName"].as_str().unwrap().to_owned();
        policies.iter().map(name).collect()
    };
    let prefix = "cfgw-cloudflare-gateway-controller";
    assert_eq!(names(&of(&[])), [format!("{prefix}-gateways")]);
    let tenants = "tenants[0].hostnames={a.example.com}";
    let all = of(&[
        tenants,
        "admission.routes.enabled=true",
        "admission.routes.namespaceSelector.matchLabels.team=shop",
        "watch.namespaces={shop}",
        "credentials.secretNamespace=vault",
    ]);
    let expected = ["gateways", "gateways-tenants", "routes", "routes-tenants"];
    assert_eq!(names(&all), expected.map(|name| format!("{prefix}-{name}")));
    let parameters = all.one("CloudflareGatewayParameters")["metadata"].clone();
    for binding in all.all("ValidatingAdmissionPolicyBinding") {
        let spec = &binding["spec"];
        let selector = &spec["matchResources"]["namespaceSelector"];
        let watched = &selector["matchExpressions"][0];
        assert_eq!(watched["values"], json!(["cfgw-system", "shop", "vault"]));
        let name = spec["policyName"].as_str().unwrap();
        let is_of_routes = name.contains("-routes");
        assert_eq!(selector["matchLabels"]["team"] == "shop", is_of_routes);
        if name.ends_with("-tenants") {
            assert_eq!(spec["paramRef"]["name"], parameters["name"]);
            assert_eq!(spec["paramRef"]["namespace"], parameters["namespace"]);
        }
    }
    let old = helm.try_render_for("v1.29.0", &["admission.enabled=true"]);
    assert!(old.expect_err("a refusal").contains("Kubernetes 1.30"));
}

#[test]
fn the_values_for_gitops_tools_render_and_do_so_alike_each_time() {
    let Some(helm) = Helm::find() else { return };
    let once = helm.render_file("../docs/examples/gitops/values.yaml");
    assert_eq!(
        once,
        helm.render_file("../docs/examples/gitops/values.yaml")
    );
    assert!(!once.contains("kind: Secret\n"), "nothing secret");
    assert!(once.contains("kind: ValidatingAdmissionPolicy\n"));
}

#[test]
fn every_pod_of_the_chart_is_one_that_the_restricted_standard_takes() {
    let Some(helm) = Helm::find() else { return };
    let rendered = helm.render(README);
    let test = rendered.one("Pod")["spec"].clone();
    assert_eq!(test["automountServiceAccountToken"], false);
    for pod in [rendered.pod(), test] {
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false);
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        }
        for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[forbidden].is_null());
        }
    }
}
