//! CloudflareGatewayParameters. The rules of its CRD are checked again here: a folder of manifests has no
//! API server in front of it.

use domain::ObjectKey;
use domain::gateway::{DashboardRules, DeletionPolicy, GatewayParameters, RoutingType};

use super::{dns, exposure, external, tenants, tunnel};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::kind::Kind;
use crate::metadata::Header;
use crate::types::ParametersSpec;

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
        dns: spec.dns.as_ref().and_then(|dns| dns::policy(fields, dns)),
        records: spec
            .dns
            .as_ref()
            .map(|dns| dns::records(fields, dns))
            .unwrap_or_default(),
        upload_certificates: spec
            .certificates
            .and_then(|certificates| certificates.upload),
        shared_hostnames: spec.shared_hostnames.as_deref().map(|written| {
            tenants::is_allowed(fields, "spec.sharedHostnames", Some(written), false)
        }),
        routing_type: spec
            .routing_type
            .as_deref()
            .map(|written| routing_type(fields, written)),
        dashboard_rules: spec
            .dashboard_rules
            .as_deref()
            .map(|written| dashboard_rules(fields, written)),
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
        external_hosts: spec
            .external_hosts
            .as_deref()
            .map(|written| external::parameters(fields, written)),
        services: spec
            .services
            .map(|written| exposure::parameters(fields, written, &key)),
        field_errors: fields.field_errors(),
        key,
    })
}

fn routing_type(fields: &Fields, written: &str) -> RoutingType {
    match written {
        "Endpoint" => RoutingType::Endpoint,
        "Service" => RoutingType::Service,
        other => {
            let message = format!("Unsupported value: {other:?}: must be Endpoint or Service");
            fields.invalid("spec.routingType", message);
            RoutingType::default()
        }
    }
}

fn dashboard_rules(fields: &Fields, written: &str) -> DashboardRules {
    match written {
        "Hostnames" => DashboardRules::Hostnames,
        "HostnamesAndPaths" => DashboardRules::HostnamesAndPaths,
        other => {
            let message =
                format!("Unsupported value: {other:?}: must be Hostnames or HostnamesAndPaths");
            fields.invalid("spec.dashboardRules", message);
            DashboardRules::default()
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
