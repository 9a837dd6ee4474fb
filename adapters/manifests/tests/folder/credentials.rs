//! Cloudflare credentials from Secrets.

use domain::ObjectKey;
use domain::gateway::CONTROLLER_NAME;
use domain::ports::{Credentials, PortErrorKind};
use secrecy::ExposeSecret;

use crate::support::{CANARY, World, class, gateway, problems, secret};

const TOKEN: &str = "CLOUDFLARE_API_TOKEN";
const ACCOUNT: &str = "CLOUDFLARE_ACCOUNT_ID";

fn world(secrets: &str) -> World {
    World::with(&[
        ("class.yaml", &class(CONTROLLER_NAME, "cloudflare", "token")),
        ("gateway.yaml", &gateway("web")),
        ("secret.yaml", secrets),
    ])
}

#[tokio::test]
async fn credentials_of_all_classes_of_ours_are_distinct() {
    let good = secret("token", &[(TOKEN, "t"), (ACCOUNT, "a")]);
    let world = world(&good);
    world.write("same.yaml", &class(CONTROLLER_NAME, "second", "token"));
    world.write(
        "foreign.yaml",
        &class("example.com/other", "third", "missing"),
    );
    let all = world.open().all().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].account.as_str(), "a");
    assert_eq!(all[0].token.expose_secret(), "t");
}

#[tokio::test]
async fn data_is_base64_and_a_line_end_behind_a_value_is_not_part_of_it() {
    // "t\n" and "a\n"
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token}}\ndata: {{{TOKEN}: dAo=, {ACCOUNT}: YQo=}}\n"
    );
    let all = world(&text).open().all().await.unwrap();
    assert_eq!(all[0].account.as_str(), "a");
    assert_eq!(all[0].token.expose_secret(), "t");
}

#[tokio::test]
async fn unusable_credentials_name_secret_key_and_remedy() {
    for (secrets, parts) in [
        (
            secret("other", &[(TOKEN, "t")]),
            vec!["Secret default/token", TOKEN, ACCOUNT, "write"],
        ),
        (
            secret("token", &[(TOKEN, CANARY)]),
            vec!["Secret default/token", ACCOUNT, "add it"],
        ),
        (
            secret("token", &[(ACCOUNT, "a")]),
            vec!["Secret default/token", TOKEN, "add it"],
        ),
        (
            secret("token", &[(ACCOUNT, "a"), (TOKEN, " ")]),
            vec![TOKEN, "empty", "write"],
        ),
    ] {
        let error = world(&secrets).open().all().await.unwrap_err().error;
        assert_eq!(error.kind, PortErrorKind::Credentials);
        for part in parts {
            assert!(error.message.contains(part), "{part}: {error}");
        }
        assert!(!error.message.contains(CANARY));
    }
}

#[tokio::test]
async fn a_gateway_has_the_credentials_of_its_class() {
    let folder = world(&secret("token", &[(TOKEN, "t"), (ACCOUNT, "a")])).open();
    let found = folder.of(&ObjectKey::new("default", "web")).await.unwrap();
    assert_eq!(found.account.as_str(), "a");
    assert_eq!(found.token.expose_secret(), "t");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_has_no_credentials() {
    let folder = world(&secret("token", &[(TOKEN, "t"), (ACCOUNT, "a")])).open();
    let error = folder
        .of(&ObjectKey::new("default", "none"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Credentials);
    assert!(error.message.contains("Gateway default/none"), "{error}");
}

#[tokio::test]
async fn values_of_secrets_are_nowhere() {
    let world = world(&secret("token", &[(TOKEN, CANARY), (ACCOUNT, "a")]));
    let twice = secret("token", &[(TOKEN, CANARY)]);
    world.write("z.yaml", &twice);
    let folder = world.open();
    let all = folder.all().await.unwrap();
    assert_eq!(all[0].token.expose_secret(), CANARY);
    let snapshot = domain::ports::ClusterSource::snapshot(&*folder).await;
    let told = problems(&folder);
    assert!(told.contains("Secret default/token"), "{told}");
    let seen = format!("{folder:?}{snapshot:?}{all:?}{told}{}", world.all_state());
    assert!(!seen.contains(CANARY), "{seen}");
}
