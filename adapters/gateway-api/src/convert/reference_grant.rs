//! ReferenceGrant.

use domain::gateway::{GrantFrom, GrantTo, ReferenceGrant};

use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::types::api_type;

api_type! {
    /// `ReferenceGrant.spec`.
    ReferenceGrantSpec {
        from: Vec<ReferenceGrantFrom>,
        to: Vec<ReferenceGrantTo>,
    }
}

api_type! {
    /// One of `spec.from`.
    ReferenceGrantFrom {
        group: String,
        kind: String,
        namespace: String,
    }
}

api_type! {
    /// One of `spec.to`.
    ReferenceGrantTo {
        group: String,
        kind: String,
        name: Option<String>,
    }
}

/// A grant has no status to report a field error on, and half of one could permit more than its author meant:
/// it is read whole or not at all.
pub(crate) fn read(header: &Header, fields: &Fields) -> Result<ReferenceGrant, ReadError> {
    let spec: ReferenceGrantSpec = fields.read("spec")?;
    for (index, from) in spec.from.iter().enumerate() {
        fields.required(format!("spec.from[{index}].kind"), &from.kind);
        fields.required(format!("spec.from[{index}].namespace"), &from.namespace);
    }
    for (index, to) in spec.to.iter().enumerate() {
        fields.required(format!("spec.to[{index}].kind"), &to.kind);
    }
    let grant = ReferenceGrant {
        key: header.key(),
        from: spec.from.into_iter().map(from).collect(),
        to: spec.to.into_iter().map(to).collect(),
    };
    let error = |field: &str, message: String| fields.error(field, message);
    match fields.field_errors().first() {
        Some(field_error) => Err(error(&field_error.field, field_error.message.clone())),
        None => Ok(grant),
    }
}

fn from(written: ReferenceGrantFrom) -> GrantFrom {
    GrantFrom {
        group: written.group,
        kind: written.kind,
        namespace: written.namespace,
    }
}

fn to(written: ReferenceGrantTo) -> GrantTo {
    GrantTo {
        group: written.group,
        kind: written.kind,
        name: written.name.filter(|name| !name.is_empty()),
    }
}
