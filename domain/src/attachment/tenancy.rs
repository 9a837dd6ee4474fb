//! What the operator lets each namespace have: `spec.tenants` of the CloudflareGatewayParameters that a
//! GatewayClass names.

use std::collections::{BTreeMap, HashMap};

use super::class::JudgedClass;
use super::parent::Candidate;
use super::view::View;
use super::{Refusal, listed};
use crate::gateway::{Gateway, PARAMETERS_KIND, Route, Tenant};
use crate::names::{AllowedHostnames, Hostname, ObjectKey};
use crate::status::Reason;

/// The entries of all classes, asked for one namespace at a time.
pub(super) struct Tenancies<'a> {
    view: &'a View<'a>,
    classes: &'a BTreeMap<&'a str, JudgedClass<'a>>,
    /// By class and namespace.
    known: HashMap<(&'a str, &'a str), Tenancy<'a>>,
}

/// What a namespace may have of one class.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tenancy<'a> {
    /// The class restricts no namespace.
    Unrestricted,
    /// What the first entry that selects the namespace says.
    Of(Entry<'a>),
    /// No entry selects the namespace, so it may have nothing.
    Nothing {
        class: &'a str,
        parameters: &'a ObjectKey,
    },
    /// Whether an entry selects the namespace depends on labels that could not be read.
    Undecided { class: &'a str, why: &'a str },
}

/// One of `spec.tenants`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    class: &'a str,
    parameters: &'a ObjectKey,
    index: usize,
    tenant: &'a Tenant,
}

impl<'a> Tenancies<'a> {
    pub(super) fn new(view: &'a View<'a>, classes: &'a BTreeMap<&'a str, JudgedClass<'a>>) -> Self {
        Self {
            view,
            classes,
            known: HashMap::new(),
        }
    }

    pub(super) fn of(&mut self, class: &'a str, namespace: &'a str) -> Tenancy<'a> {
        let (view, classes) = (self.view, self.classes);
        let known = self.known.entry((class, namespace));
        *known.or_insert_with(|| tenancy(class, classes.get(class), namespace, view))
    }

    /// Gateways that are more than the namespaces of their entry may have. The older ones keep their place; one that
    /// is being deleted has none.
    pub(super) fn over_limit(
        &mut self,
        gateways: impl Iterator<Item = &'a Gateway>,
    ) -> BTreeMap<&'a ObjectKey, Refusal> {
        let mut by_entry: BTreeMap<(&ObjectKey, usize), (Entry<'a>, Vec<&'a Gateway>)> =
            BTreeMap::new();
        for gateway in gateways.filter(|gateway| !gateway.deleting) {
            if let Tenancy::Of(entry) = self.of(&gateway.class, &gateway.key.namespace) {
                let place = by_entry.entry((entry.parameters, entry.index));
                place.or_insert((entry, Vec::new())).1.push(gateway);
            }
        }
        let mut refused = BTreeMap::new();
        for (entry, mut gateways) in by_entry.into_values() {
            let Some(limit) = entry.tenant.max_gateways else {
                continue;
            };
            gateways.sort_by_key(|gateway| (gateway.created, &gateway.key));
            let over = gateways.into_iter().skip(limit as usize);
            refused.extend(over.map(|gateway| (&gateway.key, entry.too_many(&gateway.key, limit))));
        }
        refused
    }
}

fn tenancy<'a>(
    class: &'a str,
    judged: Option<&JudgedClass<'a>>,
    namespace: &str,
    view: &View<'a>,
) -> Tenancy<'a> {
    let parameters = judged.and_then(|judged| judged.parameters);
    let Some((parameters, tenants)) = parameters.and_then(|p| Some((p, p.tenants.as_ref()?)))
    else {
        return Tenancy::Unrestricted;
    };
    let labels = view.labels(namespace);
    for (index, tenant) in tenants.iter().enumerate() {
        let selected = match (tenant.namespaces.rules.is_empty(), labels) {
            (true, _) => true,
            (false, Some(labels)) => tenant.namespaces.selects(labels),
            (false, None) => match view.unread_namespace(namespace) {
                Some(why) => return Tenancy::Undecided { class, why },
                None => false,
            },
        };
        if selected {
            return Tenancy::Of(Entry {
                class,
                parameters: &parameters.key,
                index,
                tenant,
            });
        }
    }
    Tenancy::Nothing {
        class,
        parameters: &parameters.key,
    }
}

impl<'a> Tenancy<'a> {
    /// The entry's permissions, where something is restricted and an entry is found.
    pub(super) fn tenant(&self) -> Option<&'a Tenant> {
        match self {
            Self::Of(entry) => Some(entry.tenant),
            Self::Unrestricted | Self::Nothing { .. } | Self::Undecided { .. } => None,
        }
    }

    /// Why an object of the namespace can have nothing at all, or cannot yet.
    pub(super) fn refusal(&self, object: &str, namespace: &str) -> Option<Refusal> {
        Some(match self {
            Self::Unrestricted | Self::Of(_) => return None,
            Self::Nothing { class, parameters } => {
                let message = format!(
                    "{object}: metadata.namespace: Forbidden: {namespace}: no entry of spec.tenants of {PARAMETERS_KIND} {parameters}, which GatewayClass {class} names, selects this namespace; ask whoever runs the cluster for an entry, or for the labels that one selects"
                );
                Refusal::new(Reason::NamespaceNotPermitted, message)
            }
            Self::Undecided { class, why } => {
                let message = format!(
                    "{object}: what GatewayClass {class} permits to namespace {namespace} depends on its labels, which are not known: {why}"
                );
                Refusal::new(Reason::Pending, message)
            }
        })
    }

    /// Why a listener may not have its hostname.
    pub(super) fn forbids(&self, hostname: &Hostname) -> Option<String> {
        match self {
            Self::Of(entry) if !entry.tenant.hostnames.allows(hostname) => Some(format!(
                "Forbidden: {hostname}: {}",
                entry.permitted_names()
            )),
            _ => None,
        }
    }

    /// Why a listener may not have every hostname.
    pub(super) fn forbids_every_name(&self) -> Option<String> {
        match self {
            Self::Of(entry) if !entry.tenant.hostnames.allows_every_name() => {
                Some(format!("Required value: {}", entry.permitted_names()))
            }
            _ => None,
        }
    }

    /// Takes from what a route asks for the hostnames that its namespace may not have. With them goes everything
    /// that would follow from them: rules, records, and the claim that could keep another from the name. Without
    /// any hostname left the route is refused; otherwise the refusal tells of the others.
    pub(super) fn restrict(
        &self,
        route: &Route,
        gateway: &Gateway,
        found: Vec<Candidate>,
    ) -> Result<(Vec<Candidate>, Option<Refusal>), Refusal> {
        let object = route.to_string();
        if let Some(refusal) = self.refusal(&object, &route.key.namespace) {
            return Err(refusal);
        }
        let Self::Of(entry) = self else {
            return Ok((found, None));
        };
        let allowed = &entry.tenant.hostnames;
        let mut forbidden = Vec::new();
        let mut permitted = Vec::new();
        for candidate in found {
            match split(candidate.hostnames, allowed) {
                Permitted::EveryName => permitted.push(Candidate {
                    hostnames: Vec::new(),
                    ..candidate
                }),
                Permitted::NotEveryName => forbidden.push("every hostname".to_owned()),
                Permitted::Some { yes, no } => {
                    forbidden.extend(no.iter().map(ToString::to_string));
                    if !yes.is_empty() {
                        permitted.push(Candidate {
                            hostnames: yes,
                            ..candidate
                        });
                    }
                }
            }
        }
        if forbidden.is_empty() {
            return Ok((permitted, None));
        }
        forbidden.sort();
        forbidden.dedup();
        let message = format!(
            "{object}: {}: Forbidden: {} on Gateway {}: {}",
            route.hostnames_field(),
            listed(forbidden),
            gateway.key,
            entry.permitted_names()
        );
        let refusal = Refusal::new(Reason::HostnameNotPermitted, message);
        match permitted.is_empty() {
            true => Err(refusal),
            false => Ok((permitted, Some(refusal))),
        }
    }
}

/// The effective hostnames of a route on a listener, by whether they are permitted.
enum Permitted {
    /// The route takes every name, and may.
    EveryName,
    /// The route takes every name, and may have some only: which of them it wants is unknown.
    NotEveryName,
    Some {
        yes: Vec<Hostname>,
        no: Vec<Hostname>,
    },
}

fn split(hostnames: Vec<Hostname>, allowed: &AllowedHostnames) -> Permitted {
    match (hostnames.is_empty(), allowed.allows_every_name()) {
        (true, true) => Permitted::EveryName,
        (true, false) => Permitted::NotEveryName,
        (false, _) => {
            let (yes, no) = hostnames.into_iter().partition(|name| allowed.allows(name));
            Permitted::Some { yes, no }
        }
    }
}

impl Entry<'_> {
    /// What the namespaces may have, who says so, and what helps.
    fn permitted_names(&self) -> String {
        let names = match &self.tenant.hostnames {
            AllowedHostnames::Any => "every hostname".to_owned(),
            AllowedHostnames::Listed(patterns) => patterns.to_string(),
        };
        format!(
            "GatewayClass {} permits {names} to this namespace; use one of these, or ask whoever runs the cluster to add yours to spec.tenants[{}].hostnames of {PARAMETERS_KIND} {}",
            self.class, self.index, self.parameters
        )
    }

    fn too_many(&self, gateway: &ObjectKey, limit: u32) -> Refusal {
        let message = format!(
            "Gateway {gateway}: Forbidden: spec.tenants[{}].maxGateways of {PARAMETERS_KIND} {}, which GatewayClass {} names, permits {limit} Gateways, and there are as many older ones; delete one of them, or ask whoever runs the cluster for more",
            self.index, self.parameters, self.class
        );
        Refusal::new(Reason::TooManyGateways, message)
    }
}
