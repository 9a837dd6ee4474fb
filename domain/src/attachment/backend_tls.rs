//! BackendTLSPolicies: which of them holds for a port of a Service, and whether it can be carried out. Where one cannot,
//! the port is not spoken to at all: never in clear text.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::authorities::{Authority, Problem};
use super::policy::{Ancestors, PolicyResolution, conflict};
use super::policy_targets::{TargetFaults, is_astray};
use super::{Refusal, listed};
use crate::certificate::CaBundle;
use crate::gateway::{
    BACKEND_TLS_POLICY_KIND, BackendKind, BackendName, BackendTlsPolicy, EXPERIMENTAL_GROUP,
    EXTERNAL_BACKEND_KIND, GATEWAY_GROUP, TrustSource,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::route_table::{BackendIndex, Trust, UpstreamTls};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// ConfigMaps and Secrets that the policies of one namespace may name: each is read and kept in memory.
pub(crate) const MOST_CA_OBJECTS: usize = 256;

/// Bytes of certificate authorities that the policies of one namespace may bring into a route table, counted for each
/// port of their targets.
pub(crate) const CA_ROOM: usize = 4 << 20;

/// Which reason ResolvedRefs gets when several apply.
const ORDER: [Reason; 3] = [
    Reason::InvalidKind,
    Reason::InvalidCaCertificateRef,
    Reason::Pending,
];

/// What is known of the certificates of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsVerdict {
    /// No policy is for it.
    ClearText,
    Tls(Arc<UpstreamTls>),
    /// The certificate authorities are about to be read for the first time.
    Awaited,
    /// A policy is for it that cannot be carried out, and why. [`Reason::Pending`]: whether it can is not known.
    Unusable(Refusal),
}

/// The policies of a snapshot, the older ones first.
pub(super) struct BackendTls<'s> {
    policies: Vec<Judged<'s>>,
    /// By backend and name of the port, `None` for all of its ports: the policies that are for it, the one that holds first.
    by_target: HashMap<(BackendName<'s>, Option<&'s str>), Vec<usize>>,
    /// By backend: the policies that name a port of it that is not there.
    astray: HashMap<BackendName<'s>, Vec<usize>>,
    /// For a namespace, a policy in it that could not be read.
    unreadable: HashMap<&'s str, &'s ObjectKey>,
}

struct Judged<'s> {
    policy: &'s BackendTlsPolicy,
    refusal: Option<Refusal>,
    unresolved: Option<Refusal>,
    warnings: Vec<String>,
    trusted: Vec<ObjectRef>,
    verdict: TlsVerdict,
}

impl<'s> BackendTls<'s> {
    pub(super) fn new(snapshot: &'s ClusterSnapshot, backends: &BackendIndex<'_>) -> Self {
        let items = snapshot.backend_tls_policies.items().iter();
        let inline = snapshot.external_backends.items().iter();
        let inline = inline.filter_map(|backend| backend.tls.as_deref());
        let mut sorted: Vec<&BackendTlsPolicy> = items.chain(inline).collect();
        sorted.sort_by_key(|policy| (policy.created, &policy.key, policy.is_inline));
        let mut judge = Judge::new(snapshot, backends);
        let mut by_target: HashMap<_, Vec<usize>> = HashMap::new();
        let mut astray: HashMap<_, Vec<usize>> = HashMap::new();
        let mut policies: Vec<Judged<'_>> = Vec::with_capacity(sorted.len());
        for (index, policy) in sorted.into_iter().enumerate() {
            let mut judged = judge.judged(policy);
            let mut lost = Vec::new();
            for target in &policy.targets {
                let Some(name) = BackendName::of(&target.object) else {
                    continue;
                };
                // An XBackend says itself how it is spoken to (GEP-4894).
                if (name.kind == BackendKind::External) != policy.is_inline {
                    continue;
                }
                if is_astray(target, backends) {
                    astray.entry(name).or_default().push(index);
                }
                let place = (name, target.section.as_deref());
                let there = by_target.entry(place).or_default();
                match there.first() {
                    Some(&first) if first != index => lost.push((target, first)),
                    _ => {}
                }
                if !there.contains(&index) {
                    there.push(index);
                }
            }
            if !lost.is_empty() {
                let sentences = lost.into_iter().filter_map(|(target, first)| {
                    let older = policies.get(first)?;
                    Some(conflict(&reference(policy), target, &older.policy.key))
                });
                let refusal = Refusal::new(Reason::Conflicted, listed(sentences));
                judged.refusal = Some(refusal);
            }
            let faults = TargetFaults::of(policy, backends);
            judged.refusal = judged.refusal.or_else(|| faults.refusal());
            judged.warnings = faults.sentences();
            policies.push(judged);
        }
        let unreadable = snapshot
            .unreadable
            .of_kind(GATEWAY_GROUP, BACKEND_TLS_POLICY_KIND);
        Self {
            policies,
            by_target,
            astray,
            unreadable: unreadable
                .map(|(policy, _)| (policy.namespace.as_str(), policy))
                .collect(),
        }
    }

    /// What holds for a port: a policy that names the port goes before one for all ports (Gateway API,
    /// `BackendTLSPolicy`). `port` is its name, empty where it has none.
    pub(super) fn of(&self, name: BackendName<'_>, port: &str) -> TlsVerdict {
        let unreadable = self.unreadable.get(name.key.namespace.as_str());
        if let Some(policy) = unreadable.filter(|_| name.kind != BackendKind::External) {
            let message = format!(
                "whether {name} needs TLS is not known, because {BACKEND_TLS_POLICY_KIND} {policy} cannot be read; write it anew"
            );
            return TlsVerdict::Unusable(Refusal::new(Reason::Invalid, message));
        }
        let holds = self.holding(name, port);
        match holds.and_then(|index| self.policies.get(index)) {
            Some(judged) => judged.verdict.clone(),
            None => TlsVerdict::ClearText,
        }
    }

    /// The policy that holds for a port.
    pub(super) fn holding(&self, name: BackendName<'_>, port: &str) -> Option<usize> {
        self.places(name, port).find_map(<[usize]>::first).copied()
    }

    /// Namespace and name of a policy; `None` of an XBackend, which says itself how it is spoken to.
    pub(super) fn key(&self, index: usize) -> Option<&'s ObjectKey> {
        let judged = self.policies.get(index)?;
        (!judged.policy.is_inline).then_some(&judged.policy.key)
    }

    /// The policies that name a port of a backend which is not there.
    pub(super) fn astray<'a>(&'a self, name: BackendName<'a>) -> impl Iterator<Item = usize> + 'a {
        self.astray.get(&name).into_iter().flatten().copied()
    }

    /// The policies that are for a port, whichever of them holds.
    pub(super) fn touching<'a>(
        &'a self,
        name: BackendName<'a>,
        port: &'a str,
    ) -> impl Iterator<Item = usize> + 'a {
        self.places(name, port).flatten().copied()
    }

    fn places<'a>(
        &'a self,
        name: BackendName<'a>,
        port: &'a str,
    ) -> impl Iterator<Item = &'a [usize]> {
        let named = (!port.is_empty()).then(|| self.by_target.get(&(name, Some(port))));
        let whole = self.by_target.get(&(name, None));
        let places = named.flatten().into_iter().chain(whole);
        places.map(Vec::as_slice)
    }

    /// The XBackends that are spoken to over TLS, and the policies, with the Gateways that have a route to each.
    pub(super) fn resolved(
        self,
        mut ancestors: Ancestors,
    ) -> (Vec<PolicyResolution>, Vec<PolicyResolution>) {
        let policies = self.policies.into_iter().enumerate();
        policies
            .map(|(index, judged)| PolicyResolution {
                policy: reference(judged.policy),
                generation: judged.policy.generation,
                refusal: judged.refusal,
                references: Some(judged.unresolved.map_or(Ok(()), Err)),
                warnings: judged.warnings,
                ancestors: ancestors.remove(&index).unwrap_or_default(),
                refused_at: BTreeMap::new(),
                trusted: judged.trusted,
            })
            .partition(|it| it.policy.kind == EXTERNAL_BACKEND_KIND)
    }
}

/// The object that says it.
fn reference(policy: &BackendTlsPolicy) -> ObjectRef {
    let (group, kind) = match policy.is_inline {
        true => (EXPERIMENTAL_GROUP, EXTERNAL_BACKEND_KIND),
        false => (GATEWAY_GROUP, BACKEND_TLS_POLICY_KIND),
    };
    ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        key: policy.key.clone(),
    }
}

/// The field that says who may have issued certificates, and for whom.
fn validation(policy: &BackendTlsPolicy) -> &'static str {
    match policy.is_inline {
        true => "spec.tls.validation",
        false => "spec.validation",
    }
}

/// What policies are judged by, the older ones first.
struct Judge<'s, 'b> {
    snapshot: &'s ClusterSnapshot,
    backends: &'b BackendIndex<'b>,
    /// For each namespace, what its policies have named so far.
    named: HashMap<&'s str, HashSet<ObjectRef>>,
    /// For each namespace, bytes that its policies have brought so far.
    bytes: HashMap<&'s str, usize>,
}

/// Why one of `caCertificateRefs` gives nothing.
enum RefProblem {
    Refused(Reason, String),
    Awaited,
}

impl From<Problem> for RefProblem {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Kind(problem) => Self::Refused(Reason::InvalidKind, problem),
            Problem::Invalid(problem) => Self::Refused(Reason::InvalidCaCertificateRef, problem),
            Problem::Unreadable(problem) => Self::Refused(Reason::Pending, problem),
            Problem::Awaited => Self::Awaited,
        }
    }
}

impl<'s, 'b> Judge<'s, 'b> {
    fn new(snapshot: &'s ClusterSnapshot, backends: &'b BackendIndex<'b>) -> Self {
        Self {
            snapshot,
            backends,
            named: HashMap::new(),
            bytes: HashMap::new(),
        }
    }

    fn judged(&mut self, policy: &'s BackendTlsPolicy) -> Judged<'s> {
        let (mut bundles, mut refusals) = (Vec::new(), Vec::new());
        let (mut trusted, mut is_awaited) = (Vec::new(), false);
        let refs = match &policy.trust {
            TrustSource::Objects(refs) => refs.as_slice(),
            TrustSource::System => &[],
        };
        for (index, object) in refs.iter().enumerate() {
            match self.bundle(policy, object, &mut trusted) {
                Ok(bundle) => bundles.push(bundle),
                Err(RefProblem::Awaited) => is_awaited = true,
                Err(RefProblem::Refused(reason, problem)) => {
                    let message = format!(
                        "{}: {}.caCertificateRefs[{index}]: {problem}",
                        reference(policy),
                        validation(policy)
                    );
                    refusals.push(Refusal::new(reason, message));
                }
            }
        }
        let unresolved = Refusal::first_of(refusals, &ORDER);
        let trust = match &policy.trust {
            TrustSource::System => Some(Trust::System),
            TrustSource::Objects(_) => {
                (!bundles.is_empty()).then(|| Trust::Bundles(bundles.clone()))
            }
        };
        let mut refusal = invalid(policy);
        if refusal.is_none() && trust.is_none() && !is_awaited {
            refusal = Some(without_authority(policy, unresolved.as_ref()));
        }
        if refusal.is_none() && !is_awaited {
            refusal = self.too_large(policy, &bundles);
        }
        let verdict = match (&refusal, trust, &policy.hostname) {
            (Some(refusal), ..) => TlsVerdict::Unusable(refusal.clone()),
            (None, Some(trust), Some(hostname)) if !is_awaited => {
                TlsVerdict::Tls(Arc::new(UpstreamTls {
                    trust,
                    hostname: hostname.clone(),
                    names: policy.names.clone(),
                    client: None,
                }))
            }
            (None, ..) => TlsVerdict::Awaited,
        };
        Judged {
            policy,
            refusal,
            unresolved,
            warnings: Vec::new(),
            trusted,
            verdict,
        }
    }

    /// The certificate authorities of one reference. Where it is one that may be read, it is added to `trusted`.
    fn bundle(
        &mut self,
        policy: &'s BackendTlsPolicy,
        object: &ObjectRef,
        trusted: &mut Vec<ObjectRef>,
    ) -> Result<CaBundle, RefProblem> {
        let refused = |problem: String| {
            Err(RefProblem::Refused(
                Reason::InvalidCaCertificateRef,
                problem,
            ))
        };
        let authority = Authority::of(object, self.snapshot)?;
        if let Some(problem) = authority.unreachable(self.snapshot) {
            return refused(problem);
        }
        if let Some(object) = authority.followed() {
            if !self.has_room_for(policy, object) {
                return refused(format!(
                    "Too many: {object}: the {BACKEND_TLS_POLICY_KIND} objects of a namespace may name {MOST_CA_OBJECTS} ConfigMaps and Secrets, and older ones do; let policies share one"
                ));
            }
            trusted.push(object.clone());
        }
        Ok(authority.read(self.snapshot)?)
    }

    fn has_room_for(&mut self, policy: &'s BackendTlsPolicy, object: &ObjectRef) -> bool {
        let named = self.named.entry(&policy.key.namespace).or_default();
        named.contains(object) || named.len() < MOST_CA_OBJECTS && named.insert(object.clone())
    }

    /// Why the certificate authorities of a policy take too much of a route table.
    fn too_large(&mut self, policy: &'s BackendTlsPolicy, bundles: &[CaBundle]) -> Option<Refusal> {
        let ports = policy.targets.iter().map(|target| match target.section {
            Some(_) => 1,
            None => {
                let backend = BackendName::of(&target.object);
                let backend = backend.and_then(|name| self.backends.find(name));
                backend.map_or(1, |backend| backend.ports.len().max(1))
            }
        });
        let size: usize = bundles.iter().map(|bundle| bundle.as_pem().len()).sum();
        let size = size.saturating_mul(ports.sum());
        let used = self.bytes.entry(&policy.key.namespace).or_default();
        if used.saturating_add(size) > CA_ROOM {
            let message = format!(
                "{}: Too many: the certificate authorities of a namespace's policies, counted for each port, must have at most {CA_ROOM} bytes, and older policies have {used} of them: name smaller ones",
                reference(policy)
            );
            return Some(Refusal::new(Reason::Invalid, message));
        }
        *used += size;
        None
    }
}

/// What its author wrote and cannot be acted upon.
fn invalid(policy: &BackendTlsPolicy) -> Option<Refusal> {
    let mut field_errors = policy.field_errors.clone();
    field_errors.sort();
    if field_errors.is_empty() && policy.hostname.is_some() {
        return None;
    }
    let mut sentences: Vec<String> = field_errors.iter().map(ToString::to_string).collect();
    if sentences.is_empty() {
        let field = validation(policy);
        sentences.push(format!("{field}.hostname: Required value: write it"));
    }
    let message = format!("{}: {}", reference(policy), listed(sentences));
    Some(Refusal::new(Reason::Invalid, message))
}

/// None of its references gives a certificate authority, or it has none.
fn without_authority(policy: &BackendTlsPolicy, unresolved: Option<&Refusal>) -> Refusal {
    match unresolved {
        Some(unresolved) if unresolved.reason == Reason::Pending => unresolved.clone(),
        Some(unresolved) => Refusal::new(Reason::NoValidCaCertificate, unresolved.message.clone()),
        None => Refusal::new(
            Reason::Invalid,
            format!(
                "{}: {}: Required value: write caCertificateRefs, or wellKnownCACertificates: System",
                reference(policy),
                validation(policy)
            ),
        ),
    }
}
