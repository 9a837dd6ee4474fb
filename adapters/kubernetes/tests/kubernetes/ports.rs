//! Finalizers, credentials, tokens and kept Secrets.

use std::collections::{BTreeMap, BTreeSet};

use adapter_kubernetes::{
    FINALIZER, Finalizers, KeptSecret, KeptSecretErrorKind, OwnerReference, SecretCredentials,
    TokenReviews, deployment_as_owner,
};
use domain::ObjectKey;
use domain::ports::{ClusterSource, Credentials, Finalizer, PortErrorKind, ProxyIdentities};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::server::{ApiServer, nested};
use crate::{class, gateway, watched};

fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

fn finalizers(server: &ApiServer) -> Value {
    let web = server
        .get("gateways", "default", "web")
        .expect("the Gateway");
    web["metadata"]["finalizers"].clone()
}

#[tokio::test]
async fn a_held_gateway_has_our_finalizer_beside_others() {
    let server = ApiServer::start().await;
    let mut held = gateway("web");
    held["metadata"]["finalizers"] = json!(["example.com/theirs"]);
    server.put("gateways", held.clone());
    let mut free = gateway("free");
    free["metadata"]["managedFields"] = json!([{ "fieldsV1": nested(9_000) }]);
    server.put("gateways", free);
    let finalizer = Finalizers::new(server.client());
    held["metadata"]["finalizers"] = json!(["example.com/theirs", "example.com/late"]);
    server.meddle("gateways", held);
    for _ in 0..2 {
        assert_eq!(finalizer.add(&web()).await, Ok(()));
        let all = json!(["example.com/theirs", "example.com/late", FINALIZER]);
        assert_eq!(finalizers(&server), all);
    }
    assert_eq!(finalizer.gateways().await, Ok(BTreeSet::from([web()])));
    for _ in 0..2 {
        assert_eq!(finalizer.remove(&web()).await, Ok(()));
        assert_eq!(
            finalizers(&server),
            json!(["example.com/theirs", "example.com/late"])
        );
    }
    let gone = ObjectKey::new("default", "gone");
    assert_eq!(finalizer.remove(&gone).await, Ok(()));
    assert!(finalizer.add(&gone).await.is_err());
}

#[tokio::test]
async fn credentials_come_from_the_secret_of_the_class() {
    let server = ApiServer::start().await;
    server.put("gatewayclasses", class());
    server.put("gateways", gateway("web"));
    let cluster = watched(&server);
    cluster.snapshot().await;
    let credentials = SecretCredentials::new(server.client(), cluster);
    let missing = credentials.of(&web()).await.expect_err("no Secret");
    assert_eq!(missing.kind, PortErrorKind::Credentials);
    server.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "credentials", "namespace": "default" },
            "data": { "CLOUDFLARE_API_TOKEN": "dG9rZW4K", "CLOUDFLARE_ACCOUNT_ID": "YWNjb3VudA==" },
        }),
    );
    let found = credentials.of(&web()).await.expect("credentials");
    assert_eq!(found.account.as_str(), "account");
    assert_eq!(found.token.expose_secret(), "token", "without its line end");
    assert_eq!(credentials.all().await.expect("credentials").len(), 1);
    server.refuse("secrets", 500);
    let unread = credentials.of(&web()).await.expect_err("no answer");
    assert_eq!(unread.kind, PortErrorKind::Unavailable);
}

#[tokio::test]
async fn a_secret_that_is_missing_hides_no_other_credentials() {
    let server = ApiServer::start().await;
    server.put("gatewayclasses", class());
    let mut early = class();
    early["metadata"]["name"] = json!("a-class-whose-secret-comes-first");
    early["spec"]["parametersRef"]["name"] = json!("a-missing-one");
    server.put("gatewayclasses", early);
    server.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "credentials", "namespace": "default" },
            "data": { "CLOUDFLARE_API_TOKEN": "dG9rZW4K", "CLOUDFLARE_ACCOUNT_ID": "YWNjb3VudA==" },
        }),
    );
    let cluster = watched(&server);
    cluster.snapshot().await;
    let credentials = SecretCredentials::new(server.client(), cluster);
    let partial = credentials.all().await.expect_err("one is missing");
    assert_eq!(partial.found.len(), 1);
    assert_eq!(partial.error.kind, PortErrorKind::Credentials);
    assert!(partial.error.message.contains("a-missing-one"));
}

#[tokio::test]
async fn a_token_stands_for_the_gateway_whose_service_account_it_is() {
    let account = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {
                "name": name, "namespace": "default",
                "labels": { "app.kubernetes.io/managed-by": "cloudflare-gateway-controller" },
                "ownerReferences": [{
                    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "web",
                    "uid": "1", "controller": true,
                }],
            },
        })
    };
    let review = |name: &str, audience: &str| {
        json!({
            "authenticated": true, "audiences": [audience],
            "user": { "username": format!("system:serviceaccount:default:{name}") },
        })
    };
    for (answer, gateway) in [
        (review("gateway-web", "cfgw"), Some(web())),
        (review("gateway-web", "another"), None),
        (review("gateway-other", "cfgw"), None),
        (review("gateway-gone", "cfgw"), None),
        (review("default", "cfgw"), None),
        (json!({ "authenticated": false }), None),
    ] {
        let server = ApiServer::start().await;
        for name in ["gateway-web", "gateway-other", "default"] {
            server.put("serviceaccounts", account(name));
        }
        let reviews = TokenReviews::new(server.client(), "cfgw".to_owned());
        server.review(answer.clone());
        let token = SecretString::from("token");
        assert_eq!(reviews.gateway_of(&token).await, Ok(gateway), "{answer}");
    }
}

#[tokio::test]
async fn a_kept_secret_replaces_only_what_was_read() {
    let server = ApiServer::start().await;
    let values = |text: &str| BTreeMap::from([("key".to_owned(), text.as_bytes().to_vec())]);
    let [one, other] = [(), ()].map(|()| KeptSecret::new(server.client(), "default", "ca"));
    assert_eq!(one.read().await, Ok(None));
    assert_eq!(other.read().await, Ok(None));
    assert_eq!(one.write(values("1")).await, Ok(()));
    assert_eq!(one.write(values("2")).await, Ok(()));
    let error = other.write(values("3")).await.expect_err("it exists");
    assert_eq!(error.kind, KeptSecretErrorKind::Conflict);
    assert_eq!(other.read().await, Ok(Some(values("2"))));
    assert_eq!(other.write(values("3")).await, Ok(()));
    let error = one.write(values("4")).await.expect_err("it was changed");
    assert_eq!(error.kind, KeptSecretErrorKind::Conflict);
    server.refuse("secrets", 403);
    assert_eq!(
        one.read().await.expect_err("refused").kind,
        KeptSecretErrorKind::Refused
    );
}

/// The Deployment that a controller runs in, and what names it as its owner.
async fn owner(server: &ApiServer) -> (Option<OwnerReference>, Value) {
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "cfgw", "namespace": "default", "uid": "uid-of-cfgw" } });
    server.put("deployments", deployment);
    let found = deployment_as_owner(&server.client(), "default", "cfgw").await;
    let expected = json!([{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "cfgw",
        "uid": "uid-of-cfgw" }]);
    (found.expect("an answer"), expected)
}

fn owners(server: &ApiServer, plural: &str, name: &str) -> Value {
    let found = server.get(plural, "default", name).expect("it is there");
    found["metadata"]["ownerReferences"].clone()
}

#[tokio::test]
async fn what_the_controller_keeps_goes_with_its_deployment() {
    let server = ApiServer::start().await;
    let (owner, expected) = owner(&server).await;
    let kept = |name: &str| {
        KeptSecret::new(server.client(), "default", name.to_owned()).owned_by(owner.clone())
    };
    let values = BTreeMap::from([("key".to_owned(), b"value".to_vec())]);
    let made = kept("new");
    assert_eq!(made.give_to_owner().await, Ok(()), "there is none yet");
    made.write(values.clone()).await.expect("made");
    assert_eq!(owners(&server, "secrets", "new"), expected);

    // One of an earlier release, which a Deployment of that name owned that is gone.
    let old = KeptSecret::new(server.client(), "default", "old");
    old.write(values.clone()).await.expect("made");
    let found = kept("old");
    assert_eq!(found.give_to_owner().await, Ok(()));
    assert_eq!(owners(&server, "secrets", "old"), expected);
    assert_eq!(found.read().await, Ok(Some(values)), "its values stay");
    server.take_calls();
    assert_eq!(found.give_to_owner().await, Ok(()));
    let calls = server.take_calls();
    assert!(
        !calls.iter().any(|call| call.starts_with("PUT")),
        "{calls:?}"
    );
}

#[tokio::test]
async fn where_the_deployment_is_not_there_or_may_not_be_read_nothing_goes_with_it() {
    let server = ApiServer::start().await;
    let asked = async || deployment_as_owner(&server.client(), "default", "cfgw").await;
    assert_eq!(asked().await, Ok(None));
    server.refuse("deployments", 403);
    assert_eq!(asked().await, Ok(None));
}

#[tokio::test]
async fn gateways_that_are_held_are_looked_for_where_gateways_are_served() {
    let server = ApiServer::start().await;
    for namespace in ["apps", "shop", "vault"] {
        let mut held = gateway("web");
        held["metadata"]["namespace"] = namespace.into();
        held["metadata"]["finalizers"] = json!([FINALIZER]);
        server.put("gateways", held);
    }
    let namespaces = BTreeSet::from(["apps", "shop"].map(str::to_owned));
    let finalizers = Finalizers::new(server.client()).in_namespaces(Some(&namespaces));
    let expected = ["apps", "shop"].map(|namespace| ObjectKey::new(namespace, "web"));
    assert_eq!(finalizers.gateways().await, Ok(expected.into()));
}
