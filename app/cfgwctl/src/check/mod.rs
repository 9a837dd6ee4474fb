//! `check`: whether a cluster has what the controller needs, before and after it is installed.
//!
//! - `findings`: what follows from values that were read; `edge`: whether Cloudflare's edge answers from here;
//!   `cloudflare`: what the API tokens may see; `broker`: whether it serves the cluster, where there is one.

mod broker;
pub mod cloudflare;
pub mod edge;
mod findings;

use adapter_gateway_api::Kind;
use domain::gateway::{GATEWAY_GROUP, OWN_GROUP};
use serde::Serialize;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::objects::{Deployment, GatewayClass, Lease};
use crate::screen::{Screen, Tone};

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub tone: Tone,
    /// What was looked at.
    pub what: String,
    /// What was found, and where it is not good the remedy.
    pub told: String,
}

impl Finding {
    fn new(tone: Tone, what: impl Into<String>, told: impl Into<String>) -> Self {
        Self {
            tone,
            what: what.into(),
            told: told.into(),
        }
    }

    fn unread(what: &str, failure: &Failure) -> Self {
        Self::new(Tone::Unsure, what, format!("not known: {failure}"))
    }
}

/// The findings for people, a line each.
pub fn text(findings: &[Finding], screen: &Screen<'_>) -> String {
    let line = |finding: &Finding| {
        let label = match finding.tone {
            Tone::Good => "ok    ",
            Tone::Unsure => "unsure",
            Tone::Bad => "fail  ",
        };
        let label = screen.paint(finding.tone, label);
        format!("{label}   {}: {}\n", finding.what, finding.told)
    };
    findings.iter().map(line).collect()
}

/// What must not be: one finding that is bad.
///
/// # Errors
/// There is one.
pub fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let bad = findings.iter().filter(|it| it.tone == Tone::Bad).count();
    match bad {
        0 => Ok(()),
        bad => Err(Failure::new(
            format!("{bad} of {} checks failed", findings.len()),
            "",
        )),
    }
}

/// Looks at a cluster. `now` is the time here, in seconds of the epoch.
///
/// # Errors
/// The API server does not answer.
pub async fn of_cluster(cluster: &Cluster, now: i64) -> Result<Vec<Finding>, Failure> {
    let (version, date) = cluster.version().await?;
    let mut found = vec![
        Finding::new(Tone::Good, "Kubernetes", version),
        findings::clock(date.as_deref(), now),
    ];
    found.extend(crds(cluster).await);
    found.push(rights(cluster).await);
    let time = date.as_deref().and_then(findings::seconds).unwrap_or(now);
    found.extend(controllers(cluster, time).await);
    let classes = cluster.list::<GatewayClass>(Kind::GatewayClass, None).await;
    match classes {
        Ok(classes) => found.extend(findings::classes(&classes.unwrap_or_default())),
        Err(failure) => found.push(Finding::unread("GatewayClasses", &failure)),
    }
    Ok(found)
}

async fn crds(cluster: &Cluster) -> Vec<Finding> {
    let mut found = Vec::new();
    let groups = [GATEWAY_GROUP, OWN_GROUP];
    let kinds = Kind::ALL.iter().copied();
    for kind in kinds.filter(|kind| groups.contains(&kind.group())) {
        let mut served = Ok(None);
        for version in kind.api_versions() {
            served = cluster
                .serves(&version, kind.plural())
                .await
                .map(|is_served| is_served.then_some(version));
            if matches!(served, Ok(Some(_)) | Err(_)) {
                break;
            }
        }
        found.push(findings::crd(kind, served));
    }
    found.push(match cluster.gateway_api_bundle().await {
        Ok(bundle) => findings::bundle(bundle.as_deref()),
        Err(failure) => Finding::unread("Gateway API", &failure),
    });
    found
}

/// What this user needs for the verbs of this program.
const NEEDED: [(&str, Kind); 6] = [
    ("list", Kind::Gateway),
    ("patch", Kind::Gateway),
    ("list", Kind::HttpRoute),
    ("list", Kind::GatewayClass),
    ("list", Kind::GatewayStatus),
    ("list", Kind::EndpointSlice),
];

async fn rights(cluster: &Cluster) -> Finding {
    let mut refused = Vec::new();
    for (verb, kind) in NEEDED {
        match cluster.may(verb, kind).await {
            Ok(true) => {}
            Ok(false) => refused.push(format!("{verb} {}", kind.plural())),
            Err(failure) => return Finding::unread("your permissions", &failure),
        }
    }
    findings::rights(&refused)
}

async fn controllers(cluster: &Cluster, now: i64) -> Vec<Finding> {
    let deployments = match cluster.controllers().await {
        Ok(deployments) => deployments,
        Err(failure) => return vec![Finding::unread("controller", &failure)],
    };
    if deployments.is_empty() {
        return vec![findings::no_controller()];
    }
    let mut found = Vec::new();
    for deployment in &deployments {
        found.push(findings::controller(deployment));
        found.push(leader(cluster, deployment, now).await);
    }
    found
}

async fn leader(cluster: &Cluster, deployment: &Deployment, now: i64) -> Finding {
    let key = deployment.metadata.key();
    let lease: Result<Option<Lease>, Failure> = cluster.lease(&key).await;
    match lease {
        Ok(lease) => findings::leader(&key, lease.as_ref(), now),
        Err(failure) => Finding::unread("leader", &failure),
    }
}
