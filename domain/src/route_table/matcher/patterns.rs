//! The compiled patterns of a table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::gateway::{Automaton, Pattern};

/// Patterns, each compiled once for a whole table, and not again for the tables that follow it.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<Pattern, Option<Arc<Automaton>>>);

/// Patterns on the way into a table.
#[derive(Debug)]
pub(super) struct Compiler<'e> {
    earlier: Option<&'e Patterns>,
    patterns: Patterns,
}

impl<'e> Compiler<'e> {
    pub(super) fn new(earlier: Option<&'e Patterns>) -> Self {
        Self {
            earlier,
            patterns: Patterns::default(),
        }
    }

    /// What holds for a whole text; `None` where the pattern does not compile.
    pub(super) fn compile(&mut self, pattern: &Pattern) -> Option<Arc<Automaton>> {
        if let Some(known) = self.patterns.0.get(pattern) {
            return known.clone();
        }
        let earlier = self.earlier.and_then(|earlier| earlier.0.get(pattern));
        let compiled = match earlier {
            Some(known) => known.clone(),
            None => pattern.compiled().map(Arc::new),
        };
        self.patterns.0.insert(pattern.clone(), compiled.clone());
        compiled
    }

    pub(super) fn finish(self) -> Patterns {
        self.patterns
    }
}
