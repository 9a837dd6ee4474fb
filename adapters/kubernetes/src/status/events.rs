//! Events (`events.k8s.io/v1`) for conditions that flip and for objects that cannot be read. They are written in the background:
//! one that cannot be written stops nothing.

use std::collections::HashMap;

use adapter_gateway_api::status::is_same_entry;
use adapter_gateway_api::{Kind, Scope};
use domain::status::{EventReason, GatewayEvent};
use domain::{ObjectKey, ObjectRef};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use tokio::sync::mpsc;

use super::merge::items;
use crate::client::FIELD_MANAGER;
use crate::cluster::UnreadObject;
use crate::failure::told;

/// Longest note in bytes (Events API).
const LONGEST_NOTE: usize = 1024;

/// Condition types of which the truth `True` is the bad one.
const NEGATIVE: [&str; 3] = ["Conflicted", "PartiallyInvalid", "Stalled"];

/// What the Events about statuses are about, as those of other controllers say it.
const ACTION: &str = "Reconcile";

/// Events that wait to be written, at most. Those that come while so many wait are left out: the conditions say the
/// same.
const WAITING: usize = 256;

/// Notes whose Events become a series when they come again, at most.
const NOTES: usize = 256;

/// Writes Events, one after the other. Equal ones within six minutes become a series of one.
pub(super) struct Events {
    waiting: mpsc::Sender<(Event, ObjectReference)>,
}

/// A condition that flipped.
#[derive(Debug, PartialEq, Eq)]
struct Flip {
    kind: String,
    reason: String,
    /// The condition with its message, on one line.
    line: String,
    is_good: bool,
}

impl Events {
    /// Must be called within a tokio runtime.
    pub(super) fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: None,
        };
        let (waiting, mut next) = mpsc::channel::<(Event, ObjectReference)>(WAITING);
        tokio::spawn(async move {
            // A recorder makes a series of what differs in its note alone, and so loses the later notes: one for each note.
            let mut recorders = HashMap::new();
            while let Some((event, regarding)) = next.recv().await {
                if recorders.len() == NOTES {
                    recorders.clear();
                }
                let recorder = recorders
                    .entry(event.note.clone())
                    .or_insert_with(|| Recorder::new(client.clone(), reporter.clone()));
                if let Err(error) = recorder.publish(&event, &regarding).await {
                    tracing::debug!(error = %told(&error), "an Event was not written");
                }
            }
        });
        Self { waiting }
    }

    /// Writes one Event for all that flipped on a Gateway or route, in the background.
    pub(super) fn of_flips(&self, about: &ObjectRef, uid: &str, earlier: &Value, now: &Value) {
        let kind = Kind::of_object(about).filter(|kind| kind.scope() != Scope::Cluster);
        let Some(kind) = kind else {
            return;
        };
        let Some(event) = event(flips(earlier, now)) else {
            return;
        };
        let regarding = ObjectReference {
            api_version: Some(kind.api_version()),
            kind: Some(about.kind.clone()),
            namespace: Some(about.key.namespace.clone()),
            name: Some(about.key.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.tell(event, regarding);
    }

    /// Writes an Event of a Gateway.
    pub(super) fn of_gateway(&self, about: &ObjectKey, uid: &str, event: &GatewayEvent) {
        let regarding = ObjectReference {
            api_version: Some(Kind::Gateway.api_version()),
            kind: Some(Kind::Gateway.as_str().to_owned()),
            namespace: Some(about.namespace.clone()),
            name: Some(about.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: match event.reason {
                EventReason::Orphaned | EventReason::DriftRepaired | EventReason::EdgeChanged => {
                    EventType::Normal
                }
                EventReason::RemovalBlocked => EventType::Warning,
            },
            reason: event.reason.as_str().to_owned(),
            note: Some(shortened(event.message.clone())),
            action: match event.reason {
                EventReason::DriftRepaired | EventReason::EdgeChanged => ACTION,
                EventReason::Orphaned | EventReason::RemovalBlocked => "Finalize",
            }
            .to_owned(),
            secondary: None,
        };
        self.tell(event, regarding);
    }

    /// Writes an Event for an object that cannot be read. Whether there was room for it.
    pub(super) fn of_unread(&self, object: &UnreadObject) -> bool {
        let namespace = Some(object.key.namespace.clone());
        let regarding = ObjectReference {
            api_version: Some(object.kind.api_version()),
            kind: Some(object.kind.as_str().to_owned()),
            namespace: namespace.filter(|namespace| !namespace.is_empty()),
            name: Some(object.key.name.clone()),
            uid: Some(object.uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: "Unreadable".to_owned(),
            note: Some(shortened(format!(
                "{}; until then what was last read of it stays in force",
                object.why
            ))),
            action: "Read".to_owned(),
            secondary: None,
        };
        self.tell(event, regarding)
    }

    fn tell(&self, event: Event, regarding: ObjectReference) -> bool {
        self.waiting.try_send((event, regarding)).is_ok()
    }
}

/// One Event for these flips, with what has to be mended first.
fn event(mut flips: Vec<Flip>) -> Option<Event> {
    let ready = flips.iter().find(|flip| flip.kind == "Ready");
    let ready = ready.map(|flip| (flip.reason.clone(), flip.is_good));
    // Ready is the sum of the others, and its message theirs.
    let is_sum = |flip: &Flip| matches!(flip.kind.as_str(), "Ready" | "Stalled");
    if !flips.iter().all(is_sum) {
        flips.retain(|flip| !is_sum(flip));
    }
    flips.sort_by_key(|flip| flip.is_good);
    let first = flips.first()?;
    let (reason, is_good) = ready.unwrap_or_else(|| (first.reason.clone(), first.is_good));
    let lines: Vec<&str> = flips.iter().map(|flip| flip.line.as_str()).collect();
    Some(Event {
        type_: match is_good {
            true => EventType::Normal,
            false => EventType::Warning,
        },
        reason,
        note: Some(shortened(lines.join("; "))),
        action: ACTION.to_owned(),
        secondary: None,
    })
}

/// Conditions whose truth is another one now. A condition that is new, or was unknown until now, says something only
/// if it is not as it should be, or if it is the one that says that all is well; that it is not there yet is no news.
fn flips(earlier: &Value, now: &Value) -> Vec<Flip> {
    let mut flips = Vec::new();
    of_part("", earlier, now, &mut flips);
    for (field, parts) in now.as_object().into_iter().flatten() {
        for part in items(parts) {
            let writer = part["controllerName"].as_str();
            if writer.is_some_and(|writer| writer != domain::gateway::CONTROLLER_NAME) {
                continue;
            }
            let mut before = items(&earlier[field]).iter();
            let before = before.find(|before| is_same_entry(before, part));
            let prefix = match (part["name"].as_str(), part["parentRef"]["name"].as_str()) {
                (Some(listener), _) => format!("listener {listener}: "),
                (None, Some(gateway)) => format!("on {gateway}: "),
                (None, None) => String::new(),
            };
            of_part(&prefix, before.unwrap_or(&Value::Null), part, &mut flips);
        }
    }
    flips
}

fn of_part(prefix: &str, earlier: &Value, now: &Value, flips: &mut Vec<Flip>) {
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or("").to_owned();
    for condition in items(&now["conditions"]) {
        let mut before = items(&earlier["conditions"]).iter();
        let before = before.find(|before| before["type"] == condition["type"]);
        let kind = text(condition, "type");
        let truth = text(condition, "status");
        let was = before.map_or_else(String::new, |before| text(before, "status"));
        let good = match NEGATIVE.contains(&kind.as_str()) {
            true => "False",
            false => "True",
        };
        let is_good = truth == good;
        let was_known = matches!(was.as_str(), "True" | "False");
        let is_news =
            was_known || !is_good || matches!(kind.as_str(), "Accepted" | "Programmed" | "Ready");
        let reason = text(condition, "reason");
        let is_beginning = !was_known && reason == "Pending";
        if truth == was || truth == "Unknown" || !is_news || is_beginning {
            continue;
        }
        let message = text(condition, "message");
        flips.push(Flip {
            line: format!("{prefix}{kind}={truth}: {message}"),
            reason,
            kind,
            is_good,
        });
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let mut end = LONGEST_NOTE - '…'.len_utf8();
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(kind: &str, truth: &str) -> Value {
        json!({ "conditions": [
            { "type": kind, "status": truth, "reason": "Because", "message": "so it is" },
        ]})
    }

    #[test]
    fn a_condition_is_told_of_when_it_flips() {
        let nothing = Value::Null;
        for (earlier, now, told) in [
            (
                &nothing,
                status("Accepted", "True"),
                Some(("Accepted=True: so it is", true)),
            ),
            (
                &status("Accepted", "True"),
                status("Accepted", "True"),
                None,
            ),
            (
                &status("Accepted", "True"),
                status("Accepted", "False"),
                Some(("Accepted=False: so it is", false)),
            ),
            (&nothing, status("Conflicted", "False"), None),
            (
                &nothing,
                status("Conflicted", "True"),
                Some(("Conflicted=True: so it is", false)),
            ),
            (&nothing, status("ResolvedRefs", "True"), None),
            (
                &status("ResolvedRefs", "Unknown"),
                status("ResolvedRefs", "True"),
                None,
            ),
            (
                &status("Programmed", "Unknown"),
                status("Programmed", "True"),
                Some(("Programmed=True: so it is", true)),
            ),
            (
                &status("Programmed", "True"),
                status("Programmed", "Unknown"),
                None,
            ),
        ] {
            let flips = flips(earlier, &now);
            let flips: Vec<_> = flips.iter().map(|f| (f.line.as_str(), f.is_good)).collect();
            assert_eq!(flips, Vec::from_iter(told), "{earlier} → {now}");
        }
    }

    #[test]
    fn what_flipped_in_one_write_is_one_event_with_the_bad_news_first() {
        let flip = |kind: &str, reason: &str, is_good| Flip {
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            line: format!("{kind}: {reason}"),
            is_good,
        };
        let ready = || flip("Ready", "ReconciliationSucceeded", true);
        let failed = || flip("Ready", "ReconciliationFailed", false);
        let stalled = || flip("Stalled", "ReconciliationFailed", false);
        for (flips, told) in [
            (vec![], None),
            (
                vec![ready()],
                Some(("Ready: ReconciliationSucceeded", "ReconciliationSucceeded")),
            ),
            (
                vec![flip("Programmed", "Programmed", true), ready()],
                Some(("Programmed: Programmed", "ReconciliationSucceeded")),
            ),
            (
                vec![
                    flip("Accepted", "Accepted", true),
                    flip("DNS", "NoZone", false),
                    failed(),
                    stalled(),
                ],
                Some(("DNS: NoZone; Accepted: Accepted", "ReconciliationFailed")),
            ),
            (
                vec![flip("DNS", "NoZone", false)],
                Some(("DNS: NoZone", "NoZone")),
            ),
        ] {
            let event = event(flips);
            let event = event.as_ref();
            let found =
                event.map(|it| (it.note.as_deref().unwrap_or_default(), it.reason.as_str()));
            assert_eq!(found, told);
        }
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        let note = shortened("ü".repeat(LONGEST_NOTE));
        assert!(note.len() <= LONGEST_NOTE, "{}", note.len());
        assert!(note.ends_with('…'));
    }
}
