//! What HTTPRoutes and GRPCRoutes have in common.

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{Route, RouteKind, RouteSource, Rule};
use serde::de::DeserializeOwned;

use super::{matches, references};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::RouteSpec;

/// One of `spec.rules`.
pub(crate) trait WrittenRule: DeserializeOwned + Default {
    const KIND: RouteKind;

    /// How many matches it has.
    fn matches(&self) -> usize;

    /// The rule at `field`, of the route `own`.
    fn read(&self, fields: &Fields, field: &str, own: &ObjectKey) -> Rule;
}

pub(crate) fn read<R: WrittenRule>(header: &Header, fields: &Fields) -> Result<Route, ReadError> {
    let spec: RouteSpec<R> = fields.read("spec")?;
    let key = header.key();
    let scope = spec.use_default_gateways.as_ref();
    if scope.is_some_and(|scope| !matches!(scope.as_str(), Some("" | "None"))) {
        fields.uses(Feature::DefaultGateways, "spec.useDefaultGateways");
    }
    // A route without rules has one that takes everything (Gateway API, `HTTPRouteSpec.rules`).
    let rules = spec.rules.unwrap_or_else(|| vec![R::default()]);
    matches::check_sum(fields, rules.iter().map(R::matches));
    let rules = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| rule.read(fields, &format!("spec.rules[{index}]"), &key));
    Ok(Route {
        kind: R::KIND,
        source: RouteSource::Route,
        generation: header.metadata.generation,
        created: header.created(fields)?,
        parents: references::parents(fields, &spec.parent_refs, &key),
        hostnames: references::hostnames(fields, &spec.hostnames),
        rules: rules.collect(),
        pattern_room: fields.pattern_room(),
        uses: fields.used(),
        key,
        field_errors: fields.field_errors(),
    })
}
