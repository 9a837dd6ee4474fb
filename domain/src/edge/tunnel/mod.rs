//! The tunnel of a Gateway and its ingress document.

pub(crate) mod apply;
pub(crate) mod plan;

pub use plan::{DashboardPaths, RULE_LIMIT};
