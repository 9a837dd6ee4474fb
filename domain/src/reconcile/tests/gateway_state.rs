//! What is remembered of one Gateway.

use super::*;
use crate::edge::{EdgeIntent, EdgeStatus};
use crate::reconcile::gateway_state::GatewayState;
use crate::reconcile::queue::Queue;

fn asks(names: &[&str]) -> BTreeMap<Hostname, Timestamp> {
    names
        .iter()
        .map(|name| (host(name), Timestamp(1)))
        .collect()
}

fn begun(names: &[&str]) -> (GatewayState, EdgeIntent) {
    let mut state = GatewayState::in_queue(Queue::Leftovers);
    let intent = crate::testing::intent(key("gw"), names);
    let found = judged(&quickstart(), &gateway("gw"));
    state.begin(&found, asks(names), &intent);
    (state, intent)
}

#[test]
fn a_gateway_was_begun_once_it_has_its_finalizer_or_was_stated() {
    let mut state = GatewayState::in_queue(Queue::Leftovers);
    assert!(!state.was_begun() && !state.has_finalizer());
    state.finalizer_added();
    assert!(state.was_begun() && state.has_finalizer() && !state.was_stated());
    state.finalizer_removed();
    assert!(!state.was_begun() && !state.has_finalizer());
    let (state, _) = begun(&[]);
    assert!(state.was_begun() && state.was_stated());
}

#[test]
fn what_an_answer_told_stays_known_while_the_edge_is_away() {
    let (mut state, _) = begun(&["a.example.com", "b.example.com"]);
    let status = EdgeStatus {
        hostnames: [
            (host("a.example.com"), HostnameOutcome::Applied),
            (host("b.example.com"), HostnameOutcome::NoZone),
        ]
        .into(),
        unwanted_kept: Some(BTreeSet::new()),
        ..EdgeStatus::default()
    };
    for answer in [Ok(status), Err(away())] {
        state.answered(answer.clone());
        assert_eq!(state.answer(), Some(&answer));
        assert_eq!(state.without_zone(), [host("b.example.com")].into());
        assert!(state.is_known_to_have(&host("a.example.com")));
        assert!(!state.is_known_to_have(&host("c.example.com")));
    }
    // The newest answer counts, though it is not all that there is to do.
    state.answered(Ok(EdgeStatus {
        failures: vec![away()],
        ..EdgeStatus::default()
    }));
    assert_eq!(state.without_zone(), BTreeSet::new());
}

#[test]
fn an_intent_is_stated_again_when_any_part_of_it_changes() {
    type Change = fn(&mut EdgeIntent);
    let changes: [(&str, bool, Change); 5] = [
        ("nothing", false, |_| {}),
        ("the Gateway", true, |intent| intent.gateway = key("other")),
        ("the names", true, |intent| {
            intent.hostnames.insert(host("b.example.com"));
        }),
        ("who has a name", true, |intent| {
            let lost_to = &mut intent.dns.lost_to;
            lost_to.insert(host("b.example.com"), key("other"));
        }),
        ("the certificates", true, |intent| {
            intent.certificates = match intent.certificates {
                None => Some(BTreeSet::new()),
                Some(_) => None,
            };
        }),
    ];
    for (given, needs, change) in changes {
        let (state, mut intent) = begun(&["a.example.com"]);
        change(&mut intent);
        assert_eq!(state.needs(&intent), needs, "{given}");
    }
}
