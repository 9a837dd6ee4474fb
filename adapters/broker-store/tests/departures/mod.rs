//! What is kept of clusters that go.

use std::sync::atomic::{AtomicU32, Ordering};

use adapter_broker_store::SqlStore;
use domain::Timestamp;
use domain::broker::Code;
use domain::broker::cluster::{Cluster, Standing, WhenExpired};
use domain::broker::contact::Contact;
use domain::broker::held::{Errands, Held, Wanted};
use domain::broker::ports::{Clusters, Finished, Intents, Session, StoreError, Turn};
use domain::ports::PortError;
use domain::secret::TokenHash;

use super::{
    NOW, at, cluster, code, done, event, finish, furnished, gateway, identity, intent, invitation,
    names, publish, state, take, tenant, told,
};

async fn turn(store: &SqlStore, of: &str, turn: Turn) -> Result<Cluster, StoreError> {
    store.turn(&cluster(of), turn, event("cluster.turn")).await
}

async fn open_session(store: &SqlStore, shown: &str, at: Timestamp) -> Result<Cluster, StoreError> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let number = OPENED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let session = Session {
        token: [number; 8].concat().try_into().unwrap(),
        expires: Timestamp(at.0 + 600),
    };
    let event = told("session.open", at);
    let identity = identity(shown);
    let opened = store.open_session(session, &identity, None, event);
    opened.await.map(|(cluster, _)| cluster)
}

async fn held(store: &SqlStore, of: &str) -> Option<Held> {
    store.held(&cluster(of), &gateway()).await.unwrap()
}

fn hash(digit: &str) -> TokenHash {
    TokenHash::parse(&digit.repeat(64)).unwrap()
}

pub(super) async fn a_cluster_that_is_given_up_is_told_so_and_comes_back_with_a_code(
    store: SqlStore,
) {
    furnished(&store, "east").await;
    publish(&store, "east", &["a.example.com"], 1).await;
    open_session(&store, "e", NOW).await.unwrap();
    turn(&store, "east", Turn::GiveUp).await.unwrap();
    let found = store.cluster(&cluster("east")).await.unwrap();
    assert_eq!(found.standing, Standing::Tombstoned(Some(identity("e"))));
    let gone = Some(Code::Tombstoned);
    assert_eq!(code(open_session(&store, "e", NOW).await), gone);
    // What was let in before writes nothing any more.
    let stated = state(&store, "east", intent(&["b.example.com"]), 2).await;
    assert_eq!(code(stated), gone);
    let east = cluster("east");
    let term = store.begin_term(&east, event("term.begin"));
    assert_eq!(code(term.await), gone);

    let invite = || store.invite(invitation("east", "east", 9), event("cluster.invite"));
    let taken = take(&store, NOW).await.expect("its Gateway has work");
    let version = held(&store, "east").await.unwrap().version;
    let failed = Finished {
        outcome: Err(PortError::unavailable("no answer")),
        ..done(version, &[])
    };
    finish(&store, &taken, failed, NOW).await;
    assert_eq!(code(invite().await), Some(Code::InUse), "something is left");
    let names = held(&store, "east").await.unwrap().names;
    assert_eq!(names.len(), 1, "its record may be there");
    let taken = take(&store, at(2)).await.expect("it is tried again");
    finish(&store, &taken, done(version, &[]), at(2)).await;
    assert_eq!(held(&store, "east").await, None);
    assert_eq!(take(&store, at(1000)).await, None);

    assert_eq!(code(open_session(&store, "e", NOW).await), gone);
    invite().await.unwrap();
    let stranger = code(open_session(&store, "e", NOW).await);
    assert_eq!(stranger, Some(Code::Forbidden), "its key has ended");
    let redeemed = store.redeem(
        &[9; 32],
        identity("e"),
        None,
        "key",
        NOW,
        event("cluster.redeem"),
    );
    redeemed.await.unwrap();
    let accept = Turn::Accept {
        key: identity("e").key,
        attest_anew: None,
    };
    turn(&store, "east", accept).await.unwrap();
    open_session(&store, "e", NOW).await.unwrap();
}

pub(super) async fn a_cluster_that_is_released_leaves_no_work_and_its_hostnames_are_free(
    store: SqlStore,
) {
    furnished(&store, "east").await;
    publish(&store, "east", &["a.example.com"], 1).await;
    state(
        &store,
        "east",
        intent(&["a.example.com", "b.example.com"]),
        2,
    )
    .await
    .unwrap();
    let taken = take(&store, NOW).await.expect("its Gateway has work");
    for _ in 0..2 {
        let found = turn(&store, "east", Turn::Release).await.unwrap();
        assert_eq!(found.standing, Standing::Released(identity("e")));
    }
    let wanted = names(&["b.example.com"]);
    let settled = store.settle(&taken, &wanted, false, NOW).await;
    settled.expect_err("what was under way writes nothing");
    finish(&store, &taken, done(2, &["b.example.com"]), NOW).await;
    assert_eq!(held(&store, "east").await, None);
    assert_eq!(take(&store, at(1000)).await, None);
    let stated = state(&store, "east", intent(&["c.example.com"]), 3).await;
    assert_eq!(code(stated), Some(Code::NotAccepted));
    let refused = turn(&store, "east", Turn::Revoke).await;
    assert_eq!(code(refused), Some(Code::NotAccepted));

    furnished(&store, "west").await;
    publish(&store, "west", &["a.example.com"], 1).await;
    let again = store.invite(invitation("east", "east", 9), event("cluster.invite"));
    again.await.expect("it may come back");
}

pub(super) async fn a_cluster_that_never_asked_is_given_up_too(store: SqlStore) {
    let acme = tenant("acme");
    store.put_tenant(&acme, event("tenant.put")).await.unwrap();
    let invited = store.invite(invitation("east", "acme", 1), event("cluster.invite"));
    invited.await.unwrap();
    let refused = turn(&store, "east", Turn::Quarantine).await;
    assert_eq!(code(refused), Some(Code::NotAccepted));
    turn(&store, "east", Turn::GiveUp).await.unwrap();
    let found = store.cluster(&cluster("east")).await.unwrap();
    assert_eq!(found.standing, Standing::Tombstoned(None));
}

pub(super) async fn a_quarantine_is_work_once_and_the_tokens_for_it_are_noted_once(
    store: SqlStore,
) {
    furnished(&store, "east").await;
    publish(&store, "east", &["a.example.com"], 1).await;
    turn(&store, "east", Turn::Quarantine).await.unwrap();
    let revoked = Some(Code::ClusterRevoked);
    assert_eq!(code(open_session(&store, "e", NOW).await), revoked);
    let taken = take(&store, NOW).await.expect("its Gateway has work");
    let note = |digit: &'static str| {
        let (store, taken) = (store.clone(), taken.clone());
        async move {
            let found = [hash(digit)].into();
            store.note_tokens(&taken, found).await.unwrap()
        }
    };
    assert_eq!(note("1").await, [hash("1")].into());
    assert_eq!(note("2").await, [hash("1")].into());
    let known = held(&store, "east").await.unwrap();
    assert!(known.errands.shut_out);
    assert!(matches!(known.wanted, Wanted::Present(_)));
    finish(&store, &taken, done(known.version, &["a.example.com"]), NOW).await;
    let after = held(&store, "east").await.unwrap();
    assert_eq!(after.errands, Errands::default());
    assert_eq!(after.names, names(&["a.example.com"]));
    let late = store.note_tokens(&taken, [hash("3")].into()).await;
    late.expect_err("the work is over");
    turn(&store, "east", Turn::Quarantine).await.unwrap();
    assert_eq!(take(&store, at(1000)).await, None);
}

pub(super) async fn a_cluster_expires_once_and_as_was_said_unless_it_was_heard_of(store: SqlStore) {
    for (name, then) in [
        ("east", WhenExpired::Keep),
        ("west", WhenExpired::Unpublish),
        ("north", WhenExpired::Delete),
    ] {
        furnished(&store, name).await;
        let hostname = format!("{name}.example.com");
        publish(&store, name, &[&hostname], 1).await;
        open_session(&store, &name[..1], NOW).await.unwrap();
        let seen = WhenExpired::Keep;
        let say = Turn::WhenExpired { seen, then };
        turn(&store, name, say).await.unwrap();
        let note = |last: Option<Timestamp>, contact| {
            let (store, name) = (store.clone(), cluster(name));
            async move {
                let event = event("cluster.contact");
                store.note_contact(&name, last, contact, event).await
            }
        };
        let before = held(&store, name).await.unwrap();
        let (then_seen, now_seen) = (Some(at(-1)), Some(NOW));
        for (last, contact, is_news) in [
            (now_seen, Contact::Live, false),
            (then_seen, Contact::Stale, false),
            (None, Contact::Expired, false),
            (now_seen, Contact::Stale, true),
            (now_seen, Contact::Stale, false),
            (now_seen, Contact::Expired, true),
            (now_seen, Contact::Expired, false),
        ] {
            let noted = note(last, contact).await;
            assert_eq!(noted, Ok(is_news), "{name} {last:?} {contact:?}");
        }
        let found = store.cluster(&cluster(name)).await.unwrap();
        assert_eq!(found.contact, Contact::Expired, "{name}");
        let after = held(&store, name).await.unwrap();
        let wanted = match then {
            WhenExpired::Keep => before.wanted.clone(),
            WhenExpired::Unpublish => Wanted::Tunnel,
            WhenExpired::Delete => Wanted::Gone,
        };
        assert_eq!(after.wanted, wanted, "{name}");
        let work = take(&store, NOW).await;
        assert_eq!(work.is_some(), then != WhenExpired::Keep, "{name}");
        let heard = open_session(&store, &name[..1], at(1)).await;
        match then {
            WhenExpired::Delete => assert_eq!(code(heard), Some(Code::Tombstoned)),
            _ => assert_eq!(heard.unwrap().contact, Contact::Live, "{name}"),
        }
    }
}
