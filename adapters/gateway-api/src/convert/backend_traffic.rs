//! XBackendTrafficPolicy, of the experimental group.

use std::time::Duration;

use domain::gateway::{BackendSession, BackendTrafficPolicy, PolicyTarget, RetryConstraint};
use domain::{ObjectKey, ObjectRef};

use super::{session, text};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{SessionPersistence, api_type};

/// Limits of the schema.
const MOST_TARGETS: usize = 16;
const MOST_PERCENT: i64 = 100;
const MOST_COUNT: i64 = 1_000_000;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

api_type! {
    /// `XBackendTrafficPolicy.spec`.
    BackendTrafficPolicySpec {
        target_refs: Vec<LocalPolicyTargetReference>,
        retry_constraint: Option<WrittenConstraint>,
        session_persistence: Option<SessionPersistence>,
    }
}

api_type! {
    /// One of `spec.targetRefs`.
    LocalPolicyTargetReference {
        group: String,
        kind: String,
        name: String,
    }
}

api_type! {
    /// `spec.retryConstraint`.
    WrittenConstraint {
        budget: Option<BudgetDetails>,
        min_retry_rate: Option<RequestRate>,
    }
}

api_type! {
    /// `retryConstraint.budget`.
    BudgetDetails {
        percent: Option<i64>,
        interval: Option<String>,
    }
}

api_type! {
    /// `retryConstraint.minRetryRate`.
    RequestRate {
        count: Option<i64>,
        interval: Option<String>,
    }
}

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<BackendTrafficPolicy, ReadError> {
    let key = header.key();
    let spec: BackendTrafficPolicySpec = fields.read("spec")?;
    Ok(BackendTrafficPolicy {
        generation: header.metadata.generation,
        created: header.created(fields)?,
        targets: targets(fields, &spec.target_refs, &key),
        retries: spec.retry_constraint.map(|it| constraint(fields, &it)),
        session: spec
            .session_persistence
            .and_then(|it| shared_session(fields, &it)),
        field_errors: fields.field_errors(),
        key,
    })
}

fn targets(
    fields: &Fields,
    written: &[LocalPolicyTargetReference],
    own: &ObjectKey,
) -> Vec<PolicyTarget> {
    let field = "spec.targetRefs";
    if written.is_empty() {
        fields.invalid(field, "Required value: name a Service");
    }
    if written.len() > MOST_TARGETS {
        let message = format!(
            "Too many: {}: must have at most {MOST_TARGETS} items",
            written.len()
        );
        fields.invalid(field, message);
    }
    let written = written.iter().take(MOST_TARGETS).enumerate();
    let target = |(index, written): (usize, &LocalPolicyTargetReference)| {
        fields.required(format!("{field}[{index}].name"), &written.name);
        PolicyTarget {
            object: ObjectRef {
                group: written.group.clone(),
                kind: written.kind.clone(),
                key: ObjectKey::new(&own.namespace, &written.name),
            },
            section: None,
        }
    };
    written.map(target).collect()
}

fn constraint(fields: &Fields, written: &WrittenConstraint) -> RetryConstraint {
    let default = RetryConstraint::default();
    let field = "spec.retryConstraint";
    let budget = written.budget.clone().unwrap_or_default();
    let rate = written.min_retry_rate.clone().unwrap_or_default();
    let (percent, count) = (
        format!("{field}.budget.percent"),
        format!("{field}.minRetryRate.count"),
    );
    RetryConstraint {
        percent: number(fields, percent, budget.percent, (0, MOST_PERCENT))
            .unwrap_or(default.percent),
        interval: interval(
            fields,
            format!("{field}.budget.interval"),
            budget.interval.as_deref(),
            SHORTEST,
        )
        .unwrap_or(default.interval),
        min_count: number(fields, count, rate.count, (1, MOST_COUNT)).unwrap_or(default.min_count),
        min_interval: interval(
            fields,
            format!("{field}.minRetryRate.interval"),
            rate.interval.as_deref(),
            Duration::from_millis(1),
        )
        .unwrap_or(default.min_interval),
    }
}

fn number(
    fields: &Fields,
    field: String,
    written: Option<i64>,
    (least, most): (i64, i64),
) -> Option<u32> {
    let written = written?;
    let valid = (least..=most).contains(&written);
    if !valid {
        let message = format!("Invalid value: {written}: must be from {least} to {most}");
        fields.invalid(field, message);
    }
    u32::try_from(written).ok().filter(|_| valid)
}

fn interval(
    fields: &Fields,
    field: String,
    written: Option<&str>,
    shortest: Duration,
) -> Option<Duration> {
    let interval = text::duration(fields, field.clone(), written?)?;
    let fits = (shortest..=LONGEST).contains(&interval);
    if !fits {
        let message = format!("Invalid value: {interval:?}: must be from {shortest:?} to 1h");
        fields.invalid(field, message);
    }
    Some(interval).filter(|_| fits)
}

/// The sessions of a policy name no rule, so a name that is not written is left to each rule.
fn shared_session(fields: &Fields, written: &SessionPersistence) -> Option<BackendSession> {
    let session = session::of_policy(fields, "spec.sessionPersistence", written)?;
    Some(BackendSession {
        session,
        is_named: session::has_name(written),
    })
}
