//! BackendTLSPolicy. Where its targets can be read, what is wrong besides makes a policy that is not carried out, and no
//! object that is not there: its targets are then not spoken to.

use std::collections::BTreeMap;

use domain::gateway::{
    BackendTlsPolicy, FieldError, FieldErrorKind, PolicyTarget, SubjectName, TrustSource,
};
use domain::{Hostname, ObjectKey, ObjectRef};

use super::{references, text};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{ObjectReference, api_type};

/// Characters of a URI (Gateway API, `AbsoluteURI`).
const LONGEST_URI: usize = 253;

api_type! {
    /// `BackendTLSPolicy.spec`.
    BackendTLSPolicySpec {
        target_refs: Vec<LocalPolicyTargetReferenceWithSectionName>,
        validation: BackendTLSPolicyValidation,
        options: BTreeMap<String, String>,
    }
}

api_type! {
    /// One of `spec.targetRefs`.
    LocalPolicyTargetReferenceWithSectionName {
        group: String,
        kind: String,
        name: String,
        section_name: Option<String>,
    }
}

api_type! {
    /// `spec.validation`, and `spec.tls.validation` of an XBackend.
    BackendTLSPolicyValidation {
        ca_certificate_refs: Vec<LocalObjectReference>,
        #[serde(rename = "wellKnownCACertificates")]
        well_known: Option<String>,
        hostname: String,
        subject_alt_names: Vec<SubjectAltName>,
    }
}

api_type! {
    /// One of `caCertificateRefs`.
    LocalObjectReference {
        group: String,
        kind: String,
        name: String,
    }
}

api_type! {
    /// One of `subjectAltNames`.
    SubjectAltName {
        r#type: String,
        hostname: Option<String>,
        uri: Option<String>,
    }
}

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<BackendTlsPolicy, ReadError> {
    let key = header.key();
    let mut policy = match fields.read::<BackendTLSPolicySpec>("spec") {
        Ok(spec) => of_spec(fields, spec, &key),
        Err(error) => with_targets_alone(fields, error, &key)?,
    };
    policy.generation = header.metadata.generation;
    policy.created = header.created(fields)?;
    policy.field_errors.extend(fields.field_errors());
    policy.key = key;
    Ok(policy)
}

fn of_spec(fields: &Fields, spec: BackendTLSPolicySpec, own: &ObjectKey) -> BackendTlsPolicy {
    let validation = spec.validation;
    if !spec.options.is_empty() {
        fields.unsupported("spec.options", "no option is served; remove them");
    }
    distinct(fields, &spec.target_refs);
    BackendTlsPolicy {
        targets: targets(&spec.target_refs, own),
        ..validated(fields, "spec.validation", &validation, own)
    }
}

/// A policy without targets that asks for what is written at this field.
pub(super) fn validated(
    fields: &Fields,
    at: &str,
    validation: &BackendTLSPolicyValidation,
    own: &ObjectKey,
) -> BackendTlsPolicy {
    let field = format!("{at}.hostname");
    fields.required(&*field, &validation.hostname);
    let hostname = text::hostname(fields, field.clone(), Some(&validation.hostname));
    if hostname.as_ref().is_some_and(Hostname::is_wildcard) {
        fields.invalid(field, "Invalid value: must not be a wildcard: write the one name that the certificate is asked for");
    }
    let names = validation.subject_alt_names.iter().enumerate();
    let names = names.filter_map(|(index, name)| subject_name(fields, at, index, name));
    BackendTlsPolicy {
        names: names.collect(),
        trust: trust(fields, at, validation, own),
        hostname,
        ..empty(own)
    }
}

fn empty(own: &ObjectKey) -> BackendTlsPolicy {
    BackendTlsPolicy {
        key: own.clone(),
        is_inline: false,
        generation: 0,
        created: domain::Timestamp::default(),
        targets: Vec::new(),
        trust: TrustSource::Objects(Vec::new()),
        hostname: None,
        names: Vec::new(),
        field_errors: Vec::new(),
    }
}

/// A policy that something in is of a wrong type.
fn with_targets_alone(
    fields: &Fields,
    error: ReadError,
    own: &ObjectKey,
) -> Result<BackendTlsPolicy, ReadError> {
    let written = fields.raw("spec")["targetRefs"].clone();
    let Ok(written) =
        serde_json::from_value::<Vec<LocalPolicyTargetReferenceWithSectionName>>(written)
    else {
        return Err(error);
    };
    Ok(BackendTlsPolicy {
        targets: targets(&written, own),
        field_errors: vec![FieldError {
            field: error.field,
            kind: FieldErrorKind::Invalid,
            message: error.message,
        }],
        ..empty(own)
    })
}

fn targets(
    written: &[LocalPolicyTargetReferenceWithSectionName],
    own: &ObjectKey,
) -> Vec<PolicyTarget> {
    let target = |written: &LocalPolicyTargetReferenceWithSectionName| PolicyTarget {
        object: ObjectRef {
            group: written.group.clone(),
            kind: written.kind.clone(),
            key: ObjectKey::new(&own.namespace, &written.name),
        },
        section: written.section_name.clone().filter(|name| !name.is_empty()),
    };
    written.iter().map(target).collect()
}

/// Two references to one object each name another port (validation rule of `BackendTLSPolicySpec.targetRefs`).
fn distinct(fields: &Fields, written: &[LocalPolicyTargetReferenceWithSectionName]) {
    for (index, one) in written.iter().enumerate() {
        let same = |other: &&LocalPolicyTargetReferenceWithSectionName| {
            (&one.group, &one.kind, &one.name) == (&other.group, &other.kind, &other.name)
        };
        let section = |it: &LocalPolicyTargetReferenceWithSectionName| {
            it.section_name.clone().unwrap_or_default()
        };
        let mut before = written[..index].iter().filter(same);
        let clashes = |other: &LocalPolicyTargetReferenceWithSectionName| {
            section(one) == section(other) || section(one).is_empty() || section(other).is_empty()
        };
        if before.any(clashes) {
            let message = "Duplicate value: references to one Service must each name another port by sectionName: remove one, or name ports";
            fields.invalid(format!("spec.targetRefs[{index}]"), message);
        }
    }
}

fn trust(
    fields: &Fields,
    at: &str,
    written: &BackendTLSPolicyValidation,
    own: &ObjectKey,
) -> TrustSource {
    let well_known = written.well_known.as_deref();
    let well_known = well_known.filter(|name| !name.is_empty());
    let field = format!("{at}.wellKnownCACertificates");
    match well_known {
        Some(_) if !written.ca_certificate_refs.is_empty() => fields.invalid(
            field,
            "Forbidden: must not stand beside caCertificateRefs: remove one of them",
        ),
        Some("System") => return TrustSource::System,
        Some(other) => fields.unsupported(
            field,
            format!("Unsupported value: {other:?}: write System, or name a ConfigMap in caCertificateRefs"),
        ),
        None => {}
    }
    let refs = written.ca_certificate_refs.iter().enumerate();
    let refs = refs.map(|(index, written)| {
        let field = format!("spec.validation.caCertificateRefs[{index}]");
        let written = ObjectReference {
            group: written.group.clone(),
            kind: written.kind.clone(),
            name: written.name.clone(),
            namespace: None,
        };
        references::authority(fields, &field, &written, &own.namespace)
    });
    TrustSource::Objects(refs.collect())
}

fn subject_name(
    fields: &Fields,
    at: &str,
    index: usize,
    written: &SubjectAltName,
) -> Option<SubjectName> {
    let field = format!("{at}.subjectAltNames[{index}]");
    let hostname = written.hostname.as_deref().unwrap_or_default();
    let uri = written.uri.as_deref().unwrap_or_default();
    match written.r#type.as_str() {
        "Hostname" => {
            fields.required(format!("{field}.hostname"), hostname);
            if !uri.is_empty() {
                fields.invalid(
                    format!("{field}.uri"),
                    "Forbidden: the type is Hostname: remove it",
                );
            }
            let hostname = text::hostname(fields, format!("{field}.hostname"), Some(hostname));
            hostname.map(SubjectName::Hostname)
        }
        "URI" => {
            fields.required(format!("{field}.uri"), uri);
            if !hostname.is_empty() {
                fields.invalid(
                    format!("{field}.hostname"),
                    "Forbidden: the type is URI: remove it",
                );
            }
            let is_absolute = uri.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && !rest.is_empty()
            });
            if !uri.is_empty() && !is_absolute || uri.len() > LONGEST_URI {
                let message = format!(
                    "Invalid value: must be a URI with a scheme, such as spiffe://cluster.local/ns/shop/sa/store, of at most {LONGEST_URI} characters"
                );
                fields.invalid(format!("{field}.uri"), message);
            }
            Some(SubjectName::Uri(uri.to_owned()))
        }
        other => {
            let message = format!("Unsupported value: {other:?}: write Hostname or URI");
            fields.unsupported(format!("{field}.type"), message);
            None
        }
    }
}
