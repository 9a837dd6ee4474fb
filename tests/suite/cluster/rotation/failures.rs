//! What goes wrong while a token is replaced: an answer that is lost, a controller that ends at each of the steps, a proxy
//! that ends. The token is replaced once for each request all the same, and no request of a visitor fails.

use std::time::Duration;

use standin::cloud::{CallMatch, Effect, Failure, Fault, Stage};
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, PATIENCE};
use tests::load::Load;

use super::super::traffic::requests_to;
use super::super::user::manifests;
use super::{GATEWAY, GROUP, token};

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// Cloudflare replaces the token and its answer is lost.
    AnswerLost,
    /// Cloudflare refuses the call, and later takes it.
    CallRefused,
    /// Cloudflare replaces the token, and the leader ends while it waits for the answer.
    LeaderEndsInTheCall,
    /// The leader ends once the first of two replicas has the new token.
    LeaderEndsInTheRollout,
    /// A proxy ends in the rollout.
    ProxyEnds,
}

const ALL: [Wrong; 5] = [
    Wrong::AnswerLost,
    Wrong::LeaderEndsInTheCall,
    Wrong::CallRefused,
    Wrong::LeaderEndsInTheRollout,
    Wrong::ProxyEnds,
];

/// The first two in every run of the tests, since each takes most of a minute; with `ROTATION_FAILURES=all` all of them.
fn chosen() -> &'static [Wrong] {
    match std::env::var("ROTATION_FAILURES") {
        Ok(all) if all == "all" => &ALL,
        _ => &ALL[..2],
    }
}

fn two_replicas(hostname: &str) -> String {
    let infrastructure = "  infrastructure:
    parametersRef: {group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: two}
  gatewayClassName: ";
    let gateway = GATEWAY.replace("  gatewayClassName: ", infrastructure);
    format!(
        "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: two}}
spec: {{tunnel: {{replicas: [{{name: a}}, {{name: b}}]}}}}
---
{}",
        manifests(hostname).replace(GATEWAY, &gateway)
    )
}

/// The next call that replaces a token goes like this.
fn on_replacing(product: &Installation, effect: Effect) {
    product.standin.cloud().inject(Fault {
        on: CallMatch::next("PATCH", "/cfd_tunnel/"),
        effect,
    });
}

async fn kill_leader(product: &Installation) {
    let (leader, term) = product.leader().await;
    product.kill_container(&leader).await;
    eventually("another term", PATIENCE, || async {
        let (leader, now) = product.leader().await;
        (now > term).then_some(()).ok_or(leader)
    })
    .await;
}

async fn called(product: &Installation, namespace: &Namespace, times: usize) {
    eventually("the call is made", PATIENCE, || async {
        let made = product.replaced_tokens(namespace.name());
        (made >= times).then_some(()).ok_or(made.to_string())
    })
    .await;
}

/// Pod of this replica.
async fn pod_of(namespace: &Namespace, replica: &str) -> String {
    let prefix = format!("gateway-my-gateway-{replica}-");
    let pods = namespace.get(&["pods"]).await.unwrap_or_default();
    let pods = pods["items"].as_array().into_iter().flatten();
    let mut names = pods.filter_map(|pod| pod["metadata"]["name"].as_str());
    let found = names.find(|name| name.starts_with(&prefix));
    found.expect("a pod of the replica").to_owned()
}

/// Asks for a new token and lets this go wrong. `made`: calls that replaced the token before.
async fn rotated(product: &Installation, namespace: &Namespace, wrong: Wrong, made: usize) {
    let fails = |stage, failure| on_replacing(product, Effect::Fail { stage, failure });
    match wrong {
        Wrong::AnswerLost => fails(Stage::AfterCommit, Failure::CutConnection),
        Wrong::CallRefused => fails(Stage::BeforeCommit, Failure::ServerError),
        Wrong::LeaderEndsInTheCall => fails(Stage::AfterCommit, Failure::Silence),
        Wrong::LeaderEndsInTheRollout | Wrong::ProxyEnds => {}
    }
    let before = token(namespace).await["hash"].clone();
    let value = format!("{wrong:?}");
    let annotation = format!("{GROUP}/rotateTokenRequestedAt={value}");
    namespace
        .kubectl(&[
            "annotate",
            "--overwrite",
            "gateway",
            "my-gateway",
            &annotation,
        ])
        .await;
    called(product, namespace, made + 1).await;
    match wrong {
        Wrong::LeaderEndsInTheCall | Wrong::LeaderEndsInTheRollout => kill_leader(product).await,
        Wrong::ProxyEnds => {
            let pod = pod_of(namespace, "a").await;
            namespace
                .kubectl(&["delete", "pod", &pod, "--wait=false"])
                .await;
        }
        Wrong::AnswerLost | Wrong::CallRefused => {}
    }
    eventually(&value, 4 * PATIENCE, || async {
        let now = token(namespace).await;
        let is_done = now["rotation"]["lastHandledRotateAt"] == value.as_str();
        (is_done && now["hash"] != before)
            .then_some(())
            .ok_or(now.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_token_is_replaced_once_for_each_request_whatever_goes_wrong_on_the_way() {
    let product = installation::alone().await;
    let namespace = product.cluster.namespace("rotation").await;
    let hostname = format!("{}.example.com", namespace.name());
    namespace.apply(&two_replicas(&hostname)).await;
    product.served(&format!("https://{hostname}/")).await;
    namespace
        .condition("gateway/my-gateway", "Ready", "True")
        .await;
    let every = Duration::from_millis(10);
    let load = Load::start(2, every, requests_to(&product, &hostname));
    let mut replaced = 0;
    for wrong in chosen() {
        rotated(&product, &namespace, *wrong, replaced).await;
        // A call that was refused replaced nothing, and counts as one that was made.
        let expected = replaced + 1 + usize::from(matches!(wrong, Wrong::CallRefused));
        replaced = product.replaced_tokens(namespace.name());
        assert_eq!(replaced, expected, "{wrong:?}");
    }
    let report = load.stop().await;
    println!(
        "while {} rotations went wrong: {} requests",
        chosen().len(),
        report.requests
    );
    assert_eq!(report.failures, Vec::<String>::new());
}
