//! [`Edge`]: Cloudflare for the controller, which states an intent and learns what came of it.

mod namesakes;
mod rig;

use std::collections::{BTreeMap, BTreeSet};

use domain::edge::{
    Changes, DnsIntent, EdgeIntent, EdgeStatus, HostnameOutcome, IngressOutcome, Policy,
};
use domain::gateway::DnsPolicy;
use domain::ports::{Edge, PortErrorKind};
use domain::secret::ConnectorToken;

use super::cloudflare::{StandIn, ZONE, in_memory_cloudflare};
use super::{gateway, hostname};
use rig::{APP, Behind, InMemory, OUTSIDE, Rig, SHOP, WILD, over_broker, over_nothing};

contract! {
    rules [
        a_stated_gateway_has_a_tunnel_and_its_names_lead_to_it,
        the_same_intent_again_changes_nothing,
        a_gateway_without_hostnames_has_a_tunnel_all_the_same,
        a_name_that_is_no_longer_wanted_stops_resolving,
        an_intent_from_a_partial_view_takes_nothing_away,
        a_name_that_is_not_managed_gets_no_record,
        a_name_outside_every_zone_is_told_and_stops_no_other,
        a_foreign_record_is_a_conflict_and_stays_as_it_is,
        a_name_comes_as_soon_as_the_foreign_record_has_gone,
        a_lost_name_is_its_holders_and_left_alone,
        a_name_changes_hands_without_a_gap,
        what_an_earlier_process_left_can_be_named_instead_of_taken_away,
        a_partial_view_lets_no_name_change_hands,
        every_gateway_has_a_tunnel_of_its_own,
        what_is_stated_is_owned_until_it_is_removed,
        a_new_process_finds_what_an_earlier_one_left,
        a_removal_removes_the_names_of_that_gateway_only,
        removing_again_or_what_never_was_is_fine,
        a_gateway_whose_tunnel_others_are_connected_to_is_kept,
        another_installation_is_not_seen_and_not_touched,
        records_whose_gateway_and_tunnel_are_gone_are_swept,
        what_is_live_or_has_a_tunnel_or_is_somebody_elses_is_not_swept,
        a_gateway_without_a_tunnel_has_no_token_and_nothing_to_rotate,
        a_token_is_replaced_once_however_often_that_is_asked,
        a_new_secret_leaves_the_tunnel_and_its_names,
        a_gateway_without_credentials_is_told_so_and_keeps_what_it_has,
        a_token_that_may_not_edit_dns_still_makes_the_tunnel,
        an_edge_that_cannot_be_reached_is_unknown_and_nothing_is_lost,
    ]
    direct_over_stand_in => Behind::new(StandIn::start().await, over_nothing).await,
    direct_over_fake => Behind::new(in_memory_cloudflare(), over_nothing).await,
    broker_over_stand_in => Behind::new(StandIn::start().await, over_broker).await,
    broker_over_fake => Behind::new(in_memory_cloudflare(), over_broker).await,
    in_memory => InMemory::new(),
}

fn intent(name: &str, hostnames: &[&str]) -> EdgeIntent {
    domain::testing::intent(gateway(name), hostnames)
}

/// States an intent and expects an answer.
async fn stated(edge: &dyn Edge, intent: &EdgeIntent) -> EdgeStatus {
    let answer = edge.reconcile(intent).await;
    answer.unwrap_or_else(|error| panic!("{intent:?}: {error}"))
}

/// States an intent that is expected to become true as a whole.
async fn applied(edge: &dyn Edge, intent: &EdgeIntent) -> EdgeStatus {
    let status = stated(edge, intent).await;
    assert_eq!(status.failures, []);
    let mut names = status.hostnames.iter();
    assert!(
        names.all(|(_, outcome)| *outcome == HostnameOutcome::Applied),
        "{status:?}"
    );
    status
}

fn address(status: &EdgeStatus) -> String {
    assert_eq!(status.tunnels.len(), 1, "{status:?}");
    status.tunnels[0].address.clone()
}

fn leading(names: &[&str], address: &str) -> BTreeMap<String, String> {
    let names = names.iter();
    names
        .map(|name| ((*name).to_owned(), address.to_owned()))
        .collect()
}

async fn a_stated_gateway_has_a_tunnel_and_its_names_lead_to_it(rig: impl Rig) {
    let status = applied(rig.edge(), &intent("one", &[APP, WILD, ZONE])).await;
    assert_eq!(address(&status), status.tunnels[0].id.address());
    assert_eq!(status.ingress, IngressOutcome::Complete);
    assert_eq!(status.hostnames.len(), 3, "an outcome for each");
    let expected = leading(&[APP, WILD, ZONE], &address(&status));
    assert_eq!(rig.names().await, expected);
}

async fn the_same_intent_again_changes_nothing(rig: impl Rig) {
    let mut first = applied(rig.edge(), &intent("one", &[APP, SHOP])).await;
    let names = rig.names().await;
    let again = applied(rig.edge(), &intent("one", &[APP, SHOP])).await;
    let made = std::mem::take(&mut first.changes).to_string();
    for change in ["made tunnel", "made record", "ingress rules"] {
        assert!(made.contains(change), "{made}");
    }
    assert_eq!(again, first);
    assert_eq!(rig.names().await, names);
}

async fn a_gateway_without_hostnames_has_a_tunnel_all_the_same(rig: impl Rig) {
    let status = applied(rig.edge(), &intent("one", &[])).await;
    assert!(!address(&status).is_empty());
    assert!(rig.names().await.is_empty());
    assert!(rig.edge().connector_token(&gateway("one")).await.is_ok());
}

async fn a_name_that_is_no_longer_wanted_stops_resolving(rig: impl Rig) {
    let first = applied(rig.edge(), &intent("one", &[APP, SHOP])).await;
    let second = applied(rig.edge(), &intent("one", &[SHOP])).await;
    assert_eq!(address(&second), address(&first));
    assert_eq!(rig.names().await, leading(&[SHOP], &address(&first)));
}

async fn an_intent_from_a_partial_view_takes_nothing_away(rig: impl Rig) {
    let status = applied(rig.edge(), &intent("one", &[APP])).await;
    let partial = EdgeIntent {
        policy: Policy::UpsertOnly,
        ..intent("one", &[SHOP])
    };
    applied(rig.edge(), &partial).await;
    let expected = leading(&[APP, SHOP], &address(&status));
    assert_eq!(rig.names().await, expected);
}

async fn a_name_that_is_not_managed_gets_no_record(rig: impl Rig) {
    for dns in [
        DnsPolicy::Off,
        DnsPolicy::Below(vec![hostname("other.example.com")]),
    ] {
        let unmanaged = EdgeIntent {
            dns: dns.into(),
            ..intent("one", &[APP])
        };
        let status = stated(rig.edge(), &unmanaged).await;
        let outcome = &status.hostnames[&hostname(APP)];
        assert_eq!(*outcome, HostnameOutcome::NotManaged);
        assert!(rig.names().await.is_empty(), "{unmanaged:?}");
        assert!(!address(&status).is_empty(), "the tunnel is there");
    }
}

async fn a_name_outside_every_zone_is_told_and_stops_no_other(rig: impl Rig) {
    let status = stated(rig.edge(), &intent("one", &[APP, OUTSIDE])).await;
    let expected = BTreeMap::from([
        (hostname(APP), HostnameOutcome::Applied),
        (hostname(OUTSIDE), HostnameOutcome::NoZone),
    ]);
    assert_eq!(status.hostnames, expected);
    assert_eq!(status.failures, [], "it is an outcome, no failure");
    assert_eq!(rig.names().await, leading(&[APP], &address(&status)));
}

async fn a_foreign_record_is_a_conflict_and_stays_as_it_is(rig: impl Rig) {
    rig.write_foreign_record(APP);
    let before = rig.foreign_record(APP).await;
    let status = stated(rig.edge(), &intent("one", &[APP, SHOP])).await;
    let found = "A record 192.0.2.1".to_owned();
    let expected = BTreeMap::from([
        (hostname(APP), HostnameOutcome::Conflict { found }),
        (hostname(SHOP), HostnameOutcome::Applied),
    ]);
    assert_eq!(status.hostnames, expected);
    assert_eq!(rig.names().await, leading(&[SHOP], &address(&status)));
    assert_eq!(rig.foreign_record(APP).await, before);

    assert_eq!(rig.edge().remove(&gateway("one")).await, Ok(()));
    assert_eq!(rig.foreign_record(APP).await, before, "removed");
}

async fn a_name_comes_as_soon_as_the_foreign_record_has_gone(rig: impl Rig) {
    rig.write_foreign_record(APP);
    stated(rig.edge(), &intent("one", &[APP])).await;
    rig.remove_foreign_record(APP).await;
    let status = applied(rig.edge(), &intent("one", &[APP])).await;
    assert_eq!(rig.names().await, leading(&[APP], &address(&status)));
}

async fn a_lost_name_is_its_holders_and_left_alone(rig: impl Rig) {
    let before = applied(rig.edge(), &intent("one", &[APP])).await;
    let losing = EdgeIntent {
        dns: DnsIntent {
            lost_to: BTreeMap::from([(hostname(APP), gateway("other"))]),
            ..DnsIntent::default()
        },
        ..intent("one", &[])
    };
    let status = stated(rig.edge(), &losing).await;
    let by = gateway("other");
    let claimed = HostnameOutcome::Claimed { by };
    assert_eq!(status.hostnames[&hostname(APP)], claimed);
    let expected = leading(&[APP], &address(&before));
    assert_eq!(rig.names().await, expected, "until its holder takes it");
}

async fn a_name_changes_hands_without_a_gap(rig: impl Rig) {
    applied(rig.edge(), &intent("one", &[APP])).await;
    let losing = EdgeIntent {
        dns: DnsIntent {
            lost_to: BTreeMap::from([(hostname(APP), gateway("other"))]),
            ..DnsIntent::default()
        },
        ..intent("one", &[])
    };
    stated(rig.edge(), &losing).await;
    let holder = applied(rig.edge(), &intent("other", &[APP])).await;
    let expected = leading(&[APP], &address(&holder));
    assert_eq!(rig.names().await, expected);

    stated(rig.edge(), &intent("one", &[])).await;
    assert_eq!(rig.names().await, expected, "it is no longer the first's");
    assert_eq!(rig.edge().remove(&gateway("one")).await, Ok(()));
    assert_eq!(rig.names().await, expected, "the first is removed");
}

async fn what_an_earlier_process_left_can_be_named_instead_of_taken_away(rig: impl Rig) {
    let before = applied(rig.edge(), &intent("one", &[APP, SHOP])).await;
    applied(rig.edge(), &intent("other", &[WILD])).await;
    let names = rig.names().await;
    let edge = rig.new_process().await;
    let keeping = EdgeIntent {
        policy: Policy::KeepRecords,
        ..intent("one", &[SHOP])
    };
    let status = applied(&*edge, &keeping).await;
    assert_eq!(status.unwanted_kept, Some(BTreeSet::from([hostname(APP)])));
    assert_eq!(rig.names().await, names);

    let status = applied(&*edge, &intent("one", &[SHOP])).await;
    assert_eq!(status.unwanted_kept, None);
    let mut left = rig.names().await;
    left.remove(WILD);
    assert_eq!(left, leading(&[SHOP], &address(&before)));
    let status = applied(&*edge, &keeping).await;
    assert_eq!(status.unwanted_kept, Some(BTreeSet::new()));
}

async fn a_partial_view_lets_no_name_change_hands(rig: impl Rig) {
    let holder = applied(rig.edge(), &intent("one", &[APP])).await;
    let partial = EdgeIntent {
        policy: Policy::UpsertOnly,
        ..intent("other", &[APP])
    };
    let status = stated(rig.edge(), &partial).await;
    let outcome = &status.hostnames[&hostname(APP)];
    assert!(
        matches!(outcome, HostnameOutcome::Unknown { .. }),
        "{outcome:?}"
    );
    assert_eq!(rig.names().await, leading(&[APP], &address(&holder)));
}

async fn every_gateway_has_a_tunnel_of_its_own(rig: impl Rig) {
    let one = applied(rig.edge(), &intent("one", &[APP])).await;
    let other = applied(rig.edge(), &intent("other", &[SHOP])).await;
    assert_ne!(address(&one), address(&other));
    let tokens = [
        rig.edge().connector_token(&gateway("one")).await.unwrap(),
        rig.edge().connector_token(&gateway("other")).await.unwrap(),
    ];
    assert!(!tokens[0].is_same(&tokens[1]));
}

async fn what_is_stated_is_owned_until_it_is_removed(rig: impl Rig) {
    let edge = rig.edge();
    assert_eq!(edge.owned().await, Ok(BTreeSet::new()));
    applied(edge, &intent("one", &[APP])).await;
    applied(edge, &intent("other", &[])).await;
    let both = BTreeSet::from([gateway("one"), gateway("other")]);
    assert_eq!(edge.owned().await, Ok(both));
    assert_eq!(edge.remove(&gateway("one")).await, Ok(()));
    let one = BTreeSet::from([gateway("other")]);
    assert_eq!(edge.owned().await, Ok(one));
}

async fn a_new_process_finds_what_an_earlier_one_left(rig: impl Rig) {
    let before = applied(rig.edge(), &intent("one", &[APP])).await;
    let edge = rig.new_process().await;
    assert_eq!(edge.owned().await, Ok(BTreeSet::from([gateway("one")])));
    let after = applied(&*edge, &intent("one", &[SHOP])).await;
    assert_eq!(address(&after), address(&before));
    assert_eq!(rig.names().await, leading(&[SHOP], &address(&before)));

    let edge = rig.new_process().await;
    assert_eq!(edge.remove(&gateway("one")).await, Ok(()));
    assert_eq!(edge.owned().await, Ok(BTreeSet::new()));
    assert!(rig.names().await.is_empty());
}

async fn a_removal_removes_the_names_of_that_gateway_only(rig: impl Rig) {
    applied(rig.edge(), &intent("one", &[APP])).await;
    let other = applied(rig.edge(), &intent("other", &[SHOP])).await;
    assert_eq!(rig.edge().remove(&gateway("one")).await, Ok(()));
    assert_eq!(rig.names().await, leading(&[SHOP], &address(&other)));
    let token = rig.edge().connector_token(&gateway("one")).await;
    assert_eq!(token.unwrap_err().kind, PortErrorKind::NotFound);
    assert!(rig.edge().connector_token(&gateway("other")).await.is_ok());
}

async fn removing_again_or_what_never_was_is_fine(rig: impl Rig) {
    assert_eq!(rig.edge().remove(&gateway("one")).await, Ok(()));
    applied(rig.edge(), &intent("one", &[APP])).await;
    for _ in 0..2 {
        assert_eq!(rig.edge().remove(&gateway("one")).await, Ok(()));
        assert_eq!(rig.edge().owned().await, Ok(BTreeSet::new()));
    }
}

async fn a_gateway_whose_tunnel_others_are_connected_to_is_kept(rig: impl Rig) {
    let status = applied(rig.edge(), &intent("one", &[APP])).await;
    rig.connect(&status);
    let refused = rig.edge().remove(&gateway("one")).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Conflict);
    assert_eq!(rig.names().await, leading(&[APP], &address(&status)));
    let owned = BTreeSet::from([gateway("one")]);
    assert_eq!(rig.edge().owned().await, Ok(owned));
}

async fn another_installation_is_not_seen_and_not_touched(rig: impl Rig) {
    let theirs = rig.other_installation().await;
    let there = applied(&*theirs, &intent("one", &[])).await;
    assert_eq!(rig.edge().owned().await, Ok(BTreeSet::new()));
    assert_eq!(rig.edge().remove(&gateway("one")).await, Ok(()));
    let still_there = applied(&*theirs, &intent("one", &[])).await;
    assert_eq!(still_there.tunnels, there.tunnels);
    let owned = BTreeSet::from([gateway("one")]);
    assert_eq!(theirs.owned().await, Ok(owned));
}

async fn records_whose_gateway_and_tunnel_are_gone_are_swept(rig: impl Rig) {
    applied(rig.edge(), &intent("one", &[APP, WILD])).await;
    let other = applied(rig.edge(), &intent("other", &[SHOP])).await;
    rig.lose_tunnel("one").await;
    let edge = rig.new_process().await;
    let owned = BTreeSet::from([gateway("other")]);
    assert_eq!(edge.owned().await, Ok(owned.clone()), "nothing leads to it");

    let swept = BTreeSet::from([APP.to_owned(), WILD.to_owned()]);
    assert_eq!(edge.sweep(&owned).await, Ok(swept));
    assert_eq!(rig.names().await, leading(&[SHOP], &address(&other)));
    assert_eq!(edge.sweep(&owned).await, Ok(BTreeSet::new()), "again");
}

async fn what_is_live_or_has_a_tunnel_or_is_somebody_elses_is_not_swept(rig: impl Rig) {
    applied(rig.edge(), &intent("one", &[APP])).await;
    applied(rig.edge(), &intent("other", &[SHOP])).await;
    rig.write_foreign_record(WILD);
    let before = (rig.names().await, rig.foreign_record(WILD).await);

    let theirs = rig.other_installation().await;
    assert_eq!(theirs.sweep(&BTreeSet::new()).await, Ok(BTreeSet::new()));
    let edge = rig.new_process().await;
    let nobody = edge.sweep(&BTreeSet::new()).await;
    assert_eq!(
        nobody,
        Ok(BTreeSet::new()),
        "both are found by their tunnels"
    );
    rig.lose_tunnel("one").await;
    let live = BTreeSet::from([gateway("one")]);
    assert_eq!(edge.sweep(&live).await, Ok(BTreeSet::new()), "it is mended");

    let after = (rig.names().await, rig.foreign_record(WILD).await);
    assert_eq!(after, before);
}

async fn a_gateway_without_a_tunnel_has_no_token_and_nothing_to_rotate(rig: impl Rig) {
    let none = gateway("one");
    let refused = rig.edge().connector_token(&none).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::NotFound);
    let retired = ConnectorToken::new("a token").hash();
    for refused in [
        rig.edge().retire_token(&none, retired).await.unwrap_err(),
        rig.edge().close_connections(&none).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, PortErrorKind::NotFound);
    }
    assert_eq!(rig.edge().owned().await, Ok(BTreeSet::new()));
}

async fn a_token_is_replaced_once_however_often_that_is_asked(rig: impl Rig) {
    let (edge, one) = (rig.edge(), gateway("one"));
    applied(edge, &intent("one", &[APP])).await;
    let first = edge.connector_token(&one).await.unwrap();
    applied(edge, &intent("one", &[APP, SHOP])).await;
    assert!(first.is_same(&edge.connector_token(&one).await.unwrap()));
    let mut known = vec![first.hash()];
    for retired in [0, 0, 0, 1, 0, 1] {
        edge.retire_token(&one, known[retired]).await.unwrap();
        let now = edge.connector_token(&one).await.unwrap().hash();
        if known.last() != Some(&now) {
            assert!(!known.contains(&now), "an old token is in force again");
            known.push(now);
        }
    }
    assert_eq!(known.len(), 3);
}

async fn a_new_secret_leaves_the_tunnel_and_its_names(rig: impl Rig) {
    let mut before = applied(rig.edge(), &intent("one", &[APP])).await;
    before.changes = Changes::default();
    let (edge, one) = (rig.edge(), gateway("one"));
    let token = edge.connector_token(&one).await.unwrap();
    edge.retire_token(&one, token.hash()).await.unwrap();
    edge.close_connections(&one).await.unwrap();
    assert_eq!(rig.names().await, leading(&[APP], &address(&before)));
    let after = applied(rig.edge(), &intent("one", &[APP])).await;
    assert_eq!(after, before);
}

async fn a_gateway_without_credentials_is_told_so_and_keeps_what_it_has(rig: impl Rig) {
    let before = applied(rig.edge(), &intent("one", &[APP])).await;
    rig.take_credentials_away(&gateway("one"));
    let refused = rig.edge().reconcile(&intent("one", &[SHOP])).await;
    assert_eq!(refused.unwrap_err().kind, PortErrorKind::Credentials);
    assert_eq!(rig.names().await, leading(&[APP], &address(&before)));
    applied(rig.edge(), &intent("other", &[SHOP])).await;
}

async fn a_token_that_may_not_edit_dns_still_makes_the_tunnel(rig: impl Rig) {
    rig.forbid_dns();
    let status = stated(rig.edge(), &intent("one", &[APP])).await;
    let outcome = &status.hostnames[&hostname(APP)];
    assert!(
        matches!(outcome, HostnameOutcome::Forbidden { .. }),
        "{outcome:?}"
    );
    assert!(!address(&status).is_empty());
    assert!(rig.edge().connector_token(&gateway("one")).await.is_ok());
}

async fn an_edge_that_cannot_be_reached_is_unknown_and_nothing_is_lost(rig: impl Rig) {
    let (edge, one) = (rig.edge(), gateway("one"));
    let before = applied(edge, &intent("one", &[APP])).await;
    rig.cut_off();
    let stated = edge.reconcile(&intent("one", &[SHOP])).await;
    let retired = ConnectorToken::new("a token").hash();
    for (call, kind) in [
        ("reconcile", stated.unwrap_err().kind),
        ("owned", edge.owned().await.unwrap_err().error.kind),
        ("token", edge.connector_token(&one).await.unwrap_err().kind),
        (
            "retire",
            edge.retire_token(&one, retired).await.unwrap_err().kind,
        ),
        (
            "close",
            edge.close_connections(&one).await.unwrap_err().kind,
        ),
        ("remove", edge.remove(&one).await.unwrap_err().kind),
        (
            "sweep",
            edge.sweep(&BTreeSet::new()).await.unwrap_err().kind,
        ),
    ] {
        assert_eq!(kind, PortErrorKind::Unavailable, "{call}");
    }
    rig.mend();
    assert_eq!(edge.owned().await, Ok(BTreeSet::from([one.clone()])));
    assert_eq!(rig.names().await, leading(&[APP], &address(&before)));
    assert_eq!(edge.remove(&one).await, Ok(()));
    assert_eq!(edge.owned().await, Ok(BTreeSet::new()));
}
