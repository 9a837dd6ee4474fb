//! From the tables to a snapshot. Only what changed is converted anew.

use std::collections::{BTreeMap, BTreeSet};

use adapter_gateway_api::Object;
use domain::snapshot::{ClusterSnapshot, Reading};

use super::kind::Kind;
use super::secrets::Secrets;
use super::table::Table;

/// Malformed objects that are named; the others are counted.
const NAMED: usize = 5;

/// What a view no longer shows as it is.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    kinds: BTreeSet<Kind>,
    pub(crate) secrets: bool,
}

impl Stale {
    /// Before the first view.
    pub(crate) fn all() -> Self {
        Self {
            kinds: Kind::ALL.into(),
            secrets: true,
        }
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        self.kinds.insert(kind);
    }
}

/// The value in an object of its kind.
macro_rules! only {
    ($variant:ident) => {
        |object: &Object| match object {
            Object::$variant(value) => Some(value.clone()),
            _ => None,
        }
    };
}

/// The next view.
pub(crate) fn renewed(
    earlier: &ClusterSnapshot,
    stale: &Stale,
    tables: &BTreeMap<Kind, Table>,
    secrets: &Secrets,
) -> ClusterSnapshot {
    macro_rules! part {
        ($field:ident, [$($kind:ident),+], $value:expr) => {
            match [$(Kind::$kind),+].iter().any(|kind| stale.kinds.contains(kind)) {
                false => earlier.$field.clone(),
                true => joined([$(Kind::$kind),+].map(|kind| tables[&kind].reading($value))),
            }
        };
    }
    ClusterSnapshot {
        classes: part!(classes, [GatewayClass], only!(GatewayClass)),
        gateways: part!(gateways, [Gateway], only!(Gateway)),
        parameters: part!(parameters, [GatewayParameters], only!(Parameters)),
        routes: part!(routes, [HttpRoute, GrpcRoute], only!(Route)),
        grants: part!(grants, [ReferenceGrant], only!(ReferenceGrant)),
        services: part!(services, [Service], only!(Service)),
        endpoint_slices: part!(endpoint_slices, [EndpointSlice], only!(EndpointSlice)),
        namespaces: part!(namespaces, [Namespace], only!(Namespace)),
        secrets: match stale.secrets {
            false => earlier.secrets.clone(),
            true => secrets.facts(),
        },
        endpoint_rules: earlier.endpoint_rules,
        incomplete: incomplete(tables),
    }
}

/// A kind that is read in several: unknown when any is, absent when all are.
fn joined<T, const N: usize>(parts: [Reading<Vec<T>>; N]) -> Reading<Vec<T>> {
    let mut all: Option<Vec<T>> = None;
    for part in parts {
        match part {
            Reading::Unknown(why) => return Reading::Unknown(why),
            Reading::Absent => {}
            Reading::Known(items) => match &mut all {
                None => all = Some(items),
                Some(all) => all.extend(items),
            },
        }
    }
    all.map_or(Reading::Absent, Reading::Known)
}

/// Kinds that say where a request goes, and not which hostnames there are: without one of these objects nothing is
/// removed that would stay with it.
const OF_BACKENDS: [Kind; 2] = [Kind::Service, Kind::EndpointSlice];

/// Why objects may be missing although their kinds were read.
fn incomplete(tables: &BTreeMap<Kind, Table>) -> Option<String> {
    let decisive = tables
        .iter()
        .filter(|(kind, _)| !OF_BACKENDS.contains(kind));
    let malformed: Vec<&String> = decisive.flat_map(|(_, table)| table.malformed()).collect();
    if malformed.is_empty() {
        return None;
    }
    let named: Vec<_> = malformed.iter().take(NAMED).map(|s| s.as_str()).collect();
    let more = match malformed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!(
        "objects cannot be read: {}{more}",
        named.join("; ")
    ))
}
