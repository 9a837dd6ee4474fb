//! The difference between two tables of one Gateway: by listener, by route, by upstream.

use std::collections::{BTreeMap, HashMap};

use domain::gateway::{ExternalAuth, Protocol, RouteKind};
use domain::names::{Hostname, ObjectKey};
use domain::route_table::{
    ClientValidation, RouteTable, TableListener, TableRoute, Upstream, UpstreamKey,
};
use serde::{Deserialize, Serialize};

/// What turns one table into another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDelta {
    /// The new listeners, in their order.
    pub listeners: Vec<Piece<ListenerDelta>>,
    /// Upstreams that are new or have changed.
    pub upstreams: Vec<(UpstreamKey, Upstream)>,
    /// Upstreams that are gone.
    pub removed: Vec<UpstreamKey>,
    /// What visitors have to show, where that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_validation: Option<Vec<ClientValidation>>,
}

/// A part of the new list: kept from the old one, or new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece<T> {
    /// So many entries of the old list.
    Keep {
        /// Position of the first.
        from: usize,
        count: usize,
    },
    Put(T),
}

/// A listener that is new or has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerDelta {
    pub name: String,
    pub port: u16,
    pub protocol: Protocol,
    pub hostname: Option<Hostname>,
    /// Not written where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<ExternalAuth<UpstreamKey>>,
    /// The new routes, in their order; kept ones are those of the old listener of the same name.
    pub routes: Vec<Piece<TableRoute>>,
}

/// The difference is not one to this table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the difference speaks of entries that the table does not have")]
pub(crate) struct Mismatch;

impl TableDelta {
    /// What turns `old` into `new`. Linear in both.
    pub(crate) fn between(old: &RouteTable, new: &RouteTable) -> Self {
        let listeners = pieces(
            &old.listeners,
            &new.listeners,
            |listener| &listener.name,
            |old, listener| ListenerDelta {
                name: listener.name.clone(),
                port: listener.port,
                protocol: listener.protocol.clone(),
                hostname: listener.hostname.clone(),
                filters: listener.filters.clone(),
                routes: route_pieces(old, listener),
            },
        );
        let changed = new
            .upstreams
            .iter()
            .filter(|(key, upstream)| old.upstreams.get(key) != Some(upstream));
        let removed = old.upstreams.keys();
        let removed = removed.filter(|key| !new.upstreams.contains_key(key));
        Self {
            listeners,
            upstreams: changed.map(|(k, u)| (k.clone(), u.clone())).collect(),
            removed: removed.cloned().collect(),
            client_validation: (old.client_validation != new.client_validation)
                .then(|| new.client_validation.clone()),
        }
    }

    pub(crate) fn apply(self, old: &RouteTable) -> Result<RouteTable, Mismatch> {
        let listeners = assemble(&old.listeners, self.listeners, |delta| {
            let mut olds = old.listeners.iter();
            let base = olds.find(|listener| listener.name == delta.name);
            let routes = base.map_or(&[][..], |listener| &listener.routes);
            Ok(TableListener {
                name: delta.name,
                port: delta.port,
                protocol: delta.protocol,
                hostname: delta.hostname,
                filters: delta.filters,
                routes: assemble(routes, delta.routes, Ok)?,
            })
        })?;
        let mut upstreams: BTreeMap<_, _> = old.upstreams.clone();
        for key in &self.removed {
            upstreams.remove(key).ok_or(Mismatch)?;
        }
        upstreams.extend(self.upstreams);
        Ok(RouteTable {
            client_validation: self
                .client_validation
                .unwrap_or_else(|| old.client_validation.clone()),
            gateway: old.gateway.clone(),
            listeners,
            upstreams,
        })
    }
}

fn route_pieces(old: Option<&TableListener>, new: &TableListener) -> Vec<Piece<TableRoute>> {
    fn identity(route: &TableRoute) -> (RouteKind, &ObjectKey) {
        (route.kind, &route.key)
    }
    let old = old.map_or(&[][..], |listener| &listener.routes);
    pieces(old, &new.routes, identity, |_, route| route.clone())
}

/// Pieces of `new`: runs that stand in `old` as they are, and what `put` makes of the others and of their
/// predecessor of the same key.
fn pieces<'t, T: PartialEq, K: Eq + std::hash::Hash, P>(
    old: &'t [T],
    new: &'t [T],
    key: impl Fn(&'t T) -> K,
    put: impl Fn(Option<&'t T>, &'t T) -> P,
) -> Vec<Piece<P>> {
    let known = old.iter().enumerate();
    let known: HashMap<K, usize> = known.map(|(i, entry)| (key(entry), i)).collect();
    let mut pieces = Vec::new();
    for entry in new {
        let before = known.get(&key(entry)).copied();
        match (before, pieces.last_mut()) {
            (Some(i), last) if old[i] == *entry => match last {
                Some(Piece::Keep { from, count }) if *from + *count == i => *count += 1,
                _ => pieces.push(Piece::Keep { from: i, count: 1 }),
            },
            _ => pieces.push(Piece::Put(put(before.map(|i| &old[i]), entry))),
        }
    }
    pieces
}

fn assemble<T: Clone, P>(
    old: &[T],
    pieces: Vec<Piece<P>>,
    put: impl Fn(P) -> Result<T, Mismatch>,
) -> Result<Vec<T>, Mismatch> {
    let mut new = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Keep { from, count } => {
                let end = from.checked_add(count).ok_or(Mismatch)?;
                new.extend_from_slice(old.get(from..end).ok_or(Mismatch)?);
            }
            Piece::Put(entry) => new.push(put(entry)?),
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use domain::gateway::{BackendKind, EndpointHost};
    use domain::names::Timestamp;
    use domain::route_table::{UpstreamEndpoint, UpstreamProtocol};

    use super::*;

    fn route(name: &str, created: i64) -> TableRoute {
        TableRoute {
            broader: None,
            key: ObjectKey::new("shop", name),
            kind: RouteKind::Http,
            created: Timestamp(created),
            hostnames: Vec::new(),
            rules: Vec::new(),
        }
    }

    fn listener(name: &str, port: u16, routes: &[(&str, i64)]) -> TableListener {
        TableListener {
            name: name.to_owned(),
            port,
            protocol: Protocol::Https,
            hostname: None,
            filters: Vec::new(),
            routes: routes.iter().map(|(name, age)| route(name, *age)).collect(),
        }
    }

    fn table(listeners: Vec<TableListener>, upstreams: &[(&str, &str)]) -> RouteTable {
        let upstreams = upstreams.iter().map(|(service, address)| {
            let key = UpstreamKey {
                kind: BackendKind::Service,
                service: ObjectKey::new("shop", *service),
                port: 80,
                protocol: UpstreamProtocol::Http1,
            };
            let host = EndpointHost::Address(address.parse().unwrap());
            let endpoints = vec![UpstreamEndpoint { host, port: 8080 }];
            (
                key,
                Upstream {
                    endpoints,
                    ..Upstream::default()
                },
            )
        });
        RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("infra", "web"),
            listeners,
            upstreams: upstreams.collect(),
        }
    }

    #[test]
    fn applying_the_difference_gives_the_new_table() {
        let many: Vec<(String, i64)> = (0..9).map(|i| (format!("r{i}"), i)).collect();
        let many: Vec<(&str, i64)> = many.iter().map(|(n, i)| (n.as_str(), *i)).collect();
        let swapped: Vec<_> = many.iter().rev().copied().collect();
        let asking = |ports: &[u16]| RouteTable {
            client_validation: vec![ClientValidation {
                ports: ports.iter().copied().collect(),
                authorities: Vec::new(),
            }],
            ..table(vec![listener("a", 443, &many)], &[])
        };
        let tables = [
            table(vec![], &[]),
            asking(&[443]),
            asking(&[443, 8443]),
            table(vec![listener("a", 443, &many)], &[("s", "10.0.0.1")]),
            table(vec![listener("a", 443, &many)], &[("s", "10.0.0.2")]),
            table(vec![listener("a", 443, &many[2..])], &[("t", "10.0.0.2")]),
            table(vec![listener("a", 443, &swapped)], &[]),
            table(vec![listener("a", 444, &many)], &[]),
            table(
                vec![listener("b", 443, &[("r1", 77)]), listener("a", 443, &many)],
                &[("s", "10.0.0.1"), ("t", "::1")],
            ),
            table(
                vec![listener("a", 443, &many), listener("b", 443, &[("r1", 77)])],
                &[],
            ),
        ];
        for old in &tables {
            for new in &tables {
                let delta = TableDelta::between(old, new);
                assert_eq!(delta.apply(old).as_ref(), Ok(new));
            }
        }
    }

    #[test]
    fn a_difference_names_only_what_changed() {
        let many: Vec<(String, i64)> = (0..9).map(|i| (format!("r{i}"), i)).collect();
        let mut routes: Vec<(&str, i64)> = many.iter().map(|(n, i)| (n.as_str(), *i)).collect();
        let old = table(
            vec![listener("a", 443, &routes), listener("b", 80, &routes)],
            &[("s", "10.0.0.1"), ("t", "10.0.0.3")],
        );
        let moved = table(
            old.listeners.clone(),
            &[("s", "10.0.0.2"), ("t", "10.0.0.3")],
        );
        let delta = TableDelta::between(&old, &moved);
        assert_eq!(delta.listeners, [Piece::Keep { from: 0, count: 2 }]);
        assert_eq!((delta.upstreams.len(), delta.removed.len()), (1, 0));

        routes[4].1 = 99;
        let edited = table(
            vec![listener("a", 443, &routes), old.listeners[1].clone()],
            &[("s", "10.0.0.1"), ("t", "10.0.0.3")],
        );
        let delta = TableDelta::between(&old, &edited);
        let [Piece::Put(a), Piece::Keep { from: 1, count: 1 }] = delta.listeners.as_slice() else {
            panic!("{delta:?}");
        };
        let [
            Piece::Keep { from: 0, count: 4 },
            Piece::Put(put),
            Piece::Keep { from: 5, count: 4 },
        ] = a.routes.as_slice()
        else {
            panic!("{a:?}");
        };
        assert_eq!(put.key.name, "r4");
        assert!(delta.upstreams.is_empty());
    }

    #[test]
    fn a_difference_to_another_table_is_found_out() {
        let old = table(
            vec![listener("a", 443, &[("r", 1), ("s", 2)])],
            &[("s", "::1")],
        );
        let new = table(vec![listener("a", 443, &[("r", 9), ("s", 2)])], &[]);
        let delta = TableDelta::between(&old, &new);
        for other in [
            table(vec![], &[("s", "::1")]),
            table(old.listeners.clone(), &[]),
        ] {
            assert_eq!(delta.clone().apply(&other), Err(Mismatch));
        }
        let absurd = TableDelta {
            client_validation: None,
            listeners: vec![Piece::Keep {
                from: 1,
                count: usize::MAX,
            }],
            upstreams: Vec::new(),
            removed: Vec::new(),
        };
        assert_eq!(absurd.apply(&old), Err(Mismatch));
    }
}
