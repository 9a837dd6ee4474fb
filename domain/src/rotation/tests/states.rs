//! What follows from what is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    CLOSE_ANNOTATION, FORCE_ANNOTATION, REQUEST_ANNOTATION, Request, RotationIntent, RotationState,
    Schedule, Stage, rollout,
};
use super::at;
use crate::names::Timestamp;
use crate::secret::{ConnectorToken, TokenHash};

fn hash(token: &str) -> TokenHash {
    ConnectorToken::new(token).hash()
}

fn intent(schedule: Option<&str>, request: Option<&str>) -> RotationIntent {
    let schedule = schedule.map(|cron| Schedule::parse(cron, None).unwrap());
    annotated(schedule, request, None, None)
}

fn annotated(
    schedule: Option<Schedule>,
    request: Option<&str>,
    force: Option<&str>,
    close: Option<&str>,
) -> RotationIntent {
    let written = [
        (REQUEST_ANNOTATION, request),
        (FORCE_ANNOTATION, force),
        (CLOSE_ANNOTATION, close),
    ];
    let written = written.into_iter();
    let annotations = written.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
    RotationIntent::new(schedule, &annotations.collect())
}

/// Does all that is due now, at once. Whether anything was.
fn rotate(state: &mut RotationState, intent: &RotationIntent, now: Timestamp) -> bool {
    if let Some(rescheduled) = state.rescheduled(intent, now) {
        *state = rescheduled;
    }
    let is_due = state.is_due(intent, now);
    if is_due {
        *state = state.begun(intent, hash("old"), now);
        assert!(!state.is_due(intent, now), "it is under way");
        *state = state.replaced(hash("old"), now).finished();
        assert!(!state.is_due(intent, now), "it was done");
    }
    is_due
}

#[test]
fn a_state_from_more_than_a_day_ahead_counts_from_now() {
    let intent = intent(None, None);
    let now = at("2026-01-02T00:00:00Z");
    for (ahead, is_changed) in [(86_400, false), (86_401, true)] {
        let state = RotationState::first_seen(&intent, Timestamp(now.0 + ahead));
        let changed = state.rescheduled(&intent, now);
        assert_eq!(changed.is_some(), is_changed, "{ahead}");
    }
}

#[test]
fn each_trigger_rotates_once() {
    let daily = Some("0 0 * * *");
    // What is wanted at which time, and whether the token is replaced. The Gateway is first seen in the first row.
    let tables: &[(&str, &[_])] = &[
        (
            "a schedule",
            &[
                ("2026-01-01T12:00:00Z", daily, None, false),
                ("2026-01-01T23:59:59Z", daily, None, false),
                ("2026-01-02T00:00:00Z", daily, None, true),
                ("2026-01-02T00:00:00Z", daily, None, false),
                ("2026-01-02T00:00:01Z", daily, None, false),
                ("2026-01-03T00:00:07Z", daily, None, true),
            ],
        ),
        (
            "times that were missed are one",
            &[
                ("2026-01-01T12:00:00Z", daily, None, false),
                ("2026-03-01T12:00:00Z", daily, None, true),
                ("2026-03-01T12:00:01Z", daily, None, false),
            ],
        ),
        (
            "@every",
            &[
                ("2026-01-01T12:00:00Z", Some("@every 1h"), None, false),
                ("2026-01-01T12:10:00Z", Some("@every 1h"), None, false),
                ("2026-01-01T13:10:00Z", Some("@every 1h"), None, true),
                ("2026-01-01T13:10:01Z", Some("@every 1h"), None, false),
                ("2026-01-01T14:10:00Z", Some("@every 1h"), None, true),
            ],
        ),
        (
            "a schedule that is changed counts from then on",
            &[
                ("2026-01-01T12:00:00Z", daily, None, false),
                ("2026-01-01T12:30:00Z", Some("0 * * * *"), None, false),
                ("2026-01-01T13:00:00Z", Some("0 * * * *"), None, true),
            ],
        ),
        (
            "a schedule that is switched off and on again",
            &[
                ("2026-01-01T12:00:00Z", daily, None, false),
                ("2026-01-01T13:00:00Z", None, None, false),
                ("2026-01-02T13:00:00Z", None, None, false),
                ("2026-01-02T13:00:00Z", daily, None, false),
                ("2026-01-03T00:00:00Z", daily, None, true),
            ],
        ),
        (
            "a request, without a schedule",
            &[
                ("2026-01-01T12:00:00Z", None, None, false),
                (
                    "2026-01-01T12:00:01Z",
                    None,
                    Some("2026-01-01T12:00:00.000000001Z"),
                    true,
                ),
                (
                    "2026-01-01T12:00:01Z",
                    None,
                    Some("2026-01-01T12:00:00.000000001Z"),
                    false,
                ),
                (
                    "2026-01-01T12:00:01Z",
                    None,
                    Some("2026-01-01T12:00:00.000000002Z"),
                    true,
                ),
                (
                    "2026-01-01T12:00:01Z",
                    None,
                    Some("2026-01-01T12:00:00.000000002Z"),
                    false,
                ),
            ],
        ),
        (
            "a request that is no time, or one to come",
            &[
                ("2026-01-01T12:00:00Z", None, None, false),
                ("2026-01-01T12:00:01Z", None, Some("now"), true),
                ("2026-01-01T12:00:02Z", None, Some("now"), false),
                (
                    "2026-01-01T12:00:03Z",
                    None,
                    Some("2099-01-01T00:00:00Z"),
                    true,
                ),
                (
                    "2026-01-01T12:00:04Z",
                    None,
                    Some("2099-01-01T00:00:00Z"),
                    false,
                ),
                (
                    "2099-01-01T12:00:04Z",
                    None,
                    Some("2099-01-01T00:00:00Z"),
                    false,
                ),
            ],
        ),
        (
            "a request that is taken away and set again",
            &[
                ("2026-01-01T12:00:00Z", None, None, false),
                ("2026-01-01T12:00:01Z", None, Some("now"), true),
                ("2026-01-01T12:00:02Z", None, None, false),
                ("2026-01-01T12:00:02Z", None, Some(""), false),
                ("2026-01-01T12:00:03Z", None, Some("now"), false),
            ],
        ),
        (
            "an old request of a Gateway that comes back from a backup",
            &[
                (
                    "2026-01-01T12:00:00Z",
                    None,
                    Some("2025-01-01T12:00:00Z"),
                    false,
                ),
                (
                    "2026-01-01T12:00:01Z",
                    None,
                    Some("2025-01-01T12:00:00Z"),
                    false,
                ),
            ],
        ),
        (
            "a request and the schedule at the same time are one",
            &[
                ("2026-01-01T12:00:00Z", daily, None, false),
                ("2026-01-02T00:00:01Z", daily, Some("now"), true),
                ("2026-01-02T00:00:01Z", daily, Some("now"), false),
            ],
        ),
        (
            "a clock that is put back a little, and one that was wrong by years",
            &[
                ("2026-01-01T23:59:59Z", daily, None, false),
                ("2026-01-02T00:00:00Z", daily, None, true),
                ("2026-01-01T23:59:59Z", daily, None, false),
                ("2026-01-02T00:00:00Z", daily, None, false),
                ("2030-01-01T00:00:00Z", daily, None, true),
                ("2026-01-02T12:00:00Z", daily, None, false),
                ("2026-01-03T00:00:00Z", daily, None, true),
            ],
        ),
    ];
    for (case, rows) in tables {
        let (first, cron, request, _) = rows[0];
        let mut state = RotationState::first_seen(&intent(cron, request), at(first));
        for (now, cron, request, expected) in rows.iter() {
            let rotated = rotate(&mut state, &intent(*cron, *request), at(now));
            assert_eq!(rotated, *expected, "{case}: {now}");
        }
    }
}

#[test]
fn nothing_is_due_while_a_rotation_is_under_way_and_what_came_meanwhile_follows_it() {
    let now = at("2026-01-01T12:00:00Z");
    let first = RotationState::first_seen(&intent(None, None), now);
    let begun = first.begun(&intent(None, Some("one")), hash("old"), now);
    assert_eq!(begun.stage, Stage::Replace(hash("old")));
    let wanted = intent(Some("@every 1h"), Some("two"));
    let later = at("2026-01-02T12:00:00Z");
    for state in [&begun, &begun.replaced(hash("old"), now)] {
        assert!(!state.is_due(&wanted, later));
        let facts = state.facts(&wanted, None);
        assert!(facts.is_under_way && facts.handled.is_none());
    }
    let finished = begun.replaced(hash("old"), now).finished();
    assert!(finished.is_due(&wanted, later));
    let facts = finished.facts(&wanted, None);
    assert_eq!(facts.handled, Request::new("one"));
    assert_eq!(facts.last, Some(now));
    assert_eq!(facts.next, Some(at("2026-01-01T13:00:00Z")));
}

#[test]
fn only_a_forced_request_does_not_wait_for_replicas() {
    for (request, force, close, waits, closes) in [
        (Some("a"), None, None, true, false),
        (Some("a"), Some("a"), None, false, false),
        (Some("a"), Some("b"), Some("a"), true, true),
        (None, Some("a"), Some("a"), true, false),
        (Some(""), Some(""), Some(""), true, false),
        // One that was done is no reason to force the next time of the schedule.
        (Some("done"), Some("done"), Some("done"), true, true),
    ] {
        let done = intent(None, Some("done"));
        let state = RotationState::first_seen(&done, Timestamp(0));
        let wanted = annotated(None, request, force, close);
        assert_eq!(
            state.waits_for_replicas(&wanted),
            waits,
            "{request:?} {force:?}"
        );
        assert_eq!(wanted.closes_connections, closes, "{request:?} {close:?}");
    }
}

#[test]
fn a_request_is_kept_as_it_is_unless_it_is_long() {
    assert_eq!(Request::new("now").unwrap().to_string(), "now");
    let (one, two) = ("x".repeat(200_000), "x".repeat(200_001));
    let (one, two) = (Request::new(&one).unwrap(), Request::new(&two).unwrap());
    assert_ne!(one, two);
    assert_eq!(one.to_string().len(), 71);
}

#[test]
fn replicas_take_a_new_token_one_after_another() {
    let (old, new) = (hash("old"), hash("new"));
    let replicas: Vec<_> = ["a", "b", "c"].map(str::to_owned).into();
    let row = |held: &[(&str, &[TokenHash])]| {
        let held = held.iter();
        let held = held.map(|(replica, tokens)| {
            let tokens: BTreeSet<_> = tokens.iter().copied().collect();
            ((*replica).to_owned(), tokens)
        });
        Some(held.collect::<BTreeMap<_, _>>())
    };
    for (case, held, waiting, is_over) in [
        ("not known", None, &["b", "c"][..], false),
        (
            "begins",
            row(&[("a", &[old]), ("b", &[old]), ("c", &[old])]),
            &["b", "c"],
            false,
        ),
        (
            "has both",
            row(&[("a", &[old, new]), ("b", &[old]), ("c", &[old])]),
            &["b", "c"],
            false,
        ),
        (
            "first done",
            row(&[("a", &[new]), ("b", &[old]), ("c", &[old])]),
            &["c"],
            false,
        ),
        (
            "last",
            row(&[("a", &[new]), ("b", &[new]), ("c", &[old])]),
            &[],
            false,
        ),
        (
            "all",
            row(&[("a", &[new]), ("b", &[new]), ("c", &[new])]),
            &[],
            true,
        ),
        (
            "one is not connected",
            row(&[("a", &[]), ("b", &[old]), ("c", &[old])]),
            &["c"],
            false,
        ),
        ("one is missing", row(&[("b", &[old])]), &[], false),
        ("none is there", row(&[]), &[], true),
        (
            "one that nobody wants any more",
            row(&[("z", &[old])]),
            &[],
            true,
        ),
    ] {
        let found = rollout(&replicas, &held, new);
        let expected: BTreeSet<_> = waiting.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found.waiting, expected, "{case}");
        assert_eq!(found.is_over, is_over, "{case}");
    }
}
