//! What a match asks for besides host and path.

use std::sync::Arc;

use super::patterns::Compiler;
use super::{HeaderLookup, RequestHead, query};
use crate::gateway::{Automaton, RouteMatch, TextMatch};

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
    Pattern(Arc<Automaton>),
}

impl Predicate {
    /// `None` where a pattern does not compile: such a match never holds.
    pub(super) fn new(written: &RouteMatch, patterns: &mut Compiler<'_>) -> Option<Self> {
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
    fn is_whole(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Pattern(regex) => regex.holds(value),
        }
    }

    fn is_whole_decoded(&self, raw: &str) -> bool {
        match self {
            Self::Exact(text) => query::decodes_to(raw, text),
            Self::Pattern(regex) => regex.holds(query::decode(raw).as_bytes()),
        }
    }
}
