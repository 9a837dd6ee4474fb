//! GatewayClasses, and where the credentials of their Gateways are.

use super::view::{Secret, View, is_core, kind_text, secret_ref};
use super::{ClassResolution, Refusal, listed};
use crate::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY, Defect, DefectKind, GatewayClass};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

const PARAMETERS_FIELD: &str = "spec.parametersRef";

/// Judges a class. `parametersRef` may be absent: then the credentials come from elsewhere. A Secret that
/// was not read yet refuses nothing.
pub(super) fn resolve_class(class: &GatewayClass, view: &View<'_>) -> ClassResolution {
    let refuse = |problem: String| {
        let message = format!("GatewayClass {}: {problem}", class.name);
        Refusal::new(Reason::InvalidParameters, message)
    };
    let defects = listed(class.defects.iter().map(ToString::to_string));
    let (credentials, refusal) = match credentials_of(class) {
        _ if !defects.is_empty() => (None, Some(refuse(defects))),
        Err(defect) => (None, Some(refuse(defect.to_string()))),
        Ok(None) => (None, None),
        Ok(Some(secret)) => {
            let refusal = incomplete(&secret, view).map(|defect| refuse(defect.to_string()));
            (Some(secret), refusal)
        }
    };
    ClassResolution {
        generation: class.generation,
        credentials,
        refusal,
    }
}

/// The Secret that holds a Gateway's Cloudflare credentials, or why there is none. Whether the Secret is
/// there is another question.
///
/// It is the one that the GatewayClass names. A class is cluster-scoped and written by whoever runs the
/// cluster, so it needs no ReferenceGrant to name a Secret in any namespace.
pub fn credentials_reference(
    snapshot: &ClusterSnapshot,
    gateway: &ObjectKey,
) -> Result<ObjectRef, Defect> {
    let mut gateways = snapshot.gateways.items().iter();
    let found = gateways
        .find(|candidate| candidate.key == *gateway)
        .ok_or_else(|| invalid("metadata.name", format!("there is no Gateway {gateway}")))?;
    let mut classes = snapshot.classes.items().iter();
    let class = classes
        .find(|class| class.name == found.class)
        .ok_or_else(|| {
            let problem = format!(
                "Gateway {gateway} names GatewayClass {}, which does not exist",
                found.class
            );
            invalid("spec.gatewayClassName", problem)
        })?;
    let of_class = |defect: Defect| Defect {
        message: format!("of GatewayClass {}: {}", class.name, defect.message),
        ..defect
    };
    credentials_of(class).map_err(of_class)?.ok_or_else(|| {
        let problem = "is not set; name the Secret with the Cloudflare credentials".to_owned();
        of_class(invalid(PARAMETERS_FIELD, problem))
    })
}

/// The Secret that a class names; `None` where it names none.
fn credentials_of(class: &GatewayClass) -> Result<Option<ObjectRef>, Defect> {
    let Some(target) = &class.parameters else {
        return Ok(None);
    };
    if !is_core(target, "Secret") {
        let problem = format!(
            "{} is not served; name a Secret of the core group",
            kind_text(target)
        );
        return Err(invalid(PARAMETERS_FIELD, problem));
    }
    if target.key.namespace.is_empty() {
        let problem = format!("name the namespace of Secret {}", target.key.name);
        return Err(invalid("spec.parametersRef.namespace", problem));
    }
    Ok(Some(secret_ref(target.key.clone())))
}

fn incomplete(secret: &ObjectRef, view: &View<'_>) -> Option<Defect> {
    let problem = match view.secret(&secret.key) {
        Secret::Unknown => return None,
        Secret::Missing => format!(
            "{secret} does not exist; create it with the keys {API_TOKEN_KEY} and {ACCOUNT_ID_KEY}"
        ),
        Secret::Present(facts) => {
            let missing: Vec<&str> = [API_TOKEN_KEY, ACCOUNT_ID_KEY]
                .into_iter()
                .filter(|key| !facts.keys.iter().any(|k| k == key))
                .collect();
            if missing.is_empty() {
                return None;
            }
            format!(
                "{secret} has no key {}; add it",
                missing.join(" and no key ")
            )
        }
    };
    Some(invalid(PARAMETERS_FIELD, problem))
}

fn invalid(field: &str, message: String) -> Defect {
    Defect {
        field: field.to_owned(),
        kind: DefectKind::Invalid,
        message,
    }
}
