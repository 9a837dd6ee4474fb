//! The planes of the broker as documents of OpenAPI 3.1, made from the code that serves them.
//!
//! A handler is described where it stands, and its path stands nowhere else:
//!
//! ```text
//! /// What it does, in one line.
//! ///
//! /// More of it, after an empty line.
//! #[utoipa::path(
//!     put,
//!     path = "/v1/things/{name}",
//!     params(ThingPath, OfStatement),
//!     request_body = ThingDocument,
//!     responses(
//!         (status = 200, description = "The thing", body = ThingDocument),
//!         Refused<(OfMember, OfDocument)>,
//!     ),
//!     security(("session" = [], "proof" = [])),
//! )]
//! pub(super) async fn put_thing(…) -> Result<Json<ThingDocument>, Problem>
//! ```
//!
//! - `params`: types with [`IntoParams`](utoipa::IntoParams), derived or written out.
//! - Documents derive [`ToSchema`](utoipa::ToSchema). A text that must have a form gets it with
//!   `#[schema(value_type = …)]` from `texts`.
//! - `Refused` lists the problems, by sorts that implement `Sort`.
//!
//! A handler is registered with `OpenApiRouter::routes(routes!(put_thing))`, which routes it as it is described. So router
//! and document cannot differ. `finished` completes the document of a plane, and `Forms` refuses what is not
//! in it before a handler runs. A plane that is described gets a function like [`cluster_plane`] and a line in
//! `tests/reference.rs`.

pub(crate) mod forms;
pub(crate) mod problems;
pub(crate) mod texts;

use utoipa::ToSchema as _;
use utoipa::openapi::schema::{AdditionalProperties, Object};
use utoipa::openapi::security::SecurityScheme;
use utoipa::openapi::{Info, OpenApi, RefOr, Schema};

use crate::problem::Problem;

/// The document of the plane for clusters, as JSON.
pub fn cluster_plane() -> String {
    text(&crate::server::document())
}

/// The document of the plane for people, as JSON.
pub fn people_plane() -> String {
    text(&crate::people::document())
}

fn text(api: &OpenApi) -> String {
    let json = api.to_pretty_json();
    json.expect("a document of texts can be written") + "\n"
}

/// Completes what a router tells of its handlers.
pub(crate) fn finished(
    mut api: OpenApi,
    info: Info,
    schemes: impl IntoIterator<Item = (&'static str, SecurityScheme)>,
) -> OpenApi {
    api.info = info;
    let components = api.components.get_or_insert_default();
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
    let mut described = vec![(
        Problem::name().into_owned(),
        <Problem as utoipa::PartialSchema>::schema(),
    )];
    Problem::schemas(&mut described);
    components.schemas.extend(described);
    for schema in components.schemas.values_mut() {
        if let RefOr::T(Schema::OneOf(variants)) = schema {
            for variant in &mut variants.items {
                close(variant);
            }
        }
    }
    api
}

/// A variant that is an object has exactly the fields that it names; serde refuses others, and utoipa does not tell.
fn close(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    let Object {
        properties,
        additional_properties,
        ..
    } = object;
    if !properties.is_empty() {
        additional_properties
            .get_or_insert_with(|| Box::new(AdditionalProperties::FreeForm(false)));
    }
    properties.values_mut().for_each(close);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Every value of the document, with the names on the way to it.
    fn walk<'v>(value: &'v Value, way: &str, found: &mut Vec<(String, &'v Value)>) {
        found.push((way.to_owned(), value));
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(field, &format!("{way}/{name}"), found);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{way}/{index}"), found);
                }
            }
            _ => {}
        }
    }

    /// Names of the schemas that this value refers to, directly or by others.
    fn used(document: &Value, value: &Value, names: &mut BTreeSet<String>) {
        let mut found = Vec::new();
        walk(value, "", &mut found);
        for (_, value) in found {
            let name = value["$ref"].as_str();
            let name = name.and_then(|name| name.strip_prefix("#/components/schemas/"));
            if let Some(name) = name
                && names.insert(name.to_owned())
            {
                let schema = &document["components"]["schemas"][name];
                assert!(schema.is_object(), "{name} is not there");
                used(document, schema, names);
            }
        }
    }

    fn documents() -> Vec<Value> {
        let texts = [cluster_plane(), people_plane()];
        texts
            .map(|text| serde_json::from_str(&text).unwrap())
            .into()
    }

    #[test]
    fn every_object_of_a_document_has_the_fields_that_are_named_and_no_others() {
        for document in documents() {
            let schemas = document["components"]["schemas"].as_object().unwrap();
            for (name, schema) in schemas.iter().filter(|(name, _)| *name != "Problem") {
                let mut found = Vec::new();
                walk(schema, name, &mut found);
                for (way, value) in found {
                    let is_object = value["type"] == "object" && !way.ends_with("/properties");
                    assert!(
                        !is_object || value["additionalProperties"] != Value::Null,
                        "{way}: other fields are not refused"
                    );
                }
            }
        }
    }

    #[test]
    fn every_schema_is_used_and_every_schema_that_is_used_is_there() {
        for document in documents() {
            let mut names = BTreeSet::new();
            used(&document, &document["paths"], &mut names);
            let schemas = document["components"]["schemas"].as_object().unwrap();
            assert_eq!(names, schemas.keys().cloned().collect());
        }
    }

    #[test]
    fn texts_of_a_document_have_no_links_into_the_code() {
        for document in documents() {
            let mut found = Vec::new();
            walk(&document, "", &mut found);
            for (way, value) in found {
                let text = value.as_str().unwrap_or_default();
                let is_for_readers = way.ends_with("/description") || way.ends_with("/summary");
                assert!(
                    !is_for_readers || !(text.contains("[`") || text.contains("](")),
                    "{way}: {text}"
                );
            }
        }
    }

    #[test]
    fn every_operation_is_explained_and_says_who_may_ask() {
        let methods = ["get", "put", "post", "delete", "patch"];
        for document in documents() {
            for (path, item) in document["paths"].as_object().unwrap() {
                for (method, operation) in item.as_object().unwrap() {
                    assert!(methods.contains(&&**method), "{path}: {method}");
                    let summary = operation["summary"].as_str().unwrap_or_default();
                    assert!(summary.len() > 10, "{method} {path}: {summary}");
                    assert!(operation["security"].is_array(), "{method} {path}");
                    let responses = operation["responses"].as_object().unwrap();
                    assert!(responses.keys().any(|status| status.starts_with('2')));
                }
            }
        }
    }
}
