//! HTTPS listeners of one port whose hostnames overlap (Gateway API, `OverlappingTLSConfig`): a client that has a connection
//! for a name of one of them may send requests for names of another over it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ListenerResolution;
use super::conflict::parents;
use crate::gateway::Protocol;

/// Marks each accepted HTTPS listener that shares a name with another one of its port. Takes a time that grows with the
/// listeners, not with their pairs: ListenerSets may add thousands.
pub(super) fn mark(listeners: &mut [ListenerResolution]) {
    let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (index, judged) in listeners.iter().enumerate() {
        if judged.refusal.is_none() && judged.listener.protocol == Protocol::Https {
            by_port.entry(judged.listener.port).or_default().push(index);
        }
    }
    let of_ports = by_port.values();
    let overlapping: BTreeSet<usize> = of_ports
        .flat_map(|of_port| of(listeners, of_port))
        .collect();
    for index in overlapping {
        listeners[index].overlaps = true;
    }
}

/// The positions of those that overlap, among the listeners at these.
fn of(listeners: &[ListenerResolution], positions: &[usize]) -> Vec<usize> {
    let hostname = |position: usize| listeners[position].listener.hostname.as_ref();
    if positions.len() > 1 && positions.iter().any(|at| hostname(*at).is_none()) {
        return positions.to_vec();
    }
    let names = || {
        positions
            .iter()
            .filter_map(|at| Some((*at, hostname(*at)?)))
    };
    let wildcards: HashMap<&str, usize> = names()
        .filter_map(|(at, name)| Some((name.wildcard_suffix()?, at)))
        .collect();
    let mut overlapping = Vec::new();
    for (at, name) in names() {
        let name = name.wildcard_suffix().unwrap_or(name.as_str());
        let covering: Vec<usize> = parents(name)
            .filter_map(|parent| wildcards.get(parent).copied())
            .collect();
        if !covering.is_empty() {
            overlapping.extend(covering);
            overlapping.push(at);
        }
    }
    overlapping
}
