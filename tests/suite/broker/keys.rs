//! A broker whose keys are at a service that is away for a while.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use domain::ObjectKey;
use domain::broker::audit::checkpoint::Mark;
use domain::broker::ports::{Checkpoints, Secrets};
use domain::ports::Edge;
use serde_json::{Value, json};
use tests::broker::{Broker, EAST};
use tests::process::free_address;
use tests::world::{World, within};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const PATIENCE: Duration = Duration::from_secs(30);

/// A Vault that hands on what it gets.
async fn vault(address: SocketAddr) -> MockServer {
    let listener = TcpListener::bind(address).unwrap();
    let server = MockServer::builder().listener(listener).start().await;
    let answer = |request: &Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let data = match body["plaintext"].as_str() {
            Some(plain) => json!({ "ciphertext": format!("vault:v1:{plain}") }),
            None => {
                json!({ "plaintext": body["ciphertext"].as_str().unwrap().replace("vault:v1:", "") })
            }
        };
        ResponseTemplate::new(200).set_body_json(json!({ "data": data }))
    };
    Mock::given(wiremock::matchers::any())
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_starts_and_works_while_its_keys_are_away_as_far_as_it_had_them_before() {
    let world = World::start().await;
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("vault-token");
    std::fs::write(&token, "hvs.canary").unwrap();
    let environment = [
        ("CFGW_VAULT__ADDRESS", format!("http://{address}")),
        ("CFGW_VAULT__TOKEN_FILE", token.display().to_string()),
        ("CFGW_SEAL_WITH", "vault".to_owned()),
        ("CFGW_AUDIT__CHECKPOINT_ENTRIES", "10".to_owned()),
    ];
    let broker = Broker::start_with(&world, &environment).await;
    let east = broker.client(EAST).await;
    let sealed = || async { broker.store.wrapped_otherwise("none", 10).await.unwrap() };
    assert!(
        sealed().await.is_empty(),
        "the token of the seed cannot be sealed"
    );

    let there = vault(address).await;
    within(PATIENCE, "the token of the seed is taken up", || async {
        let all = sealed().await;
        all.iter()
            .any(|(secret, _)| secret.owner == "account main")
            .then_some(())
    })
    .await;
    within(PATIENCE, "the audit is signed", || async {
        broker.store.last_checkpoint(Mark::Reached).await.unwrap()
    })
    .await;
    assert!(
        sealed()
            .await
            .iter()
            .all(|(_, sealed)| sealed.key == "vault:transit/cfgw:v1")
    );
    let gateway = |name: &str| ObjectKey::new("default", name);
    let intent = |name: &str, of: &str| domain::testing::intent(gateway(name), &[of]);
    east.reconcile(&intent("one", "app.example.com"))
        .await
        .unwrap();

    drop(there);
    east.reconcile(&intent("two", "shop.example.com"))
        .await
        .unwrap();
    assert_eq!(world.records().len(), 2);
}
