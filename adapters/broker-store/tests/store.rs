//! What every store of a broker does, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "store/attestation.rs"]
mod attestation;
#[path = "store/audit.rs"]
mod audit;
#[path = "store/certificates.rs"]
mod certificates;
mod departures;
#[path = "store/password.rs"]
mod password;
#[path = "store/people.rs"]
mod people;
mod postgres;
#[path = "store/standby.rs"]
mod standby;
#[path = "store/touch.rs"]
mod touch;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adapter_broker_store::SqlStore;
use attestation::by_what_a_cluster_is_attested_is_kept_and_replaced_as_sessions_show_it;
use audit::{
    the_audit_is_signed_in_time_and_only_what_follows_from_the_last,
    what_is_cut_is_exported_first_and_verified_with_the_rest,
    whatever_is_done_to_the_audit_in_the_store_is_seen,
};
use certificates::{
    a_certificate_is_refused_by_the_grants_of_its_names,
    a_key_is_kept_sealed_until_it_is_not_needed_any_more,
};
use departures::{
    a_cluster_expires_once_and_as_was_said_unless_it_was_heard_of,
    a_cluster_that_is_given_up_is_told_so_and_comes_back_with_a_code,
    a_cluster_that_is_released_leaves_no_work_and_its_hostnames_are_free,
    a_cluster_that_never_asked_is_given_up_too,
    a_quarantine_is_work_once_and_the_tokens_for_it_are_noted_once,
};
use domain::broker::audit::{End, Event};
use domain::broker::budget::{Budget, Spent};
use domain::broker::cluster::{Identity, Standing, Thumbprint, WhenExpired};
use domain::broker::credential::Version;
use domain::broker::grant::{Account, Clusters as Of, Grant};
use domain::broker::held::{Place, Stated, Statement, Wanted};
use domain::broker::ports::{
    Accounts, Audit, Budgets, Clusters, Finished, Grants, Intents, Invitation, Judgement, Sealed,
    Secrets, Session, StoreError, Turn, WorkQueue,
};
use domain::broker::work::{Holder, Taken};
use domain::broker::{AccountName, ClusterName, Code, GrantName, TenantName};
use domain::edge::{EdgeIntent, EdgeStatus, Policy};
use domain::ports::PortError;
use domain::{
    AccountId, AllowedHostnames, Hostname, HostnamePatterns, InstanceId, ObjectKey, Timestamp,
};
use people::{
    another_password_signs_out_and_ends_a_pause,
    somebody_is_signed_in_until_a_time_and_by_a_code_once,
    somebody_is_signed_out_everywhere_and_nobody_else_is,
    somebody_is_vouched_for_by_a_token_that_is_good_once,
};
use postgres::Postgres;
use touch::{
    a_cluster_is_heard_of_with_its_controller_and_its_versions_are_those_of_its_statements,
    a_cluster_is_told_what_is_its_own_in_order_and_for_a_time,
};

const NOW: Timestamp = Timestamp(1_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

fn event(action: &str) -> Event {
    told(action, NOW)
}

fn told(action: &str, at: Timestamp) -> Event {
    Event {
        at,
        actor: "person ada".to_owned(),
        action: action.to_owned(),
        result: "done".to_owned(),
        ..Event::default()
    }
}

fn tenant(name: &str) -> TenantName {
    TenantName::parse(name).unwrap()
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).unwrap()
}

fn account(name: &str, of: &str) -> Account {
    Account {
        name: AccountName::parse(name).unwrap(),
        tenant: tenant(of),
        cloudflare: AccountId::new(format!("id-{name}")),
        shared: false,
        zones: None,
    }
}

fn grant(of: &str, hostnames: &[&str]) -> Grant {
    Grant {
        name: GrantName::parse("all").unwrap(),
        tenant: tenant(of),
        clusters: Of::All,
        hostnames: AllowedHostnames::Listed(names(hostnames).into_iter().collect()),
        except: HostnamePatterns::default(),
        account: None,
        max_hostnames: None,
        max_gateways: None,
        certificates: false,
        expires: None,
    }
}

/// The grant of a tenant that is furnished.
fn first_grant(of: &str) -> Grant {
    grant(of, &["*.example.com"])
}

fn identity(letter: &str) -> Identity {
    Identity {
        key: Thumbprint::parse(&letter.repeat(43)).unwrap(),
        instance: InstanceId::from_bytes([7; 16]),
    }
}

fn invitation(name: &str, of: &str, code: u8) -> Invitation {
    Invitation {
        cluster: cluster(name),
        tenant: tenant(of),
        when_expired: WhenExpired::Keep,
        code: [code; 32],
        expires: at(900),
    }
}

fn gateway() -> ObjectKey {
    ObjectKey::new("default", "one")
}

fn intent(hostnames: &[&str]) -> Statement {
    Statement::Intent(Box::new(EdgeIntent {
        hostnames: names(hostnames),
        policy: Policy::Sync,
        ..EdgeIntent::new(gateway())
    }))
}

fn names(hostnames: &[&str]) -> BTreeSet<Hostname> {
    hostnames
        .iter()
        .map(|name| Hostname::parse(name).unwrap())
        .collect()
}

fn code<T>(result: Result<T, StoreError>) -> Option<Code> {
    match result {
        Ok(_) => None,
        Err(StoreError::Refused(refusal)) => Some(refusal.code),
        Err(failed) => panic!("{failed}"),
    }
}

/// A tenant with an enrolled cluster, an account whose token works, and a grant.
async fn furnished(store: &SqlStore, name: &str) {
    let (of, tenant) = (name, tenant(name));
    store
        .put_tenant(&tenant, event("tenant.put"))
        .await
        .unwrap();
    let number = name.bytes().fold(1, u8::wrapping_add);
    let invited = store.invite(invitation(name, of, number), event("cluster.invite"));
    invited.await.unwrap();
    let code = [number; 32];
    let own = identity(&name[..1]);
    let redeemed = store.redeem(
        &code,
        own.clone(),
        None,
        "key",
        NOW,
        event("cluster.redeem"),
    );
    redeemed.await.unwrap();
    let accept = Turn::Accept {
        key: own.key,
        attest_anew: None,
    };
    store
        .turn(&cluster(name), accept, event("cluster.accept"))
        .await
        .unwrap();
    store
        .begin_term(&cluster(name), event("term.begin"))
        .await
        .unwrap();
    let account = account(name, of);
    store
        .put_account(&account, None, event("account.put"))
        .await
        .unwrap();
    put_token(store, &account.name, 1).await;
    let judgement = Judgement::Works {
        version: Version(1),
        zones: Some(["example.com".to_owned()].into()),
    };
    store
        .judge(&account.name, judgement, NOW, event("token.verify"))
        .await
        .unwrap();
    store
        .put_grant(&first_grant(of), None, event("grant.put"))
        .await
        .unwrap();
}

async fn put_token(store: &SqlStore, name: &AccountName, version: u32) {
    let sealed = sealed("one", version);
    let offered = store.offer(name, sealed, Version(version), event("token.put"));
    offered.await.unwrap();
}

fn sealed(key: &str, version: u32) -> Sealed {
    Sealed {
        key: key.to_owned(),
        wrapped: vec![1, u8::try_from(version).unwrap()],
        ciphertext: vec![2; 40],
    }
}

fn place(sequence: u64) -> Place {
    Place { term: 1, sequence }
}

async fn state(
    store: &SqlStore,
    of: &str,
    statement: Statement,
    sequence: u64,
) -> Result<Stated, StoreError> {
    let event = event("gateway.state");
    let (of, gateway) = (cluster(of), gateway());
    let stated = store.state(&of, &gateway, statement, place(sequence), None, event);
    Ok(stated.await?.0)
}

async fn take(store: &SqlStore, now: Timestamp) -> Option<Taken> {
    // Each is another one's.
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let holder = Holder(TAKEN.fetch_add(1, Ordering::Relaxed).to_string());
    store
        .take(holder, Budget::new(600), now, Timestamp(now.0 + 60))
        .await
        .unwrap()
}

fn done(version: u64, permitted: &[&str]) -> Finished {
    Finished {
        version,
        permitted: names(permitted),
        outcome: Ok(EdgeStatus::default()),
        at: NOW,
        spent: Spent::default(),
    }
}

async fn finish(store: &SqlStore, taken: &Taken, finished: Finished, now: Timestamp) {
    let event = Some(told("gateway.publish", now));
    let finished = Finished {
        at: now,
        ..finished
    };
    let finish = store.finish(taken, finished, Duration::from_secs(2), event);
    finish.await.unwrap();
}

async fn publish(
    store: &SqlStore,
    of: &str,
    hostnames: &[&str],
    sequence: u64,
) -> BTreeSet<String> {
    state(store, of, intent(hostnames), sequence).await.unwrap();
    let taken = take(store, NOW).await.expect("there is work");
    let wanted = names(hostnames);
    let settled = store.settle(&taken, &wanted, false, NOW).await.unwrap();
    let held = store.held(&cluster(of), &gateway()).await.unwrap().unwrap();
    let finished = Finished {
        version: held.version,
        permitted: settled.permitted(),
        outcome: Ok(EdgeStatus::default()),
        at: NOW,
        spent: Spent::default(),
    };
    finish(store, &taken, finished, NOW).await;
    settled
        .permitted()
        .iter()
        .map(ToString::to_string)
        .collect()
}

async fn a_code_is_redeemed_once_in_time_and_ends_with_the_next_one(store: SqlStore) {
    let acme = tenant("acme");
    let unknown = store.invite(invitation("east", "acme", 1), event("cluster.invite"));
    assert_eq!(
        code(unknown.await),
        Some(Code::NotFound),
        "there is no such tenant"
    );
    store.put_tenant(&acme, event("tenant.put")).await.unwrap();
    store
        .invite(invitation("east", "acme", 1), event("cluster.invite"))
        .await
        .unwrap();
    store
        .invite(invitation("east", "acme", 2), event("cluster.invite"))
        .await
        .unwrap();
    let redeem = |number: u8, now| {
        let store = store.clone();
        async move {
            let code = [number; 32];
            let redeemed = store.redeem(
                &code,
                identity("a"),
                None,
                "key",
                now,
                event("cluster.redeem"),
            );
            redeemed.await.map(|cluster| cluster.standing)
        }
    };
    assert_eq!(
        code(redeem(1, NOW).await),
        Some(Code::CodeInvalid),
        "a newer one was given out"
    );
    assert_eq!(
        code(redeem(2, at(900)).await),
        Some(Code::CodeInvalid),
        "it is too old"
    );
    assert_eq!(
        redeem(2, at(899)).await,
        Ok(Standing::Asking(identity("a")))
    );
    assert_eq!(
        code(redeem(2, NOW).await),
        Some(Code::CodeInvalid),
        "it was used"
    );
    store
        .put_tenant(&tenant("other"), event("tenant.put"))
        .await
        .unwrap();
    let stolen = store.invite(invitation("east", "other", 3), event("cluster.invite"));
    assert_eq!(
        code(stolen.await),
        Some(Code::AlreadyExists),
        "it is another tenant's"
    );
}

async fn a_session_ends_in_time_and_with_whatever_turns_the_cluster_away(store: SqlStore) {
    furnished(&store, "east").await;
    let open = |number: u8, shown: &str| {
        let (store, identity) = (store.clone(), identity(shown));
        let session = Session {
            token: [number; 32],
            expires: at(600),
        };
        async move {
            store
                .open_session(session, &identity, None, event("session.open"))
                .await
        }
    };
    assert_eq!(code(open(1, "b").await), Some(Code::Forbidden));
    open(1, "e").await.unwrap();
    let (found, key) = store.session(&[1; 32], at(599)).await.unwrap();
    assert_eq!((found.name, key), (cluster("east"), identity("e").key));
    for (number, now) in [(1, at(600)), (2, NOW)] {
        let over = code(store.session(&[number; 32], now).await);
        assert_eq!(over, Some(Code::SessionOver));
    }
    store
        .turn(&cluster("east"), Turn::Revoke, event("cluster.revoke"))
        .await
        .unwrap();
    assert_eq!(
        code(store.session(&[1; 32], NOW).await),
        Some(Code::SessionOver)
    );
    assert_eq!(code(open(3, "e").await), Some(Code::ClusterRevoked));
    let stranger = Session {
        token: [4; 32],
        expires: at(600),
    };
    let opened = store
        .open_session(stranger, &identity("b"), None, event("session.open"))
        .await;
    assert_eq!(code(opened), Some(Code::Forbidden), "nobody has this key");
}

async fn tokens_are_kept_by_their_slots_and_wiped_after(store: SqlStore) {
    furnished(&store, "acme").await;
    let name = account("acme", "acme").name;
    let known = store.accounts(None).await.unwrap();
    assert_eq!(known[0].zones, Some(["example.com".to_owned()].into()));
    put_token(&store, &name, 2).await;
    let late = store.offer(&name, sealed("one", 2), Version(2), event("token.put"));
    assert_eq!(code(late.await), Some(Code::EtagMismatch));
    assert_eq!(store.sealed(&name, Version(2)).await, Ok(sealed("one", 2)));
    let judge = |judgement, now| store.judge(&name, judgement, now, event("token.verify"));
    judge(Judgement::Fails(Version(2)), NOW).await.unwrap();
    assert_eq!(
        code(store.sealed(&name, Version(2)).await),
        Some(Code::NotFound),
        "wiped"
    );
    put_token(&store, &name, 3).await;
    let works = Judgement::Works {
        version: Version(3),
        zones: None,
    };
    judge(works, NOW).await.unwrap();
    let slots = judge(Judgement::Refused(Version(3)), NOW).await.unwrap();
    assert_eq!(slots.in_use(), Some(Version(1)), "it falls back");
    assert_eq!(store.slots(&name).await, Ok(slots));

    let others = store.wrapped_otherwise("two", 10).await.unwrap();
    assert_eq!(others.len(), 2);
    for (secret, before) in others {
        let after = Sealed {
            key: "two".to_owned(),
            wrapped: vec![9],
            ..before.clone()
        };
        // A second broker that does the same changes nothing.
        for wrapped in [&after, &sealed("three", 9)] {
            let again = store.wrap_again(&secret, &before, wrapped);
            again.await.unwrap();
        }
        assert_eq!(store.sealed(&name, secret.version).await, Ok(after));
    }
    assert!(store.wrapped_otherwise("two", 10).await.unwrap().is_empty());
}

async fn an_account_is_one_tenants_and_stays_while_it_is_used(store: SqlStore) {
    furnished(&store, "acme").await;
    store
        .put_tenant(&tenant("other"), event("tenant.put"))
        .await
        .unwrap();
    let known = account("acme", "acme");
    let stolen = Account {
        name: AccountName::parse("mine").unwrap(),
        tenant: tenant("other"),
        ..known.clone()
    };
    let renamed = Account {
        cloudflare: AccountId::new("another"),
        ..known.clone()
    };
    for put in [stolen, renamed] {
        let put = store.put_account(&put, None, event("account.put")).await;
        assert_eq!(code(put), Some(Code::AlreadyExists));
    }
    publish(&store, "acme", &["a.example.com"], 1).await;
    let remove = || store.remove_account(&known, event("account.remove"));
    assert_eq!(code(remove().await), Some(Code::InUse));
    assert_eq!(
        code(
            store
                .remove_tenant(&known.tenant, event("tenant.remove"))
                .await
        ),
        Some(Code::InUse)
    );
    publish_nothing(&store, "acme", 2).await;
    remove().await.unwrap();
}

async fn what_is_not_as_it_was_seen_is_neither_replaced_nor_removed(store: SqlStore) {
    furnished(&store, "east").await;
    let (first, second) = (first_grant("east"), grant("east", &["a.example.com"]));
    let third = grant("east", &["b.example.com"]);
    let put = |grant: Grant, seen: Option<Grant>| {
        let store = store.clone();
        async move {
            let event = event("grant.put");
            code(store.put_grant(&grant, seen.as_ref(), event).await)
        }
    };
    let changed = Some(Code::EtagMismatch);
    for (grant, seen, refused) in [
        (&second, None, changed),
        (&second, Some(&third), changed),
        (&second, Some(&first), None),
        // Whoever puts what is there already changes nothing, whatever they saw.
        (&second, Some(&first), None),
        (&second, None, None),
        (&third, Some(&first), changed),
    ] {
        let found = put(grant.clone(), seen.cloned()).await;
        assert_eq!(found, refused, "{grant:?} {seen:?}");
    }
    let removed = store.remove_grant(&first, event("grant.remove")).await;
    assert_eq!(code(removed), changed);
    store
        .remove_grant(&second, event("grant.remove"))
        .await
        .unwrap();
    assert_eq!(put(third, Some(second)).await, changed, "it is gone");

    let private = account("east", "east");
    let shared = Account {
        shared: true,
        ..private.clone()
    };
    for (account, seen, refused) in [
        (&shared, None, changed),
        (&shared, Some(&private), None),
        (&private, Some(&private), changed),
    ] {
        let put = store.put_account(account, seen, event("account.put"));
        assert_eq!(code(put.await), refused, "{account:?} {seen:?}");
    }
    let removed = store.remove_account(&private, event("account.remove"));
    assert_eq!(code(removed.await), changed);
    let mut told = store.after(0, 100).await.unwrap();
    told.retain(|entry| ["grant.put", "account.put"].contains(&&*entry.event.action));
    assert_eq!(told.len(), 4, "what was not written is not told: {told:?}");
}

async fn publish_nothing(store: &SqlStore, of: &str, sequence: u64) {
    state(store, of, Statement::Remove, sequence).await.unwrap();
    let taken = take(store, NOW).await.expect("there is work");
    let held = store.held(&cluster(of), &gateway()).await.unwrap().unwrap();
    finish(store, &taken, done(held.version, &[]), NOW).await;
}

async fn a_hostname_is_one_clusters_until_its_record_is_gone(store: SqlStore) {
    furnished(&store, "east").await;
    furnished(&store, "west").await;
    let (a, both) = (["a.example.com"], ["a.example.com", "b.example.com"]);
    assert_eq!(publish(&store, "east", &a, 1).await.len(), 1);
    let got = publish(&store, "west", &both, 1).await;
    assert_eq!(got, ["b.example.com".to_owned()].into());
    // It is stated that it is not wanted; its record may still be there.
    state(&store, "east", intent(&[]), 2).await.unwrap();
    let taken = take(&store, NOW).await.unwrap();
    let settled = |of: &str| {
        let (store, of) = (store.clone(), cluster(of));
        async move {
            store
                .would_settle(&of, &gateway(), &names(&["a.example.com"]), false, NOW)
                .await
                .unwrap()
        }
    };
    assert_eq!(settled("west").await.permitted().len(), 0);
    finish(&store, &taken, done(2, &[]), NOW).await;
    assert_eq!(settled("west").await.permitted().len(), 1);
    assert_eq!(publish(&store, "west", &a, 2).await.len(), 1);
    assert_eq!(settled("east").await.permitted().len(), 0);
}

async fn what_is_stated_is_kept_whole_and_in_order(store: SqlStore) {
    furnished(&store, "east").await;
    let east = cluster("east");
    let wanted = intent(&["a.example.com", "*.b.example.com"]);
    assert_eq!(
        state(&store, "east", wanted.clone(), 5).await,
        Ok(Stated::Changed)
    );
    let held = store.held(&east, &gateway()).await.unwrap().unwrap();
    let Statement::Intent(expected) = wanted.clone() else {
        unreachable!("it is an intent");
    };
    assert_eq!(held.wanted, Wanted::Present(expected));
    assert_eq!(
        code(state(&store, "east", intent(&[]), 4).await),
        Some(Code::StaleStatement)
    );
    store.begin_term(&east, event("term.begin")).await.unwrap();
    assert_eq!(
        code(state(&store, "east", intent(&[]), 9).await),
        Some(Code::StaleTerm)
    );

    let taken = take(&store, NOW).await.unwrap();
    let failed = Finished {
        outcome: Err(PortError::unavailable("no answer")),
        ..done(1, &[])
    };
    finish(&store, &taken, failed.clone(), NOW).await;
    let held = store.held(&east, &gateway()).await.unwrap().unwrap();
    assert_eq!(held.done.unwrap().outcome, failed.outcome);
    assert_eq!(
        store.placed(&east).await.unwrap().gateways,
        [gateway()].into()
    );
}

async fn work_is_one_brokers_at_a_time_and_is_taken_again_when_its_time_is_over(store: SqlStore) {
    furnished(&store, "east").await;
    state(&store, "east", intent(&["a.example.com"]), 1)
        .await
        .unwrap();
    let first = take(&store, NOW).await.unwrap();
    assert_eq!(take(&store, at(59)).await, None, "somebody has it");
    assert_eq!(store.hold(&first, at(90)).await, Ok(true));
    assert_eq!(take(&store, at(89)).await, None, "it takes longer");
    let second = take(&store, at(90)).await.expect("that one is late");
    assert_eq!(store.hold(&first, at(200)).await, Ok(false));
    let late = store.settle(&first, &names(&[]), false, at(91)).await;
    assert!(matches!(late, Err(StoreError::Failed(_))), "{late:?}");
    finish(&store, &first, done(1, &[]), at(91)).await;
    let held = store
        .held(&cluster("east"), &gateway())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(held.done, None, "what comes late is not written");
    finish(&store, &second, done(1, &[]), at(92)).await;
    let third = take(&store, at(92)).await;
    let third = third.expect("what somebody may have done late is looked at");
    finish(&store, &third, done(1, &[]), at(92)).await;
    assert_eq!(take(&store, at(1000)).await, None, "it is done");
    finish(&store, &second, done(1, &[]), at(92)).await;
    let fourth = take(&store, at(92)).await.expect("late once more");
    finish(&store, &fourth, done(1, &[]), at(92)).await;
    store.look_again(at(91), at(1000)).await.unwrap();
    assert_eq!(take(&store, at(1000)).await, None, "it was done since");
    store.look_again(at(92), at(1000)).await.unwrap();
    assert!(take(&store, at(1000)).await.is_some());
}

async fn work_that_failed_waits_and_what_was_stated_meanwhile_does_not(store: SqlStore) {
    furnished(&store, "east").await;
    state(&store, "east", intent(&["a.example.com"]), 1)
        .await
        .unwrap();
    let failed = |version| Finished {
        outcome: Err(PortError::unavailable("no answer")),
        ..done(version, &[])
    };
    let taken = take(&store, NOW).await.unwrap();
    finish(&store, &taken, failed(1), NOW).await;
    assert_eq!(take(&store, at(1)).await, None);
    let taken = take(&store, at(2)).await.expect("it is time");
    assert_eq!(taken.attempts, 1);
    state(&store, "east", intent(&[]), 2).await.unwrap();
    finish(&store, &taken, failed(1), at(2)).await;
    let taken = take(&store, at(2)).await.expect("something else is wanted");
    assert_eq!(taken.attempts, 0);
    // A grant that changes while the work is under way counts as well.
    let (other, seen) = (grant("east", &[]), first_grant("east"));
    store
        .put_grant(&other, Some(&seen), told("grant.put", at(2)))
        .await
        .unwrap();
    finish(&store, &taken, done(2, &[]), at(2)).await;
    assert!(take(&store, at(2)).await.is_some());
}

/// So many calls of a cluster in its account.
fn calls(of: &str, calls: u64) -> Spent {
    Spent {
        budget: Budget::new(600),
        calls: [((account(of, of).name, cluster(of)), calls)].into(),
        ..Spent::default()
    }
}

async fn a_statement_that_failed_starts_no_work_when_it_comes_again(store: SqlStore) {
    furnished(&store, "east").await;
    let wanted = || intent(&["a.example.com"]);
    let fail = |sequence| {
        let store = store.clone();
        async move {
            state(&store, "east", wanted(), sequence).await.unwrap();
            let taken = take(&store, NOW).await.unwrap();
            store.settle(&taken, &names(&[]), false, NOW).await.unwrap();
            let failed = Finished {
                outcome: Err(PortError::unavailable("no answer")),
                ..done(1, &[])
            };
            finish(&store, &taken, failed, NOW).await;
        }
    };
    fail(1).await;
    for sequence in 2..9 {
        let again = state(&store, "east", wanted(), sequence).await;
        assert_eq!(again, Ok(Stated::Waiting));
        assert_eq!(take(&store, at(1)).await, None);
    }
    assert!(take(&store, at(2)).await.is_some(), "it is time");
    store.begin().await.unwrap();
}

async fn a_token_that_works_hurries_what_failed_in_its_account(store: SqlStore) {
    furnished(&store, "east").await;
    publish(&store, "east", &["a.example.com"], 1).await;
    state(&store, "east", intent(&["b.example.com"]), 2)
        .await
        .unwrap();
    let taken = take(&store, NOW).await.unwrap();
    let failed = Finished {
        outcome: Err(PortError::unavailable("no answer")),
        ..done(2, &[])
    };
    finish(&store, &taken, failed, NOW).await;
    assert_eq!(take(&store, at(1)).await, None);
    let name = account("east", "east").name;
    put_token(&store, &name, 2).await;
    let works = Judgement::Works {
        version: Version(2),
        zones: Some(["example.com".to_owned()].into()),
    };
    let judged = store.judge(&name, works, at(1), event("token.verify"));
    judged.await.unwrap();
    assert!(take(&store, at(1)).await.is_some());
}

async fn what_clusters_spend_of_an_account_counts_for_all_brokers(store: SqlStore) {
    for name in ["east", "west"] {
        furnished(&store, name).await;
        publish(
            &store,
            name,
            &["a.example.com"][..usize::from(name == "east")],
            1,
        )
        .await;
    }
    let again = |sequence| {
        let store = store.clone();
        async move {
            for name in ["east", "west"] {
                let stated = state(&store, name, Statement::CloseConnections, sequence);
                stated.await.unwrap();
            }
        }
    };
    again(2).await;
    // One call less than half of what can be spent at once.
    store.spend(calls("east", 149), NOW).await.unwrap();
    let west = take(&store, NOW).await.expect("it spent nothing");
    assert_eq!(west.cluster, cluster("west"));
    let east = take(&store, NOW).await.expect("it may have one more");
    let cost = |spent| Finished {
        spent,
        ..done(2, &[])
    };
    finish(&store, &east, cost(calls("east", 1)), NOW).await;
    finish(&store, &west, cost(Spent::default()), NOW).await;
    again(3).await;
    let west = take(&store, NOW).await.expect("it spent nothing");
    assert_eq!(west.cluster, cluster("west"));
    finish(&store, &west, done(3, &[]), NOW).await;
    assert_eq!(take(&store, NOW).await, None, "it spent its share");
    let east = take(&store, at(1)).await.expect("one call came back");
    finish(&store, &east, done(3, &[]), at(1)).await;

    // What Cloudflare says to one broker counts for all, and for that account alone.
    let paused = Spent {
        paused: [(account("east", "east").name, at(99))].into(),
        ..Spent::default()
    };
    store.spend(paused, at(1)).await.unwrap();
    again(4).await;
    let west = take(&store, at(98)).await.expect("it is not paused");
    assert_eq!(west.cluster, cluster("west"));
    finish(&store, &west, done(4, &[]), at(98)).await;
    assert_eq!(take(&store, at(98)).await, None);
    let name = account("east", "east").name;
    let pause = store.spending(&name).await.unwrap().pause(at(98));
    assert_eq!(pause, Some(Duration::from_secs(1)));
    assert!(take(&store, at(99)).await.is_some(), "the pause is over");
}

async fn a_gateway_that_is_gone_leaves_no_work(store: SqlStore) {
    furnished(&store, "east").await;
    publish(&store, "east", &["a.example.com"], 1).await;
    state(&store, "east", Statement::Remove, 2).await.unwrap();
    let taken = take(&store, NOW).await.unwrap();
    // There is a reason to look again, but nothing to look at.
    let (other, seen) = (grant("east", &[]), first_grant("east"));
    store
        .put_grant(&other, Some(&seen), event("grant.put"))
        .await
        .unwrap();
    finish(&store, &taken, done(2, &[]), NOW).await;
    assert_eq!(store.held(&cluster("east"), &gateway()).await, Ok(None));
    assert_eq!(take(&store, at(1000)).await, None);
}

async fn removals_come_first_and_no_cluster_keeps_others_waiting(store: SqlStore) {
    for name in ["east", "west"] {
        furnished(&store, name).await;
    }
    let put = |of: &'static str, name: &'static str, statement: Statement, sequence| {
        let store = store.clone();
        async move {
            let key = ObjectKey::new("default", name);
            let event = event("gateway.state");
            let of = cluster(of);
            let stated = store.state(&of, &key, statement, place(sequence), None, event);
            stated.await.unwrap();
        }
    };
    for name in ["one", "three", "two"] {
        put("east", name, intent(&[]), 1).await;
    }
    put("west", "one", intent(&[]), 1).await;
    put("east", "two", Statement::Remove, 2).await;
    for name in ["four", "five"] {
        put("east", name, intent(&[]), 1).await;
    }
    let mut order = Vec::new();
    while let Some(taken) = take(&store, NOW).await {
        order.push(format!("{} {}", taken.cluster, taken.gateway.name));
    }
    let expected = ["east two", "west one", "east five", "east four", "east one"];
    assert_eq!(order, expected, "a cluster has four at a time");
}

async fn the_audit_tells_everything_and_cannot_be_changed_unseen(store: SqlStore) {
    furnished(&store, "east").await;
    publish(&store, "east", &["a.example.com"], 1).await;
    let refused = store
        .put_grant(&grant("nobody", &[]), None, event("grant.put"))
        .await;
    assert_eq!(code(refused), Some(Code::NotFound));
    store.append(event("grant.refused")).await.unwrap();
    let mut entries = Vec::new();
    loop {
        let after = entries.len() as u64;
        let page = store.after(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        entries.extend(page);
    }
    let actions: Vec<&str> = entries.iter().map(|entry| &*entry.event.action).collect();
    let expected = [
        "tenant.put",
        "cluster.invite",
        "cluster.redeem",
        "cluster.accept",
        "term.begin",
        "account.put",
        "token.put",
        "token.verify",
        "grant.put",
        "gateway.state",
        "gateway.publish",
        "grant.refused",
    ];
    assert_eq!(actions, expected);
    let end = entries.iter().try_fold(End::default(), End::verify);
    assert_eq!(end.unwrap(), store.end().await.unwrap());
}

async fn everybody_who_waits_is_told_of_a_change(store: SqlStore) {
    // Each is another broker's.
    let waiting = [store.changed(), store.changed()];
    store.append(event("test")).await.unwrap();
    for changed in waiting {
        let told = tokio::time::timeout(Duration::from_secs(10), changed);
        told.await.expect("a change");
    }
}

/// Those after the semicolon get the address of their store too.
macro_rules! on_both {
    ($($name:ident),* $(,)?; $($of_address:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let address = format!("sqlite:{}", folder.path().join("broker.db").display());
                super::$name(super::SqlStore::open(&address, None).await.unwrap()).await;
            })*

            $(#[tokio::test]
            async fn $of_address() {
                let folder = tempfile::tempdir().unwrap();
                let address = format!("sqlite:{}", folder.path().join("broker.db").display());
                let store = super::SqlStore::open(&address, None).await.unwrap();
                super::$of_address(store, address).await;
            })*
        }

        mod postgresql {
            $(#[tokio::test]
            async fn $name() {
                let Some(server) = super::Postgres::start() else { return };
                super::$name(super::SqlStore::open(&server.address(), None).await.unwrap()).await;
            })*

            $(#[tokio::test]
            async fn $of_address() {
                let Some(server) = super::Postgres::start() else { return };
                let store = super::SqlStore::open(&server.address(), None).await.unwrap();
                super::$of_address(store, server.address()).await;
            })*
        }
    };
}

on_both! {
    a_code_is_redeemed_once_in_time_and_ends_with_the_next_one,
    a_session_ends_in_time_and_with_whatever_turns_the_cluster_away,
    tokens_are_kept_by_their_slots_and_wiped_after,
    an_account_is_one_tenants_and_stays_while_it_is_used,
    what_is_not_as_it_was_seen_is_neither_replaced_nor_removed,
    somebody_is_signed_in_until_a_time_and_by_a_code_once,
    another_password_signs_out_and_ends_a_pause,
    a_certificate_is_refused_by_the_grants_of_its_names,
    a_key_is_kept_sealed_until_it_is_not_needed_any_more,
    somebody_is_signed_out_everywhere_and_nobody_else_is,
    somebody_is_vouched_for_by_a_token_that_is_good_once,
    a_hostname_is_one_clusters_until_its_record_is_gone,
    what_is_stated_is_kept_whole_and_in_order,
    work_is_one_brokers_at_a_time_and_is_taken_again_when_its_time_is_over,
    work_that_failed_waits_and_what_was_stated_meanwhile_does_not,
    a_statement_that_failed_starts_no_work_when_it_comes_again,
    a_token_that_works_hurries_what_failed_in_its_account,
    what_clusters_spend_of_an_account_counts_for_all_brokers,
    a_gateway_that_is_gone_leaves_no_work,
    removals_come_first_and_no_cluster_keeps_others_waiting,
    a_cluster_that_is_given_up_is_told_so_and_comes_back_with_a_code,
    a_cluster_that_is_released_leaves_no_work_and_its_hostnames_are_free,
    a_cluster_that_never_asked_is_given_up_too,
    a_quarantine_is_work_once_and_the_tokens_for_it_are_noted_once,
    a_cluster_expires_once_and_as_was_said_unless_it_was_heard_of,
    a_cluster_is_heard_of_with_its_controller_and_its_versions_are_those_of_its_statements,
    a_cluster_is_told_what_is_its_own_in_order_and_for_a_time,
    by_what_a_cluster_is_attested_is_kept_and_replaced_as_sessions_show_it,
    the_audit_tells_everything_and_cannot_be_changed_unseen,
    everybody_who_waits_is_told_of_a_change;
    the_audit_is_signed_in_time_and_only_what_follows_from_the_last,
    whatever_is_done_to_the_audit_in_the_store_is_seen,
    what_is_cut_is_exported_first_and_verified_with_the_rest,
}
