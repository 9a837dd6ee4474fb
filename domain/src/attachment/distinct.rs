//! Listeners that cannot be told apart: those of one object have no winner, and those of a ListenerSet give way to those
//! that come before it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::gateway::{GatewayPart, Listener, Protocol};
use crate::names::Hostname;
use crate::status::Reason;

/// What listeners have that come before a ListenerSet: those of the Gateway, whether they are accepted or not, and the
/// accepted ones of ListenerSets with precedence. What is refused there takes nothing from others.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By port.
    protocols: BTreeMap<u16, BTreeSet<Protocol>>,
    hostnames: HashSet<(u16, Option<Hostname>)>,
}

/// A conflict: the reason, the field of the listener, and the problem.
pub(super) type Conflict = (Reason, &'static str, String);

impl Taken {
    /// Adds what a listener has.
    pub(super) fn add(&mut self, listener: &Listener) {
        if takes_part(listener) {
            let protocols = self.protocols.entry(listener.port).or_default();
            protocols.insert(listener.protocol.clone());
            let place = (listener.port, listener.hostname.clone());
            self.hostnames.insert(place);
        }
    }

    /// Why a listener of a ListenerSet gives way. Nothing is said of whose listener it is, because its author may not
    /// see that one. A protocol that is not served gives way too.
    pub(super) fn conflict(&self, listener: &Listener) -> Option<Conflict> {
        let port = listener.port;
        let protocols = self.protocols.get(&port)?;
        let place = (port, listener.hostname.clone());
        let has_other_protocol = protocols.iter().any(|other| *other != listener.protocol);
        let has_hostname = takes_part(listener) && self.hostnames.contains(&place);
        if has_other_protocol {
            let protocols: Vec<&str> = protocols.iter().map(Protocol::as_str).collect();
            let problem = format!(
                "port {port} of the Gateway is for {}, because a listener with precedence has it; use another port",
                protocols.join(" and ")
            );
            // The API has a reason of its own for both (`ListenerEntryReasonListenerConflict`).
            let reason = match has_hostname {
                true => Reason::ListenerConflict,
                false => Reason::ProtocolConflict,
            };
            return Some((reason, ".protocol", problem));
        }
        if !has_hostname {
            return None;
        }
        let problem = format!(
            "a listener with precedence has port {port} of the Gateway with the same hostname; use another hostname"
        );
        Some((Reason::HostnameConflict, ".hostname", problem))
    }
}

/// Listeners of one object that cannot be distinguished are all refused, there is no winner
/// (Gateway API, `Gateway.spec.listeners`, "Distinct Listeners").
pub(super) fn conflict(listeners: &[Listener], index: usize) -> Option<Conflict> {
    let listener = &listeners[index];
    if !takes_part(listener) {
        return None;
    }
    let port = listener.port;
    let others = || {
        let listeners = listeners.iter().enumerate();
        listeners
            .filter(|(other, _)| *other != index)
            .map(|(_, other)| other)
            .filter(|other| other.port == port && takes_part(other))
    };
    let other_protocol: Vec<&str> = others()
        .filter(|other| other.protocol != listener.protocol)
        .map(|other| other.name.as_str())
        .collect();
    if !other_protocol.is_empty() {
        let problem = format!(
            "HTTP and HTTPS cannot share port {port} with {}; give one of them another port",
            other_protocol.join(", ")
        );
        return Some((Reason::ProtocolConflict, ".protocol", problem));
    }
    let same_hostname: Vec<&str> = others()
        .filter(|other| other.hostname == listener.hostname)
        .map(|other| other.name.as_str())
        .collect();
    if same_hostname.is_empty() {
        return None;
    }
    let problem = format!(
        "port {port} and hostname are the same as those of {}; keep one of them or change its hostname",
        same_hostname.join(", ")
    );
    Some((Reason::HostnameConflict, ".hostname", problem))
}

/// A listener with a protocol or a hostname that is not served opens nothing, so it takes nothing from
/// others.
fn takes_part(listener: &Listener) -> bool {
    let reserved = listener.hostname.as_ref().and_then(Hostname::reserved);
    !matches!(listener.protocol, Protocol::Other(_))
        && reserved.is_none()
        && !listener
            .field_errors
            .iter()
            .any(|(part, _)| *part == GatewayPart::ListenerHostname)
}
