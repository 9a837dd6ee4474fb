//! What goes on between clusters and their broker while nothing is stated.

use adapter_broker_store::SqlStore;
use domain::Timestamp;
use domain::broker::Code;
use domain::broker::contact::Contact;
use domain::broker::notice::{LONGEST, MOST, Notice, Told};
use domain::broker::ports::{Accounts, Audit, Clusters, Grants, Intents, Judgement, Notices, Turn};
use domain::broker::{AccountName, credential::Version};
use domain::ports::PortError;

use super::{
    NOW, at, cluster, code, done, event, finish, first_grant, furnished, gateway, grant, intent,
    publish, put_token, state, take, told,
};

pub(super) async fn a_cluster_is_heard_of_with_its_controller_and_its_versions_are_those_of_its_statements(
    store: SqlStore,
) {
    furnished(&store, "east").await;
    let east = cluster("east");
    publish(&store, "east", &["a.example.com"], 1).await;
    state(&store, "east", intent(&["b.example.com"]), 2)
        .await
        .unwrap();
    let versions = store.versions(&east).await.unwrap();
    assert_eq!(versions, [(gateway(), 2)].into());

    let before = store.end().await.unwrap().sequence;
    for (controller, seconds, is_news) in [("1.0.0", 1, 1), ("1.0.0", 2, 0), ("1.1.0", 3, 1)] {
        let entries = store.end().await.unwrap().sequence;
        let event = told("cluster.hear", at(seconds));
        let heard = store.hear(&east, controller, event).await.unwrap();
        assert_eq!(heard.last_contact, Some(at(seconds)));
        assert_eq!(heard, store.cluster(&east).await.unwrap());
        let news = store.end().await.unwrap().sequence - entries;
        assert_eq!(news, is_news, "{controller} {seconds}");
    }
    let stale = event("cluster.stale");
    let noted = store.note_contact(&east, Some(at(3)), Contact::Stale, stale);
    assert!(noted.await.unwrap());
    let heard = store
        .hear(&east, "1.1.0", told("cluster.hear", at(4)))
        .await;
    assert_eq!(heard.unwrap().contact, Contact::Live);
    assert_eq!(store.end().await.unwrap().sequence, before + 4);

    let turned = store.turn(&east, Turn::Revoke, event("cluster.revoke"));
    turned.await.unwrap();
    let heard = store
        .hear(&east, "1.1.0", told("cluster.hear", at(5)))
        .await;
    assert_eq!(code(heard), Some(Code::ClusterRevoked));
}

async fn kept(store: &SqlStore, of: &str, since: u64, now: Timestamp) -> Vec<Told> {
    store.notices(&cluster(of), since, now).await.unwrap().told
}

pub(super) async fn a_cluster_is_told_what_is_its_own_in_order_and_for_a_time(store: SqlStore) {
    furnished(&store, "east").await;
    furnished(&store, "west").await;
    let (east, west) = (cluster("east"), cluster("west"));
    let last = async |of: &str| {
        let all = store.last_notices().await.unwrap();
        all.get(&cluster(of)).copied().unwrap()
    };
    let (began, of_west) = (last("east").await, last("west").await);

    // It waits for the first answer, and for that alone.
    state(&store, "east", intent(&["a.example.com"]), 1)
        .await
        .unwrap();
    let work = take(&store, NOW).await.unwrap();
    let failed = super::Finished {
        outcome: Err(PortError::unavailable("no answer")),
        ..done(1, &["a.example.com"])
    };
    finish(&store, &work, failed, NOW).await;
    assert_eq!(last("east").await, began);
    let work = take(&store, at(10)).await.unwrap();
    store
        .settle(&work, &super::names(&["a.example.com"]), false, NOW)
        .await
        .unwrap();
    finish(&store, &work, done(1, &["a.example.com"]), at(10)).await;
    let name = AccountName::parse("east").unwrap();
    put_token(&store, &name, 2).await;
    let works = Judgement::Works {
        version: Version(2),
        zones: None,
    };
    store
        .judge(&name, works, at(11), event("token.works"))
        .await
        .unwrap();
    store
        .put_grant(
            &grant("east", &["a.example.com"]),
            Some(&first_grant("east")),
            told("grant.put", at(12)),
        )
        .await
        .unwrap();
    store
        .turn(&east, Turn::Quarantine, told("cluster.quarantine", at(13)))
        .await
        .unwrap();
    let found = kept(&store, "east", began, at(13)).await;
    let expected = [
        Notice::OutcomeChanged(gateway()),
        Notice::CredentialReplaced,
        Notice::GrantsChanged,
        Notice::Quarantined,
    ];
    let notices: Vec<_> = found.iter().map(|told| told.notice.clone()).collect();
    assert_eq!(notices, expected);
    let sequences: Vec<_> = found.iter().map(|told| told.sequence).collect();
    assert_eq!(sequences, (began + 1..=began + 4).collect::<Vec<_>>());
    assert_eq!(
        last("west").await,
        of_west,
        "nothing of it is another tenant's"
    );

    let day = i64::try_from(LONGEST.as_secs()).unwrap();
    assert_eq!(kept(&store, "east", began, at(12 + day)).await.len(), 2);
    let mut seen = first_grant("west");
    for second in 0..300 {
        let put = told("grant.put", at(20 + second));
        let other = grant("west", &[&format!("n{second}.example.com")]);
        let written = store.put_grant(&other, Some(&seen), put);
        written.await.unwrap();
        seen = other;
    }
    let notices = store.notices(&west, of_west, at(400)).await.unwrap();
    assert_eq!(notices.told.len() as u64, MOST);
    assert!(notices.has_missed(of_west));
}
