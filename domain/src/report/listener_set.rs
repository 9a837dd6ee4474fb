//! Statuses of ListenerSets.

use super::gateway::{listener_conditions, listener_part};
use super::route::Attached;
use super::{Context, Verdict, ready, reference};
use crate::attachment::{GatewayResolution, ListenerSetResolution, unserved_listeners};
use crate::gateway::LISTENER_SET_KIND;
use crate::names::ObjectKey;
use crate::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};

/// Statuses of the ListenerSets that name one Gateway. `programmed` is that condition of the Gateway.
pub(super) fn statuses(
    gateway: &GatewayResolution,
    programmed: &Condition,
    context: &Context<'_>,
    attached: &Attached<'_>,
) -> Vec<StatusUpdate> {
    let sets = gateway.listener_sets.iter();
    sets.map(|set| status(set, gateway, programmed, context, attached))
        .collect()
}

fn status(
    set: &ListenerSetResolution,
    gateway: &GatewayResolution,
    programmed: &Condition,
    context: &Context<'_>,
    attached: &Attached<'_>,
) -> StatusUpdate {
    let key = &set.set.key;
    let generation = set.set.generation;
    let of_part = |part, conditions| StatusPart {
        part,
        gateway: Some(gateway.gateway.key.clone()),
        conditions,
    };
    let verdict = set_programmed(set, gateway, programmed);
    let listeners = gateway.listeners_of(key).map(|listener| {
        let part = listener_part(listener, gateway, attached);
        let conditions = listener_conditions(listener, (key, generation), &verdict, context);
        of_part(part, conditions)
    });
    let listeners: Vec<StatusPart> = listeners.collect();
    let mut whole = vec![
        accepted(set, gateway).condition(ConditionType::Accepted, generation),
        verdict.condition(ConditionType::Programmed, generation),
    ];
    let ready = readiness(key, &whole, programmed, &listeners);
    whole.extend(ready::conditions(ready, generation));
    let whole = of_part(Part::Object, whole);
    StatusUpdate {
        object: reference(LISTENER_SET_KIND, key),
        addresses: Vec::new(),
        details: None,
        parts: std::iter::once(whole).chain(listeners).collect(),
    }
}

/// Ready by what the set and its listeners are, and by how far the Gateway is: that is on its way, or has to be edited.
fn readiness(
    key: &ObjectKey,
    whole: &[Condition],
    programmed: &Condition,
    listeners: &[StatusPart],
) -> Verdict {
    let of_listeners = listeners.iter().flat_map(|listener| &listener.conditions);
    let of_all = whole.iter().chain(of_listeners);
    let own = of_all.filter(|it| it.kind != ConditionType::Programmed);
    let subject = format!("{LISTENER_SET_KIND} {key}");
    ready::verdict(&subject, own.chain([programmed]))
}

/// How many of the ListenerSets that name a Gateway are accepted (Gateway API, `Gateway.status.attachedListenerSets`).
pub(super) fn attached(gateway: &GatewayResolution) -> u32 {
    let sets = gateway.listener_sets.iter();
    let accepted = sets.filter(|set| accepted(set, gateway).truth == Truth::True);
    u32::try_from(accepted.count()).unwrap_or(u32::MAX)
}

fn accepted(set: &ListenerSetResolution, gateway: &GatewayResolution) -> Verdict {
    Verdict::of(set.refusal.as_ref(), || {
        let key = &gateway.gateway.key;
        if let Some(refusal) = &gateway.refusal {
            let message = format!("Gateway {key} is not accepted; see its status");
            return match refusal.reason {
                Reason::Pending => Verdict::new(Truth::Unknown, Reason::Pending, message),
                _ => Verdict::new(Truth::False, Reason::ParentNotAccepted, message),
            };
        }
        let set = &set.set.key;
        let listeners: Vec<_> = gateway.listeners_of(set).cloned().collect();
        match unserved_listeners(&listeners) {
            None => {
                let message =
                    format!("Gateway {key} has all listeners of {LISTENER_SET_KIND} {set}");
                Verdict::new(Truth::True, Reason::Accepted, message)
            }
            Some(refused) => {
                let message = format!(
                    "Gateway {key} has the listeners of {LISTENER_SET_KIND} {set} without these: {refused}; see their conditions"
                );
                Verdict::new(Truth::True, Reason::ListenersNotValid, message)
            }
        }
    })
}

fn set_programmed(
    set: &ListenerSetResolution,
    gateway: &GatewayResolution,
    programmed: &Condition,
) -> Verdict {
    Verdict::of(set.refusal.as_ref(), || {
        let key = &gateway.gateway.key;
        // What the Gateway lacks may be its owner's alone to see.
        let message = match (programmed.truth, &gateway.refusal) {
            (Truth::True, _) => programmed.message.clone(),
            (_, Some(_)) => format!("Gateway {key} is not accepted; see its status"),
            (_, None) => format!("Gateway {key} is not programmed: {}", programmed.message),
        };
        let reason = match programmed.truth {
            Truth::True => Reason::Programmed,
            Truth::False => Reason::ParentNotProgrammed,
            Truth::Unknown => Reason::Pending,
        };
        Verdict::new(programmed.truth, reason, message)
    })
}
