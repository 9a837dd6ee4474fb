//! XBackendTrafficPolicies.

use std::time::Duration;

use adapter_gateway_api::{Object, read};
use domain::gateway::{BackendTrafficPolicy, RetryConstraint, SessionCarrier};

use crate::{object, reference, summary, value};

fn text(spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {{name: p, namespace: apps}}\n\
         spec: {{{spec}}}"
    )
}

fn policy(spec: &str) -> BackendTrafficPolicy {
    match object(&text(spec)) {
        Object::BackendTrafficPolicy(policy) => policy,
        other => panic!("{other:?}"),
    }
}

const TARGET: &str = "targetRefs: [{group: '', kind: Service, name: store}]";

#[test]
fn a_constraint_is_read_with_the_defaults_of_the_schema() {
    let seconds = Duration::from_secs;
    let default = RetryConstraint::default();
    for (written, expected) in [
        ("retryConstraint: {}", Some(default)),
        (
            "retryConstraint: {budget: {percent: 0, interval: 1m}, minRetryRate: {count: 3, interval: 500ms}}",
            Some(RetryConstraint {
                percent: 0,
                interval: seconds(60),
                min_count: 3,
                min_interval: Duration::from_millis(500),
            }),
        ),
        (
            "retryConstraint: {budget: {percent: 100}}",
            Some(RetryConstraint {
                percent: 100,
                ..default
            }),
        ),
        ("sessionPersistence: {}", None),
    ] {
        let policy = policy(&format!("{TARGET}, {written}"));
        assert_eq!(policy.field_errors, [], "{written}");
        assert_eq!(policy.retries, expected, "{written}");
        let target = reference("", "Service", "apps", "store");
        assert_eq!(policy.targets[0].object, target);
    }
}

#[test]
fn sessions_of_a_policy_have_a_name_only_where_one_is_written() {
    for (written, name) in [
        ("{}", None),
        ("{sessionName: stay}", Some("stay")),
        ("{sessionName: ''}", None),
        ("{cookie: {name: stay}}", Some("stay")),
        ("{cookie: {path: /}}", None),
        ("{type: Header, header: {name: X-Stay}}", Some("x-stay")),
        ("{type: Header}", None),
    ] {
        let policy = policy(&format!("{TARGET}, sessionPersistence: {written}"));
        assert_eq!(policy.field_errors, [], "{written}");
        let session = policy.session.expect("a session");
        assert_eq!(session.is_named, name.is_some(), "{written}");
        let found = match session.session.carrier {
            SessionCarrier::Cookie(cookie) => cookie.name,
            SessionCarrier::Header(name) => name,
        };
        assert_eq!(found, name.unwrap_or_default(), "{written}");
    }
}

#[test]
fn what_is_wrong_in_a_traffic_policy_is_told_by_its_field() {
    let retries = "spec.retryConstraint";
    for (spec, expected) in [
        (String::new(), "invalid spec.targetRefs".to_owned()),
        (
            format!("{TARGET}, retryConstraint: {{budget: {{percent: 101}}}}"),
            format!("invalid {retries}.budget.percent"),
        ),
        (
            format!("{TARGET}, retryConstraint: {{budget: {{interval: 999ms}}}}"),
            format!("invalid {retries}.budget.interval"),
        ),
        (
            format!("{TARGET}, retryConstraint: {{budget: {{interval: 3601s}}}}"),
            format!("invalid {retries}.budget.interval"),
        ),
        (
            format!("{TARGET}, retryConstraint: {{minRetryRate: {{count: 0}}}}"),
            format!("invalid {retries}.minRetryRate.count"),
        ),
        (
            format!("{TARGET}, retryConstraint: {{minRetryRate: {{interval: 0s}}}}"),
            format!("invalid {retries}.minRetryRate.interval"),
        ),
        (
            format!("{TARGET}, retryConstraint: {{minRetryRate: {{interval: soon}}}}"),
            format!("invalid {retries}.minRetryRate.interval"),
        ),
        (
            format!("{TARGET}, sessionPersistence: {{absoluteTimeout: 0s}}"),
            "invalid spec.sessionPersistence.absoluteTimeout".to_owned(),
        ),
        (
            format!("{TARGET}, circuitBreaker: {{}}"),
            "unsupported spec.circuitBreaker".to_owned(),
        ),
    ] {
        let mut found = summary(&policy(&spec).field_errors);
        found.dedup();
        assert_eq!(found, [expected], "{spec}");
    }
    assert!(read(value(&text("targetRefs: store"))).is_err());
}
