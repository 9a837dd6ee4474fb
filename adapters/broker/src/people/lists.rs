//! Lists, which are answered in parts.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::LONGEST_LIST;
use crate::openapi::texts::{Number, PartLimit};
use crate::problem::Problem;
use crate::server::answer::malformed;
use crate::wire::people::ListDocument;

/// How many items are asked for: 1 to [`LONGEST_LIST`].
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "usize")]
pub(super) struct Limit(usize);

impl TryFrom<usize> for Limit {
    type Error = String;

    fn try_from(limit: usize) -> Result<Self, Self::Error> {
        match limit {
            1..=LONGEST_LIST => Ok(Self(limit)),
            _ => Err(format!(
                "Invalid value: {limit}: must be 1 to {LONGEST_LIST}"
            )),
        }
    }
}

/// A part of a list in the order of names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Where the part before ended, as its `next` says.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
    /// How many items at most.
    #[param(inline, required = false, value_type = PartLimit)]
    limit: Option<Limit>,
}

/// A part of the audit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditPart {
    /// The sequence of the last entry of the part before, as its `next` says.
    #[param(inline, required = false, value_type = Number)]
    pub(super) cursor: Option<u64>,
    /// How many entries at most.
    #[param(inline, required = false, value_type = PartLimit)]
    limit: Option<Limit>,
}

fn most(limit: Option<Limit>) -> usize {
    limit.map_or(LONGEST_LIST, |Limit(limit)| limit)
}

impl AuditPart {
    pub(super) fn limit(&self) -> usize {
        most(self.limit)
    }
}

impl Part {
    /// This part of a list that is in the order of names.
    pub(super) fn of<T, D>(
        &self,
        all: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
        document: impl Fn(&T) -> D,
    ) -> ListDocument<D> {
        let (after, limit) = (self.cursor.as_deref().unwrap_or(""), most(self.limit));
        let rest = all.into_iter().filter(|one| name(one) > after);
        let mut found: Vec<T> = rest.take(limit + 1).collect();
        let goes_on = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|last| name(last).to_owned());
        ListDocument {
            items: found.iter().map(document).collect(),
            next: last.filter(|_| goes_on),
        }
    }
}

/// The query of a list.
pub(super) struct Asked<Q>(pub(super) Q);

impl<Q: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = Query::try_from_uri(&parts.uri);
        query
            .map(|Query(query)| Self(query))
            .map_err(|rejection| malformed(rejection.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_part_by_part_and_each_item_once() {
        let names = ["a", "b", "c", "d", "e"];
        for (cursor, limit, items, next) in [
            (None, None, "abcde", None),
            (None, Some(2), "ab", Some("b")),
            (Some("b"), Some(2), "cd", Some("d")),
            (Some("d"), Some(2), "e", None),
            (Some("bb"), Some(1), "c", Some("c")),
            (Some("e"), Some(2), "", None),
        ] {
            let part = Part {
                cursor: cursor.map(str::to_owned),
                limit: limit.map(Limit),
            };
            let found = part.of(names, |name| name, |name| *name);
            assert_eq!(found.items.concat(), items, "{part:?}");
            assert_eq!(found.next.as_deref(), next, "{part:?}");
        }
    }

    #[test]
    fn a_part_has_1_to_200_items() {
        for (query, most) in [
            ("", Some(200)),
            ("limit=1", Some(1)),
            ("limit=200&cursor=a%2Fb", Some(200)),
            ("limit=0", None),
            ("limit=201", None),
            ("limit=-1", None),
            ("limit=", None),
            ("limit=1&limit=2", None),
            ("after=a", None),
        ] {
            let uri = format!("/list?{query}").parse().unwrap();
            let part = Query::<Part>::try_from_uri(&uri);
            let found = part.ok().map(|Query(part)| super::most(part.limit));
            assert_eq!(found, most, "{query}");
        }
    }
}
