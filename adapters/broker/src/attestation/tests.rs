//! Tokens of ServiceAccounts that are good or bad, and key sets as clusters publish them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::broker::attestation::{AUDIENCE, Attestation};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::jwt::pairs::Pair;

const NOW: Timestamp = Timestamp(1_800_000_000);

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

const SUBJECT: &str = "system:serviceaccount:cfgw-system:cfgw";

/// As Kubernetes writes a projected token.
fn said() -> Value {
    json!({
        "aud": [AUDIENCE],
        "exp": NOW.0 + 600,
        "iat": NOW.0,
        "iss": ISSUER,
        "jti": "5f1fbe5a-5d6a-4b0b-9d1c-0a3e0f3b7a51",
        "kubernetes.io": {
            "namespace": "cfgw-system",
            "pod": {"name": "cfgw-0", "uid": "76bb4e04-5ec2-4d4e-9d0d-4e1c9f6c9a10"},
            "serviceaccount": {"name": "cfgw", "uid": "b5f59d35-1b4a-4d4b-8f0b-0b8d0a7b9f6a"},
        },
        "nbf": NOW.0,
        "sub": SUBJECT,
    })
}

/// Kubernetes writes no type.
fn header(pair: &Pair) -> Header {
    Header {
        typ: None,
        ..pair.header()
    }
}

fn signed(pair: &Pair, change: impl FnOnce(&mut Value)) -> String {
    let mut said = said();
    change(&mut said);
    pair.sign(&header(pair), &said)
}

/// As the API server answers at `/openid/v1/jwks`.
fn published(pairs: &[&Pair]) -> String {
    let keys = pairs.iter().map(|pair| {
        let mut key = serde_json::to_value(pair.public()).unwrap();
        key["use"] = "sig".into();
        key
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

fn shown(token: String, keys: Option<&str>) -> ShownByCluster {
    let keys = keys.map(str::to_owned);
    super::shown(AttestationDocument { token, keys }).unwrap()
}

fn offered(token: String, keys: &str) -> Result<Attestation, (Code, String)> {
    let offered = shown(token, Some(keys)).offered(NOW);
    offered.map_err(|refusal| (refusal.code, refusal.detail))
}

#[test]
fn a_token_as_kubernetes_writes_it_shows_issuer_subject_and_keys() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let (pair, next) = (Pair::new("one", algorithm), Pair::new("two", algorithm));
        let keys = published(&[&pair, &next]);
        let found = offered(signed(&pair, |_| ()), &keys).unwrap();
        assert_eq!(found.issuer, ISSUER, "{algorithm:?}");
        assert_eq!(found.subject.as_str(), SUBJECT, "{algorithm:?}");
        let ids: Vec<&str> = found.keys.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["one", "two"], "{algorithm:?}");
    }
}

/// A token that nobody signed, or somebody with what everybody may know.
fn forged(header: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode(signature);
    format!("{}.{}.{signature}", part(header), part(&said()))
}

#[test]
fn what_no_key_of_the_cluster_signed_shows_nothing() {
    let (ours, theirs) = (
        Pair::new("one", Algorithm::RS256),
        Pair::new("one", Algorithm::RS256),
    );
    let other_curve = Pair::new("three", Algorithm::ES384);
    let keys = published(&[&ours]);
    let public = ours.public();
    let secret = serde_json::to_vec(&public).unwrap();
    let by_public_key = |secret: &[u8]| {
        let header = Header {
            kid: Some("one".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let key = EncodingKey::from_secret(secret);
        encode(&header, &said(), &key.unwrap()).unwrap()
    };
    let AlgorithmParameters::RSA(numbers) = &public.algorithm else {
        panic!("it is RSA");
    };
    let good = signed(&ours, |_| ());
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let mut other = said();
    other["sub"] = "system:serviceaccount:kube-system:default".into();
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    let cases = [
        ("another key with the same id", signed(&theirs, |_| ())),
        ("another algorithm", signed(&other_curve, |_| ())),
        ("none", forged(&json!({"alg": "none", "kid": "one"}), b"")),
        (
            "no signature",
            forged(&json!({"alg": "RS256", "kid": "one"}), b""),
        ),
        ("HS256 with the public key", by_public_key(&secret)),
        ("HS256 with its number", by_public_key(numbers.n.as_bytes())),
        ("an unknown id", {
            let kid = Some("four".to_owned());
            ours.sign(
                &Header {
                    kid,
                    ..header(&ours)
                },
                &said(),
            )
        }),
        (
            "no id",
            ours.sign(
                &Header {
                    kid: None,
                    ..header(&ours)
                },
                &said(),
            ),
        ),
        ("another text", format!("{head}.{other}.{signature}")),
        ("a key of its own", {
            let jwk = Some(theirs.public());
            theirs.sign(
                &Header {
                    jwk,
                    ..header(&theirs)
                },
                &said(),
            )
        }),
        (
            "a huge one",
            signed(&ours, |it| it["more"] = "a".repeat(16 << 10).into()),
        ),
        ("half of one", good[..good.len() / 2].to_owned()),
        ("nothing", String::new()),
        ("no token", "canary".to_owned()),
    ];
    for (case, token) in cases {
        let (code, detail) = offered(token.clone(), &keys).unwrap_err();
        assert_eq!(code, Code::AttestationRefused, "{case}");
        assert!(detail.contains("not signed by a key"), "{case}: {detail}");
        let shown = format!("{:?} {detail}", shown(token, None));
        assert!(!shown.contains("canary"), "{case}: {shown}");
    }
}

#[test]
fn a_token_for_somebody_else_or_another_time_shows_nothing() {
    let pair = Pair::new("one", Algorithm::ES256);
    let keys = published(&[&pair]);
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 8] = [
        (
            "another audience",
            |it| it["aud"] = json!(["vault"]),
            "(aud)",
        ),
        (
            "one audience more",
            |it| it["aud"] = json!([AUDIENCE, "vault"]),
            "(aud)",
        ),
        ("another subject", |it| it["sub"] = "ada".into(), "(sub)"),
        ("another issuer", |it| it["iss"] = "a b".into(), "(iss)"),
        (
            "over",
            |it| {
                it["iat"] = json!(NOW.0 - 900);
                it["exp"] = json!(NOW.0 - 300);
            },
            "is over",
        ),
        (
            "of later",
            |it| it["nbf"] = json!(NOW.0 + 300),
            "of a later time",
        ),
        (
            "for a day",
            |it| it["exp"] = json!(NOW.0 + 86_400),
            "more than an hour",
        ),
        ("for ever", |it| it["exp"] = Value::Null, "not signed"),
    ];
    for (case, change, why) in cases {
        let (code, detail) = offered(signed(&pair, change), &keys).unwrap_err();
        assert_eq!(code, Code::AttestationRefused, "{case}");
        assert!(detail.contains(why), "{case}: {detail}");
    }
}

#[test]
fn of_a_key_set_the_keys_for_rs256_and_es256_are_taken() {
    let rsa = Pair::new("rsa", Algorithm::RS256);
    let point = Pair::new("point", Algorithm::ES256);
    let key = |pair: &Pair| serde_json::to_value(pair.public()).unwrap();
    let with = |pair: &Pair, name: &str, value: Value| {
        let mut key = key(pair);
        key[name] = value;
        key
    };
    let without_id = {
        let mut key = key(&rsa);
        key.as_object_mut().unwrap().remove("kid");
        key
    };
    let numbered =
        |count: usize| (0..count).map(|id| with(&point, "kid", format!("key-{id}").into()));
    let large = KeysError::TooMany;
    type Row = (
        &'static str,
        Vec<Value>,
        Result<Vec<&'static str>, KeySetError>,
    );
    let cases: [Row; 11] = [
        (
            "both",
            vec![key(&rsa), key(&point)],
            Ok(vec!["point", "rsa"]),
        ),
        (
            "other sorts are left out",
            vec![
                key(&Pair::new("curve", Algorithm::ES384)),
                key(&Pair::new("edwards", Algorithm::EdDSA)),
                json!({"kty": "oct", "kid": "shared", "k": "AAAA"}),
                json!({"kty": "new", "kid": "new"}),
                json!("no key"),
                key(&rsa),
            ],
            Ok(vec!["rsa"]),
        ),
        (
            "another use",
            vec![with(&rsa, "use", "enc".into()), key(&point)],
            Ok(vec!["point"]),
        ),
        (
            "another algorithm of RSA",
            vec![with(&rsa, "alg", "RS512".into()), key(&point)],
            Ok(vec!["point"]),
        ),
        ("no id", vec![without_id, key(&point)], Ok(vec!["point"])),
        (
            "none is left",
            vec![key(&Pair::new("curve", Algorithm::ES384))],
            Err(KeysError::None.into()),
        ),
        ("none", vec![], Err(KeysError::None.into())),
        (
            "one id twice",
            vec![key(&rsa), with(&point, "kid", "rsa".into())],
            Err(KeysError::Duplicate(1).into()),
        ),
        ("sixteen", numbered(16).collect(), Ok(vec!["key-0"; 16])),
        ("seventeen", numbered(17).collect(), Err(large.into())),
        (
            "numbers that are none",
            vec![with(&rsa, "n", "AAAA".into())],
            Err(KeysError::Numbers(0).into()),
        ),
    ];
    for (case, keys, expected) in cases {
        let text = json!({ "keys": keys }).to_string();
        let found = read_key_set(text.as_bytes());
        match (found, expected) {
            (Ok(found), Ok(ids)) if case == "sixteen" => {
                assert_eq!(found.count(), ids.len(), "{case}");
            }
            (found, expected) => {
                let ids = |keys: &PublicKeys| -> Vec<String> {
                    keys.iter().map(|(id, _)| id.to_owned()).collect()
                };
                let expected = expected.map(|ids| ids.into_iter().map(str::to_owned).collect());
                assert_eq!(
                    found.as_ref().map(ids).map_err(Clone::clone),
                    expected,
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn a_key_set_that_is_none_or_huge_is_refused() {
    let pair = Pair::new("one", Algorithm::RS256);
    let huge = format!("{}{}", published(&[&pair]), " ".repeat(LARGEST_KEY_SET));
    for (text, expected) in [
        (huge.as_str(), KeySetError::TooLarge),
        ("", KeySetError::Malformed),
        ("[]", KeySetError::Malformed),
        (r#"{"keys": {}}"#, KeySetError::Malformed),
        ("<html>", KeySetError::Malformed),
    ] {
        assert_eq!(read_key_set(text.as_bytes()), Err(expected));
    }
}
