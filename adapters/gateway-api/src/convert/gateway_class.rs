//! GatewayClass.

use domain::ObjectRef;
use domain::gateway::GatewayClass;

use super::references;
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::{GatewayClassSpec, ParametersReference};

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<GatewayClass, ReadError> {
    let spec: GatewayClassSpec = fields.read("spec")?;
    if spec.controller_name.is_empty() {
        let message = "it is missing, so the class belongs to no controller; write one";
        return Err(fields.error("spec.controllerName", message.to_owned()));
    }
    let parameters = spec.parameters_ref.as_ref();
    let parameters = parameters.and_then(|parameters| reference(fields, parameters));
    Ok(GatewayClass {
        name: header.metadata.name.clone(),
        generation: header.metadata.generation,
        controller: spec.controller_name,
        parameters,
        field_errors: fields.field_errors(),
    })
}

fn reference(fields: &Fields, written: &ParametersReference) -> Option<ObjectRef> {
    let field = "spec.parametersRef";
    fields.required(format!("{field}.kind"), &written.kind);
    fields.required(format!("{field}.name"), &written.name);
    let namespace = written.namespace.as_deref().unwrap_or_default();
    fields.required(format!("{field}.namespace"), namespace);
    (!namespace.is_empty()).then(|| {
        references::target(
            Some(&written.group),
            Some(&written.kind),
            (Some(namespace), &written.name),
            ("", ""),
            "",
        )
    })
}
