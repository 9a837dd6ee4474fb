//! Which listeners a parentRef names, and whether they take the route.

use super::view::{View, namespace_ref};
use super::{ListenerResolution, Refusal, listed};
use crate::gateway::{AllowedNamespaces, GATEWAY_GROUP, Gateway, ParentRef, Route, RouteSource};
use crate::names::{Hostname, ObjectKey};
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::Reason;

/// A listener that takes a route.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Position among the Gateway's listeners.
    pub(super) listener: usize,
    /// Effective hostnames; empty for every name.
    pub(super) hostnames: Vec<Hostname>,
}

/// The Gateway that a parentRef leads to; `None` where its kind is not served.
pub(super) fn gateway_of(parent: &ParentRef) -> Option<&ObjectKey> {
    let target = &parent.target;
    let is_gateway = target.group == GATEWAY_GROUP && target.kind == "Gateway";
    is_gateway.then_some(&target.key)
}

/// The listeners that take a route through one parentRef, or why none does: named, then allowed, then
/// with a hostname in common (Gateway API, `RouteConditionReason`).
pub(super) fn candidates(
    route: &Route,
    parent: &ParentRef,
    gateway: &Gateway,
    listeners: &[ListenerResolution],
    view: &View<'_>,
) -> Result<Vec<Candidate>, Refusal> {
    let attempt = Attempt {
        route,
        parent,
        gateway,
    };
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
    gateway: &'a Gateway,
}

/// Whether a listener lets the route's namespace in.
enum Entry {
    Open,
    Closed(String),
    Undecided(String),
}

impl Attempt<'_> {
    fn refuse(&self, reason: Reason, problem: &str) -> Refusal {
        let field = match self.route.source {
            RouteSource::Route => "spec.parentRefs: ",
            RouteSource::Service { .. } => "",
        };
        let message = format!(
            "{}: {field}Gateway {}: {problem}",
            self.route, self.gateway.key
        );
        Refusal::new(reason, message)
    }

    fn names(&self, listener: &ListenerResolution) -> bool {
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
            match self.entry(&listener.listener.namespaces, view) {
                Entry::Open => allowed.push(*index),
                Entry::Closed(why) => objections.push(format!("listener {name} {why}")),
                Entry::Undecided(why) => undecided = Some(format!("listener {name} {why}")),
            }
        }
        match undecided {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(why) => Err(self.refuse(Reason::Pending, &why)),
            None => Err(self.refuse(Reason::NotAllowedByListeners, &listed(objections))),
        }
    }

    fn entry(&self, namespaces: &AllowedNamespaces, view: &View<'_>) -> Entry {
        let namespace = &self.route.key.namespace;
        match namespaces {
            AllowedNamespaces::All => Entry::Open,
            AllowedNamespaces::Same if *namespace == self.gateway.key.namespace => Entry::Open,
            AllowedNamespaces::Same => Entry::Closed(format!(
                "takes routes of namespace {} only; widen its allowedRoutes.namespaces",
                self.gateway.key.namespace
            )),
            AllowedNamespaces::None => {
                Entry::Closed("takes no routes: its allowedRoutes.namespaces.from is None".into())
            }
            AllowedNamespaces::Selector(selector) => match view.labels(namespace) {
                Some(labels) if selector.selects(labels) => Entry::Open,
                Some(_) => Entry::Closed(format!(
                    "does not select namespace {namespace}; add the labels that its allowedRoutes.namespaces.selector asks for"
                )),
                None => unlabelled(namespace, view.snapshot),
            },
        }
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

/// What follows from labels that are not known.
fn unlabelled(namespace: &str, snapshot: &ClusterSnapshot) -> Entry {
    let undecided = |why: String| {
        Entry::Undecided(format!(
            "selects namespaces by labels, and whether it selects {namespace} is unknown: {why}"
        ))
    };
    let object = namespace_ref(namespace);
    match (
        &snapshot.namespaces,
        snapshot.unreadable.objects.get(&object),
    ) {
        (Reading::Unknown(why), _) => undecided(format!("Namespaces could not be read: {why}")),
        (_, Some(found)) => undecided(format!("it cannot be read: {}", found.why)),
        _ => Entry::Closed(format!(
            "selects namespaces by labels, and there is no Namespace {namespace}"
        )),
    }
}
