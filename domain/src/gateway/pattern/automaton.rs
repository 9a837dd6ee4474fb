//! Patterns as tables: one step for each byte of a value, whatever the pattern, and a size that is known.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{Ast, Flag, Flags, GroupKind, Visitor, visit};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{self, Hir, Look};

use super::UnusablePattern;

/// What holds for the whole of some values. It sees bytes: `.` is any byte but a new line, so a value need
/// not be UTF-8, and a letter beyond ASCII is as many bytes as its UTF-8 has.
pub(crate) struct Automaton(dense::DFA<Vec<u32>>);

impl std::fmt::Debug for Automaton {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Automaton({} bytes)", self.bytes())
    }
}

/// Characters of a pattern that a message repeats. The field is named, so it can be found.
const SHOWN: usize = 80;

/// Groups within groups.
const DEEPEST: u32 = 50;

impl Automaton {
    /// Bytes that a pattern may have: as many as a header value in the Gateway API.
    pub(super) const LONGEST: usize = 4096;

    /// Bytes that a compiled pattern may take.
    pub(super) const LARGEST: usize = 128 * 1024;

    /// Bytes that each step on the way to it may fill.
    const SCRATCH: usize = 512 * 1024;

    /// Bytes of the longest value that it may hold for. The proxy's own threads compare, and a request may be
    /// compared with every pattern of its hostname.
    pub(crate) const LONGEST_VALUE: usize = 16 * 1024;

    pub(super) fn compile(pattern: &str) -> Result<Self, UnusablePattern> {
        #[cfg(test)]
        COMPILATIONS.with(|count| count.set(count.get() + 1));
        if pattern.len() > Self::LONGEST {
            return Err(UnusablePattern::TooLong);
        }
        let hir = whole(read(pattern)?);
        let too_large = || UnusablePattern::TooLarge {
            pattern: beginning(pattern),
        };
        let nfa = nfa(&hir).ok_or_else(too_large)?;
        dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .accelerate(false)
                    .dfa_size_limit(Some(Self::LARGEST))
                    .determinize_size_limit(Some(Self::SCRATCH)),
            )
            .build_from_nfa(&nfa)
            .map(Self)
            .map_err(|_| too_large())
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.memory_usage()
    }

    /// Whether it holds for the value. It holds for none that is longer than [`LONGEST_VALUE`](Self::LONGEST_VALUE).
    pub(crate) fn holds(&self, value: &[u8]) -> bool {
        let input = Input::new(value).anchored(Anchored::Yes);
        value.len() <= Self::LONGEST_VALUE && matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }
}

/// `None` where it would be too large.
fn nfa(hir: &Hir) -> Option<NFA> {
    thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(Some(Automaton::SCRATCH)),
        )
        .build_from_hir(hir)
        .ok()
}

/// A pattern by itself, so that one like `a)|(b` is none.
fn read(pattern: &str) -> Result<Hir, UnusablePattern> {
    let syntax = |cause: String| UnusablePattern::Syntax {
        pattern: beginning(pattern),
        cause,
    };
    let unicode = || UnusablePattern::Unicode {
        pattern: beginning(pattern),
    };
    let ast = ParserBuilder::new()
        .nest_limit(DEEPEST)
        .build()
        .parse(pattern)
        .map_err(|error| syntax(error.kind().to_string()))?;
    visit(&ast, UnicodeFlag).map_err(|AsksForUnicode| unicode())?;
    let mut translator = TranslatorBuilder::new().unicode(false).utf8(false).build();
    translator
        .translate(pattern, &ast)
        .map_err(|error| match error.kind() {
            hir::ErrorKind::UnicodeNotAllowed => unicode(),
            other => syntax(other.to_string()),
        })
}

/// Anchors a pattern at both ends.
fn whole(pattern: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), pattern, Hir::look(Look::End)])
}

/// Looks for the flag `u`. Classes of all scripts' letters would make tables of a hundred times the size.
struct UnicodeFlag;

struct AsksForUnicode;

impl Visitor for UnicodeFlag {
    type Output = ();
    type Err = AsksForUnicode;

    fn finish(self) -> Result<(), AsksForUnicode> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), AsksForUnicode> {
        match flags(ast).and_then(|flags| flags.flag_state(Flag::Unicode)) {
            Some(true) => Err(AsksForUnicode),
            Some(false) | None => Ok(()),
        }
    }
}

fn flags(ast: &Ast) -> Option<&Flags> {
    match ast {
        Ast::Flags(set) => Some(&set.flags),
        Ast::Group(group) => match &group.kind {
            GroupKind::NonCapturing(flags) => Some(flags),
            GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => None,
        },
        _ => None,
    }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
thread_local! {
    /// How often this thread compiled a pattern.
    pub(crate) static COMPILATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
