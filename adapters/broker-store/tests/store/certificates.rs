//! Certificates of Gateways with their keys.

use adapter_broker_store::SqlStore;
use domain::ObjectKey;
use domain::broker::Code;
use domain::broker::certificates::SealedPair;
use domain::broker::held::{Stated, Statement};
use domain::broker::ports::{Clusters, Grants, Intents, Secrets, Turn, WorkQueue};
use domain::certificate::Fingerprint;
use domain::edge::certificates::{CertificateIntent, CertificateOutcome};
use domain::edge::{EdgeIntent, EdgeStatus};

use super::{
    NOW, cluster, done, event, finish, first_grant, furnished, gateway, names, sealed, state, take,
};

fn fingerprint() -> Fingerprint {
    Fingerprint::of(b"chain")
}

fn secret() -> ObjectKey {
    ObjectKey::new("default", "cert")
}

fn wanting(certificate: bool) -> Statement {
    let one = CertificateIntent {
        secret: secret(),
        fingerprint: fingerprint(),
        names: names(&[]),
        hosts: names(&["a.example.com"]),
        any_name: false,
    };
    Statement::Intent(Box::new(EdgeIntent {
        hostnames: names(&["a.example.com"]),
        certificates: Some([one].into_iter().filter(|_| certificate).collect()),
        ..EdgeIntent::new(gateway())
    }))
}

fn sending() -> Statement {
    Statement::Pairs(vec![SealedPair {
        fingerprint: fingerprint(),
        names: names(&["a.example.com"]),
        sealed: sealed("two", 7),
    }])
}

fn told(outcome: CertificateOutcome) -> EdgeStatus {
    EdgeStatus {
        certificates: [(secret(), outcome)].into(),
        ..EdgeStatus::default()
    }
}

/// The next piece of work comes to this end.
async fn ends(store: &SqlStore, version: u64, outcome: CertificateOutcome) {
    let taken = take(store, NOW).await.expect("there is work");
    let mut finished = done(version, &[]);
    finished.outcome = Ok(told(outcome));
    finish(store, &taken, finished, NOW).await;
}

async fn is_kept(store: &SqlStore) -> bool {
    let (of, gateway, fingerprint) = (cluster("east"), gateway(), fingerprint());
    let found = store.sealed_pair(&of, &gateway, &fingerprint);
    let listed = store.wrapped_otherwise("one", 10).await.unwrap();
    let is_kept = found.await.unwrap() == Some(sealed("two", 7));
    assert_eq!(
        !listed.is_empty(),
        is_kept,
        "what is kept is wrapped again too"
    );
    is_kept
}

pub(crate) async fn a_key_is_kept_sealed_until_it_is_not_needed_any_more(store: SqlStore) {
    furnished(&store, "east").await;
    let without_key = || CertificateOutcome::WithoutKey {
        message: "no key".to_owned(),
    };
    let uploaded = || CertificateOutcome::Uploaded { zones: Vec::new() };
    state(&store, "east", wanting(true), 1).await.unwrap();
    state(&store, "east", sending(), 2).await.unwrap();
    assert!(!is_kept(&store).await, "nobody asked for it");
    ends(&store, 1, without_key()).await;
    assert_eq!(
        state(&store, "east", sending(), 3).await,
        Ok(Stated::Changed)
    );
    assert!(is_kept(&store).await);
    let (west, gateway, fingerprint) = (cluster("west"), gateway(), fingerprint());
    let of_west = store.sealed_pair(&west, &gateway, &fingerprint).await;
    assert_eq!(of_west, Ok(None), "it is of that cluster");
    ends(&store, 2, uploaded()).await;
    assert!(!is_kept(&store).await, "it was uploaded");
    assert_eq!(
        state(&store, "east", wanting(true), 4).await,
        Ok(Stated::Unchanged)
    );

    // It was lost, sent again, and is not wanted any more; the cluster is released.
    type Then = fn() -> Option<Statement>;
    let thens: [Then; 2] = [|| Some(wanting(false)), || None];
    for (number, then) in (0..).zip(thens) {
        let sequence = 5 + 3 * number;
        state(&store, "east", wanting(true), sequence)
            .await
            .unwrap();
        let version = store
            .held(&cluster("east"), &super::gateway())
            .await
            .unwrap();
        let version = version.unwrap().version;
        store.look_again(super::at(1), NOW).await.unwrap();
        ends(&store, version, without_key()).await;
        state(&store, "east", sending(), sequence + 1)
            .await
            .unwrap();
        assert!(is_kept(&store).await);
        match then() {
            Some(statement) => {
                state(&store, "east", statement, sequence + 2)
                    .await
                    .unwrap();
            }
            None => {
                let east = cluster("east");
                let release = store.turn(&east, Turn::Release, event("cluster.release"));
                release.await.unwrap();
            }
        }
        assert!(!is_kept(&store).await, "{number}");
    }
}

pub(crate) async fn a_certificate_is_refused_by_the_grants_of_its_names(store: SqlStore) {
    furnished(&store, "east").await;
    let refused = async |names: &[&str]| {
        let wanted = [(secret(), super::names(names))].into();
        let east = cluster("east");
        let refused = store.refused_certificates(&east, &wanted, NOW);
        let refused = refused.await.unwrap();
        refused.get(&secret()).map(|refusal| refusal.code)
    };
    assert_eq!(refused(&[]).await, Some(Code::HostnameNotGranted));
    let before = first_grant("east");
    let mut grant = before.clone();
    grant.certificates = true;
    let put = store.put_grant(&grant, Some(&before), event("grant.put"));
    put.await.unwrap();
    let seen = store.grants(&grant.tenant).await.unwrap();
    assert_eq!(seen, [grant], "it is read as it was written");
    for (names, code) in [
        (vec![], None),
        (vec!["a.example.com", "*.example.com"], None),
        (
            vec!["a.example.com", "a.example.org"],
            Some(Code::HostnameNotGranted),
        ),
    ] {
        assert_eq!(refused(&names).await, code, "{names:?}");
    }
}
