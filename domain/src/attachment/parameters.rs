//! The CloudflareGatewayParameters of a Gateway.

use super::credentials::incomplete;
use super::guard_rails;
use super::tenancy::Tenancy;
use super::view::View;
use super::{Refusal, listed, records};
use crate::capabilities::EdgeKind;
use crate::gateway::{
    DashboardRules, DeletionPolicy, DnsPolicy, ExternalHosts, FieldError, FieldErrorKind, Gateway,
    GatewayParameters, OWN_GROUP, PARAMETERS_KIND, RecordSettings, RoutingType, SessionKey,
    UnderscoredHeaders,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::rotation::{RotationIntent, Schedule};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::Reason;
use crate::workload::{Replicas, WorkloadSpec};

const FIELD: &str = "spec.infrastructure.parametersRef";

/// What holds for Gateways whose parameters do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayDefaults {
    /// For which hostnames records are made.
    pub dns: DnsPolicy,
    /// Whether certificates of listeners are uploaded, which needs a paid plan at Cloudflare.
    pub upload_certificates: bool,
    /// What becomes of headers with underscores.
    pub underscored_headers: UnderscoredHeaders,
    /// Whether the edge is a broker, which has the API token, so that what is said about one has no effect.
    pub is_behind_broker: bool,
    /// What the tokens of sessions are made with.
    pub session_key: Option<SessionKey>,
    /// What is before the proxies.
    pub edge: EdgeKind,
}

/// Which certificates of a Gateway's listeners are uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uploads {
    #[default]
    None,
    /// Those of whose names the Gateway has every record.
    NamesHeld,
    /// All. Who permits uploads makes the records too, and answers for the names.
    AnyName,
}

/// What follows from the parameters of a Gateway, or from their absence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParametersResolution {
    /// The object, where one is named.
    pub named: Option<ObjectKey>,
    /// Why it cannot be used.
    pub refusal: Option<Refusal>,
    /// The Secret with the credentials that it names.
    pub credentials: Option<ObjectRef>,
    /// Why it cannot be read any more; then what was last read of it is in force.
    pub unreadable: Option<String>,
    /// Fields of the parameters that are accepted and have no effect.
    pub without_effect: Vec<FieldError>,
    /// Fields of the Gateway that are left out, because its class does not permit them to its namespace.
    pub withheld: Vec<FieldError>,
    /// For which hostnames records are made.
    pub dns: DnsPolicy,
    /// How these records are treated.
    pub records: RecordSettings,
    /// Which certificates of listeners are uploaded.
    pub uploads: Uploads,
    /// What becomes of headers with underscores.
    pub underscored_headers: UnderscoredHeaders,
    /// What the tokens of sessions are made with.
    pub session_key: Option<SessionKey>,
    /// Whether an HTTPRoute and a GRPCRoute may have a hostname in common; then the content type decides.
    pub shared_hostnames: bool,
    /// Where requests to Services go.
    pub routing_type: RoutingType,
    /// Which hosts outside of the cluster backends may be.
    pub external_hosts: Vec<ExternalHosts>,
    /// What Cloudflare's dashboard shows of the routes.
    pub dashboard_rules: DashboardRules,
    /// How the proxies are to run.
    pub workload: WorkloadSpec,
    /// When the tunnel's token is replaced.
    pub rotation: RotationIntent,
    /// What becomes of what the Gateway has when it is deleted; `None` where an object that may say so could not be
    /// read.
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What decides about a Gateway besides itself.
pub(super) struct Circumstances<'s> {
    /// The parameters that its class names.
    pub(super) of_class: Option<&'s GatewayParameters>,
    /// Whether the class may name others, which cannot be used.
    pub(super) is_class_refused: bool,
    /// What its namespace may have.
    pub(super) tenancy: Tenancy<'s>,
}

/// Reads the parameters that a Gateway names. What they do not say is taken from those of its class, and else from
/// the defaults. A Gateway that names another kind is refused elsewhere.
pub(super) fn resolve_parameters(
    gateway: &Gateway,
    circumstances: &Circumstances<'_>,
    view: &View<'_>,
    defaults: &GatewayDefaults,
) -> ParametersResolution {
    let (own, refusal) = match of_gateway(view.snapshot, gateway) {
        Ok(parameters) => (parameters, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let of_class = circumstances.of_class;
    let is_unknown = refusal.is_some() || (of_class.is_none() && circumstances.is_class_refused);
    let deletion_policy = said(own, of_class, |p| p.deletion_policy)
        .or_else(|| (!is_unknown).then(DeletionPolicy::default));
    let refusal = refusal.or_else(|| faults(gateway, own?, view));
    let tenant = circumstances.tenancy.tenant();
    let named = gateway.parameters.as_ref().filter(|p| is_ours(p));
    let mut without_effect = own.map_or_else(Vec::new, without_effect);
    without_effect.extend(
        own.into_iter()
            .flat_map(|own| of_a_class_only(own, of_class)),
    );
    let dns = said(own, of_class, |p| p.dns.clone()).unwrap_or_else(|| defaults.dns.clone());
    let (uploads, not_uploaded) = uploads(own, circumstances, defaults);
    without_effect.extend(not_uploaded);
    let (records, not_counted) = records::settings(gateway, own, circumstances, defaults);
    without_effect.extend(not_counted);
    let (infrastructure, withheld) = guard_rails::infrastructure(gateway, tenant);
    let (permitted, forbidden) = own.map(|own| guard_rails::permitted(own, tenant)).unzip();
    without_effect.extend(forbidden.into_iter().flatten());
    let mut workload = WorkloadSpec::of(infrastructure, permitted.as_deref(), of_class);
    workload.class.clone_from(&gateway.class);
    without_effect.extend(scaled_in_vain(&mut workload));
    ParametersResolution {
        named: named.map(|target| target.key.clone()),
        refusal,
        credentials: own.and_then(|p| p.credentials.clone()),
        unreadable: named.and_then(|target| {
            let found = view.snapshot.unreadable.objects.get(target)?;
            Some(found.why.clone())
        }),
        without_effect,
        withheld,
        dns,
        records,
        uploads,
        underscored_headers: defaults.underscored_headers,
        session_key: defaults.session_key.clone(),
        shared_hostnames: said(own, of_class, |p| p.shared_hostnames).unwrap_or_default(),
        external_hosts: of_class
            .and_then(|p| p.external_hosts.clone())
            .unwrap_or_default(),
        routing_type: said(own, of_class, |p| p.routing_type).unwrap_or_default(),
        dashboard_rules: said(own, of_class, |p| p.dashboard_rules).unwrap_or_default(),
        workload,
        rotation: RotationIntent::new(schedule(own, of_class), &gateway.annotations),
        deletion_policy,
    }
}

/// When the tunnel's token is replaced without a request.
fn schedule(
    own: Option<&GatewayParameters>,
    of_class: Option<&GatewayParameters>,
) -> Option<Schedule> {
    let is_enabled = said(own, of_class, |p| p.rotation.is_enabled).unwrap_or(true);
    let schedule = said(own, of_class, |p| p.rotation.schedule.clone());
    is_enabled.then(|| schedule.unwrap_or_default())
}

/// What a Gateway's own parameters say, or else those of its class.
pub(super) fn said<T>(
    own: Option<&GatewayParameters>,
    of_class: Option<&GatewayParameters>,
    what: impl Fn(&GatewayParameters) -> Option<T>,
) -> Option<T> {
    own.and_then(&what).or_else(|| of_class.and_then(&what))
}

/// `spec.tenants`, `spec.services` and `spec.externalHosts` of an object that no class of the Gateway names.
fn of_a_class_only(
    own: &GatewayParameters,
    of_class: Option<&GatewayParameters>,
) -> impl Iterator<Item = FieldError> {
    let is_of_the_class = of_class.is_some_and(|of_class| of_class.key == own.key);
    let fields = [
        ("spec.tenants", own.tenants.is_some()),
        ("spec.services", own.services.is_some()),
        ("spec.externalHosts", own.external_hosts.is_some()),
    ];
    let message = "it has an effect only in the object that a GatewayClass names in spec.parametersRef; remove it here";
    let written = fields.into_iter().filter(|(_, is_written)| *is_written);
    let written = written.filter(move |_| !is_of_the_class);
    written.map(move |(field, _)| no_effect(field, message))
}

/// Which certificates are uploaded, and why none where the Gateway asks for it. A certificate is shown to the
/// visitors of a zone, so whoever owns the account decides: the operator, by an entry for the namespace or by the
/// default; or the Gateway itself, where nothing is restricted and the credentials are its own.
fn uploads(
    own: Option<&GatewayParameters>,
    circumstances: &Circumstances<'_>,
    defaults: &GatewayDefaults,
) -> (Uploads, Option<FieldError>) {
    let of_class = circumstances.of_class;
    let by_default = of_class
        .and_then(|p| p.upload_certificates)
        .unwrap_or(defaults.upload_certificates);
    let has_own_account = own.is_some_and(|p| p.credentials.is_some());
    let asked = own.and_then(|p| p.upload_certificates);
    let (is_permitted, remedy) = match circumstances.tenancy.tenant() {
        Some(tenant) => (
            tenant.may_upload_certificates,
            "ask whoever runs the cluster to allow it in spec.tenants[].certificates.upload of the GatewayClass's parameters",
        ),
        None => (
            has_own_account || by_default,
            "ask whoever runs the cluster to set certificates.upload in the GatewayClass's parameters or the controller's defaults, or name credentials of your own in spec.secretRef",
        ),
    };
    let refused = (asked == Some(true) && !is_permitted).then(|| {
        let message = format!("Forbidden: the GatewayClass does not permit it; {remedy}");
        no_effect("spec.certificates.upload", message)
    });
    let operators_dns = of_class.and_then(|p| p.dns.as_ref());
    let makes_no_record = *operators_dns.unwrap_or(&defaults.dns) == DnsPolicy::Off
        && own.is_none_or(|own| matches!(own.dns, None | Some(DnsPolicy::Off)));
    let is_answered_for = by_default && circumstances.tenancy.tenant().is_none() && makes_no_record;
    let uploads = match asked.unwrap_or(by_default) && is_permitted {
        false => Uploads::None,
        true if is_answered_for => Uploads::AnyName,
        true => Uploads::NamesHeld,
    };
    (uploads, refused)
}

/// Replicas with names are one pod each, so their number cannot follow anything.
fn scaled_in_vain(workload: &mut WorkloadSpec) -> Option<FieldError> {
    let named = matches!(workload.replicas, Replicas::Named(_));
    let autoscaling = workload.tunnel.autoscaling.as_mut().filter(|_| named)?;
    autoscaling.horizontal.take()?;
    let message = "Forbidden: spec.tunnel.replicas names the replicas, so their number is fixed; remove one of the two";
    Some(no_effect("spec.tunnel.autoscaling.horizontal", message))
}

pub(super) fn no_effect(field: &str, message: impl Into<String>) -> FieldError {
    FieldError {
        field: field.to_owned(),
        kind: FieldErrorKind::Unsupported,
        message: message.into(),
    }
}

/// The parameters of a Gateway; `None` where it names none of our kind.
pub(super) fn of_gateway<'s>(
    snapshot: &'s ClusterSnapshot,
    gateway: &Gateway,
) -> Result<Option<&'s GatewayParameters>, Refusal> {
    let Some(target) = gateway.parameters.as_ref().filter(|p| is_ours(p)) else {
        return Ok(None);
    };
    find(snapshot, target).map(Some).map_err(|refusal| Refusal {
        message: format!("Gateway {}: {FIELD}: {}", gateway.key, refusal.message),
        ..refusal
    })
}

/// The object that a reference of our kind names.
pub(super) fn find<'s>(
    snapshot: &'s ClusterSnapshot,
    target: &ObjectRef,
) -> Result<&'s GatewayParameters, Refusal> {
    let mut known = snapshot.parameters.items().iter();
    if let Some(found) = known.find(|parameters| parameters.key == target.key) {
        return Ok(found);
    }
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
    Err(Refusal::new(reason, problem))
}

pub(super) fn is_ours(target: &ObjectRef) -> bool {
    target.group == OWN_GROUP && target.kind == PARAMETERS_KIND
}

fn faults(gateway: &Gateway, parameters: &GatewayParameters, view: &View<'_>) -> Option<Refusal> {
    let invalid = parameters.field_errors.iter();
    let mut problems: Vec<String> = invalid
        .filter(|field_error| field_error.kind == FieldErrorKind::Invalid)
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

fn without_effect(parameters: &GatewayParameters) -> Vec<FieldError> {
    let unsupported = parameters.field_errors.iter();
    unsupported
        .filter(|field_error| field_error.kind == FieldErrorKind::Unsupported)
        .cloned()
        .collect()
}
