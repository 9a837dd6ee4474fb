//! `spec.tls.frontend` of Gateways: whose certificates visitors of their HTTPS listeners may show. Any doubt fails closed:
//! where no certificate can be checked, every request is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::authorities::{self, Authority, Problem};
use super::backend_tls::CA_ROOM;
use super::view::{Permission, Referrer, View, not_granted, unreadable_grant};
use super::{ListenerResolution, Refusal};
use crate::capabilities::EdgeKind;
use crate::certificate::CaBundle;
use crate::gateway::{FrontendMode, FrontendTls, FrontendValidation, Gateway, Listener, Protocol};
use crate::names::ObjectRef;
use crate::route_table::ClientValidation;
use crate::status::Reason;

/// How many objects with certificate authorities one Gateway may name. Each is read and kept in memory.
const MOST_AUTHORITIES: usize = 64;

/// Which reason ResolvedRefs gets when several apply.
const ORDER: [Reason; 4] = [
    Reason::RefNotPermitted,
    Reason::InvalidCaCertificateKind,
    Reason::InvalidCaCertificateRef,
    Reason::Pending,
];

/// What came of `spec.tls.frontend`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontendResolution {
    /// Objects that it trusts, as far as it may refer to them, whether they are there or not.
    pub trusted: BTreeSet<ObjectRef>,
    /// By the path of each validation.
    validations: BTreeMap<String, ValidationResolution>,
}

/// What came of one validation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ValidationResolution {
    authorities: Vec<CaBundle>,
    /// Whether a reference is about to be read for the first time.
    is_awaited: bool,
    unresolved: Option<Refusal>,
    refusal: Option<Refusal>,
}

/// What a listener has of it.
pub(super) struct ListenerVerdict {
    /// Why ResolvedRefs is False.
    pub(super) unresolved: Option<Refusal>,
    /// Why Accepted is False.
    pub(super) refusal: Option<Refusal>,
}

impl FrontendResolution {
    /// Whether it depends on what is about to be read.
    pub(super) fn is_awaited(&self) -> bool {
        self.validations.values().any(|it| it.is_awaited)
    }

    /// What a listener has of it. `is_own`: it stands in the Gateway; to others the objects that a Gateway refers to are not
    /// told.
    pub(super) fn of(
        &self,
        gateway: &Gateway,
        listener: &Listener,
        is_own: bool,
    ) -> ListenerVerdict {
        let found = validation(gateway, listener).and_then(|it| self.validations.get(&it.field));
        let told = |refusal: &Refusal| match is_own {
            true => refusal.clone(),
            false => {
                let message = format!(
                    "Gateway {}: spec.tls.frontend: what it asks of visitors of port {} cannot be carried out; ask its owner",
                    gateway.key, listener.port
                );
                Refusal::new(refusal.reason, message)
            }
        };
        ListenerVerdict {
            unresolved: found.and_then(|it| it.unresolved.as_ref()).map(told),
            refusal: found.and_then(|it| it.refusal.as_ref()).map(told),
        }
    }

    /// What proxies are to ask of visitors, at the ports of all HTTPS listeners, also of those that are refused.
    pub(super) fn for_table(
        &self,
        gateway: &Gateway,
        listeners: &[ListenerResolution],
    ) -> Vec<ClientValidation> {
        let mut by_field: BTreeMap<&str, ClientValidation> = BTreeMap::new();
        for listener in listeners.iter().map(|it| &it.listener) {
            let Some(asked) = validation(gateway, listener) else {
                continue;
            };
            if asked.mode == FrontendMode::InsecureFallback {
                continue;
            }
            let found = self.validations.get(&asked.field);
            let found = found.filter(|it| it.refusal.is_none());
            let place = by_field
                .entry(&asked.field)
                .or_insert_with(|| ClientValidation {
                    ports: BTreeSet::new(),
                    authorities: found.map_or_else(Vec::new, |it| it.authorities.clone()),
                });
            place.ports.insert(listener.port);
        }
        by_field.into_values().collect()
    }
}

fn validation<'g>(gateway: &'g Gateway, listener: &Listener) -> Option<&'g FrontendValidation> {
    let frontend = gateway.frontend.as_ref();
    let https = frontend.filter(|_| listener.protocol == Protocol::Https);
    https?.at(listener.port)
}

pub(super) fn resolve_frontend(
    gateway: &Gateway,
    edge: EdgeKind,
    view: &View<'_>,
) -> FrontendResolution {
    let mut resolution = FrontendResolution::default();
    let mut room = CA_ROOM;
    let frontend = gateway.frontend.iter();
    for validation in frontend.flat_map(FrontendTls::validations) {
        let mut resolved = match edge.hands_certificates() {
            true => resolve(gateway, validation, view, &mut resolution.trusted),
            false => ValidationResolution {
                refusal: Some(without_edge(gateway, validation)),
                ..ValidationResolution::default()
            },
        };
        let size: usize = resolved
            .authorities
            .iter()
            .map(|it| it.as_pem().len())
            .sum();
        match room.checked_sub(size) {
            Some(left) => room = left,
            None => {
                let message = format!(
                    "Gateway {}: {}: Too many: the certificate authorities of a Gateway must have at most {CA_ROOM} bytes together: name smaller ones",
                    gateway.key, validation.field
                );
                resolved = ValidationResolution {
                    refusal: Some(Refusal::new(Reason::Invalid, message)),
                    ..ValidationResolution::default()
                };
            }
        }
        resolution
            .validations
            .insert(validation.field.clone(), resolved);
    }
    resolution
}

/// Cloudflare's edge hands on no certificate unless it is set to.
fn without_edge(gateway: &Gateway, validation: &FrontendValidation) -> Refusal {
    let message = format!(
        "Gateway {}: {}: Forbidden: the edge is not said to hand on certificates of visitors, so none can be checked; set tunnel.edge_hands_certificates once Cloudflare does, or remove the field",
        gateway.key, validation.field
    );
    Refusal::new(Reason::UnsupportedValue, message)
}

fn resolve(
    gateway: &Gateway,
    validation: &FrontendValidation,
    view: &View<'_>,
    trusted: &mut BTreeSet<ObjectRef>,
) -> ValidationResolution {
    let mut resolved = ValidationResolution::default();
    let mut refusals = Vec::new();
    for (index, object) in validation.authorities.iter().enumerate() {
        match authority(gateway, object, view, trusted) {
            Ok(bundle) => resolved.authorities.push(bundle),
            Err(None) => resolved.is_awaited = true,
            Err(Some((reason, problem))) => {
                let message = format!(
                    "Gateway {}: {}.caCertificateRefs[{index}]: {problem}",
                    gateway.key, validation.field
                );
                refusals.push(Refusal::new(reason, message));
            }
        }
    }
    resolved.unresolved = Refusal::first_of(refusals, &ORDER);
    if resolved.authorities.is_empty() && !resolved.is_awaited {
        resolved.refusal = Some(without_authority(gateway, validation, &resolved.unresolved));
    }
    resolved
}

fn without_authority(
    gateway: &Gateway,
    validation: &FrontendValidation,
    unresolved: &Option<Refusal>,
) -> Refusal {
    match unresolved {
        Some(refusal) if refusal.reason == Reason::Pending => refusal.clone(),
        Some(refusal) => Refusal::new(Reason::NoValidCaCertificate, refusal.message.clone()),
        None => {
            let message = format!(
                "Gateway {}: {}.caCertificateRefs: Required value: name {}",
                gateway.key,
                validation.field,
                authorities::KINDS
            );
            Refusal::new(Reason::NoValidCaCertificate, message)
        }
    }
}

/// The certificate authorities of one reference, or why there are none; `None`: they are about to be read.
fn authority(
    gateway: &Gateway,
    object: &ObjectRef,
    view: &View<'_>,
    trusted: &mut BTreeSet<ObjectRef>,
) -> Result<CaBundle, Option<(Reason, String)>> {
    let from = Referrer {
        kind: "Gateway",
        namespace: &gateway.key.namespace,
    };
    let found = Authority::of(object, view.snapshot);
    let named = match &found {
        Ok(authority) => authority.followed(),
        Err(_) => Some(object),
    };
    // What is in no namespace needs no grant.
    let named = named.filter(|named| !named.key.namespace.is_empty());
    match named.map_or(Permission::Granted, |named| view.permission(from, named)) {
        Permission::Granted => {}
        Permission::Undecided => return Err(None),
        Permission::Denied => {
            return Err(Some((Reason::RefNotPermitted, not_granted(object, from))));
        }
        Permission::Unreadable(grant) => {
            let problem = unreadable_grant(object, grant);
            return Err(Some((Reason::RefNotPermitted, problem)));
        }
    }
    let authority = found.map_err(told)?;
    if let Some(problem) = authority.unreachable(view.snapshot) {
        return Err(told(Problem::Invalid(problem)));
    }
    if let Some(object) = authority.followed() {
        if trusted.len() == MOST_AUTHORITIES && !trusted.contains(object) {
            return Err(told(Problem::Invalid(format!(
                "Too many: {object}: a Gateway may name {MOST_AUTHORITIES} objects with certificate authorities; let ports share one"
            ))));
        }
        trusted.insert(object.clone());
    }
    authority.read(view.snapshot).map_err(told)
}

/// How a problem is told at a listener.
fn told(problem: Problem) -> Option<(Reason, String)> {
    match problem {
        Problem::Kind(problem) => Some((Reason::InvalidCaCertificateKind, problem)),
        Problem::Invalid(problem) => Some((Reason::InvalidCaCertificateRef, problem)),
        Problem::Unreadable(problem) => Some((Reason::Pending, problem)),
        Problem::Awaited => None,
    }
}
