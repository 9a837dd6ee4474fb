//! What a match asks for besides host and path.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use super::{HeaderLookup, RequestHead, query};
use crate::gateway::{RouteMatch, TextMatch};

/// Method, headers and query parameters that must all hold.
#[derive(Debug)]
pub(super) struct Predicate {
    method: Option<Box<str>>,
    headers: Box<[NamedText]>,
    query: Box<[NamedText]>,
}

#[derive(Debug)]
struct NamedText {
    name: Box<str>,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Exact(Box<str>),
    Pattern(Arc<Regex>),
}

impl Predicate {
    /// `None` where a pattern does not compile: such a match never holds.
    pub(super) fn new(written: &RouteMatch, patterns: &mut Patterns) -> Option<Self> {
        let mut named = |name: &str, value: &TextMatch| {
            Some(NamedText {
                name: name.into(),
                text: match value {
                    TextMatch::Exact(text) => Text::Exact(text.as_str().into()),
                    TextMatch::Regex(pattern) => Text::Pattern(patterns.compile(pattern)?),
                },
            })
        };
        Some(Self {
            method: written.method.as_deref().map(Into::into),
            headers: written
                .headers
                .iter()
                .map(|header| named(&header.name, &header.value))
                .collect::<Option<_>>()?,
            query: written
                .query
                .iter()
                .map(|parameter| named(&parameter.name, &parameter.value))
                .collect::<Option<_>>()?,
        })
    }

    pub(super) fn holds<H: HeaderLookup + ?Sized>(&self, head: &RequestHead<'_, H>) -> bool {
        self.method
            .as_deref()
            .is_none_or(|method| method == head.method)
            && self.headers.iter().all(|wanted| {
                head.headers
                    .joined(&wanted.name)
                    .is_some_and(|value| wanted.text.is_whole(&value))
            })
            && self.query.iter().all(|wanted| {
                head.query
                    .and_then(|query| query::first_value(query, &wanted.name))
                    .is_some_and(|value| wanted.text.is_whole_decoded(value))
            })
    }
}

impl Text {
    fn is_whole(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *value,
            Self::Pattern(regex) => regex.is_match(value),
        }
    }

    fn is_whole_decoded(&self, raw: &str) -> bool {
        match self {
            Self::Exact(text) => query::decodes_to(raw, text),
            Self::Pattern(regex) => {
                query::decode(raw).is_some_and(|value: Cow<'_, str>| regex.is_match(&value))
            }
        }
    }
}

/// Patterns by their text, each compiled once for a whole table.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<String, Option<Arc<Regex>>>);

impl Patterns {
    /// The pattern for a whole text, `None` where it does not compile.
    pub(super) fn compile(&mut self, pattern: &str) -> Option<Arc<Regex>> {
        if let Some(known) = self.0.get(pattern) {
            return known.clone();
        }
        let compiled = whole_text(pattern).map(Arc::new);
        self.0.insert(pattern.to_owned(), compiled.clone());
        compiled
    }
}

/// Anchors a pattern at both ends. It must be a pattern by itself (`a)|(b` is none), and may end in a
/// comment (flag `x`), which only a new line ends.
fn whole_text(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()?;
    Regex::new(&format!(r"\A(?:{pattern})\z"))
        .or_else(|_| Regex::new(&format!("\\A(?:{pattern}\n)\\z")))
        .ok()
}
