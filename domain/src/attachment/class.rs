//! GatewayClasses.

use super::credentials::{CLASS_FIELD, ClassParameters, incomplete, of_class};
use super::view::View;
use super::{ClassResolution, GatewayDefaults, Refusal, listed, records};
use crate::gateway::{FieldErrorKind, GatewayClass, GatewayParameters, PARAMETERS_KIND};
use crate::status::Reason;

/// A class, with the parameters that hold for its Gateways.
pub(super) struct JudgedClass<'s> {
    pub(super) resolution: ClassResolution,
    /// The object that it names; `None` where it names a Secret or nothing, and where the object cannot be used:
    /// then the class is refused, and what its Gateways have stays as it is.
    pub(super) parameters: Option<&'s GatewayParameters>,
}

/// Judges a class. `parametersRef` may be absent: then the credentials come from elsewhere. A Secret that
/// was not read yet refuses nothing.
pub(super) fn resolve_class<'s>(
    class: &GatewayClass,
    view: &View<'s>,
    defaults: &GatewayDefaults,
) -> JudgedClass<'s> {
    let refuse = |reason: Reason, problem: String| {
        let message = format!("GatewayClass {}: {problem}", class.name);
        Refusal::new(reason, message)
    };
    let invalid = |problem: String| refuse(Reason::InvalidParameters, problem);
    let refused = |refusal: Refusal| JudgedClass {
        resolution: ClassResolution {
            generation: class.generation,
            credentials: None,
            without_effect: Vec::new(),
            refusal: Some(refusal),
        },
        parameters: None,
    };
    let field_errors = listed(class.field_errors.iter().map(ToString::to_string));
    if !field_errors.is_empty() {
        return refused(invalid(field_errors));
    }
    let (credentials, parameters) = match of_class(class, view.snapshot) {
        Err(refusal) => return refused(refuse(refusal.reason, refusal.message)),
        Ok(ClassParameters::None) => (None, None),
        Ok(ClassParameters::Secret(secret)) => (Some(secret), None),
        Ok(ClassParameters::Object(object)) => (object.credentials.clone(), Some(object)),
    };
    if let Some(problems) = parameters.and_then(unusable) {
        return refused(invalid(problems));
    }
    let lacking = credentials.as_ref().and_then(|it| incomplete(it, view));
    let field = match parameters {
        None => CLASS_FIELD.to_owned(),
        Some(object) => format!("{PARAMETERS_KIND} {}: spec.secretRef", object.key),
    };
    let refusal = lacking.map(|problem| invalid(format!("{field}: {problem}")));
    JudgedClass {
        resolution: ClassResolution {
            generation: class.generation,
            credentials,
            without_effect: parameters
                .map_or_else(Vec::new, |object| without_effect(object, defaults)),
            refusal,
        },
        parameters,
    }
}

/// What is wrong in the object of a class. A field of `spec.tenants` or `spec.services` that is not known
/// counts too: without it more may be permitted than its author meant.
fn unusable(object: &GatewayParameters) -> Option<String> {
    let field_errors = object.field_errors.iter();
    let wrong = field_errors.filter(|field_error| {
        let decides_who_may = ["spec.tenants", "spec.services"];
        field_error.kind == FieldErrorKind::Invalid
            || decides_who_may
                .iter()
                .any(|field| field_error.field.starts_with(field))
    });
    let problems = listed(wrong.map(ToString::to_string));
    (!problems.is_empty()).then(|| format!("{PARAMETERS_KIND} {}: {problems}", object.key))
}

fn without_effect(object: &GatewayParameters, defaults: &GatewayDefaults) -> Vec<String> {
    let field_errors = object.field_errors.iter();
    let unsupported =
        field_errors.filter(|field_error| field_error.kind == FieldErrorKind::Unsupported);
    let mut told: Vec<String> = unsupported.map(ToString::to_string).collect();
    if defaults.is_behind_broker {
        told.extend(records::at_broker(object).iter().map(ToString::to_string));
    }
    told
}
