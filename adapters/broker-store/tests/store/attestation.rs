//! By what a cluster is attested.

use std::collections::BTreeMap;

use adapter_broker_store::SqlStore;
use domain::broker::Code;
use domain::broker::attestation::{
    AUDIENCE, Attestation, Attested, PublicKey, PublicKeys, Shown, Token,
};
use domain::broker::oidc::Claims;
use domain::broker::ports::{Audit, Clusters, Session, Turn};

use super::{NOW, at, cluster, code, event, identity, invitation, tenant};

/// A token that is of whatever keys have this id.
#[derive(Debug)]
struct SignedBy(&'static str);

impl Token for SignedBy {
    fn verify(&self, keys: &PublicKeys) -> Option<Claims> {
        keys.iter().any(|(id, _)| id == self.0).then(|| Claims {
            issuer: "https://kubernetes.default.svc".to_owned(),
            subject: "system:serviceaccount:cfgw-system:cfgw".to_owned(),
            audience: [AUDIENCE.to_owned()].into(),
            authorized_party: None,
            issued: NOW,
            expires: at(600),
            not_before: None,
            nonce: None,
            email_verified: false,
            texts: BTreeMap::new(),
        })
    }
}

fn shown(signer: &'static str, published: &[&str]) -> Shown {
    let key = |id: &&str| {
        let rsa = PublicKey::Rsa {
            n: "n".repeat(342),
            e: "AQAB".to_owned(),
        };
        let (x, y) = ("x".repeat(43), "y".repeat(43));
        let key = match id.len() {
            1 => rsa,
            _ => PublicKey::P256 { x, y },
        };
        ((*id).to_owned(), key)
    };
    Shown {
        token: Box::new(SignedBy(signer)),
        keys: Some(PublicKeys::new(published.iter().map(key)).unwrap()),
    }
}

fn offered(signer: &'static str, published: &[&str]) -> Attestation {
    shown(signer, published).offered(NOW).unwrap()
}

pub(super) async fn by_what_a_cluster_is_attested_is_kept_and_replaced_as_sessions_show_it(
    store: SqlStore,
) {
    let east = cluster("east");
    let acme = tenant("acme");
    store.put_tenant(&acme, event("tenant.put")).await.unwrap();
    let invited = store.invite(invitation("east", "acme", 1), event("cluster.invite"));
    invited.await.unwrap();
    let first = offered("a", &["a", "point"]);
    let own = identity("e");
    let redeemed = store.redeem(
        &[1; 32],
        own.clone(),
        Some(first.clone()),
        "key",
        NOW,
        event("cluster.redeem"),
    );
    redeemed.await.unwrap();
    let turn = |attest_anew| {
        let key = own.key.clone();
        let accept = Turn::Accept { key, attest_anew };
        store.turn(&east, accept, event("cluster.accept"))
    };
    turn(None).await.unwrap();
    let found = store.cluster(&east).await.unwrap();
    assert_eq!(found.attestation.as_ref(), Some(&first));

    let open = async |number: u8, shown: Option<Shown>| {
        let session = Session {
            token: [number; 32],
            expires: at(600),
        };
        let opened = store.open_session(session, &own, shown.as_ref(), event("session.open"));
        opened.await
    };
    let kept = async || store.cluster(&east).await.unwrap().attestation;
    let alone = code(open(2, None).await);
    assert_eq!(alone, Some(Code::AttestationRequired));
    open(3, Some(shown("a", &["a", "point"]))).await.unwrap();
    let end = store.end().await.unwrap().sequence;
    let (_, attested) = open(4, Some(shown("a", &["a", "b"]))).await.unwrap();
    let second = offered("a", &["a", "b"]);
    assert_eq!(attested, Attested::KeysReplaced(second.thumbprint()));
    assert_eq!(kept().await.as_ref(), Some(&second));
    let told = store.after(end, 10).await.unwrap();
    let details: Vec<&str> = told
        .iter()
        .map(|entry| entry.event.detail.as_str())
        .collect();
    let other = format!(", other keys of the cluster: {}", second.thumbprint());
    assert_eq!(details, [other]);

    // It missed a rotation.
    let third = offered("c", &["c"]);
    let missed = code(open(5, Some(shown("c", &["c"]))).await);
    assert_eq!(missed, Some(Code::AttestationRefused));
    assert_eq!(kept().await.as_ref(), Some(&second), "nothing is changed");
    turn(Some(third.thumbprint())).await.unwrap();
    let consented = store.cluster(&east).await.unwrap().attest_anew;
    assert_eq!(consented, Some(third.thumbprint()));
    open(6, Some(shown("c", &["c"]))).await.unwrap();
    assert_eq!(kept().await.as_ref(), Some(&third));
    let before = code(store.session(&[4; 32], NOW).await);
    assert_eq!(before, Some(Code::SessionOver), "it was opened before");
    store.session(&[6; 32], NOW).await.unwrap();
}
