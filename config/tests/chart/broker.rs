//! The broker's chart.

use config::{BrokerSettings, ProgramSettings as _};
use serde_json::json;

use super::helm::{Chart, Helm};
use super::policies::ports;
use super::settings;

/// Value sets: as in the readme, and several brokers with everything.
const README: &[&str] = &[];
const FULL: &[&str] = &[
    "replicas=3",
    "people.enabled=true",
    "store.postgres.url=postgres://cfgw@db.example.com:6432/cfgw",
    "store.postgres.passwordSecret.name=store",
    "store.postgres.ca.secretName=store-roots",
    "tokens.secretName=tokens",
    "tenants[0].name=acme",
    "tenants[0].accounts[0].name=main",
    "tenants[0].accounts[0].cloudflare=0123456789abcdef0123456789abcdef",
    "tenants[0].accounts[0].token_file=/etc/cfgw/tokens/main",
    "tenants[0].grants[0].name=all",
    "tenants[0].grants[0].hostnames={*.shop.example.com}",
    "cloudflare.apiUrl=https://api.example.com/v4",
    "cloudflare.ca.configMapName=api-roots",
    "outgoing.httpsProxy=http://proxy.example.com:3128",
    "service.type=LoadBalancer",
];

#[test]
fn what_the_chart_sets_are_settings_of_the_broker() {
    let Some(helm) = Helm::of(Chart::Broker) else {
        return;
    };
    let files = tempfile::tempdir().unwrap();
    let load = |values| -> BrokerSettings {
        settings(&helm.render(values), files.path()).expect("settings")
    };
    let readme = load(README);
    assert_eq!(readme.store.as_str(), "sqlite:/var/lib/cfgw/broker.db");
    assert!(readme.people.listen.is_none() && readme.seed.is_none());
    assert!(readme.tls.cert_file.is_some() && readme.keys_file.is_some());
    let untouched = BrokerSettings::default();
    assert_eq!(readme.patience.stale, untouched.patience.stale);
    assert_eq!(readme.patience.expired, untouched.patience.expired);
    assert_eq!(readme.resync_interval, untouched.resync_interval);

    let full = load(FULL);
    let store = "postgres://cfgw@db.example.com:6432/cfgw?sslmode=verify-full&sslrootcert=/etc/cfgw/roots/store/ca.crt";
    assert_eq!(full.store.as_str(), store);
    assert!(full.store_password_file.is_some() && full.cloudflare.ca_file.is_some());
    assert!(full.people.listen.is_some() && full.seed.is_some());
    let of_table: BrokerSettings = BrokerSettings::load(
        None,
        std::iter::empty(),
        json!({"keys_file": full.keys_file}),
    )
    .expect("settings");
    assert_eq!(
        of_table.cloudflare.request_budget,
        full.cloudflare.request_budget
    );
}

#[test]
fn the_brokers_pod_is_confined_and_knows_nothing_of_kubernetes() {
    let Some(helm) = Helm::of(Chart::Broker) else {
        return;
    };
    for values in [README, FULL] {
        let rendered = helm.render(values);
        let (pod, container) = (rendered.pod(), rendered.container());
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(container["args"], json!(["broker"]));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
            assert!(rendered.all(kind).is_empty(), "{kind}");
        }
        for variable in container["env"].as_array().unwrap() {
            assert!(variable["valueFrom"].is_null(), "{variable}");
        }
    }
}

#[test]
fn one_broker_has_a_file_that_stays_and_several_have_a_database() {
    let Some(helm) = Helm::of(Chart::Broker) else {
        return;
    };
    let one = helm.render(README);
    let claim = one.one("PersistentVolumeClaim");
    let kept = &claim["metadata"]["annotations"]["helm.sh/resource-policy"];
    assert_eq!(kept, "keep");
    let strategy = |deployment: &serde_json::Value| deployment["spec"]["strategy"]["type"].clone();
    assert_eq!(strategy(&one.one("Deployment")), "Recreate");
    assert!(one.all("PodDisruptionBudget").is_empty());

    let several = helm.render(FULL);
    assert!(several.all("PersistentVolumeClaim").is_empty());
    assert_eq!(strategy(&several.one("Deployment")), "RollingUpdate");
    assert_eq!(several.all("PodDisruptionBudget").len(), 1);

    let own = helm.render(&["store.sqlite.existingClaim=mine"]);
    assert!(own.all("PersistentVolumeClaim").is_empty());
    assert!(own.pod().to_string().contains(r#""claimName":"mine""#));
}

#[test]
fn metrics_are_not_where_clusters_and_people_are_served() {
    let Some(helm) = Helm::of(Chart::Broker) else {
        return;
    };
    let rendered = helm.render(FULL);
    let services = rendered.all("Service");
    let names = |service: &serde_json::Value| -> Vec<String> {
        let ports = service["spec"]["ports"].as_array().unwrap().iter();
        ports
            .map(|port| port["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(services[0]["spec"]["type"], "LoadBalancer");
    assert_eq!(services[0]["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(names(services[0]), ["clusters", "people"]);
    assert_eq!(services[1]["spec"]["type"], "ClusterIP");
    assert_eq!(names(services[1]), ["admin"]);
}

#[test]
fn the_network_of_the_broker_is_what_it_needs() {
    let Some(helm) = Helm::of(Chart::Broker) else {
        return;
    };
    let on = "networkPolicy.enabled=true";
    for (values, reached) in [
        (README, &["443/TCP"][..]),
        (FULL, &["443/TCP", "3128/TCP", "6432/TCP"]),
    ] {
        let rendered = helm.render(&[values, &[on]].concat());
        let egress = rendered.one("NetworkPolicy")["spec"]["egress"].clone();
        assert_eq!(ports(&egress[0]), ["53/UDP", "53/TCP"]);
        assert_eq!(ports(&egress[1]), reached);
    }
    let some = helm.render(&[on, "networkPolicy.clients={192.0.2.0/24}"]);
    let from = some.one("NetworkPolicy")["spec"]["ingress"][0]["from"].clone();
    assert_eq!(from, json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}]));
}

#[test]
fn values_of_the_broker_that_cannot_be_used_are_refused_by_name() {
    let Some(helm) = Helm::of(Chart::Broker) else {
        return;
    };
    let password = "store.postgres.url=postgres://cfgw:canary@db/cfgw";
    let table: &[(&[&str], &str)] = &[
        (
            &["replicas=2"],
            "replicas: Invalid value: 2: must be 0 or 1 with SQLite",
        ),
        (&["keys.secretName="], "keys.secretName: Required value"),
        (&["tls.secretName="], "tls.secretName: Required value"),
        (&[password], "/store/postgres/url"),
        (
            &["store.postgres.url=mysql://db/cfgw"],
            "/store/postgres/url",
        ),
        (&["store.sqlite.size=much"], "/store/sqlite/size"),
        (&["service.type=ExternalName"], "/service/type"),
        (&["patience.stale=soon"], "/patience/stale"),
        (&["tenants[0].name=Acme"], "/tenants/0/name"),
        (
            &[
                "tenants[0].name=a",
                "tenants[0].accounts[0].name=m",
                "tenants[0].accounts[0].cloudflare=1",
            ],
            "/tenants/0/accounts/0/cloudflare",
        ),
        (&["cluster=east"], "cluster"),
    ];
    for (values, word) in table {
        let refused = helm.try_render(values).expect_err("a refusal");
        assert!(refused.contains(word), "{values:?}: {refused}");
    }
}
