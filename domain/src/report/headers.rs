//! Headers that a route names and that no request has, because of how their names are spelled.

use super::Verdict;
use crate::attachment::listed;
use crate::gateway::header_names::with_hyphens;
use crate::gateway::{HeaderModifier, Route, Rule, UnderscoredHeaders};
use crate::status::{Reason, Truth};

/// Bad news, if there is any.
pub(super) fn verdict(route: &Route, underscored: UnderscoredHeaders) -> Option<Verdict> {
    let rules = route.rules.iter().enumerate();
    let mut told = rules
        .flat_map(|(index, rule)| {
            matched(rule, index, underscored).chain(filtered(rule, index, underscored))
        })
        .peekable();
    told.peek()?;
    let message = format!("{route}: {}", listed(told));
    Some(Verdict::new(
        Truth::False,
        Reason::UnsupportedValue,
        message,
    ))
}

fn matched(
    rule: &Rule,
    index: usize,
    underscored: UnderscoredHeaders,
) -> impl Iterator<Item = String> {
    let matches = rule.matches.iter().enumerate();
    matches.flat_map(move |(position, written)| {
        let names = written.headers.iter().map(|header| header.name.as_str());
        names
            .filter(move |name| underscored.removes(name))
            .map(move |name| {
                format!(
                    "spec.rules[{index}].matches[{position}].headers: {name}: {}, so the match never holds; {}",
                    taken_away(name),
                    remedy(name)
                )
            })
    })
}

fn filtered(
    rule: &Rule,
    index: usize,
    underscored: UnderscoredHeaders,
) -> impl Iterator<Item = String> {
    let of_backends = rule.backends.iter();
    let of_backends = of_backends.flat_map(|b| b.filters.iter().map(|f| (Some(&b.field), f)));
    let filters = rule.filters.iter().map(|filter| (None, filter));
    let modifiers = filters
        .chain(of_backends)
        .filter_map(|(at, filter)| Some((at, filter.on_request_headers()?)));
    let named = modifiers.flat_map(|(at, modifier)| names(modifier).map(move |name| (at, name)));
    let removed = named.filter(move |(_, (_, name))| underscored.removes(name));
    removed.map(move |(at, (list, name))| {
        let at = at.map_or_else(|| format!("spec.rules[{index}]"), String::clone);
        let effect = match list {
            "remove" => "there is none to remove",
            _ => "only the value of the route reaches the endpoint",
        };
        format!(
            "{at}.filters.requestHeaderModifier.{list}: {name}: {}, so {effect}; {}",
            taken_away(name),
            remedy(name)
        )
    })
}

/// Names in the lists of a modifier, each with the list's name.
fn names(modifier: &HeaderModifier) -> impl Iterator<Item = (&'static str, &str)> {
    let set = modifier.set.iter().map(|(name, _)| ("set", name.as_str()));
    let add = modifier.add.iter().map(|(name, _)| ("add", name.as_str()));
    let remove = modifier.remove.iter().map(|name| ("remove", name.as_str()));
    set.chain(add).chain(remove)
}

fn taken_away(name: &str) -> String {
    format!(
        "it is removed from requests, because servers may read it as {}",
        with_hyphens(name)
    )
}

fn remedy(name: &str) -> String {
    let hyphens = format!("use {}", with_hyphens(name));
    match UnderscoredHeaders::Allow.removes(name) {
        true => hyphens,
        false => format!("{hyphens}, or set requests.headers_with_underscores to allow"),
    }
}
