//! CORS.

use domain::gateway::{Cors, NameList, OriginPattern};

use crate::fields::Fields;
use crate::types::HTTPCORSFilter;

/// What `maxAge` is where none is written (Gateway API).
const MAX_AGE: u32 = 5;

/// CORS. What its lists may hold is in the schema.
pub(super) fn cors(fields: &Fields, field: &str, written: &HTTPCORSFilter) -> Cors {
    let member = |name: &str| format!("{field}.cors.{name}");
    let origins = written.allow_origins.iter().enumerate();
    let origins = origins.filter_map(|(index, origin)| {
        let pattern = OriginPattern::parse(origin);
        if pattern.is_err() {
            fields.invalid(
                member(&format!("allowOrigins[{index}]")),
                format!(
                    "Invalid value: {origin:?}: must be * or http(s)://host[:port], where host may be * or begin with *. \
                     and port is between 1 and 65535"
                ),
            );
        }
        pattern.ok()
    });
    for (name, list) in [
        ("allowOrigins", &written.allow_origins),
        ("allowMethods", &written.allow_methods),
        ("allowHeaders", &written.allow_headers),
    ] {
        if list.len() > 1 && has_all(list) {
            fields.invalid(
                member(name),
                "Invalid value: \"*\": must stand alone; remove it, or the others",
            );
        }
    }
    Cors {
        origins: origins.collect(),
        credentials: written.allow_credentials.unwrap_or(false),
        methods: names(&written.allow_methods),
        headers: names(&written.allow_headers),
        exposed: names(&written.expose_headers),
        max_age: written
            .max_age
            .map_or(MAX_AGE, |seconds| u32::try_from(seconds).unwrap_or(MAX_AGE)),
    }
}

fn has_all(list: &[String]) -> bool {
    list.iter().any(|name| name == "*")
}

fn names(list: &[String]) -> NameList {
    match has_all(list) {
        true => NameList::All,
        false => NameList::These(list.to_vec()),
    }
}
