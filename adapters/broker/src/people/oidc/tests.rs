//! A provider on this machine, with keys of its own, and tokens that are good or bad.

use axum::Router;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::broker::ProviderName;
use domain::broker::oidc::{ClaimPath, Rule};
use domain::broker::role::Role;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::jwt::LONGEST;
use crate::jwt::pairs::Pair;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A provider that answers whatever it is told to.
struct Served {
    issuer: String,
    asked: Arc<AtomicUsize>,
}

impl Served {
    async fn start(
        answer: impl Fn(&str, &str) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (counts, own) = (asked.clone(), issuer.clone());
        let handler = move |uri: Uri| {
            counts.fetch_add(1, Ordering::Relaxed);
            let answer = answer(&own, uri.path());
            async move { answer }
        };
        let router = Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, asked }
    }

    async fn with(keys: &[&Pair]) -> Self {
        let keys: Vec<Jwk> = keys.iter().map(|pair| pair.public()).collect();
        Self::start(move |issuer, path| match path {
            DOCUMENT => document(issuer, &format!("{issuer}/keys")),
            "/keys" => Json(json!({"keys": keys})).into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        })
        .await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn trusted(&self) -> Providers {
        let rule = Rule {
            when: BTreeMap::from([(ClaimPath::parse("groups").unwrap(), "platform".to_owned())]),
            roles: [Role::Operator].into(),
            tenant: None,
        };
        let provider = Provider {
            name: ProviderName::parse("work").unwrap(),
            issuer: self.issuer.clone(),
            audience: "cfgwctl".to_owned(),
            client: Some("cfgwctl".to_owned()),
            name_claim: None,
            rules: vec![rule],
            lasts: std::time::Duration::from_secs(3600),
        };
        Providers::new(vec![Trusted {
            provider,
            terms: [0; 32],
            scopes: Vec::new(),
            client: ProviderClient::new(&self.issuer, &[]).unwrap(),
        }])
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "sub": "1234", "aud": "cfgwctl",
            "iat": NOW.0, "exp": NOW.0 + 300, "groups": ["look", "platform"],
        })
    }
}

const DOCUMENT: &str = "/.well-known/openid-configuration";

fn document(issuer: &str, keys: &str) -> Response {
    Json(json!({"issuer": issuer, "jwks_uri": keys})).into_response()
}

/// What came of a token: who it is and what they may do, or why not.
async fn outcome(providers: &Providers, token: &str) -> Result<String, String> {
    let verified = providers
        .verify(&SecretString::from(token), None, NOW)
        .await;
    let verified = verified.map_err(|why| Problem::from(why).detail)?;
    let rights = verified
        .known
        .trusted
        .provider
        .rights(&verified.claims, None);
    let rights = rights.map_err(|refusal| refusal.detail)?;
    Ok(format!("{} {:?}", verified.subject.id, rights.roles))
}

#[tokio::test]
async fn a_token_that_a_key_of_the_provider_signed_says_who_it_is() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS384,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ] {
        let (other, own) = (Pair::new("old", algorithm), Pair::new("new", algorithm));
        let served = Served::with(&[&other, &own]).await;
        let providers = served.trusted();
        let without_id = Header::new(algorithm);
        for header in [own.header(), without_id] {
            let token = own.sign(&header, &served.claims());
            let found = outcome(&providers, &token).await;
            assert_eq!(found, Ok("1234 {Operator}".to_owned()), "{header:?}");
        }
        assert_eq!(served.asked(), 2, "keys are remembered");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_named_and_it_counts_for_nothing() {
    let (own, foreign) = (
        Pair::new("one", Algorithm::RS256),
        Pair::new("one", Algorithm::RS256),
    );
    let edwards = Pair::new("two", Algorithm::EdDSA);
    let served = Served::with(&[&own, &edwards]).await;
    let providers = served.trusted();
    let good = own.sign(&own.header(), &served.claims());
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        unreachable!("a token has three parts");
    };
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |claim: &str, value: Value| {
        let mut claims = served.claims();
        claims[claim] = value;
        own.sign(&own.header(), &claims)
    };
    let without = |claim: &str| {
        let mut claims = served.claims();
        claims.as_object_mut().unwrap().remove(claim);
        own.sign(&own.header(), &claims)
    };
    let headed = |change: fn(&mut Header)| {
        let mut header = own.header();
        change(&mut header);
        own.sign(&header, &served.claims())
    };
    // The classical one: what everybody may know, taken for a shared secret.
    let public = serde_json::to_vec(&own.public()).unwrap();
    let by_public_key = |id: &str, secret: &[u8]| {
        let header = Header {
            kid: Some(id.to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        encode(
            &header,
            &served.claims(),
            &EncodingKey::from_secret(secret).unwrap(),
        )
        .unwrap()
    };
    let own_key_in_head = {
        let header = Header {
            jwk: Some(foreign.public()),
            ..foreign.header()
        };
        foreign.sign(&header, &served.claims())
    };
    let platform = json!({"iss": served.issuer, "aud": "cfgwctl", "groups": ["platform"]});
    for (token, told) in [
        (String::new(), "not a JSON Web Token"),
        ("a.b.c".to_owned(), "not a JSON Web Token"),
        (format!("{head}.{body}"), "not a JSON Web Token"),
        (format!("{good}.{signature}"), "not a JSON Web Token"),
        ("a".repeat(LONGEST + 1), "not a JSON Web Token"),
        (
            format!("{}.{body}.", part(json!({"alg": "none"}))),
            "not signed with a key pair",
        ),
        (
            format!("{}.{body}.", part(json!({"alg": "nOnE"}))),
            "not signed with a key pair",
        ),
        (by_public_key("one", &public), "not signed with a key pair"),
        (by_public_key("two", b"any"), "not signed with a key pair"),
        (format!("{head}.{body}."), "signature"),
        (
            format!("{head}.{}.{signature}", part(platform)),
            "signature",
        ),
        (
            foreign.sign(&foreign.header(), &served.claims()),
            "signature",
        ),
        (own_key_in_head, "signature"),
        (headed(|it| it.kid = Some("three".to_owned())), "no key"),
        (headed(|it| it.kid = Some("two".to_owned())), "no key"),
        (
            headed(|it| it.typ = Some("at+jwt".to_owned())),
            "type is not JWT",
        ),
        (
            headed(|it| it.crit = Some(vec!["exp".to_owned()])),
            "signature",
        ),
        (
            with("iss", json!("https://other.example.com")),
            "issuer and audience",
        ),
        (
            with("iss", json!(format!("{}/", served.issuer))),
            "issuer and audience",
        ),
        (with("aud", json!("other")), "issuer and audience"),
        (
            with("aud", json!(["cfgwctl", "other"])),
            "not for cfgwctl, or for others too",
        ),
        (with("azp", json!("other")), "another client"),
        (with("azp", json!(1)), "lacks one of"),
        (with("exp", json!(NOW.0 - 61)), "is over"),
        (with("exp", json!(NOW.0 + 86_401)), "more than 24 hours"),
        (with("exp", json!("tomorrow")), "lacks one of"),
        (with("iat", json!(NOW.0 + 100)), "of a later time"),
        (with("nbf", json!(NOW.0 + 100)), "of a later time"),
        (with("nonce", json!("of a browser")), "nonce"),
        (with("sub", json!("")), "subject"),
        (without("exp"), "lacks one of"),
        (without("iat"), "lacks one of"),
        (without("sub"), "lacks one of"),
        (without("aud"), "lacks one of"),
        (
            with("groups", json!(["operator"])),
            "no rule gives you a role",
        ),
        (
            with("groups", json!({"platform": true})),
            "no rule gives you a role",
        ),
    ] {
        let found = outcome(&providers, &token).await.unwrap_err();
        assert!(found.contains(told), "{told}: {found}: {token}");
    }
    assert!(outcome(&providers, &good).await.is_ok());
    assert!(
        outcome(&providers, &with("groups", json!("platform")))
            .await
            .is_ok()
    );
    assert!(
        outcome(&providers, &with("exp", json!(NOW.0 as f64 + 0.5)))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_provider_once() {
    let own = Pair::new("one", Algorithm::EdDSA);
    let served = Served::with(&[&own]).await;
    let providers = served.trusted();
    assert!(
        outcome(&providers, &own.sign(&own.header(), &served.claims()))
            .await
            .is_ok()
    );
    let before = served.asked();
    for number in 0..200 {
        let header = Header {
            kid: Some(format!("none {number}")),
            ..own.header()
        };
        let found = outcome(&providers, &own.sign(&header, &served.claims())).await;
        assert!(found.unwrap_err().contains("no key"));
    }
    assert_eq!(served.asked(), before);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_as_it_should_is_named_with_what_is_wrong() {
    let own = Pair::new("one", Algorithm::EdDSA);
    type Answer = fn(&str, &str) -> Response;
    let cases: [(Answer, &str); 8] = [
        (|_, _| StatusCode::NOT_FOUND.into_response(), "answers 404"),
        (
            |_, _| Redirect::temporary("/other").into_response(),
            "answers 307",
        ),
        (
            |_, _| "none".into_response(),
            "does not answer with a document of OpenID Connect",
        ),
        (|_, _| "a".repeat(1 << 20).into_response(), "length limit"),
        (
            |_, _| document("https://other.example.com", "https://other.example.com"),
            "answers as another issuer",
        ),
        (
            |issuer, _| document(issuer, "http://login.example.com/keys"),
            "http://login.example.com/keys is not https",
        ),
        (
            |issuer, _| document(issuer, "https://ada:secret@login.example.com/keys"),
            "is not https",
        ),
        (
            |issuer, path| match path {
                DOCUMENT => document(issuer, &format!("{issuer}/keys")),
                _ => Json(json!({"keys": 1})).into_response(),
            },
            "does not answer with a set of JSON Web Keys",
        ),
    ];
    for (answer, told) in cases {
        let served = Served::start(answer).await;
        let providers = served.trusted();
        let token = own.sign(&own.header(), &served.claims());
        let verified = providers
            .verify(&SecretString::from(token), None, NOW)
            .await;
        let problem = Problem::from(verified.err().unwrap());
        assert_eq!(problem.status, 503, "{problem:?}");
        assert!(problem.detail.contains(told), "{told}: {problem:?}");
    }
}

#[tokio::test]
async fn keys_of_an_unknown_sort_are_passed_over() {
    let own = Pair::new("one", Algorithm::EdDSA);
    let keys = json!({"keys": [
        {"kty": "new", "kid": "one"}, 1, {"kty": "oct", "k": "AAAA", "kid": "one"}, own.public(),
    ]});
    let served = Served::start(move |issuer, path| match path {
        DOCUMENT => document(issuer, &format!("{issuer}/keys")),
        _ => Json(keys.clone()).into_response(),
    })
    .await;
    let token = own.sign(&own.header(), &served.claims());
    assert!(outcome(&served.trusted(), &token).await.is_ok());
}

#[test]
fn only_a_provider_on_this_machine_may_do_without_tls() {
    for (issuer, good) in [
        ("https://login.example.com", true),
        ("http://127.0.0.1:9998/", true),
        ("http://[::1]:9998", true),
        ("http://localhost:9998", true),
        ("http://login.example.com", false),
        ("http://127.0.0.1.example.com", false),
        ("ftp://login.example.com", false),
        ("login.example.com", false),
    ] {
        let found = ProviderClient::new(issuer, &[]).is_ok();
        assert_eq!(found, good, "{issuer}");
    }
    let elsewhere = ProviderClient::new("https://login.example.com", &[]).unwrap();
    for (page, good) in [
        ("https://other.example.com/device", true),
        ("http://127.0.0.1:8081/metrics", false),
        ("javascript:alert(1)", false),
    ] {
        assert_eq!(elsewhere.page(page).is_ok(), good, "{page}");
    }
}

#[tokio::test]
async fn other_settings_of_a_provider_end_what_people_are_signed_in_by() {
    let served = Served::with(&[]).await;
    let vouched = |terms| {
        SignedIn::Vouched(Vouched {
            subject: Subject {
                issuer: served.issuer.clone(),
                id: "1234".to_owned(),
                name: None,
            },
            rights: domain::broker::role::Rights::default(),
            terms,
        })
    };
    for (providers, terms, code) in [
        (served.trusted(), [0; 32], None),
        (served.trusted(), [1; 32], Some(Code::SessionOver)),
        (Providers::default(), [0; 32], Some(Code::SessionOver)),
    ] {
        let found = providers.check(&vouched(terms)).err().map(|it| it.code);
        assert_eq!(found, code, "{terms:?}");
    }
}
