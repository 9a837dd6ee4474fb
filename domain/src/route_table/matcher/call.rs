//! Matches by gRPC call.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use super::path::MatchId;
use super::patterns::Compiler;
use crate::gateway::{Automaton, CallMatch, TextMatch};

/// What a call match asks for, ready to be indexed.
#[derive(Debug)]
pub(super) struct CallKey<'t> {
    service: Part<'t>,
    method: Part<'t>,
}

#[derive(Debug)]
enum Part<'t> {
    Open,
    Exact(&'t str),
    Pattern(Arc<Automaton>),
}

impl<'t> CallKey<'t> {
    /// `None` where a pattern does not compile: such a match never holds.
    pub(super) fn new(written: &'t CallMatch, patterns: &mut Compiler<'_>) -> Option<Self> {
        let mut part = |written: &'t Option<TextMatch>| {
            Some(match written {
                None => Part::Open,
                Some(TextMatch::Exact(name)) => Part::Exact(name),
                Some(TextMatch::Regex(pattern)) => Part::Pattern(patterns.compile(pattern)?),
            })
        };
        Some(Self {
            service: part(&written.service)?,
            method: part(&written.method)?,
        })
    }
}

/// Matches by service and method. Their precedence (Gateway API, `GRPCRouteRule.matches`) is that of their
/// ids alone, in whose order they must be inserted.
#[derive(Debug, Default)]
pub(super) struct CallIndex {
    by_service: HashMap<Box<str>, Methods>,
    any_service: Methods,
}

/// Matches that ask for one service by name, or for none by name.
#[derive(Debug, Default)]
struct Methods {
    by_method: HashMap<Box<str>, Vec<Candidate>>,
    any_method: Vec<Candidate>,
}

/// A match, with what its place in the index leaves to be asked.
#[derive(Debug)]
struct Candidate {
    id: MatchId,
    service: Option<Arc<Automaton>>,
    method: Option<Arc<Automaton>>,
}

impl CallIndex {
    pub(super) fn insert(&mut self, key: &CallKey<'_>, id: MatchId) {
        let (methods, service) = match &key.service {
            Part::Open => (&mut self.any_service, None),
            Part::Pattern(pattern) => (&mut self.any_service, Some(Arc::clone(pattern))),
            Part::Exact(name) => (self.by_service.entry((*name).into()).or_default(), None),
        };
        let (list, method) = match &key.method {
            Part::Open => (&mut methods.any_method, None),
            Part::Pattern(pattern) => (&mut methods.any_method, Some(Arc::clone(pattern))),
            Part::Exact(name) => (methods.by_method.entry((*name).into()).or_default(), None),
        };
        list.push(Candidate {
            id,
            service,
            method,
        });
    }

    /// Matches whose service and method hold, in their order of precedence.
    pub(super) fn candidates<'i>(&'i self, path: &'i str) -> impl Iterator<Item = MatchId> + 'i {
        let call = Call::of(path);
        let mut lists = self.lists(call);
        iter::from_fn(move || take_first(&mut lists))
            .filter(move |candidate| candidate.holds(call))
            .map(|candidate| candidate.id)
    }

    /// Where matches for the call can be.
    fn lists(&self, call: Option<Call<'_>>) -> [&[Candidate]; 4] {
        let Some(Call { service, method }) = call else {
            return [&self.any_service.any_method, &[], &[], &[]];
        };
        let of_service = self.by_service.get(service);
        let [named, open] = of_service.map_or([&[][..]; 2], |methods| methods.lists(method));
        let [other_named, other_open] = self.any_service.lists(method);
        [named, open, other_named, other_open]
    }
}

impl Methods {
    fn lists(&self, method: &str) -> [&[Candidate]; 2] {
        let named = self.by_method.get(method);
        [named.map_or(&[], Vec::as_slice), &self.any_method]
    }
}

impl Candidate {
    /// Whether what is left to be asked holds. A request that is not a gRPC call is matched where nothing is asked for.
    fn holds(&self, call: Option<Call<'_>>) -> bool {
        let part =
            |wanted: &Option<Arc<Automaton>>, part: fn(Call<'_>) -> &str| match (wanted, call) {
                (None, _) => true,
                (Some(pattern), Some(call)) => pattern.holds(part(call).as_bytes()),
                (Some(_), None) => false,
            };
        part(&self.service, |call| call.service) && part(&self.method, |call| call.method)
    }
}

/// Takes the candidate with the lowest id from lists that are sorted by it.
fn take_first<'i>(lists: &mut [&'i [Candidate]; 4]) -> Option<&'i Candidate> {
    let heads = lists.iter_mut().filter(|list| !list.is_empty());
    heads.min_by_key(|list| list[0].id)?.split_off_first()
}

/// Service and method of a path: what is before and after its last slash, as servers read it
/// (`grpc-go`, for one), neither of them empty.
#[derive(Debug, Clone, Copy)]
struct Call<'p> {
    service: &'p str,
    method: &'p str,
}

impl<'p> Call<'p> {
    fn of(path: &'p str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.rsplit_once('/')?;
        let is_call = !service.is_empty() && !method.is_empty();
        is_call.then_some(Self { service, method })
    }
}
