//! `suspend`, `resume` and `reconcile`: whether and when the controller works on a Gateway.

use domain::ObjectKey;
use domain::gateway::{RECONCILE_ANNOTATION, RECONCILE_REQUEST_ANNOTATION};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::objects::{GatewayStatus, condition};
use crate::screen::Screen;
use crate::wait::Wait;

/// The value of [`RECONCILE_ANNOTATION`] that suspends.
const DISABLED: &str = "disabled";

/// The value that is set to go on.
const ENABLED: &str = "enabled";

/// Suspends a Gateway.
///
/// # Errors
/// It cannot be read or written.
pub async fn suspend(
    cluster: &Cluster,
    gateway: &ObjectKey,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if cluster.gateway(gateway).await?.is_suspended() {
        screen.line(format_args!(
            "Reconciliation is already suspended for Gateway {gateway}"
        ));
        return Ok(());
    }
    cluster
        .annotate(gateway, &[(RECONCILE_ANNOTATION, DISABLED)])
        .await?;
    screen.line(format_args!(
        "Suspended reconciliation for Gateway {gateway}"
    ));
    Ok(())
}

/// Ends the suspension of a Gateway and has it reconciled. `now` is the value of the request.
///
/// # Errors
/// It cannot be read or written, or does not become ready while it is waited for.
pub async fn resume(
    cluster: &Cluster,
    gateway: &ObjectKey,
    now: &str,
    wait: Option<Wait>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if !cluster.gateway(gateway).await?.is_suspended() {
        screen.line(format_args!(
            "Reconciliation is not suspended for Gateway {gateway}"
        ));
        return Ok(());
    }
    let annotations = [
        (RECONCILE_ANNOTATION, ENABLED),
        (RECONCILE_REQUEST_ANNOTATION, now),
    ];
    cluster.annotate(gateway, &annotations).await?;
    screen.line(format_args!("Resumed reconciliation for Gateway {gateway}"));
    wait_until_handled(cluster, gateway, now, wait, screen).await
}

/// Has a Gateway reconciled now. `now` is the value of the request.
///
/// # Errors
/// It is suspended, cannot be read or written, or does not become ready while it is waited for.
pub async fn reconcile(
    cluster: &Cluster,
    gateway: &ObjectKey,
    now: &str,
    wait: Option<Wait>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if cluster.gateway(gateway).await?.is_suspended() {
        return Err(suspended(gateway));
    }
    cluster
        .annotate(gateway, &[(RECONCILE_REQUEST_ANNOTATION, now)])
        .await?;
    screen.line(format_args!(
        "Requested reconciliation for Gateway {gateway}"
    ));
    wait_until_handled(cluster, gateway, now, wait, screen).await
}

/// Nothing is done for a suspended Gateway.
pub(crate) fn suspended(gateway: &ObjectKey) -> Failure {
    let ObjectKey { namespace, name } = gateway;
    Failure::new(
        format!("Gateway {gateway}: reconciliation is suspended"),
        format!("resume it: cfgwctl resume gateway {name} --namespace {namespace}"),
    )
}

async fn wait_until_handled(
    cluster: &Cluster,
    gateway: &ObjectKey,
    request: &str,
    wait: Option<Wait>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let Some(wait) = wait else {
        return Ok(());
    };
    let waiting = wait.begin();
    let mut shown = String::new();
    loop {
        let status = cluster.gateway_status(gateway).await?;
        let told = match progress(status.as_ref(), request) {
            Progress::Pending(told) => told,
            Progress::Done => {
                screen.line("Reconciliation completed");
                return Ok(());
            }
            Progress::Failed(why) => {
                return Err(Failure::new(
                    format!("Gateway {gateway}: reconciled, and not ready: {why}"),
                    "",
                ));
            }
        };
        if told != shown {
            screen.line(format_args!("Waiting: {told}"));
            shown = told;
        }
        if !waiting.goes_on().await {
            return Err(Failure::timed_out(
                format!("Gateway {gateway}: {shown}"),
                "see cfgwctl status, and the log of the controller; --timeout waits longer",
            ));
        }
    }
}

/// How far a request is.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// What is waited for.
    Pending(String),
    Done,
    /// Something has to be edited.
    Failed(String),
}

fn progress(status: Option<&GatewayStatus>, request: &str) -> Progress {
    let Some(GatewayStatus { status, .. }) = status else {
        let told = "there is no CloudflareGatewayStatus of the Gateway yet";
        return Progress::Pending(told.to_owned());
    };
    if status.last_handled_reconcile_at != request {
        let told = "the controller has not carried out the request yet";
        return Progress::Pending(told.to_owned());
    }
    let Some(ready) = condition(&status.conditions, "Ready") else {
        return Progress::Pending("the Gateway has no condition Ready yet".to_owned());
    };
    match ready.status.as_str() {
        "True" => Progress::Done,
        "False" => Progress::Failed(ready.message.clone()),
        _ => Progress::Pending(format!("{}: {}", ready.reason, ready.message)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::gateway::Reconciling;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_values_that_are_set_suspend_and_resume() {
        for (value, suspends) in [(DISABLED, true), (ENABLED, false)] {
            let annotations = BTreeMap::from([(RECONCILE_ANNOTATION.to_owned(), value.to_owned())]);
            let (read, field_error) = Reconciling::read(&annotations);
            assert_eq!(
                (read.is_suspended, field_error),
                (suspends, None),
                "{value}"
            );
        }
    }

    #[test]
    fn a_request_is_done_once_it_was_carried_out_and_the_gateway_is_ready() {
        let pending = |told: &str| Progress::Pending(told.to_owned());
        let not_yet = "the controller has not carried out the request yet";
        for (given, handled, ready, expected) in [
            ("another request", "1", "True", pending(not_yet)),
            ("this one", "2", "True", Progress::Done),
            ("on its way", "2", "Unknown", pending("Why: because")),
            (
                "not ready",
                "2",
                "False",
                Progress::Failed("because".to_owned()),
            ),
        ] {
            let status = json!({ "status": {
                "lastHandledReconcileAt": handled,
                "conditions": [{
                    "type": "Ready", "status": ready, "reason": "Why", "message": "because",
                }],
            }});
            let status: GatewayStatus = serde_json::from_value(status).expect("a status");
            assert_eq!(progress(Some(&status), "2"), expected, "{given}");
        }
        let absent = pending("there is no CloudflareGatewayStatus of the Gateway yet");
        assert_eq!(progress(None, "2"), absent);
    }
}
