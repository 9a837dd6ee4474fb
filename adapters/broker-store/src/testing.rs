//! Commits as they are made, for tests that end a broker between two of them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::SqlStore;

/// Sees the commits of one store. What never returns is a broker that ended there.
#[async_trait]
pub trait Commits: Send + Sync {
    /// All statements of a transaction were carried out.
    async fn before(&self);

    /// It is written, and nobody knows yet.
    async fn after(&self);
}

impl SqlStore {
    /// The same store, whose commits are seen.
    pub fn seen(mut self, commits: Arc<dyn Commits>) -> Self {
        self.commits = Some(commits);
        self
    }
}

pub(crate) async fn before(commits: Option<&dyn Commits>) {
    if let Some(commits) = commits {
        commits.before().await;
    }
}

pub(crate) async fn after(commits: Option<&dyn Commits>) {
    if let Some(commits) = commits {
        commits.after().await;
    }
}
