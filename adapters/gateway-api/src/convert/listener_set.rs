//! ListenerSet.

use domain::gateway::{GATEWAY_GROUP, ListenerSet};

use super::{gateway, references};
use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::ListenerSetSpec;

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<ListenerSet, ReadError> {
    let spec: ListenerSetSpec = fields.read("spec")?;
    let key = header.key();
    let parent = spec.parent_ref.unwrap_or_default();
    fields.required("spec.parentRef.name", &parent.name);
    let mut listeners = gateway::listeners(fields, &spec.listeners, &key);
    let field_errors = gateway::hand_out_field_errors(&mut listeners, fields);
    Ok(ListenerSet {
        generation: header.metadata.generation,
        created: header.created(fields)?,
        parent: references::target(
            parent.group.as_deref(),
            parent.kind.as_deref(),
            (parent.namespace.as_deref(), &parent.name),
            (GATEWAY_GROUP, "Gateway"),
            &key.namespace,
        ),
        listeners,
        field_errors,
        key,
    })
}
