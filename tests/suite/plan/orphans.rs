//! What Gateways left: found, taken up and removed, with an API server in memory and a stand-in of Cloudflare.

use std::sync::Arc;
use std::time::Duration;

use cfgwctl::cluster::Cluster;
use cfgwctl::failure::Failure;
use cfgwctl::orphans::found::{Orphans, find};
use cfgwctl::orphans::taking::{Asked, adopt, delete};
use cfgwctl::plan::stage::Access;
use cfgwctl::screen::Screen;
use cfgwctl::wait::Wait;
use domain::{ObjectKey, Timestamp};
use serde_json::{Value, json};
use tests::manifests::{class, gateway_named, route_with, secret, service};

use super::rig::{ACCOUNT, Rig, token};
use crate::contract::kubernetes::server::ApiServer;

const NOW: Timestamp = Timestamp(1_800_000_000);
const BACKEND: &str = "    - backendRefs: [{name: one, port: 80}]\n";

/// The manifests of these Gateways, of which `web` leaves what it has.
fn manifests(gateways: &[&str]) -> String {
    let mut all = vec![
        secret("cloudflare-creds", &token(), ACCOUNT),
        class(),
        service("one", &[([127, 0, 0, 1], 9).into()]),
        "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {name: orphan, namespace: default}
spec: {deletionPolicy: Orphan}
"
        .to_owned(),
    ];
    for name in gateways {
        let parameters = "  gatewayClassName: cloudflare
  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: orphan}
";
        let manifest = gateway_named(name);
        all.push(match *name {
            "web" => manifest.replace("  gatewayClassName: cloudflare\n", parameters),
            _ => manifest,
        });
        let hostname = format!("{name}.example.com");
        all.push(route_with(name, name, &[&hostname], BACKEND));
    }
    all.join("---\n")
}

fn told(orphans: &Orphans) -> Vec<(Option<String>, bool, Vec<String>)> {
    let orphans = orphans.orphans.iter();
    let told = orphans.map(|orphan| {
        let things = orphan.things.iter();
        let things = things.map(|thing| match thing.what {
            "tunnel" => "tunnel".to_owned(),
            what => format!("{what} {}", thing.name),
        });
        (orphan.gateway.clone(), orphan.stays, things.collect())
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gateways_left_is_found_and_told_apart() {
    let rig = Rig::start().await;
    rig.write(&manifests(&["web", "shop", "api"]));
    rig.controller().await;
    assert_eq!(told(&find(&rig.staged().await).await), []);

    // `web` goes and leaves all; `shop` goes while no controller runs.
    rig.write(&manifests(&["shop", "api"]));
    rig.controller().await;
    rig.write(&manifests(&["api"]));
    rig.cloud.forget_calls();
    let found = find(&rig.staged().await).await;
    let left = |name: &str, stays: bool| {
        let things = vec!["tunnel".to_owned(), format!("record {name}.example.com")];
        (Some(format!("default/{name}")), stays, things)
    };
    assert_eq!(told(&found), [left("shop", false), left("web", true)]);
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(rig.cloud.writes(), [], "it is only looked for");

    rig.controller().await;
    let found = find(&rig.staged().await).await;
    assert_eq!(told(&found), [left("web", true)]);

    // Somebody removes the tunnel by hand: nothing tells whose the record is, and it stays for the orphan's sake.
    let tunnels = rig.cloud.tunnels().into_iter();
    let web = tunnels.filter(|it| it.deleted_at.is_none() && it.name.ends_with("/web"));
    for tunnel in web {
        rig.cloud.delete_tunnel(ACCOUNT, tunnel.id).unwrap();
    }
    let found = find(&rig.staged().await).await;
    let record = vec!["record web.example.com".to_owned()];
    let web = (Some("default/web".to_owned()), true, Vec::new());
    assert_eq!(told(&found), [(None, true, record), web]);
}

/// A cluster of the rig's installation, in which the Gateway `web` is gone.
async fn cluster(rig: &Rig) -> (ApiServer, Cluster) {
    let server = ApiServer::start().await;
    server.put(
        "namespaces",
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "kube-system", "uid": rig.instance() },
        }),
    );
    server.put(
        "namespaces",
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } }),
    );
    server.put(
        "gatewayclasses",
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": { "name": "cloudflare" },
            "spec": {
                "controllerName": "cloudflare-gateway-controller.io/controller",
                "parametersRef": {
                    "group": "", "kind": "Secret", "namespace": "default", "name": "credentials",
                },
            },
        }),
    );
    let encoded = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    server.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "namespace": "default", "name": "credentials" },
            "data": {
                "CLOUDFLARE_API_TOKEN": encoded(&token()), "CLOUDFLARE_ACCOUNT_ID": encoded(ACCOUNT),
            },
        }),
    );
    server.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "namespace": "cfgw-system", "name": "cfgw-orphans" },
            "data": { "gateways": encoded("default/web\n") },
        }),
    );
    server.put(
        "deployments",
        json!({
            "metadata": { "namespace": "cfgw-system", "name": "cfgw" },
            "spec": { "template": { "spec": { "containers": [{ "env": [
                { "name": "CFGW_INSTALLATION", "value": "home" },
                { "name": "CFGW_ORPHANS", "value": "cfgw-orphans" },
            ]}]}}},
        }),
    );
    let cluster = Cluster::new(server.client(), "default");
    (server, cluster)
}

async fn printed(
    verb: impl AsyncFnOnce(&mut Screen<'_>) -> Result<(), Failure>,
) -> (String, Result<(), Failure>) {
    let mut out = Vec::new();
    let mut screen = Screen::new(&mut out, false);
    let ended = verb(&mut screen).await;
    screen.finish().unwrap();
    (String::from_utf8(out).unwrap(), ended)
}

/// A controller as far as finalizers go: it holds a Gateway, and lets it go once it is deleted.
fn holds_gateways(server: ApiServer) -> tokio::task::JoinHandle<Vec<Value>> {
    tokio::spawn(async move {
        let mut held: Vec<Value> = Vec::new();
        loop {
            for mut gateway in server.all("gateways") {
                let metadata = &mut gateway["metadata"];
                if metadata["deletionTimestamp"].is_string() {
                    server.delete("gateways", "default", "web");
                    return held;
                }
                if metadata["finalizers"].is_null() {
                    metadata["finalizers"] = json!([adapter_kubernetes::FINALIZER]);
                    held.push(gateway.clone());
                    held.extend(server.all("cloudflaregatewayparameters"));
                    server.put("gateways", gateway);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

const PATIENCE: Wait = Wait {
    timeout: Duration::from_secs(20),
    every: Duration::from_millis(5),
};

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_taken_up_or_removed_by_objects_once_its_plan_was_confirmed() {
    let rig = Rig::start().await;
    rig.write(&manifests(&["web"]));
    rig.controller().await;
    rig.cloud.forget_calls();
    let (server, cluster) = cluster(&rig).await;
    let asked = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let told = asked.clone();
    let answers = |answer: bool| {
        let told = told.clone();
        move |question: &str| {
            told.lock().unwrap().push(question.to_owned());
            Ok(answer)
        }
    };
    let access = Access {
        url: Some(rig.api_url()),
        ..Access::default()
    };
    let (yes, no) = (answers(true), answers(false));
    let of = |name: &str, yes_or_no| Asked {
        gateway: ObjectKey::new("default", name),
        class: None,
        access: &access,
        consent: match yes_or_no {
            true => &yes,
            false => &no,
        },
        now: NOW,
    };

    let (text, ended) =
        printed(async |screen| delete(&cluster, &of("web", false), PATIENCE, screen).await).await;
    assert!(text.contains("- record web.example.com CNAME"), "{text}");
    assert!(text.contains("/gateways/web"), "{text}");
    let refused = ended.expect_err("nobody wants it").to_string();
    assert!(refused.contains("nothing was done"), "{refused}");
    assert_eq!(server.all("gateways"), [] as [Value; 0]);

    let (_, ended) =
        printed(async |screen| delete(&cluster, &of("other", true), PATIENCE, screen).await).await;
    let refused = ended.expect_err("it left nothing").to_string();
    assert!(refused.contains("left nothing at Cloudflare"), "{refused}");

    let controller = holds_gateways(server.clone());
    let (text, ended) =
        printed(async |screen| delete(&cluster, &of("web", true), PATIENCE, screen).await).await;
    ended.expect("the controller lets it go");
    assert!(
        text.ends_with("Removed what Gateway default/web left\n"),
        "{text}"
    );
    let held = controller.await.unwrap();
    let spec = &held[1]["spec"];
    assert_eq!(spec["deletionPolicy"], "Delete", "{held:#?}");
    assert_eq!(
        held[0]["spec"]["infrastructure"]["parametersRef"]["name"],
        held[1]["metadata"]["name"]
    );
    for plural in ["gateways", "cloudflaregatewayparameters"] {
        assert_eq!(server.all(plural), [] as [Value; 0], "{plural}");
    }

    // What the controller would have removed is there still, as this one does nothing at Cloudflare.
    let (text, ended) =
        printed(async |screen| adopt(&cluster, &of("web", true), None, screen).await).await;
    ended.expect("it can be made");
    assert!(
        text.contains("- record web.example.com CNAME"),
        "no route is there: {text}"
    );
    assert!(text.contains("Created Gateway default/web"), "{text}");
    let made = server.get("gateways", "default", "web").expect("a Gateway");
    assert_eq!(made["spec"]["gatewayClassName"], "cloudflare");
    let (_, ended) =
        printed(async |screen| delete(&cluster, &of("web", true), PATIENCE, screen).await).await;
    let refused = ended.expect_err("it is there").to_string();
    assert!(refused.contains("what it has is no orphan"), "{refused}");
    assert_eq!(
        rig.cloud.writes(),
        [],
        "cfgwctl writes nothing at Cloudflare"
    );
    assert_eq!(asked.lock().unwrap().len(), 3);
}
