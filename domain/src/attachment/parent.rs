//! Which listeners a parentRef names, and whether they take the route.

use super::listener_set::set_of;
use super::namespaces::{Entry, entry};
use super::view::View;
use super::{GatewayResolution, ListenerResolution, Refusal, listed};
use crate::gateway::{Gateway, LISTENER_SET_KIND, ParentRef, Route, RouteSource};
use crate::names::{Hostname, ObjectKey};
use crate::status::Reason;

/// A listener that takes a route.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Position among the listeners of the Gateway and of its ListenerSets.
    pub(super) listener: usize,
    /// Effective hostnames; empty for every name.
    pub(super) hostnames: Vec<Hostname>,
}

/// The listeners that take a route through one parentRef, or why none does: named, then allowed, then
/// with a hostname in common (Gateway API, `RouteConditionReason`).
pub(super) fn candidates(
    route: &Route,
    parent: &ParentRef,
    resolution: &GatewayResolution,
    view: &View<'_>,
) -> Result<Vec<Candidate>, Refusal> {
    let attempt = Attempt {
        route,
        parent,
        set: set_of(parent),
        gateway: &resolution.gateway,
    };
    let listeners = &resolution.listeners;
    if let Some(why) = attempt.unattached(resolution) {
        return Err(why);
    }
    let named: Vec<usize> = (0..listeners.len())
        .filter(|index| attempt.names(&listeners[*index]))
        .collect();
    if named.is_empty() {
        return Err(attempt.no_such_listener(listeners));
    }
    let allowed = attempt.allowed(&named, listeners, view)?;
    let candidates: Vec<Candidate> = allowed
        .iter()
        .filter_map(|index| {
            let hostname = listeners[*index].listener.hostname.as_ref();
            Some(Candidate {
                listener: *index,
                hostnames: effective_hostnames(hostname, &route.hostnames)?,
            })
        })
        .collect();
    if candidates.is_empty() {
        return Err(attempt.no_hostname_in_common(&allowed, listeners));
    }
    Ok(candidates)
}

/// Listener ∩ route; `None` where both name hostnames and none is in common. Empty means every name.
fn effective_hostnames(listener: Option<&Hostname>, route: &[Hostname]) -> Option<Vec<Hostname>> {
    let mut effective: Vec<Hostname> = match (listener, route) {
        (None, _) => route.to_vec(),
        (Some(listener), []) => vec![listener.clone()],
        (Some(listener), _) => {
            let common = route.iter().filter_map(|name| listener.intersection(name));
            let common: Vec<Hostname> = common.collect();
            if common.is_empty() {
                return None;
            }
            common
        }
    };
    effective.sort();
    effective.dedup();
    Some(effective)
}

/// A route that asks one Gateway to take it.
struct Attempt<'a> {
    route: &'a Route,
    parent: &'a ParentRef,
    /// The ListenerSet that the parentRef names: then only its listeners are meant. Where it names the Gateway, only
    /// the Gateway's own are.
    set: Option<&'a ObjectKey>,
    gateway: &'a Gateway,
}

/// Why a listener does not let a route in.
enum Closed {
    For(String),
    Undecided(String),
}

impl Attempt<'_> {
    fn refuse(&self, reason: Reason, problem: &str) -> Refusal {
        let field = match self.route.source {
            RouteSource::Route => "spec.parentRefs: ",
            RouteSource::Service { .. } => "",
        };
        let parent = match self.set {
            Some(set) => format!("{LISTENER_SET_KIND} {set}"),
            None => format!("Gateway {}", self.gateway.key),
        };
        let message = format!("{}: {field}{parent}: {problem}", self.route);
        Refusal::new(reason, message)
    }

    /// Why a ListenerSet that the route names has no listener at the Gateway.
    fn unattached(&self, resolution: &GatewayResolution) -> Option<Refusal> {
        let mut sets = resolution.listener_sets.iter();
        let found = sets.find(|found| Some(&found.set.key) == self.set)?;
        let refusal = found.refusal.as_ref().filter(|_| !found.is_attached)?;
        let problem = format!(
            "it adds no listener to Gateway {}; see the status of the {LISTENER_SET_KIND}",
            self.gateway.key
        );
        let reason = match refusal.reason {
            Reason::Pending => Reason::Pending,
            _ => Reason::NoMatchingParent,
        };
        Some(self.refuse(reason, &problem))
    }

    fn names(&self, listener: &ListenerResolution) -> bool {
        if listener.set.as_ref() != self.set {
            return false;
        }
        let section = self.parent.section.as_ref();
        section.is_none_or(|section| *section == listener.listener.name)
            && self
                .parent
                .port
                .is_none_or(|port| port == listener.listener.port)
    }

    fn no_such_listener(&self, listeners: &[ListenerResolution]) -> Refusal {
        let wanted = match (&self.parent.section, self.parent.port) {
            (Some(section), Some(port)) => {
                format!("no listener has sectionName {section} and port {port}")
            }
            (Some(section), None) => format!("no listener has sectionName {section}"),
            (None, Some(port)) => format!("no listener has port {port}"),
            (None, None) => "there is no listener".to_owned(),
        };
        let there: Vec<String> = listeners
            .iter()
            .filter(|l| l.set.as_ref() == self.set)
            .map(|l| format!("{}:{}", l.listener.name, l.listener.port))
            .collect();
        let problem = format!("{wanted}; its listeners are [{}]", there.join(", "));
        self.refuse(Reason::NoMatchingParent, &problem)
    }

    fn allowed(
        &self,
        named: &[usize],
        listeners: &[ListenerResolution],
        view: &View<'_>,
    ) -> Result<Vec<usize>, Refusal> {
        let mut allowed = Vec::new();
        let mut objections = Vec::new();
        let mut undecided = None;
        for index in named {
            let listener = &listeners[*index];
            let name = &listener.listener.name;
            if !listener.supported_kinds.contains(&self.route.kind) {
                let kind = self.route.kind.as_str();
                objections.push(format!(
                    "listener {name} takes no {kind}; see its allowedRoutes.kinds and protocol"
                ));
                continue;
            }
            match self.closed(listener, view) {
                None => allowed.push(*index),
                Some(Closed::For(why)) => objections.push(format!("listener {name} {why}")),
                Some(Closed::Undecided(why)) => undecided = Some(format!("listener {name} {why}")),
            }
        }
        match undecided {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(why) => Err(self.refuse(Reason::Pending, &why)),
            None => Err(self.refuse(Reason::NotAllowedByListeners, &listed(objections))),
        }
    }

    /// Why a listener does not let the route's namespace in; `None` where it does. Namespaces are relative to the object
    /// that the listener stands in.
    fn closed(&self, listener: &ListenerResolution, view: &View<'_>) -> Option<Closed> {
        let namespace = &self.route.key.namespace;
        let own = listener.set.as_ref().unwrap_or(&self.gateway.key);
        let allowed = &listener.listener.namespaces;
        Some(match entry(allowed, &own.namespace, namespace, view) {
            Entry::Open => return None,
            Entry::NotSame => Closed::For(format!(
                "takes routes of namespace {} only; widen its allowedRoutes.namespaces",
                own.namespace
            )),
            Entry::Nobody => {
                Closed::For("takes no routes: its allowedRoutes.namespaces.from is None".into())
            }
            Entry::NotSelected => Closed::For(format!(
                "does not select namespace {namespace}; add the labels that its allowedRoutes.namespaces.selector asks for"
            )),
            Entry::NoNamespace => Closed::For(format!(
                "selects namespaces by labels, and there is no Namespace {namespace}"
            )),
            Entry::Undecided(why) => Closed::Undecided(format!(
                "selects namespaces by labels, and whether it selects {namespace} is unknown: {why}"
            )),
        })
    }

    fn no_hostname_in_common(
        &self,
        allowed: &[usize],
        listeners: &[ListenerResolution],
    ) -> Refusal {
        let names = |hostnames: &mut dyn Iterator<Item = &Hostname>| {
            listed(hostnames.map(ToString::to_string))
        };
        let of_listeners = names(
            &mut allowed
                .iter()
                .filter_map(|index| listeners[*index].listener.hostname.as_ref()),
        );
        let of_route = names(&mut self.route.hostnames.iter());
        let problem = format!(
            "{} ({of_route}) have nothing in common with the listeners' ({of_listeners}); change one of them",
            self.route.hostnames_field()
        );
        self.refuse(Reason::NoMatchingListenerHostname, &problem)
    }
}
