//! References to certificate authorities (`caCertificateRefs`), of policies and of Gateways.

use super::view::{is_core, kind_text, out_of_reach};
use crate::certificate::{CA_KEY, CaBundle, TrustBundle};
use crate::gateway::{TRUST_BUNDLE_GROUP, TRUST_BUNDLE_KIND};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::{ClusterSnapshot, Reading};

/// What may be named, for messages.
pub(super) const KINDS: &str =
    "a ConfigMap or a Secret of the core group, or a ClusterTrustBundle of certificates.k8s.io";

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authority {
    /// A ConfigMap or a Secret, as sources spell it. It is read once it is followed.
    Followed(ObjectRef),
    /// A ClusterTrustBundle, by its name.
    Bundle(String),
}

/// Why a reference gives nothing.
pub(super) enum Problem {
    /// Its kind is not served.
    Kind(String),
    /// It leads nowhere, or to something else than certificate authorities.
    Invalid(String),
    /// It could not be read.
    Unreadable(String),
    /// It is about to be read for the first time.
    Awaited,
}

impl Authority {
    /// What a reference means.
    ///
    /// # Errors
    /// Its kind is not served, here or at all.
    pub(super) fn of(object: &ObjectRef, snapshot: &ClusterSnapshot) -> Result<Self, Problem> {
        if is_core(object, "ConfigMap") || is_core(object, "Secret") {
            return Ok(Self::Followed(ObjectRef {
                group: String::new(),
                ..object.clone()
            }));
        }
        let is_bundle = object.group == TRUST_BUNDLE_GROUP && object.kind == TRUST_BUNDLE_KIND;
        let problem = match (is_bundle, &snapshot.trust_bundles) {
            (true, Reading::Known(_) | Reading::Unknown(_)) => {
                return Ok(Self::Bundle(object.key.name.clone()));
            }
            (true, Reading::Absent) => {
                "this cluster does not serve certificates.k8s.io/ClusterTrustBundle; serve it (Kubernetes 1.37 does), or name a ConfigMap".to_owned()
            }
            (false, _) => format!("{} is not served; name {KINDS}", kind_text(object)),
        };
        Err(Problem::Kind(problem))
    }

    /// The object, where it is in a namespace.
    pub(super) fn followed(&self) -> Option<&ObjectRef> {
        match self {
            Self::Followed(object) => Some(object),
            Self::Bundle(_) => None,
        }
    }

    /// Why it may not be read.
    pub(super) fn unreachable(&self, snapshot: &ClusterSnapshot) -> Option<String> {
        let (object, namespaces) = (self.followed()?, snapshot.secret_namespaces.as_ref()?);
        let is_out = object.kind == "Secret" && !namespaces.contains(&object.key.namespace);
        is_out.then(|| out_of_reach(object))
    }

    /// The certificate authorities in it.
    pub(super) fn read(&self, snapshot: &ClusterSnapshot) -> Result<CaBundle, Problem> {
        match self {
            Self::Followed(object) => followed(object, snapshot),
            Self::Bundle(name) => bundle(name, snapshot),
        }
    }
}

fn followed(object: &ObjectRef, snapshot: &ClusterSnapshot) -> Result<CaBundle, Problem> {
    match snapshot.trust.get(object) {
        None => Err(Problem::Awaited),
        Some(Reading::Known(trust)) => usable(object, trust, &format!("no key {CA_KEY}")),
        Some(Reading::Absent) => Err(missing(object)),
        Some(Reading::Unknown(why)) => Err(unread(object, why)),
    }
}

fn bundle(name: &str, snapshot: &ClusterSnapshot) -> Result<CaBundle, Problem> {
    let object = ObjectRef {
        group: TRUST_BUNDLE_GROUP.to_owned(),
        kind: TRUST_BUNDLE_KIND.to_owned(),
        key: ObjectKey::new("", name),
    };
    if let Reading::Unknown(why) = &snapshot.trust_bundles {
        return Err(unread(&object, why));
    }
    let mut bundles = snapshot.trust_bundles.items().iter();
    let found = bundles.find(|bundle| bundle.name == name);
    match (found, snapshot.unreadable.why(&object)) {
        (Some(bundle), _) => usable(&object, &bundle.trust, "an empty spec.trustBundle"),
        (None, Some(why)) => Err(Problem::Invalid(format!("{object}: {why}"))),
        (None, None) => Err(missing(&object)),
    }
}

/// `absent`: what the object has where there is nothing in it.
fn usable(object: &ObjectRef, trust: &TrustBundle, absent: &str) -> Result<CaBundle, Problem> {
    match trust {
        TrustBundle::Usable(bundle) => Ok(bundle.clone()),
        TrustBundle::Malformed(problem) => Err(Problem::Invalid(format!("{object}: {problem}"))),
        TrustBundle::Absent => Err(Problem::Invalid(format!(
            "{object} has {absent}; write the certificate authorities there, in PEM"
        ))),
    }
}

fn missing(object: &ObjectRef) -> Problem {
    Problem::Invalid(format!(
        "{object} does not exist; create it or correct the name"
    ))
}

fn unread(object: &ObjectRef, why: &str) -> Problem {
    Problem::Unreadable(format!("{object} could not be read: {why}"))
}
