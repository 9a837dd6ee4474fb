//! RequestMirror.

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{FilterRef, Mirror, RouteKind, Share};

use crate::convert::references;
use crate::fields::Fields;
use crate::types::{Fraction, HTTPRequestMirrorFilter};

/// What `denominator` is where none is written (Gateway API, `Fraction`).
const DENOMINATOR: i64 = 100;

/// RequestMirror.
pub(super) fn mirror(
    fields: &Fields,
    field: &str,
    written: &HTTPRequestMirrorFilter,
    (kind, own): (RouteKind, &ObjectKey),
) -> Mirror {
    let field = format!("{field}.requestMirror");
    let backend = &written.backend_ref;
    let at = format!("{field}.backendRef");
    fields.required(format!("{at}.name"), &backend.name);
    Mirror {
        to: FilterRef {
            target: references::target(
                backend.group.as_deref(),
                backend.kind.as_deref(),
                (backend.namespace.as_deref(), &backend.name),
                ("", "Service"),
                &own.namespace,
            ),
            port: backend
                .port
                .and_then(|port| fields.port(format!("{at}.port"), port)),
            spoken: kind,
            field: at,
        },
        share: share(fields, &field, written),
    }
}

fn share(fields: &Fields, field: &str, written: &HTTPRequestMirrorFilter) -> Share {
    let (member, numerator, denominator) = match (written.percent, &written.fraction) {
        (None, None) => return Share::ALL,
        (Some(percent), None) => ("percent", percent, DENOMINATOR),
        (
            None,
            Some(Fraction {
                numerator,
                denominator,
            }),
        ) => ("fraction", *numerator, denominator.unwrap_or(DENOMINATOR)),
        (Some(_), Some(_)) => {
            fields.invalid(
                format!("{field}.fraction"),
                "Forbidden: there is a percent too; remove one of the two",
            );
            return Share::ALL;
        }
    };
    let field = format!("{field}.{member}");
    let parts = (u32::try_from(numerator), u32::try_from(denominator));
    let share = match parts {
        (Ok(numerator), Ok(denominator)) => Share::new(numerator, denominator),
        _ => None,
    };
    if share.is_none() {
        fields.invalid(
            &field,
            format!(
                "Invalid value: {numerator} of {denominator}: must be a part of 1 or more, and at most the whole"
            ),
        );
    }
    fields.uses(Feature::HTTPRouteRequestPercentageMirror, field);
    share.unwrap_or(Share::ALL)
}
