//! What an authorizer has done to headers.

use ::http::header::HOST;
use ::http::{HeaderMap, HeaderName, HeaderValue};
use domain::gateway::header_names::is_of_connection;

use crate::local_reply::LocalReply;

/// A change of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Edit {
    Remove(HeaderName),
    /// In place of what is there.
    Set(HeaderName, HeaderValue),
    /// Beside what is there.
    Append(HeaderName, HeaderValue),
    /// Only where nothing is there.
    Fill(HeaderName, HeaderValue),
    /// Only in place of something.
    Replace(HeaderName, HeaderValue),
}

/// Whether a header is another's than the authorizer's: the `Host` decides on routes, the others belong to one connection.
pub(super) fn is_out_of_reach(name: &HeaderName) -> bool {
    name == HOST || name == "trailer" || is_of_connection(name.as_str())
}

/// Makes the changes, in their order.
///
/// # Errors
/// There are more lines than a map of headers takes.
pub(in crate::engine) fn apply(edits: &[Edit], headers: &mut HeaderMap) -> Result<(), LocalReply> {
    for edit in edits {
        let (name, value) = match edit {
            Edit::Remove(name) => {
                headers.remove(name);
                continue;
            }
            Edit::Set(name, value) => {
                headers.remove(name);
                (name, value)
            }
            Edit::Append(name, value) => (name, value),
            Edit::Fill(name, value) if !headers.contains_key(name) => (name, value),
            Edit::Replace(name, value) if headers.remove(name).is_some() => (name, value),
            Edit::Fill(..) | Edit::Replace(..) => continue,
        };
        let added = headers.try_append(name.clone(), value.clone());
        added.map_err(|_| LocalReply::HeadersTooLarge)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_does_what_it_says() {
        let name = HeaderName::from_static("x-user");
        let value = HeaderValue::from_static;
        for (given, edit, then) in [
            (vec!["a", "b"], Edit::Remove(name.clone()), vec![]),
            (
                vec!["a", "b"],
                Edit::Set(name.clone(), value("c")),
                vec!["c"],
            ),
            (vec![], Edit::Set(name.clone(), value("c")), vec!["c"]),
            (
                vec!["a"],
                Edit::Append(name.clone(), value("c")),
                vec!["a", "c"],
            ),
            (vec!["a"], Edit::Fill(name.clone(), value("c")), vec!["a"]),
            (vec![], Edit::Fill(name.clone(), value("c")), vec!["c"]),
            (
                vec!["a", "b"],
                Edit::Replace(name.clone(), value("c")),
                vec!["c"],
            ),
            (vec![], Edit::Replace(name.clone(), value("c")), vec![]),
        ] {
            let mut headers = HeaderMap::new();
            for before in &given {
                headers.append(&name, value(before));
            }
            apply(std::slice::from_ref(&edit), &mut headers).unwrap();
            let left: Vec<&HeaderValue> = headers.get_all(&name).iter().collect();
            assert_eq!(left, then, "{edit:?} of {given:?}");
        }
    }
}
