//! How a cluster comes to be known, and how it goes.

use super::*;

fn key(letter: char) -> Thumbprint {
    Thumbprint::parse(&letter.to_string().repeat(43)).unwrap()
}

fn identity(letter: char, instance: u8) -> Identity {
    Identity {
        key: key(letter),
        instance: InstanceId::from_bytes([instance; 16]),
    }
}

fn cluster() -> Cluster {
    let name = ClusterName::parse("east").unwrap();
    let tenant = TenantName::parse("acme").unwrap();
    Cluster::invited(name, tenant, WhenExpired::Keep)
}

fn admitted() -> Cluster {
    let mut cluster = cluster();
    cluster.ask(identity('a', 1), None).unwrap();
    cluster.accept(&key('a'), None).unwrap();
    cluster
}

#[test]
fn a_cluster_is_served_once_both_sides_agreed() {
    let mut cluster = cluster();
    let shown = identity('a', 1);
    let code = |cluster: &Cluster| cluster.admit(&identity('a', 1)).map_err(|it| it.code);
    assert_eq!(code(&cluster), Err(Code::NotAccepted));
    assert_eq!(
        cluster.accept(&shown.key, None).map_err(|it| it.code),
        Err(Code::NotAccepted)
    );
    cluster.ask(shown.clone(), None).unwrap();
    assert_eq!(code(&cluster), Err(Code::NotAccepted));
    assert_eq!(
        cluster.accept(&key('b'), None).map_err(|it| it.code),
        Err(Code::KeyMismatch)
    );
    assert_eq!(code(&cluster), Err(Code::NotAccepted));
    cluster.accept(&shown.key, None).unwrap();
    assert_eq!(code(&cluster), Ok(()));
    assert_eq!(cluster.accept(&shown.key, None), Ok(()), "twice is as once");
}

#[test]
fn a_code_is_redeemed_once() {
    let mut cluster = cluster();
    cluster.ask(identity('a', 1), None).unwrap();
    for mut standing in [cluster, admitted()] {
        let before = standing.clone();
        let refused = standing.ask(identity('b', 1), None).map_err(|it| it.code);
        assert_eq!(refused, Err(Code::CodeInvalid));
        assert_eq!(standing, before);
    }
}

#[test]
fn another_key_another_instance_and_a_cluster_that_was_turned_away_are_refused() {
    let changed = |change: fn(&mut Cluster)| {
        let mut cluster = admitted();
        change(&mut cluster);
        cluster
    };
    for (cluster, shown, code) in [
        (admitted(), identity('b', 1), Code::Forbidden),
        (admitted(), identity('a', 2), Code::IdentityConflict),
        (changed(revoke), identity('a', 1), Code::ClusterRevoked),
        (changed(revoke), identity('b', 1), Code::Forbidden),
        (changed(quarantine), identity('a', 1), Code::ClusterRevoked),
        (
            changed(Cluster::invite_again),
            identity('a', 1),
            Code::NotAccepted,
        ),
        (changed(give_up), identity('a', 1), Code::Tombstoned),
        (changed(release), identity('a', 1), Code::NotAccepted),
    ] {
        let refused = cluster.admit(&shown).map_err(|it| it.code);
        assert_eq!(refused, Err(code), "{cluster:?} {shown:?}");
    }
}

fn revoke(cluster: &mut Cluster) {
    cluster.revoke().unwrap();
}

fn quarantine(cluster: &mut Cluster) {
    cluster.quarantine().unwrap();
}

fn give_up(cluster: &mut Cluster) {
    cluster.give_up();
}

fn release(cluster: &mut Cluster) {
    assert_eq!(cluster.release(), Ok(true));
    assert_eq!(cluster.release(), Ok(false), "once");
}

#[test]
fn whatever_turns_a_cluster_away_ends_its_sessions_and_what_it_writes() {
    for turn_away in [revoke, quarantine, give_up, release, Cluster::invite_again] {
        let mut cluster = admitted();
        assert_eq!(cluster.require_served(), Ok(()));
        let epoch = cluster.epoch;
        turn_away(&mut cluster);
        assert_eq!(cluster.epoch, epoch + 1);
        assert!(cluster.require_served().is_err(), "{cluster:?}");
        assert_eq!(cluster.instance, admitted().instance, "{cluster:?}");
    }
}

#[test]
fn gateways_have_to_do_something_for_a_turn_once() {
    let mut cluster = admitted();
    assert_eq!(cluster.quarantine(), Ok(Some(Departure::ShutOut)));
    assert_eq!(cluster.quarantine(), Ok(None));
    revoke(&mut cluster);
    assert_eq!(cluster.standing, Standing::Quarantined(identity('a', 1)));
    assert_eq!(cluster.give_up(), Some(Departure::Remove));
    assert_eq!(cluster.give_up(), None);
    let given_up = Standing::Tombstoned(Some(identity('a', 1)));
    assert_eq!(cluster.standing, given_up);
}

#[test]
fn a_cluster_that_is_not_known_is_not_turned_away() {
    let changed = |change: fn(&mut Cluster)| {
        let mut cluster = admitted();
        change(&mut cluster);
        cluster
    };
    for (mut cluster, code) in [
        (cluster(), Code::NotAccepted),
        (changed(Cluster::invite_again), Code::NotAccepted),
        (changed(give_up), Code::Tombstoned),
        (changed(release), Code::NotAccepted),
    ] {
        let before = cluster.clone();
        assert_eq!(cluster.revoke().map_err(|it| it.code), Err(code));
        assert_eq!(cluster.quarantine().map_err(|it| it.code), Err(code));
        assert_eq!(cluster, before);
    }
}

#[test]
fn a_cluster_that_was_given_up_is_enrolled_anew_with_a_code() {
    let mut cluster = admitted();
    give_up(&mut cluster);
    let asked = cluster.ask(identity('b', 2), None).map_err(|it| it.code);
    assert_eq!(asked, Err(Code::CodeInvalid));
    cluster.invite_again();
    assert_eq!(cluster.identity(), None, "its key has ended");
    cluster.ask(identity('b', 2), None).unwrap();
    cluster.accept(&key('b'), None).unwrap();
    assert_eq!(cluster.admit(&identity('b', 2)), Ok(()));
}

#[test]
fn what_follows_when_a_cluster_has_expired_is_as_was_said() {
    for (when, departure, is_given_up) in [
        (WhenExpired::Keep, None, false),
        (WhenExpired::Unpublish, Some(Departure::Unpublish), false),
        (WhenExpired::Delete, Some(Departure::Remove), true),
    ] {
        let mut cluster = admitted();
        let said = cluster.set_when_expired(WhenExpired::Keep, when);
        assert_eq!(said, Ok(()));
        assert_eq!(cluster.note_contact(Contact::Stale), None, "{when:?}");
        let found = cluster.note_contact(Contact::Expired);
        assert_eq!(found, departure, "{when:?}");
        let shown = cluster.admit(&identity('a', 1)).map_err(|it| it.code);
        assert_eq!(shown == Err(Code::Tombstoned), is_given_up, "{when:?}");
        assert_eq!(WhenExpired::parse(when.as_str()), Some(when));
    }
}

#[test]
fn a_cluster_that_comes_back_or_is_to_go_otherwise_is_looked_at_anew() {
    let expired = || {
        let mut cluster = admitted();
        cluster.hear(Timestamp(1));
        cluster.note_contact(Contact::Expired);
        cluster
    };
    let mut heard = expired();
    heard.hear(Timestamp(2));
    assert_eq!(heard.contact, Contact::Live);
    assert_eq!(heard.last_contact, Some(Timestamp(2)));
    let mut invited = expired();
    invited.invite_again();
    assert_eq!(
        (invited.contact, invited.last_contact),
        (Contact::Live, None)
    );
    let mut otherwise = expired();
    let mut say = |seen| otherwise.set_when_expired(seen, WhenExpired::Delete);
    let changed = say(WhenExpired::Unpublish).map_err(|refusal| refusal.code);
    assert_eq!(changed, Err(Code::EtagMismatch));
    assert_eq!(say(WhenExpired::Keep), Ok(()));
    assert_eq!(otherwise.contact, Contact::Stale);
}

#[test]
fn a_thumbprint_is_43_characters_of_base64url() {
    let good = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    assert!(Thumbprint::parse(good).is_some());
    for bad in ["", &good[1..], &good.replace('-', "+"), &format!("{good}=")] {
        assert!(Thumbprint::parse(bad).is_none(), "{bad}");
    }
}
