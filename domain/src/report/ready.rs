//! Ready and Stalled: the sum of an object's other conditions, as kstatus (sigs.k8s.io/cli-utils), `kubectl wait`, Flux
//! and Argo CD read it.

use super::{Verdict, listed};
use crate::status::{Condition, ConditionType, Reason, Truth};

/// What a condition says of the object, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Done,
    OnItsWay,
    Retried,
    /// Something has to be edited.
    Failed,
}

/// The sum of these conditions; `subject` is what is ready once all of them are as they should be.
pub(super) fn verdict<'c>(
    subject: &str,
    conditions: impl IntoIterator<Item = &'c Condition>,
) -> Verdict {
    let judged: Vec<(Progress, &Condition)> = conditions
        .into_iter()
        .map(|condition| (progress(condition), condition))
        .collect();
    let worst = judged.iter().map(|(progress, _)| *progress).max();
    let (truth, reason) = match worst {
        None | Some(Progress::Done) => {
            let message = format!("{subject} is ready");
            return Verdict::new(Truth::True, Reason::ReconciliationSucceeded, message);
        }
        Some(Progress::OnItsWay) => (Truth::Unknown, Reason::Progressing),
        Some(Progress::Retried) => (Truth::Unknown, Reason::ProgressingWithRetry),
        Some(Progress::Failed) => (Truth::False, Reason::ReconciliationFailed),
    };
    let of_worst = judged.iter().filter(|(it, _)| Some(*it) == worst);
    let mut messages: Vec<String> = of_worst.map(|(_, it)| it.message.clone()).collect();
    messages.sort();
    messages.dedup();
    Verdict::new(truth, reason, listed(messages))
}

/// Ready of a whole object, and Stalled where it is failed.
pub(super) fn conditions(ready: Verdict, generation: i64) -> impl Iterator<Item = Condition> {
    let stalled = (ready.truth == Truth::False).then(|| Verdict {
        truth: Truth::True,
        ..ready.clone()
    });
    let ready = ready.condition(ConditionType::Ready, generation);
    let stalled = stalled.map(|it| it.condition(ConditionType::Stalled, generation));
    std::iter::once(ready).chain(stalled)
}

fn progress(condition: &Condition) -> Progress {
    let is_good = match condition.kind {
        ConditionType::Conflicted | ConditionType::PartiallyInvalid => {
            condition.truth == Truth::False
        }
        ConditionType::BackendTlsAffected => condition.reason == Reason::Accepted,
        _ => condition.truth == Truth::True,
    };
    match condition.reason {
        _ if is_good => Progress::Done,
        // Somebody else sees to the record, as the Gateway's parameters say.
        Reason::NotManaged => Progress::Done,
        // Whether the zone has another certificate is not known.
        Reason::NotCovered => Progress::Done,
        Reason::EdgeUnavailable | Reason::BrokerUnavailable | Reason::NoResources => {
            Progress::Retried
        }
        Reason::Pending => Progress::OnItsWay,
        _ if condition.truth == Truth::Unknown => Progress::OnItsWay,
        _ => Progress::Failed,
    }
}
