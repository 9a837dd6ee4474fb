use super::fixtures::*;
use crate::attachment::{Refusal, credentials_reference};
use crate::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY, FieldErrorKind, GatewayClass};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::{ClusterSnapshot, Reading, SecretFacts};
use crate::status::Reason;

fn refusal(cluster: &ClusterSnapshot) -> Option<(Reason, String)> {
    let refusal: Option<Refusal> = resolved(cluster).classes["cloudflare"].refusal.clone();
    refusal.map(|refusal| (refusal.reason, refusal.message))
}

fn with_credentials(target: ObjectRef) -> ClusterSnapshot {
    empty_cluster().with(class().credentials(target))
}

fn secret() -> ObjectRef {
    object("", "Secret", "infra/cf")
}

#[test]
fn a_class_is_accepted_unless_its_parameters_are_wrong() {
    let no_namespace = ObjectRef {
        key: ObjectKey::new("", "cf"),
        ..secret()
    };
    let invalid = |words: Words| Some((Reason::InvalidParameters, words));
    let table: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("no parameters", cluster(), None),
        ("a Secret not read yet", with_credentials(secret()), None),
        (
            "a Secret that could not be read",
            with_credentials(secret())
                .secret_reading("infra/cf", Reading::Unknown("timeout".into())),
            None,
        ),
        (
            "a Secret with both keys",
            with_credentials(secret()).secret("infra/cf", &CREDENTIAL_KEYS),
            None,
        ),
        (
            "group written as core",
            with_credentials(object("core", "Secret", "infra/cf"))
                .secret("infra/cf", &CREDENTIAL_KEYS),
            None,
        ),
        (
            "a Secret that is not there",
            with_credentials(secret()).secret_reading("infra/cf", Reading::Absent),
            invalid(&[
                "GatewayClass cloudflare",
                "spec.parametersRef",
                "Secret infra/cf does not exist",
                "create it",
            ]),
        ),
        (
            "a Secret without the account",
            with_credentials(secret()).secret("infra/cf", &[API_TOKEN_KEY]),
            invalid(&[
                "spec.parametersRef",
                "infra/cf",
                "CLOUDFLARE_ACCOUNT_ID; add it",
            ]),
        ),
        (
            "a Secret without any key",
            with_credentials(secret()).secret("infra/cf", &[]),
            invalid(&["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"]),
        ),
        (
            "a ConfigMap",
            with_credentials(object("", "ConfigMap", "infra/cf")),
            invalid(&["spec.parametersRef", "ConfigMap", "name a Secret"]),
        ),
        (
            "a Secret of another group",
            with_credentials(object("example.com", "Secret", "infra/cf")),
            invalid(&["example.com/Secret"]),
        ),
        (
            "no namespace",
            with_credentials(no_namespace),
            invalid(&["spec.parametersRef.namespace"]),
        ),
        (
            "a field error found at the border",
            empty_cluster()
                .with(class().flawed("spec.parametersRef.kind", FieldErrorKind::Invalid)),
            invalid(&["GatewayClass cloudflare", "spec.parametersRef.kind"]),
        ),
    ];
    for (given, cluster, expected) in table {
        assert_verdict(given, refusal(&cluster), expected);
    }
}

#[test]
fn classes_of_other_controllers_and_their_gateways_are_left_alone() {
    let other = GatewayClass {
        controller: "example.com/other".to_owned(),
        ..class()
    };
    let resolution = resolved(
        &empty_cluster()
            .with(other)
            .with(gateway(EDGE).listening(https("web")))
            .with(http_route("shop/store").to(EDGE)),
    );
    assert!(resolution.classes.is_empty());
    assert!(resolution.gateways.is_empty());
    assert!(resolution.parents("shop/store").is_empty());
}

#[test]
fn the_secrets_to_follow_are_credentials_and_permitted_certificates() {
    let listener = https("web")
        .certificate(object("", "Secret", "shop/own"))
        .certificate(object("", "Secret", "infra/foreign"))
        .certificate(object("", "ConfigMap", "shop/no-secret"));
    let resolution = resolved(
        &with_credentials(object("core", "Secret", "infra/cf"))
            .with(gateway(EDGE).listening(listener)),
    );
    let secrets: Vec<ObjectRef> = resolution.referenced_secrets().into_iter().collect();
    assert_eq!(secrets, [secret(), object("", "Secret", "shop/own")]);
}

#[test]
fn credentials_are_where_the_class_of_the_gateway_says() {
    let with_class = |class: GatewayClass| empty_cluster().with(class).with(gateway("shop/edge"));
    let table: Vec<(&str, ClusterSnapshot, Result<ObjectRef, Words>)> = vec![
        (
            "a class with a Secret",
            with_class(class().credentials(object("core", "Secret", "infra/cf"))),
            Ok(secret()),
        ),
        (
            "no Gateway",
            cluster(),
            Err(&["there is no Gateway shop/edge"]),
        ),
        (
            "no class",
            empty_cluster().with(gateway("shop/edge")),
            Err(&["spec.gatewayClassName", "shop/edge", "cloudflare"]),
        ),
        (
            "a class without parameters",
            with_class(class()),
            Err(&["spec.parametersRef", "GatewayClass cloudflare", "not set"]),
        ),
        (
            "a class with a ConfigMap",
            with_class(class().credentials(object("", "ConfigMap", "infra/cf"))),
            Err(&["spec.parametersRef", "GatewayClass cloudflare", "ConfigMap"]),
        ),
    ];
    for (given, cluster, expected) in table {
        let found = credentials_reference(&cluster, &key("shop/edge"));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{given}"),
            (Err(field_error), Err(words)) => {
                let text = field_error.to_string();
                for word in words {
                    assert!(text.contains(word), "{given}: {word:?} in {text:?}");
                }
            }
            (found, _) => panic!("{given}: {found:?}"),
        }
    }
}

#[test]
fn a_gateway_knows_the_edition_of_the_credentials_that_count_for_it() {
    let edition = |edition| {
        Reading::Known(SecretFacts {
            keys: vec![API_TOKEN_KEY.to_owned(), ACCOUNT_ID_KEY.to_owned()],
            edition,
            ..SecretFacts::default()
        })
    };
    let snapshot = with_credentials(secret()).with(gateway(EDGE).listening(https("web")));
    for (given, expected) in [
        (edition(7), Some(7)),
        (Reading::Absent, None),
        (Reading::Unknown("timeout".to_owned()), None),
    ] {
        let snapshot = snapshot.clone().secret_reading("infra/cf", given.clone());
        let resolution = resolved(&snapshot);
        let found = resolution.gateways.values().next().unwrap();
        assert_eq!(found.credentials, expected, "{given:?}");
    }
}
