//! Where the Cloudflare credentials of Gateways are.

use std::collections::BTreeSet;

use super::parameters;
use super::view::{
    Secret, View, classes_of, gateways_of, is_core, kind_text, out_of_reach, secret_ref,
};
use crate::gateway::{ACCOUNT_ID_KEY, API_TOKEN_KEY, Defect, DefectKind, GatewayClass};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::ClusterSnapshot;

/// Where a class names its Secret.
pub(super) const CLASS_FIELD: &str = "spec.parametersRef";

const GATEWAY_FIELD: &str = "spec.infrastructure.parametersRef";

/// The Secret that holds a Gateway's Cloudflare credentials, or why there is none. Whether the Secret is
/// there is another question.
///
/// It is the one that the Gateway's parameters name, else that of its GatewayClass. A class is cluster-scoped and written by whoever runs the
/// cluster, so it needs no ReferenceGrant to name a Secret in any namespace.
pub fn credentials_reference(
    snapshot: &ClusterSnapshot,
    gateway: &ObjectKey,
) -> Result<ObjectRef, Defect> {
    let mut gateways = snapshot.gateways.items().iter();
    let found = gateways
        .find(|candidate| candidate.key == *gateway)
        .ok_or_else(|| invalid("metadata.name", format!("there is no Gateway {gateway}")))?;
    let parameters = parameters::of_gateway(snapshot, found)
        .map_err(|refusal| invalid(GATEWAY_FIELD, refusal.message))?;
    if let Some(own) = parameters.and_then(|parameters| parameters.credentials.clone()) {
        return Ok(own);
    }
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
    let told = |defect: Defect| Defect {
        message: format!("of GatewayClass {}: {}", class.name, defect.message),
        ..defect
    };
    of_class(class).map_err(told)?.ok_or_else(|| {
        let problem = "is not set; name the Secret with the Cloudflare credentials".to_owned();
        told(invalid(CLASS_FIELD, problem))
    })
}

/// The Secret that a class names; `None` where it names none.
pub(super) fn of_class(class: &GatewayClass) -> Result<Option<ObjectRef>, Defect> {
    let Some(target) = &class.parameters else {
        return Ok(None);
    };
    if !is_core(target, "Secret") {
        let problem = format!(
            "{} is not served; name a Secret of the core group",
            kind_text(target)
        );
        return Err(invalid(CLASS_FIELD, problem));
    }
    if target.key.namespace.is_empty() {
        let problem = format!("name the namespace of Secret {}", target.key.name);
        return Err(invalid("spec.parametersRef.namespace", problem));
    }
    Ok(Some(secret_ref(target.key.clone())))
}

/// Every Secret with credentials that a class of this controller, or the parameters of one of its Gateways,
/// name.
pub fn all_credentials_references(
    snapshot: &ClusterSnapshot,
    controller: &str,
) -> BTreeSet<ObjectRef> {
    let of_classes =
        classes_of(snapshot, controller).filter_map(|class| of_class(class).ok().flatten());
    let of_gateways = gateways_of(snapshot, controller).filter_map(|gateway| {
        let parameters = parameters::of_gateway(snapshot, gateway).ok()??;
        parameters.credentials.clone()
    });
    of_classes.chain(of_gateways).collect()
}

/// What a credentials Secret lacks, in a sentence. One that was not read lacks nothing yet.
pub(super) fn incomplete(secret: &ObjectRef, view: &View<'_>) -> Option<String> {
    Some(match view.secret(&secret.key) {
        Secret::Unknown => return None,
        Secret::OutOfReach => out_of_reach(secret),
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
    })
}

fn invalid(field: &str, message: String) -> Defect {
    Defect {
        field: field.to_owned(),
        kind: DefectKind::Invalid,
        message,
    }
}
