//! What of `spec.tunnel` decides where pods run and what others know of them.

use std::collections::BTreeMap;

use domain::gateway::PodParameters;
use domain::names::is_object_name;
use serde::Serialize;

use super::{at_most, json};
use crate::fields::Fields;
use crate::types::ParametersTunnel;

/// Limits of the CRD.
const MOST_TOLERATIONS: usize = 64;
const MOST_CONSTRAINTS: usize = 16;
const MOST_SECRETS: usize = 16;
const MOST_KEYS: usize = 64;

/// Prefixes of labels and annotations that are the controller's, or that Kubernetes sets.
const RESERVED: [&str; 6] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/component",
    "gateway.networking.k8s.io/",
    "cloudflare-gateway-controller.io/",
];

pub(super) fn read(fields: &Fields, written: &ParametersTunnel) -> PodParameters {
    let list = |name: &str, count: usize, most: usize| {
        at_most(fields, &format!("spec.tunnel.{name}"), count, most)
    };
    fn passed_on<T: Serialize>(
        list: &Option<Vec<T>>,
        fits: impl Fn(usize) -> bool,
    ) -> Option<domain::gateway::Json> {
        list.as_ref().filter(|list| fits(list.len())).map(json)
    }
    let class = written.priority_class_name.as_deref();
    PodParameters {
        tolerations: passed_on(&written.tolerations, |count| {
            list("tolerations", count, MOST_TOLERATIONS)
        }),
        topology_spread: passed_on(&written.topology_spread_constraints, |count| {
            list("topologySpreadConstraints", count, MOST_CONSTRAINTS)
        }),
        priority_class: class
            .filter(|name| is_name(fields, "spec.tunnel.priorityClassName".to_owned(), name))
            .map(str::to_owned),
        image_pull_secrets: secrets(fields, written),
        labels: keys(fields, "podLabels", written.pod_labels.as_ref(), |value| {
            value.is_empty() || (value.len() <= 63 && is_word(value))
        }),
        annotations: keys(
            fields,
            "podAnnotations",
            written.pod_annotations.as_ref(),
            |value| value.len() <= 4096,
        ),
    }
}

fn secrets(fields: &Fields, written: &ParametersTunnel) -> Option<Vec<String>> {
    let written = written.image_pull_secrets.as_ref()?;
    let field = "spec.tunnel.imagePullSecrets";
    at_most(fields, field, written.len(), MOST_SECRETS);
    let named = written
        .iter()
        .enumerate()
        .filter(|(index, secret)| is_name(fields, format!("{field}[{index}].name"), &secret.name));
    Some(named.map(|(_, secret)| secret.name.clone()).collect())
}

fn is_name(fields: &Fields, field: String, name: &str) -> bool {
    let fits = is_object_name(name);
    if !fits {
        let message =
            format!("Invalid value: {name:?}: must be a name of a-z, 0-9 and inner `-` and `.`");
        fields.invalid(field, message);
    }
    fits
}

/// Labels or annotations, without those that are wrong or not the user's to set.
fn keys(
    fields: &Fields,
    name: &str,
    written: Option<&BTreeMap<String, String>>,
    value_fits: impl Fn(&str) -> bool,
) -> Option<BTreeMap<String, String>> {
    let written = written?;
    let field = format!("spec.tunnel.{name}");
    at_most(fields, &field, written.len(), MOST_KEYS);
    let mut kept = written.clone();
    kept.retain(|key, value| {
        if RESERVED.iter().any(|reserved| key.starts_with(reserved)) {
            let message = format!("Forbidden: {key}: the controller sets it; remove it");
            fields.unsupported(&field, message);
            return false;
        }
        let fits = is_key(key) && value_fits(value);
        if !fits {
            let shown: String = format!("{key}={value}").chars().take(80).collect();
            let message = format!(
                "Invalid value: {shown:?}: must be a key and a value as Kubernetes takes them"
            );
            fields.invalid(&field, message);
        }
        fits
    });
    Some(kept)
}

/// A qualified name of Kubernetes: `team` or `example.com/team`.
fn is_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_object_name) && name.len() <= 63 && is_word(name)
}

/// Letters and digits, and inside of them also `-`, `_` and `.`.
fn is_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inner)
}
