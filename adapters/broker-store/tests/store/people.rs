//! People who have a password at the broker.

use adapter_broker_store::SqlStore;
use domain::broker::oidc::{SignedIn, Subject, Vouched};
use domain::broker::ports::{
    Audit, Clusters, PasswordHash, People, Secrets, Session, UsedToken, Whom,
};
use domain::broker::role::{Person, Rights, Role};
use domain::broker::{Code, PersonName};

use super::{NOW, at, code, event, sealed, tenant, told};

fn person(name: &str, role: Role, of: Option<&str>) -> Person {
    Person {
        name: PersonName::parse(name).unwrap(),
        rights: Rights {
            roles: [role].into(),
            tenant: of.map(tenant),
        },
    }
}

async fn put_person(store: &SqlStore, person: &Person, codes: u32) -> Option<Code> {
    let hash = PasswordHash(format!("hash {codes}"));
    let put = store.put_person(person, hash, sealed("one", codes), event("person.put"));
    code(put.await)
}

pub(crate) async fn somebody_is_signed_in_until_a_time_and_by_a_code_once(store: SqlStore) {
    let ada = person("ada", Role::Operator, Some("acme"));
    assert_eq!(put_person(&store, &ada, 1).await, Some(Code::NotFound));
    store
        .put_tenant(&tenant("acme"), event("tenant.put"))
        .await
        .unwrap();
    assert_eq!(put_person(&store, &ada, 1).await, None);
    assert_eq!(store.people().await, Ok(vec![ada.clone()]));
    let session = |token: u8| Session {
        token: [token; 32],
        expires: at(100),
    };
    let sign_in =
        |token, step| store.sign_in(&ada.name, step, session(token), event("person.sign-in"));
    let begun = store.begin_sign_in(&ada.name, NOW).await.unwrap().unwrap();
    assert_eq!((begun.person, begun.codes), (ada.clone(), sealed("one", 1)));
    sign_in(1, 7).await.unwrap();
    assert_eq!(code(sign_in(2, 7).await), Some(Code::SignInRefused));
    let found = store.signed_in(&[1; 32], at(99)).await;
    assert_eq!(found, Ok(SignedIn::Person(ada.clone())));
    for (token, now) in [(1, 100), (2, 99)] {
        let found = store.signed_in(&[token; 32], at(now)).await;
        assert_eq!(code(found), Some(Code::SessionOver), "{token} at {now}");
    }
    let out = store.sign_out(&[1; 32], event("person.sign-out"));
    out.await.unwrap();
    let found = store.signed_in(&[1; 32], at(1)).await;
    assert_eq!(code(found), Some(Code::SessionOver));
    let acme = tenant("acme");
    let used = store.remove_tenant(&acme, event("tenant.remove"));
    assert_eq!(code(used.await), Some(Code::InUse));
}

pub(crate) async fn another_password_signs_out_and_ends_a_pause(store: SqlStore) {
    let ada = person("ada", Role::Auditor, None);
    put_person(&store, &ada, 1).await;
    for expected in [None, None, None, None, None, Some(Code::TooManyAttempts)] {
        let begun = store.begin_sign_in(&ada.name, NOW).await;
        assert_eq!(code(begun), expected);
    }
    let session = Session {
        token: [1; 32],
        expires: at(100),
    };
    let signed_in = store.sign_in(&ada.name, 7, session, event("person.sign-in"));
    signed_in.await.unwrap();
    put_person(&store, &ada, 2).await;
    let found = store.signed_in(&[1; 32], NOW).await;
    assert_eq!(code(found), Some(Code::SessionOver));
    let begun = store.begin_sign_in(&ada.name, NOW).await.unwrap().unwrap();
    assert_eq!(begun.codes, sealed("one", 2));
    let owners = store.wrapped_otherwise("two", 10).await.unwrap();
    assert_eq!(owners.len(), 1, "the first is wiped: {owners:?}");

    let nobody = PersonName::parse("bob").unwrap();
    assert!(store.begin_sign_in(&nobody, NOW).await.unwrap().is_none());
    let remove = |name| store.remove_person(name, event("person.remove"));
    assert_eq!(code(remove(&nobody).await), Some(Code::NotFound));
    assert_eq!(code(remove(&ada.name).await), None);
    assert_eq!(store.people().await, Ok(vec![]));
    assert!(store.wrapped_otherwise("two", 10).await.unwrap().is_empty());
}

pub(crate) async fn somebody_is_vouched_for_by_a_token_that_is_good_once(store: SqlStore) {
    let subject = |name: Option<&str>| Subject {
        issuer: "https://login.example.com".to_owned(),
        id: "1234".to_owned(),
        name: name.map(str::to_owned),
    };
    let vouched = |name, of: Option<&str>| Vouched {
        subject: subject(name),
        rights: person("ada", Role::Operator, of).rights,
        terms: [9; 32],
    };
    let sign_in = async |vouched: &Vouched, used, session, now| {
        let session = Session {
            token: [session; 32],
            expires: at(100),
        };
        let used = UsedToken {
            token: [used; 32],
            until: at(50),
        };
        let event = told("person.sign-in", at(now));
        code(store.sign_in_vouched(vouched, used, session, event).await)
    };
    // Of all tenants, and of one that need not be there.
    let (one, two) = (
        vouched(Some("ada@example.com"), None),
        vouched(None, Some("acme")),
    );
    assert_eq!(sign_in(&one, 1, 1, 0).await, None);
    assert_eq!(sign_in(&two, 2, 2, 0).await, None);
    for (token, now, expected) in [
        (1, 99, Some(&one)),
        (2, 99, Some(&two)),
        (1, 100, None),
        (3, 0, None),
    ] {
        let found = store.signed_in(&[token; 32], at(now)).await.ok();
        let expected = expected.cloned().map(SignedIn::Vouched);
        assert_eq!(found, expected, "{token} at {now}");
    }
    let entries = store.end().await.unwrap().sequence;
    assert_eq!(sign_in(&one, 1, 4, 49).await, Some(Code::SignInRefused));
    assert_eq!(
        code(store.signed_in(&[4; 32], NOW).await),
        Some(Code::SessionOver)
    );
    assert_eq!(store.end().await.unwrap().sequence, entries);
    // By then the token is over anyway.
    assert_eq!(sign_in(&one, 1, 4, 50).await, None);

    store
        .sign_out(&[1; 32], event("person.sign-out"))
        .await
        .unwrap();
    assert_eq!(
        code(store.signed_in(&[1; 32], NOW).await),
        Some(Code::SessionOver)
    );
    assert_eq!(
        store.signed_in(&[2; 32], NOW).await,
        Ok(SignedIn::Vouched(two))
    );
}

pub(crate) async fn somebody_is_signed_out_everywhere_and_nobody_else_is(store: SqlStore) {
    let ada = person("ada", Role::Auditor, None);
    put_person(&store, &ada, 1).await;
    let session = |number: u8| Session {
        token: [number; 32],
        expires: at(100),
    };
    let sign_in = store.sign_in(&ada.name, 7, session(1), event("person.sign-in"));
    sign_in.await.unwrap();
    let issuer = || "https://login.example.com".to_owned();
    let other = || "https://other.example.com".to_owned();
    for (number, issuer, id) in [
        (2, issuer(), "1234"),
        (3, issuer(), "1234"),
        (4, issuer(), "5678"),
        (5, other(), "1234"),
    ] {
        let vouched = Vouched {
            subject: Subject {
                issuer,
                id: id.to_owned(),
                name: None,
            },
            rights: ada.rights.clone(),
            terms: [9; 32],
        };
        let used = UsedToken {
            token: [number; 32],
            until: at(50),
        };
        let event = event("person.sign-in");
        let signed_in = store.sign_in_vouched(&vouched, used, session(number), event);
        signed_in.await.unwrap();
    }
    let vouched = Whom::Vouched {
        issuer: issuer(),
        id: "1234".to_owned(),
    };
    for (whom, ended, left) in [
        (&vouched, 2, vec![1, 4, 5]),
        (&vouched, 0, vec![1, 4, 5]),
        (&Whom::Person(ada.name.clone()), 1, vec![4, 5]),
    ] {
        let found = store.sign_out_everywhere(whom, event("person.sign-out"));
        assert_eq!(found.await, Ok(ended), "{whom}");
        let entries = store.end().await.unwrap().sequence;
        let told = store.after(entries - 1, 1).await.unwrap();
        assert_eq!(told[0].event.detail, format!("{ended} sessions"));
        for number in 1..=5 {
            let is_in = store.signed_in(&[number; 32], NOW).await.is_ok();
            assert_eq!(is_in, left.contains(&number), "{whom}: {number}");
        }
    }
}
