//! [`Credentials`]: the Cloudflare credentials of a Gateway, by reference.

use std::collections::BTreeSet;

use domain::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY};
use domain::ports::{Credentials, PortErrorKind};
use domain::testing::StaticCredentials;
use secrecy::ExposeSecret;
use tests::manifests;

use super::folder::Folder;
use super::gateway;
use super::kubernetes::{InCluster, class, gateway_of, secret};

contract! {
    rules [
        a_gateway_has_the_credentials_that_it_refers_to,
        a_gateway_without_credentials_is_told_so,
        a_gateway_that_is_not_there_has_none,
        every_set_is_listed_once,
        a_set_that_cannot_be_had_hides_no_other,
        no_credentials_at_all_are_an_empty_list,
        credentials_are_never_shown,
    ]
    kubernetes => InKubernetes,
    manifest_folder => InFolder,
    in_memory => InMemory,
}

/// Makes worlds of Gateways with credentials.
trait Rig {
    type World: World;

    /// Each Gateway (by name, in `default`) refers to the credentials of an account, or to some that are
    /// not there.
    async fn with(&self, gateways: &[(&str, Option<&str>)]) -> Self::World;
}

trait World {
    fn credentials(&self) -> &dyn Credentials;
}

struct InFolder;

impl Rig for InFolder {
    type World = Folder;

    /// Each Gateway has a class of its own, because credentials hang on the class.
    async fn with(&self, gateways: &[(&str, Option<&str>)]) -> Folder {
        let files: Vec<_> = gateways
            .iter()
            .map(|(gateway, account)| (format!("{gateway}.yaml"), manifest(gateway, *account)))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.clone()))
            .collect();
        Folder::with(&files)
    }
}

fn manifest(gateway: &str, account: Option<&str>) -> String {
    let secret_name = match account {
        Some(account) => format!("of-{account}-for-{gateway}"),
        None => "missing".to_owned(),
    };
    let class = manifests::class()
        .replace(
            "{name: cloudflare}",
            &format!("{{name: class-of-{gateway}}}"),
        )
        .replace("cloudflare-creds", &secret_name);
    let object = manifests::gateway_named(gateway).replace(
        "gatewayClassName: cloudflare",
        &format!("gatewayClassName: class-of-{gateway}"),
    );
    let secret = account.map(|account| {
        let secret = manifests::secret(&secret_name, &format!("token of {account}"), account);
        format!("---\n{secret}")
    });
    format!("{class}---\n{object}{}", secret.unwrap_or_default())
}

impl World for Folder {
    fn credentials(&self) -> &dyn Credentials {
        &*self.adapter
    }
}

struct InKubernetes;

impl Rig for InKubernetes {
    type World = InCluster;

    /// Each Gateway has a class of its own, because credentials hang on the class.
    async fn with(&self, gateways: &[(&str, Option<&str>)]) -> InCluster {
        let mut objects = Vec::new();
        for (name, account) in gateways {
            let (of_class, of) = (format!("class-of-{name}"), format!("of-{name}"));
            objects.push(("gatewayclasses", class(&of_class, Some(&of))));
            objects.push(("gateways", gateway_of(&of_class, name)));
            if let Some(account) = account {
                let token = format!("token of {account}");
                let values = [(API_TOKEN_KEY, &*token), (ACCOUNT_ID_KEY, account)];
                objects.push(("secrets", secret(&of, &values)));
            }
        }
        InCluster::of(&objects).await
    }
}

impl World for InCluster {
    fn credentials(&self) -> &dyn Credentials {
        &self.credentials
    }
}

struct InMemory;

impl Rig for InMemory {
    type World = StaticCredentials;

    async fn with(&self, gateways: &[(&str, Option<&str>)]) -> StaticCredentials {
        let credentials = StaticCredentials::default();
        for (name, account) in gateways {
            match account {
                Some(account) => credentials.set(Some(gateway(name)), Some(account)),
                None => credentials.lose(gateway(name)),
            }
        }
        credentials
    }
}

impl World for StaticCredentials {
    fn credentials(&self) -> &dyn Credentials {
        self
    }
}

async fn a_gateway_has_the_credentials_that_it_refers_to(rig: impl Rig) {
    let world = rig
        .with(&[("one", Some("acme")), ("other", Some("umbrella"))])
        .await;
    for (name, account) in [("one", "acme"), ("other", "umbrella")] {
        let found = world.credentials().of(&gateway(name)).await.unwrap();
        assert_eq!(found.account.as_str(), account, "{name}");
        let token = found.token.expose_secret();
        assert_eq!(token, format!("token of {account}"), "{name}");
    }
}

async fn a_gateway_without_credentials_is_told_so(rig: impl Rig) {
    let world = rig.with(&[("one", Some("acme")), ("other", None)]).await;
    let refused = world.credentials().of(&gateway("other")).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Credentials);
    assert!(!refused.message.is_empty());
    assert!(
        world.credentials().of(&gateway("one")).await.is_ok(),
        "the other Gateway keeps its own"
    );
}

async fn a_gateway_that_is_not_there_has_none(rig: impl Rig) {
    let world = rig.with(&[("one", Some("acme"))]).await;
    let refused = world.credentials().of(&gateway("none")).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Credentials);
    assert!(refused.message.contains("default/none"), "{refused}");
}

async fn every_set_is_listed_once(rig: impl Rig) {
    let world = rig
        .with(&[
            ("one", Some("acme")),
            ("same", Some("acme")),
            ("other", Some("umbrella")),
        ])
        .await;
    let all = world.credentials().all().await.unwrap();
    let accounts: BTreeSet<_> = all.iter().map(|found| found.account.as_str()).collect();
    assert_eq!(accounts, BTreeSet::from(["acme", "umbrella"]));
    assert_eq!(all.len(), 2, "{all:?}");
}

async fn a_set_that_cannot_be_had_hides_no_other(rig: impl Rig) {
    let world = rig
        .with(&[
            ("late", Some("umbrella")),
            ("early", Some("acme")),
            ("lost", None),
        ])
        .await;
    let partial = world.credentials().all().await.unwrap_err();
    let found = partial.found.iter().map(|found| found.account.as_str());
    assert_eq!(found.collect::<BTreeSet<_>>(), ["acme", "umbrella"].into());
    assert_eq!(partial.error.kind, PortErrorKind::Credentials);
}

async fn no_credentials_at_all_are_an_empty_list(rig: impl Rig) {
    let world = rig.with(&[]).await;
    assert!(world.credentials().all().await.unwrap().is_empty());
}

async fn credentials_are_never_shown(rig: impl Rig) {
    let world = rig.with(&[("one", Some("acme")), ("other", None)]).await;
    let shown = format!(
        "{:?} {:?} {:?}",
        world.credentials().of(&gateway("one")).await,
        world.credentials().of(&gateway("other")).await,
        world.credentials().all().await
    );
    assert!(!shown.contains("token of"), "{shown}");
}
