//! The CloudflareGatewayParameters of a Gateway.

use super::credentials::incomplete;
use super::view::View;
use super::{Refusal, listed};
use crate::edge::DnsPolicy;
use crate::gateway::{Defect, DefectKind, Gateway, GatewayParameters, OWN_GROUP, PARAMETERS_KIND};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::Reason;
use crate::workload::WorkloadSpec;

const FIELD: &str = "spec.infrastructure.parametersRef";

/// What holds for Gateways whose parameters do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayDefaults {
    /// For which hostnames records are made.
    pub dns: DnsPolicy,
    /// Whether certificates of listeners are uploaded, which needs a paid plan at Cloudflare.
    pub upload_certificates: bool,
}

/// What follows from the parameters of a Gateway, or from their absence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParametersResolution {
    /// The object, where one is named.
    pub named: Option<ObjectKey>,
    /// The Secret with the credentials that it names.
    pub credentials: Option<ObjectRef>,
    /// Why it cannot be read any more; then what was last read of it is in force.
    pub unreadable: Option<String>,
    /// Fields that are accepted and have no effect.
    pub without_effect: Vec<Defect>,
    /// For which hostnames records are made.
    pub dns: DnsPolicy,
    /// Whether certificates of listeners are uploaded.
    pub upload_certificates: bool,
    /// How the proxies are to run.
    pub workload: WorkloadSpec,
}

/// Reads the parameters that a Gateway names. A Gateway that names another kind is refused elsewhere.
pub(super) fn resolve_parameters(
    gateway: &Gateway,
    view: &View<'_>,
    defaults: &GatewayDefaults,
) -> (ParametersResolution, Option<Refusal>) {
    let (parameters, refusal) = match of_gateway(view.snapshot, gateway) {
        Ok(parameters) => (parameters, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let refusal = refusal.or_else(|| faults(gateway, parameters?, view));
    let named = gateway.parameters.as_ref().filter(|p| is_ours(p));
    let resolution = ParametersResolution {
        named: named.map(|target| target.key.clone()),
        credentials: parameters.and_then(|p| p.credentials.clone()),
        unreadable: named.and_then(|target| {
            let found = view.snapshot.unreadable.objects.get(target)?;
            Some(found.why.clone())
        }),
        without_effect: parameters.map_or_else(Vec::new, without_effect),
        dns: parameters
            .and_then(|p| p.dns.clone())
            .unwrap_or_else(|| defaults.dns.clone()),
        upload_certificates: parameters
            .and_then(|p| p.upload_certificates)
            .unwrap_or(defaults.upload_certificates),
        workload: WorkloadSpec::of(gateway, parameters),
    };
    (resolution, refusal)
}

/// The parameters of a Gateway; `None` where it names none of our kind.
pub(super) fn of_gateway<'s>(
    snapshot: &'s ClusterSnapshot,
    gateway: &Gateway,
) -> Result<Option<&'s GatewayParameters>, Refusal> {
    let Some(target) = gateway.parameters.as_ref().filter(|p| is_ours(p)) else {
        return Ok(None);
    };
    let mut known = snapshot.parameters.items().iter();
    if let Some(found) = known.find(|parameters| parameters.key == target.key) {
        return Ok(Some(found));
    }
    let because = |problem: String| format!("Gateway {}: {FIELD}: {problem}", gateway.key);
    let unread = match &snapshot.parameters {
        Reading::Unknown(why) => Some(why.as_str()),
        Reading::Known(_) => snapshot.unreadable.why(target),
        Reading::Absent => None,
    };
    let (reason, problem) = match (unread, &snapshot.parameters) {
        (Some(why), _) => (
            Reason::Pending,
            format!("{target} could not be read: {why}"),
        ),
        (None, Reading::Absent) => (
            Reason::InvalidParameters,
            format!("the cluster does not know {OWN_GROUP}/{PARAMETERS_KIND}; install its CRD"),
        ),
        (None, _) => (
            Reason::InvalidParameters,
            format!("{target} does not exist; create it, or remove the reference"),
        ),
    };
    Err(Refusal::new(reason, because(problem)))
}

fn is_ours(target: &ObjectRef) -> bool {
    target.group == OWN_GROUP && target.kind == PARAMETERS_KIND
}

fn faults(gateway: &Gateway, parameters: &GatewayParameters, view: &View<'_>) -> Option<Refusal> {
    let invalid = parameters.defects.iter();
    let mut problems: Vec<String> = invalid
        .filter(|defect| defect.kind == DefectKind::Invalid)
        .map(ToString::to_string)
        .collect();
    if let Some(secret) = &parameters.credentials {
        problems.extend(incomplete(secret, view).map(|why| format!("spec.secretRef: {why}")));
    }
    if problems.is_empty() {
        return None;
    }
    let message = format!(
        "Gateway {}: {PARAMETERS_KIND} {}: {}",
        gateway.key,
        parameters.key,
        listed(problems)
    );
    Some(Refusal::new(Reason::InvalidParameters, message))
}

fn without_effect(parameters: &GatewayParameters) -> Vec<Defect> {
    let unsupported = parameters.defects.iter();
    unsupported
        .filter(|defect| defect.kind == DefectKind::Unsupported)
        .cloned()
        .collect()
}
