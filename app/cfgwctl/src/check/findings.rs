//! What follows from values that were read.

use adapter_gateway_api::Kind;
use domain::ObjectKey;
use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP};

use super::Finding;
use crate::failure::Failure;
use crate::objects::{Deployment, GatewayClass, Lease, condition};
use crate::screen::Tone;

/// Seconds by which two clocks may differ: certificates and tokens are made a little before they are used.
const CLOCKS_DIFFER_BY: i64 = 60;

/// The Gateway API that the controller is made for.
const MADE_FOR: (u32, u32) = (1, 6);

/// Seconds of the epoch of a date of HTTP (RFC 9110 §5.6.7).
pub(super) fn seconds(date: &str) -> Option<i64> {
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(date.timestamp().as_second())
}

pub(super) fn clock(date: Option<&str>, now: i64) -> Finding {
    let what = "clock";
    let Some(there) = date.and_then(seconds) else {
        return Finding::new(
            Tone::Unsure,
            what,
            "not known: the API server gives no date",
        );
    };
    let apart = (now - there).abs();
    match apart <= CLOCKS_DIFFER_BY {
        true => Finding::new(
            Tone::Good,
            what,
            "the API server has the time of this machine",
        ),
        false => Finding::new(
            Tone::Bad,
            what,
            format!("the API server's differs from this machine's by {apart} s; set both by NTP"),
        ),
    }
}

pub(super) fn crd(kind: Kind, served: Result<Option<String>, Failure>) -> Finding {
    let what = format!("CRD {}.{}", kind.plural(), kind.group());
    match served {
        Ok(Some(version)) => Finding::new(Tone::Good, what, format!("served as {version}")),
        Ok(None) => {
            let remedy = match kind.group() {
                GATEWAY_GROUP => {
                    "install the CRDs of the Gateway API 1.6: kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.1/standard-install.yaml"
                }
                _ => {
                    "install those of the chart: kubectl apply --server-side -f charts/cloudflare-gateway-controller/crds"
                }
            };
            Finding::new(Tone::Bad, what, format!("Not found; {remedy}"))
        }
        Err(failure) => Finding::unread(&what, &failure),
    }
}

pub(super) fn bundle(version: Option<&str>) -> Finding {
    let what = "Gateway API";
    let Some(version) = version else {
        return Finding::new(
            Tone::Unsure,
            what,
            "not known: its CRDs name no bundle version",
        );
    };
    let numbers = version.trim_start_matches('v').split('.');
    let mut numbers = numbers.map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match found >= MADE_FOR {
        true => Finding::new(Tone::Good, what, version),
        false => Finding::new(
            Tone::Unsure,
            what,
            format!(
                "{version} is older than 1.6, so that newer fields are not there; install the CRDs of 1.6"
            ),
        ),
    }
}

pub(super) fn rights(refused: &[String]) -> Finding {
    let what = "your permissions";
    match refused.is_empty() {
        true => Finding::new(Tone::Good, what, "all that cfgwctl needs"),
        false => Finding::new(
            Tone::Unsure,
            what,
            format!(
                "you may not {}, which some commands need; ask for that",
                refused.join(", ")
            ),
        ),
    }
}

pub(super) fn no_controller() -> Finding {
    let told = "no Deployment has the label app.kubernetes.io/name=cfgw-controller; install the chart: helm install cfgw charts/cloudflare-gateway-controller";
    Finding::new(Tone::Bad, "controller", told)
}

pub(super) fn controller(deployment: &Deployment) -> Finding {
    let key = deployment.metadata.key();
    let (ready, wanted) = (deployment.status.ready_replicas, deployment.spec.replicas);
    let told = format!("Deployment {key}: {ready} of {wanted} replicas are ready");
    let remedy = format!(
        "; see kubectl describe pods --namespace {} --selector app.kubernetes.io/name=cfgw-controller",
        key.namespace
    );
    let (tone, remedy) = match ready {
        0 => (Tone::Bad, remedy.as_str()),
        ready if ready < wanted => (Tone::Unsure, remedy.as_str()),
        _ => (Tone::Good, ""),
    };
    Finding::new(tone, "controller", format!("{told}{remedy}"))
}

pub(super) fn leader(controller: &ObjectKey, lease: Option<&Lease>, now: i64) -> Finding {
    let what = "leader";
    let remedy = format!(
        "; see kubectl logs --namespace {} deployment/{}",
        controller.namespace, controller.name
    );
    let bad = |told: String| Finding::new(Tone::Bad, what, format!("{told}{remedy}"));
    let Some(lease) = lease else {
        return bad(format!(
            "Lease {controller}: Not found: no controller leads"
        ));
    };
    let spec = &lease.spec;
    let renewed = spec.renew_time.parse::<jiff::Timestamp>();
    let age = renewed.ok().map(|renewed| now - renewed.as_second());
    match age {
        _ if spec.holder_identity.is_empty() => bad(format!(
            "Lease {controller}: spec.holderIdentity is empty: no controller leads"
        )),
        Some(age) if age <= i64::from(spec.lease_duration_seconds) => {
            Finding::new(Tone::Good, what, format!("{} leads", spec.holder_identity))
        }
        Some(age) => bad(format!(
            "Lease {controller}: spec.renewTime: {} renewed it {age} s ago, and holds it for {} s",
            spec.holder_identity, spec.lease_duration_seconds
        )),
        None => bad(format!("Lease {controller}: spec.renewTime is no time")),
    }
}

pub(super) fn classes(classes: &[GatewayClass]) -> Vec<Finding> {
    let ours = classes
        .iter()
        .filter(|class| class.spec.controller_name == CONTROLLER_NAME);
    let found: Vec<Finding> = ours.map(class).collect();
    match found.is_empty() {
        true => vec![Finding::new(
            Tone::Bad,
            "GatewayClass",
            format!(
                "none has spec.controllerName {CONTROLLER_NAME}; the chart makes one: set gatewayClass.create"
            ),
        )],
        false => found,
    }
}

fn class(class: &GatewayClass) -> Finding {
    let what = format!("GatewayClass {}", class.metadata.name);
    match condition(&class.status.conditions, "Accepted") {
        Some(accepted) if accepted.status == "True" => Finding::new(Tone::Good, what, "Accepted"),
        Some(accepted) if accepted.reason == "Pending" => {
            let told = format!(
                "Accepted={} ({}): {}",
                accepted.status, accepted.reason, accepted.message
            );
            Finding::new(
                Tone::Unsure,
                what,
                format!("{told}; a controller that leads answers it"),
            )
        }
        Some(accepted) => {
            let told = format!(
                "Accepted={} ({}): {}",
                accepted.status, accepted.reason, accepted.message
            );
            Finding::new(Tone::Bad, what, told)
        }
        None => Finding::new(
            Tone::Bad,
            what,
            "it has no condition Accepted, as no controller has answered it; see the findings above",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const SECONDS: i64 = 784_111_777;

    #[test]
    fn clocks_that_are_apart_are_told() {
        for (date, now, expected) in [
            (Some(DATE), SECONDS + 3, Tone::Good),
            (Some(DATE), SECONDS - 61, Tone::Bad),
            (Some("today"), SECONDS, Tone::Unsure),
            (None, SECONDS, Tone::Unsure),
        ] {
            assert_eq!(clock(date, now).tone, expected, "{date:?} {now}");
        }
        assert_eq!(
            clock(Some(DATE), SECONDS + 300).told,
            "the API server's differs from this machine's by 300 s; set both by NTP"
        );
    }

    #[test]
    fn an_older_gateway_api_is_told() {
        for (version, expected) in [
            (Some("v1.6.1"), Tone::Good),
            (Some("v1.10.0"), Tone::Good),
            (Some("v2.0.0-rc.1"), Tone::Good),
            (Some("v1.4.0"), Tone::Unsure),
            (Some("main"), Tone::Unsure),
            (None, Tone::Unsure),
        ] {
            assert_eq!(bundle(version).tone, expected, "{version:?}");
        }
    }

    #[test]
    fn a_controller_leads_while_its_lease_is_renewed() {
        let key = ObjectKey::new("cfgw-system", "cfgw");
        let lease = |holder: &str, renewed: &str| -> Lease {
            let spec = json!({
                "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15,
            });
            serde_json::from_value(json!({ "spec": spec })).expect("a Lease")
        };
        let renewed = "1994-11-06T08:49:30.000000Z";
        for (given, lease, expected) in [
            ("none", None, Tone::Bad),
            ("given away", Some(lease("", renewed)), Tone::Bad),
            ("renewed", Some(lease("cfgw-1", renewed)), Tone::Good),
            (
                "out of date",
                Some(lease("cfgw-1", "1994-11-06T08:00:00Z")),
                Tone::Bad,
            ),
            ("no time", Some(lease("cfgw-1", "")), Tone::Bad),
        ] {
            assert_eq!(
                leader(&key, lease.as_ref(), SECONDS).tone,
                expected,
                "{given}"
            );
        }
    }
}
