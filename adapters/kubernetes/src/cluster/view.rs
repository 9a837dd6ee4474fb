//! From the tables to a snapshot. Only what changed is converted anew.

use std::collections::{BTreeMap, BTreeSet};

use adapter_gateway_api::Object;
use domain::ObjectRef;
use domain::snapshot::{ClusterSnapshot, Reading, Unreadable};

use super::kind::Kind;
use super::secrets::Secrets;
use super::table::Table;

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
        secret_namespaces: None,
        unreadable: unreadable(tables),
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

fn unreadable(tables: &BTreeMap<Kind, Table>) -> Unreadable {
    let of_kind = |(kind, table): (&Kind, &Table)| {
        let (group, kind) = (kind.group(), kind.as_str());
        let objects = table.unreadable().map(|(key, found)| {
            let object = ObjectRef {
                group: group.to_owned(),
                kind: kind.to_owned(),
                key: key.clone(),
            };
            (object, found.clone())
        });
        objects.collect::<Vec<_>>()
    };
    Unreadable {
        objects: tables.iter().flat_map(of_kind).collect(),
        nameless: None,
    }
}
