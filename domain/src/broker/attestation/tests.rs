//! What a token of a ServiceAccount shows, and what follows for a cluster.

use super::*;
use crate::broker::cluster::{Identity, WhenExpired};
use crate::broker::{ClusterName, TenantName};
use crate::names::InstanceId;

const NOW: Timestamp = Timestamp(1_000_000);

/// A key whose numbers are this letter.
fn key(letter: char) -> PublicKey {
    let x = letter.to_string().repeat(43);
    PublicKey::P256 { y: x.clone(), x }
}

/// Keys by their letters, each with its letter as its id.
fn keys(letters: &str) -> PublicKeys {
    let all = letters
        .chars()
        .map(|letter| (letter.to_string(), key(letter)));
    PublicKeys::new(all).unwrap()
}

/// A token that the key of a letter signed.
#[derive(Debug, Clone)]
struct Signed(char, Claims);

impl Token for Signed {
    fn verify(&self, keys: &PublicKeys) -> Option<Claims> {
        let mut all = keys.iter();
        all.any(|(_, known)| *known == key(self.0))
            .then(|| self.1.clone())
    }
}

fn claims() -> Claims {
    Claims {
        issuer: "https://kubernetes.default.svc".to_owned(),
        subject: "system:serviceaccount:cfgw-system:cfgw".to_owned(),
        audience: [AUDIENCE.to_owned()].into(),
        authorized_party: None,
        issued: NOW,
        expires: Timestamp(NOW.0 + 600),
        not_before: Some(NOW),
        nonce: None,
        email_verified: false,
        texts: BTreeMap::new(),
    }
}

fn shown(signer: char, published: Option<&str>) -> Shown {
    Shown {
        token: Box::new(Signed(signer, claims())),
        keys: published.map(keys),
    }
}

fn changed(signer: char, published: Option<&str>, change: fn(&mut Claims)) -> Shown {
    let mut claims = claims();
    change(&mut claims);
    Shown {
        token: Box::new(Signed(signer, claims)),
        keys: published.map(keys),
    }
}

fn cluster(known: Option<&str>) -> Cluster {
    let (name, tenant) = (ClusterName::parse("east"), TenantName::parse("acme"));
    let mut cluster = Cluster::invited(name.unwrap(), tenant.unwrap(), WhenExpired::Keep);
    let known = known.map(|letters| attestation(letters, letters));
    let key = Thumbprint::of([1; 32]);
    let identity = Identity {
        key: key.clone(),
        instance: InstanceId::from_bytes([1; 16]),
    };
    cluster.ask(identity, known).unwrap();
    cluster.accept(&key, None).unwrap();
    cluster
}

/// What a token that one of these keys signed shows with those keys.
fn attestation(signers: &str, published: &str) -> Attestation {
    let signer = signers.chars().next().unwrap();
    shown(signer, Some(published)).offered(NOW).unwrap()
}

fn print(published: &str) -> Thumbprint {
    attestation(published, published).thumbprint()
}

type Change = fn(&mut Claims);

#[test]
fn a_token_shows_the_cluster_or_says_what_is_wrong_with_it() {
    let cases: [(&str, Change, &str); 11] = [
        ("as it is", |_| (), ""),
        (
            "another issuer",
            |it| it.issuer.push('/'),
            "the token's issuer (iss) is \"https://kubernetes.default.svc/\"",
        ),
        (
            "another ServiceAccount",
            |it| it.subject = "system:serviceaccount:cfgw-system:default".into(),
            "the token's subject (sub) is \"system:serviceaccount:cfgw-system:default\"",
        ),
        (
            "another audience",
            |it| it.audience = ["https://kubernetes.default.svc".into()].into(),
            "alone (aud)",
        ),
        (
            "one audience more",
            |it| it.audience.extend(["vault".to_owned()]),
            "alone (aud)",
        ),
        ("no audience", |it| it.audience.clear(), "alone (aud)"),
        (
            "one that is over",
            |it| {
                it.issued = Timestamp(NOW.0 - 660);
                it.expires = Timestamp(NOW.0 - 60);
            },
            "is over",
        ),
        (
            "one that is over within the leeway",
            |it| it.expires = Timestamp(NOW.0 - 59),
            "",
        ),
        (
            "one of later",
            |it| it.not_before = Some(Timestamp(NOW.0 + 61)),
            "of a later time",
        ),
        (
            "one for more than an hour",
            |it| it.expires = Timestamp(NOW.0 + 3601),
            "more than an hour",
        ),
        (
            "one for an hour",
            |it| it.expires = Timestamp(NOW.0 + 3600),
            "",
        ),
    ];
    for (case, change, why) in cases {
        let mut cluster = cluster(Some("a"));
        let before = cluster.clone();
        let attested = cluster.attest(Some(&changed('a', None, change)), NOW);
        match (attested, why) {
            (Ok(attested), "") => assert_eq!(attested, Attested::Still, "{case}"),
            (Err(refusal), why) if !why.is_empty() => {
                assert_eq!(refusal.code, Code::AttestationRefused, "{case}");
                assert!(refusal.detail.contains(why), "{case}: {refusal}");
            }
            (attested, _) => panic!("{case}: {attested:?}"),
        }
        assert_eq!(cluster, before, "{case}: nothing is changed");
    }
}

#[test]
fn a_session_is_of_the_same_cluster_and_its_keys_are_replaced_side_by_side() {
    use Attested::{KeysReplaced, Not, Still};
    type Given = (Option<&'static str>, Option<Shown>);
    type Row = (
        &'static str,
        Given,
        Result<Attested, Code>,
        Option<&'static str>,
    );
    let required = Err(Code::AttestationRequired);
    let refused = || Err(Code::AttestationRefused);
    let cases: [Row; 9] = [
        ("a key alone", (None, None), Ok(Not(None)), None),
        (
            "a token of a cluster that is not attested binds nothing",
            (None, Some(shown('a', Some("a")))),
            Ok(Not(Some(print("a")))),
            None,
        ),
        (
            "a key alone of one that is",
            (Some("a"), None),
            required,
            Some("a"),
        ),
        (
            "a token without keys",
            (Some("a"), Some(shown('a', None))),
            Ok(Still),
            Some("a"),
        ),
        (
            "a new key beside the old one",
            (Some("a"), Some(shown('a', Some("ab")))),
            Ok(KeysReplaced(attestation("a", "ab").thumbprint())),
            Some("ab"),
        ),
        (
            "the old key goes",
            (Some("ab"), Some(shown('b', Some("b")))),
            Ok(KeysReplaced(print("b"))),
            Some("b"),
        ),
        (
            "keys of which none signed the token are not taken",
            (Some("a"), Some(shown('a', Some("b")))),
            Ok(Still),
            Some("a"),
        ),
        (
            "keys of another cluster",
            (Some("a"), Some(shown('c', Some("c")))),
            refused(),
            Some("a"),
        ),
        (
            "a token of another cluster with keys of both",
            (Some("a"), Some(shown('c', Some("ac")))),
            refused(),
            Some("a"),
        ),
    ];
    for (case, (known, shown), expected, then) in cases {
        let mut cluster = cluster(known);
        let epoch = cluster.epoch;
        let attested = cluster.attest(shown.as_ref(), NOW).map_err(|it| it.code);
        assert_eq!(attested, expected, "{case}");
        let found = cluster.attestation.map(|known| known.keys);
        assert_eq!(found, then.map(keys), "{case}");
        assert_eq!(cluster.epoch, epoch, "{case}");
    }
}

#[test]
fn attestation_begins_by_consent_to_these_very_keys_and_ends_what_was_open() {
    for known in [None, Some("a")] {
        let mut cluster = cluster(known);
        let (epoch, key) = (
            cluster.epoch,
            cluster.identity().map(|it| it.key.clone()).unwrap(),
        );
        cluster.accept(&key, Some(&print("b"))).unwrap();
        // Keys of a thief who was first.
        let other = shown('c', Some("c"));
        let attested = cluster.attest(Some(&other), NOW).map_err(|it| it.code);
        let expected = match known {
            None => Ok(Attested::Not(Some(print("c")))),
            Some(_) => Err(Code::AttestationRefused),
        };
        assert_eq!(attested, expected);
        let begun = cluster.attest(Some(&shown('b', Some("b"))), NOW);
        assert_eq!(begun, Ok(Attested::Begun(print("b"))));
        assert_eq!((cluster.epoch, &cluster.attest_anew), (epoch + 1, &None));
        // Once: the keys before do not come back.
        let before = cluster.attest(Some(&shown('a', Some("a"))), NOW);
        assert_eq!(
            before.map_err(|it| it.code),
            Err(Code::AttestationRefused),
            "{known:?}"
        );
        let alone = cluster.attest(None, NOW).map_err(|it| it.code);
        assert_eq!(alone, Err(Code::AttestationRequired), "{known:?}");
    }
}

#[test]
fn a_cluster_that_missed_the_rotation_is_told_the_command() {
    let mut cluster = cluster(Some("a"));
    let refused = cluster.attest(Some(&shown('b', Some("b"))), NOW);
    let detail = refused.unwrap_err().detail;
    let command = format!(
        "`cfgw broker accept east --key {} --attest-anew {}`",
        Thumbprint::of([1; 32]),
        print("b")
    );
    assert!(detail.contains(&command), "{detail}");
}

#[test]
fn a_new_code_is_redeemed_with_what_comes_with_it() {
    let mut cluster = cluster(Some("a"));
    cluster.attest_anew = Some(print("b"));
    cluster.invite_again();
    assert_eq!((&cluster.attestation, &cluster.attest_anew), (&None, &None));
}

#[test]
fn what_is_offered_needs_keys_that_signed_it_and_a_service_account() {
    let cases: [(&str, Shown, &str); 6] = [
        ("no keys", shown('a', None), "attestation.keys: Required"),
        ("other keys", shown('a', Some("b")), "not signed by a key"),
        (
            "a person",
            changed('a', Some("a"), |it| it.subject = "ada".into()),
            "subject (sub) is \"ada\"",
        ),
        (
            "a long subject",
            changed('a', Some("a"), |it| it.subject = "a".repeat(101)),
            "a…\"",
        ),
        (
            "a long issuer",
            changed('a', Some("a"), |it| it.issuer = "i".repeat(513)),
            "i…\"",
        ),
        (
            "another audience",
            changed('a', Some("a"), |it| it.audience.clear()),
            "alone (aud)",
        ),
    ];
    for (case, shown, why) in cases {
        let refusal = shown.offered(NOW).unwrap_err();
        assert_eq!(refusal.code, Code::AttestationRefused, "{case}");
        assert!(refusal.detail.contains(why), "{case}: {refusal}");
    }
}

#[test]
fn keys_are_few_and_small_and_each_has_an_id_of_its_own() {
    let rsa = |bytes: usize| PublicKey::Rsa {
        n: "n".repeat(bytes),
        e: "AQAB".to_owned(),
    };
    let id = |number: usize| format!("key-{number}");
    let many = |count: usize, key: &PublicKey| -> Vec<(String, PublicKey)> {
        (0..count).map(|number| (id(number), key.clone())).collect()
    };
    let one = |id: &str, key: PublicKey| vec![(id.to_owned(), key)];
    type Row = (
        &'static str,
        Vec<(String, PublicKey)>,
        Result<usize, KeysError>,
    );
    let cases: [Row; 12] = [
        ("none", vec![], Err(KeysError::None)),
        ("sixteen", many(16, &key('a')), Ok(16)),
        ("seventeen", many(17, &key('a')), Err(KeysError::TooMany)),
        (
            "one id twice",
            [one("a", key('a')), one("a", key('b'))].concat(),
            Err(KeysError::Duplicate(1)),
        ),
        ("no id", one("", key('a')), Err(KeysError::Id(0))),
        ("a blank", one("a b", key('a')), Err(KeysError::Id(0))),
        (
            "a long id",
            one(&"i".repeat(129), key('a')),
            Err(KeysError::Id(0)),
        ),
        ("1024 bits", one("a", rsa(171)), Err(KeysError::Numbers(0))),
        ("2048 bits", one("a", rsa(342)), Ok(1)),
        ("4096 bits", one("a", rsa(683)), Ok(1)),
        ("more", one("a", rsa(684)), Err(KeysError::Numbers(0))),
        (
            "other letters",
            one("a", key('=')),
            Err(KeysError::Numbers(0)),
        ),
    ];
    for (case, given, expected) in cases {
        let found = PublicKeys::new(given).map(|keys| keys.count());
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn a_subject_is_a_service_account_or_none() {
    for (text, is_one) in [
        ("system:serviceaccount:cfgw-system:cfgw.controller", true),
        ("system:serviceaccount:cfgw-system:", false),
        ("system:serviceaccount::cfgw", false),
        ("system:serviceaccount:cfgw-system", false),
        ("system:serviceaccount:a:b:c", false),
        ("system:serviceaccount:A:b", false),
        ("system:node:a", false),
        ("", false),
    ] {
        assert_eq!(ServiceAccount::parse(text).is_some(), is_one, "{text}");
    }
}

#[test]
fn another_issuer_subject_id_or_number_is_another_thumbprint() {
    let known = attestation("a", "a");
    let mut all = vec![known.thumbprint(), print("b"), print("ab")];
    let mut other = known.clone();
    other.issuer.push('x');
    all.push(other.thumbprint());
    let mut other = known.clone();
    other.subject = ServiceAccount::parse("system:serviceaccount:a:b").unwrap();
    all.push(other.thumbprint());
    let mut other = known;
    other.keys = PublicKeys::new([("b".to_owned(), key('a'))]).unwrap();
    all.push(other.thumbprint());
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}
