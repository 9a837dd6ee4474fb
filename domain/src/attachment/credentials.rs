//! Where the Cloudflare credentials of Gateways are.

use std::collections::BTreeSet;

use super::view::{
    Secret, View, classes_of, gateways_of, is_core, kind_text, out_of_reach, secret_ref,
};
use super::{Refusal, parameters};
use crate::gateway::{
    ACCOUNT_ID_KEY, API_TOKEN_KEY, FieldError, FieldErrorKind, GatewayClass, GatewayParameters,
    OWN_GROUP, PARAMETERS_KIND,
};
use crate::names::{ObjectKey, ObjectRef};
use crate::snapshot::ClusterSnapshot;
use crate::status::Reason;

/// Where a class names its Secret.
pub(super) const CLASS_FIELD: &str = "spec.parametersRef";

const GATEWAY_FIELD: &str = "spec.infrastructure.parametersRef";

/// The Secret that holds a Gateway's Cloudflare credentials, or why there is none. Whether the Secret is
/// there is another question.
///
/// It is the one that the Gateway's parameters name, else that of its GatewayClass or of the class's parameters. A
/// class is cluster-scoped and written by whoever runs the cluster, so it needs no ReferenceGrant to name an
/// object in any namespace.
pub fn credentials_reference(
    snapshot: &ClusterSnapshot,
    gateway: &ObjectKey,
) -> Result<ObjectRef, FieldError> {
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
    let told = |problem: String| {
        let message = format!("of GatewayClass {}: {problem}", class.name);
        invalid(CLASS_FIELD, message)
    };
    match of_class(class, snapshot).map_err(|refusal| told(refusal.message))? {
        ClassParameters::Secret(secret) => Ok(secret),
        ClassParameters::Object(object) => object.credentials.clone().ok_or_else(|| {
            told(format!(
                "{PARAMETERS_KIND} {}: spec.secretRef is not set; name the Secret with the Cloudflare credentials",
                object.key
            ))
        }),
        ClassParameters::None => Err(told(
            "is not set; name the Secret with the Cloudflare credentials".to_owned(),
        )),
    }
}

/// What a class names in `parametersRef`.
pub(super) enum ClassParameters<'s> {
    None,
    Secret(ObjectRef),
    Object(&'s GatewayParameters),
}

/// What a class names, as far as it is there.
pub(super) fn of_class<'s>(
    class: &GatewayClass,
    snapshot: &'s ClusterSnapshot,
) -> Result<ClassParameters<'s>, Refusal> {
    let Some(target) = &class.parameters else {
        return Ok(ClassParameters::None);
    };
    let refuse = |problem: String| Refusal::new(Reason::InvalidParameters, problem);
    if target.key.namespace.is_empty() {
        let problem = format!("{CLASS_FIELD}.namespace: name the namespace of {target}");
        return Err(refuse(problem));
    }
    if is_core(target, "Secret") {
        return Ok(ClassParameters::Secret(secret_ref(target.key.clone())));
    }
    if parameters::is_ours(target) {
        let found = parameters::find(snapshot, target);
        let told = |refusal: Refusal| Refusal {
            message: format!("{CLASS_FIELD}: {}", refusal.message),
            ..refusal
        };
        return found.map(ClassParameters::Object).map_err(told);
    }
    let problem = format!(
        "{CLASS_FIELD}: {} is not served; name a Secret of the core group or a {OWN_GROUP}/{PARAMETERS_KIND}",
        kind_text(target)
    );
    Err(refuse(problem))
}

/// Every Secret with credentials that a class of this controller, or the parameters of one of its Gateways,
/// name.
pub fn all_credentials_references(
    snapshot: &ClusterSnapshot,
    controller: &str,
) -> BTreeSet<ObjectRef> {
    let of_classes = classes_of(snapshot, controller).filter_map(|class| {
        match of_class(class, snapshot).ok()? {
            ClassParameters::None => None,
            ClassParameters::Secret(secret) => Some(secret),
            ClassParameters::Object(object) => object.credentials.clone(),
        }
    });
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

fn invalid(field: &str, message: String) -> FieldError {
    FieldError {
        field: field.to_owned(),
        kind: FieldErrorKind::Invalid,
        message,
    }
}
