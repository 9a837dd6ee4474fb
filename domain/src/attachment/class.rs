//! GatewayClasses.

use super::credentials::{CLASS_FIELD, incomplete, of_class};
use super::view::View;
use super::{ClassResolution, Refusal, listed};
use crate::gateway::GatewayClass;
use crate::status::Reason;

/// Judges a class. `parametersRef` may be absent: then the credentials come from elsewhere. A Secret that
/// was not read yet refuses nothing.
pub(super) fn resolve_class(class: &GatewayClass, view: &View<'_>) -> ClassResolution {
    let refuse = |problem: String| {
        let message = format!("GatewayClass {}: {problem}", class.name);
        Refusal::new(Reason::InvalidParameters, message)
    };
    let defects = listed(class.defects.iter().map(ToString::to_string));
    let (credentials, refusal) = match of_class(class) {
        _ if !defects.is_empty() => (None, Some(refuse(defects))),
        Err(defect) => (None, Some(refuse(defect.to_string()))),
        Ok(None) => (None, None),
        Ok(Some(secret)) => {
            let refusal = incomplete(&secret, view)
                .map(|problem| refuse(format!("{CLASS_FIELD}: {problem}")));
            (Some(secret), refusal)
        }
    };
    ClassResolution {
        generation: class.generation,
        credentials,
        refusal,
    }
}
