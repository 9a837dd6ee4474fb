//! `spec.dns` of CloudflareGatewayParameters. The rules of its CRD are checked again here: a folder of manifests has no API
//! server in front of it.

use std::collections::BTreeMap;

use domain::gateway::{
    Adoption, DnsPolicy, DnsSelection, DriftPolicy, LONGEST_CODE, MOST_ADOPTIONS, MOST_ZONE_IDS,
    RecordParameters,
};
use domain::{Hostname, ZoneId};

use super::tenants::limited;
use crate::fields::Fields;
use crate::types::{ParametersAdoption, ParametersDns, ParametersZone, ParametersZoneId};

/// Limits of the CRD.
const MOST_ZONES: usize = 128;
const MOST_PATTERNS: usize = 256;

/// An empty list of zones turns DNS off, as `enabled: false` does. Everything else counts as `enabled: true`.
pub(super) fn policy(fields: &Fields, written: &ParametersDns) -> Option<DnsPolicy> {
    let zones = written.zones.as_deref();
    let has_patterns = written.include.is_some() || written.exclude.is_some();
    let is_off = match (written.enabled, zones) {
        (Some(false), Some([_, ..])) | (Some(true), Some([])) => {
            let message = "it contradicts spec.dns.zones; remove one of them";
            fields.invalid("spec.dns.enabled", message);
            return None;
        }
        (Some(false), _) | (None, Some([])) => true,
        (Some(true), None | Some(_)) | (None, Some(_)) => false,
        (None, None) if has_patterns => false,
        (None, None) => return None,
    };
    if is_off && has_patterns {
        let message = "it contradicts include and exclude, as no record is made; remove them, or write enabled: true";
        fields.invalid("spec.dns", message);
        return None;
    }
    if is_off {
        return Some(DnsPolicy::Off);
    }
    let zones = zones.map(|zones| zone_names(fields, zones));
    Some(match (has_patterns, zones) {
        (false, None) => DnsPolicy::All,
        (false, Some(zones)) => DnsPolicy::Below(zones),
        (true, zones) => DnsPolicy::Selected(Box::new(DnsSelection {
            zones: zones.unwrap_or_default(),
            include: patterns(fields, "spec.dns.include", &written.include),
            exclude: patterns(fields, "spec.dns.exclude", &written.exclude),
        })),
    })
}

fn zone_names(fields: &Fields, written: &[ParametersZone]) -> Vec<Hostname> {
    let mut names = Vec::new();
    let written = limited(fields, "spec.dns.zones", written, MOST_ZONES);
    for (index, zone) in written.iter().enumerate() {
        let field = format!("spec.dns.zones[{index}].name");
        let what = "the domain under which records may be made";
        let name = domain_name(fields, &field, &zone.name, what);
        names.extend(name.filter(|name| is_new(fields, &field, name, names.contains(name))));
    }
    names
}

fn patterns<C: FromIterator<Hostname>>(
    fields: &Fields,
    field: &str,
    written: &Option<Vec<String>>,
) -> C {
    let written = limited(
        fields,
        field,
        written.as_deref().unwrap_or_default(),
        MOST_PATTERNS,
    );
    let each = written.iter().enumerate();
    each.filter_map(|(index, text)| hostname(fields, &format!("{field}[{index}]"), text))
        .collect()
}

/// How records are treated.
pub(super) fn records(fields: &Fields, written: &ParametersDns) -> RecordParameters {
    let drift = written.drift_policy.as_deref();
    RecordParameters {
        drift: drift.and_then(|written| drift_policy(fields, written)),
        zone_ids: written
            .zone_ids
            .as_deref()
            .map(|written| zone_ids(fields, written)),
        adopt: written
            .adopt
            .as_deref()
            .map(|written| adoptions(fields, written)),
    }
}

fn drift_policy(fields: &Fields, written: &str) -> Option<DriftPolicy> {
    match written {
        "Repair" => Some(DriftPolicy::Repair),
        "Report" => Some(DriftPolicy::Report),
        "Pause" => Some(DriftPolicy::Pause),
        _ => {
            let message = format!("Unsupported value: {written:?}: use Repair, Report or Pause");
            fields.invalid("spec.dns.driftPolicy", message);
            None
        }
    }
}

fn zone_ids(fields: &Fields, written: &[ParametersZoneId]) -> BTreeMap<Hostname, ZoneId> {
    let mut ids = BTreeMap::new();
    let written = limited(fields, "spec.dns.zoneIDs", written, MOST_ZONE_IDS);
    for (index, zone) in written.iter().enumerate() {
        let field = format!("spec.dns.zoneIDs[{index}]");
        let is_id = zone.id.len() == 32 && zone.id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id {
            let message = "Invalid value: must be 32 hexadecimal digits, as the zone's overview in the dashboard shows them";
            fields.invalid(format!("{field}.id"), message);
        }
        let field = format!("{field}.name");
        let name = domain_name(fields, &field, &zone.name, "the zone's own name");
        let name = name.filter(|name| is_new(fields, &field, name, ids.contains_key(name)));
        let id = ZoneId::new(zone.id.to_ascii_lowercase());
        ids.extend(name.filter(|_| is_id).map(|name| (name, id)));
    }
    ids
}

fn adoptions(fields: &Fields, written: &[ParametersAdoption]) -> BTreeMap<Hostname, Adoption> {
    let mut all = BTreeMap::new();
    let written = limited(fields, "spec.dns.adopt", written, MOST_ADOPTIONS);
    for (index, adoption) in written.iter().enumerate() {
        let field = format!("spec.dns.adopt[{index}]");
        let confirm = adoption.confirm.clone();
        if confirm
            .as_ref()
            .is_some_and(|code| code.len() > LONGEST_CODE)
        {
            let message = format!(
                "Too long: must have at most {LONGEST_CODE} characters; write the code that the condition DNS shows"
            );
            fields.invalid(format!("{field}.confirm"), message);
            continue;
        }
        let field = format!("{field}.hostname");
        let name = hostname(fields, &field, &adoption.hostname);
        let name = name.filter(|name| is_new(fields, &field, name, all.contains_key(name)));
        let adoption = confirm.map_or(Adoption::DryRun, Adoption::Confirmed);
        all.extend(name.map(|name| (name, adoption)));
    }
    all
}

/// Notes a name that is listed again.
fn is_new(fields: &Fields, field: &str, name: &Hostname, is_known: bool) -> bool {
    if is_known {
        fields.invalid(field, format!("{name} is listed twice; remove one"));
    }
    !is_known
}

fn domain_name(fields: &Fields, field: &str, written: &str, what: &str) -> Option<Hostname> {
    let name = hostname(fields, field, written)?;
    if name.is_wildcard() {
        fields.invalid(field, format!("{written} is a wildcard; write {what}"));
        return None;
    }
    Some(name)
}

fn hostname(fields: &Fields, field: &str, written: &str) -> Option<Hostname> {
    let parsed = Hostname::parse(written);
    parsed
        .map_err(|error| fields.invalid(field, error.to_string()))
        .ok()
}
