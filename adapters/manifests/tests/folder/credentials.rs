use domain::edge::EdgeErrorKind;
use domain::ports::Credentials;
use secrecy::ExposeSecret;

use crate::Folder;

fn secret(name: &str, content: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{content}")
}

#[tokio::test]
async fn every_secret_with_both_keys_holds_credentials() {
    let plain = secret(
        "plain",
        "stringData:\n  CLOUDFLARE_API_TOKEN: \"hush-1\\n\"\n  CLOUDFLARE_ACCOUNT_ID: account-1\n",
    );
    let encoded = secret(
        "encoded",
        "data:\n  CLOUDFLARE_API_TOKEN: aHVzaC0y\n  CLOUDFLARE_ACCOUNT_ID: YWNjb3VudC0y\n",
    );
    let other = secret("other", "stringData:\n  PASSWORD: hush\n");
    let folder = Folder::with(&[("a.yaml", &format!("{plain}---\n{encoded}---\n{other}"))]);
    let all = folder.open().all().await.unwrap();
    let found: Vec<(&str, &str)> = all
        .iter()
        .map(|credentials| {
            (
                credentials.account.as_str(),
                credentials.token.expose_secret(),
            )
        })
        .collect();
    assert_eq!(found, [("account-2", "hush-2"), ("account-1", "hush-1")]);
    assert!(!format!("{all:?}").contains("hush"));
}

#[tokio::test]
async fn an_empty_value_is_an_error_that_names_secret_and_key() {
    let empty = secret(
        "empty",
        "stringData:\n  CLOUDFLARE_API_TOKEN: ' '\n  CLOUDFLARE_ACCOUNT_ID: a\n",
    );
    let folder = Folder::with(&[("a.yaml", &empty)]);
    let error = folder.open().all().await.unwrap_err();
    assert_eq!(error.kind, EdgeErrorKind::Credentials);
    for part in ["default/empty", "CLOUDFLARE_API_TOKEN"] {
        assert!(error.message.contains(part), "{error}");
    }
}
