//! What `plan` refuses before it asks Cloudflare. What it tells is compared with what happens in tests/suite/plan.

use cfgwctl::check::cloudflare::check;
use cfgwctl::plan::stage::{Access, of_cluster, rehearse_behind};
use cfgwctl::screen::Tone;
use cfgwctl::settings::Settings;
use domain::{InstallationName, ObjectKey, Timestamp};
use serde_json::{Value, json};

use crate::cluster;

fn deployment(name: &str, environment: &[(&str, &str)]) -> Value {
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    json!({
        "metadata": { "namespace": "cfgw-system", "name": name },
        "spec": { "template": { "spec": { "containers": [{ "env": environment }] } } },
    })
}

#[tokio::test]
async fn no_token_goes_where_nobody_said_and_no_other_installation_is_planned_for() {
    let home = || InstallationName::parse("home").expect("a name");
    let named = |name: &str| Some(ObjectKey::new("cfgw-system", name));
    let other = [
        ("CFGW_INSTALLATION", "home"),
        ("CFGW_CLOUDFLARE__BASE_URL", "https://evil.example"),
    ];
    let broker = [
        ("CFGW_INSTALLATION", "home"),
        ("CFGW_EDGE__BACKEND", "broker"),
    ];
    for (given, deployments, access, expected) in [
        (
            "nothing is installed",
            vec![],
            Access::default(),
            "the name of the installation is not known",
        ),
        (
            "another API",
            vec![deployment("cfgw", &other)],
            Access::default(),
            "no token is sent to another place than Cloudflare unless you say so; if that is right: --cloudflare-url https://evil.example",
        ),
        (
            "a broker",
            vec![deployment("cfgw", &broker)],
            Access {
                installation: Some(home()),
                ..Access::default()
            },
            "`cfgw broker give-up CLUSTER` to have all of it removed",
        ),
        (
            "two controllers",
            vec![deployment("cfgw", &[]), deployment("other", &[])],
            Access::default(),
            "cfgw-system/cfgw, cfgw-system/other; say which is meant with --controller",
        ),
        (
            "another controller",
            vec![deployment("cfgw", &[])],
            Access {
                controller: named("other"),
                ..Access::default()
            },
            "Deployment cfgw-system/other: Not found",
        ),
    ] {
        let (server, cluster) = cluster().await;
        for one in deployments {
            server.put("deployments", one);
        }
        let staged = of_cluster(&cluster, None, &access, Timestamp(0)).await;
        let failure = staged.err().unwrap_or_else(|| panic!("{given}"));
        assert!(failure.to_string().contains(expected), "{given}: {failure}");
    }
}

#[tokio::test]
async fn a_plan_behind_a_broker_needs_the_key_of_the_cluster() {
    let behind = [("CFGW_EDGE__BACKEND", "broker")];
    let (server, cluster) = cluster().await;
    server.put("deployments", deployment("cfgw", &behind));
    let settings = Settings::of_cluster(&cluster, None).await.unwrap();
    assert!(settings.defaults.is_behind_broker);
    let access = Access::default();
    let planned = rehearse_behind(&cluster, &settings, None, &access, Timestamp(0)).await;
    let failure = planned.unwrap_err().to_string();
    let secret = "Secret cfgw-system/cfgw-controller-broker-key";
    assert!(failure.contains(secret), "{failure}");
    let found = check(&cluster, &access, Timestamp(0)).await;
    let [found] = &found[..] else {
        panic!("the broker alone is asked: {found:?}");
    };
    assert_eq!((&*found.what, found.tone), ("broker", Tone::Unsure));
    assert!(found.told.contains(secret), "{found:?}");
}
