//! CloudflareGatewayParameters. The rules of its CRD are checked again here: a folder of manifests has no
//! API server in front of it.

use domain::gateway::{DeletionPolicy, DnsPolicy, GatewayParameters};
use domain::{Hostname, ObjectKey};

use super::{tenants, tunnel};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::kind::Kind;
use crate::metadata::Header;
use crate::types::{ParametersDns, ParametersSpec};

/// Limit of the CRD.
const MOST_ZONES: usize = 128;

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<GatewayParameters, ReadError> {
    let spec: ParametersSpec = fields.read("spec")?;
    let key = header.key();
    let credentials = spec.secret_ref.map(|secret| {
        fields.required("spec.secretRef.name", &secret.name);
        Kind::Secret.reference(ObjectKey::new(&key.namespace, secret.name))
    });
    let tunnel = spec.tunnel.unwrap_or_default();
    Ok(GatewayParameters {
        credentials,
        dns: spec.dns.as_ref().and_then(|dns| dns_policy(fields, dns)),
        upload_certificates: spec
            .certificates
            .and_then(|certificates| certificates.upload),
        shared_hostnames: spec.shared_hostnames.as_deref().map(|written| {
            tenants::is_allowed(fields, "spec.sharedHostnames", Some(written), false)
        }),
        deletion_policy: spec
            .deletion_policy
            .as_deref()
            .map(|written| deletion_policy(fields, written)),
        replicas: tunnel::replicas(fields, &tunnel),
        resources: tunnel::resources(fields, &tunnel),
        min_ready_seconds: tunnel::min_ready_seconds(fields, &tunnel),
        rotation: tunnel::rotation(fields, &tunnel),
        tunnel: Box::new(tunnel::read(fields, &tunnel)),
        tenants: spec
            .tenants
            .as_deref()
            .map(|written| tenants::read(fields, written)),
        defects: fields.defects(),
        key,
    })
}

/// An empty list of zones turns DNS off, as `enabled: false` does. Zones count as `enabled: true`.
fn dns_policy(fields: &Fields, written: &ParametersDns) -> Option<DnsPolicy> {
    let zones = written.zones.as_deref();
    match (written.enabled, zones) {
        (Some(false), Some([_, ..])) | (Some(true), Some([])) => {
            let message = "it contradicts spec.dns.zones; remove one of them";
            fields.invalid("spec.dns.enabled", message);
            None
        }
        (Some(false), _) | (None, Some([])) => Some(DnsPolicy::Off),
        (Some(true), None) => Some(DnsPolicy::All),
        (None, None) => None,
        (_, Some(zones)) => {
            let mut names = Vec::new();
            let zones = tenants::limited(fields, "spec.dns.zones", zones, MOST_ZONES);
            for (index, zone) in zones.iter().enumerate() {
                let field = format!("spec.dns.zones[{index}].name");
                match zone_name(&zone.name) {
                    Err(problem) => fields.invalid(field, problem),
                    Ok(name) if names.contains(&name) => {
                        fields.invalid(field, format!("{name} is listed twice; remove one"));
                    }
                    Ok(name) => names.push(name),
                }
            }
            Some(DnsPolicy::Below(names))
        }
    }
}

/// What is wrong removes nothing.
fn deletion_policy(fields: &Fields, written: &str) -> DeletionPolicy {
    match written {
        "Delete" => DeletionPolicy::Delete,
        "Orphan" => DeletionPolicy::Orphan,
        other => {
            let message = format!("Unsupported value: {other:?}: must be Delete or Orphan");
            fields.invalid("spec.deletionPolicy", message);
            DeletionPolicy::Orphan
        }
    }
}

fn zone_name(written: &str) -> Result<Hostname, String> {
    let name = Hostname::parse(written).map_err(|error| error.to_string())?;
    if name.is_wildcard() {
        return Err(format!(
            "{written} is a wildcard; write the domain under which records may be made"
        ));
    }
    Ok(name)
}
