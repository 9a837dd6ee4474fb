//! Which replicas take a new token next.

use std::collections::{BTreeMap, BTreeSet};

use crate::secret::TokenHash;

/// With which tokens the pods of each replica hold connections to the edge, as they said last. A pod without a connection
/// adds nothing. `None` while not every ready pod has said so.
pub type HeldTokens = Option<BTreeMap<String, BTreeSet<TokenHash>>>;

/// How far the replicas are with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Replicas that keep the token that they have, so that one follows another.
    pub waiting: BTreeSet<String>,
    /// Whether no replica holds a connection with another token.
    pub is_over: bool,
}

/// Replicas in their order take the token one after another: each when those before it hold no connection with another
/// one. A replica without a connection has nothing to lose and holds up nobody.
pub fn rollout(replicas: &[String], held: &HeldTokens, token: TokenHash) -> Rollout {
    let Some(held) = held else {
        // The first of them holds up the rest until it is known what it has.
        return Rollout {
            waiting: replicas.iter().skip(1).cloned().collect(),
            is_over: false,
        };
    };
    let holds_another = |replica: &&String| {
        let tokens = held.get(*replica);
        tokens.is_some_and(|tokens| tokens.iter().any(|held| *held != token))
    };
    let mut behind = replicas.iter().filter(holds_another);
    let is_over = behind.next().is_none();
    Rollout {
        waiting: behind.cloned().collect(),
        is_over,
    }
}
