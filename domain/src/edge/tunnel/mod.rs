//! The tunnel of a Gateway and its ingress document.

pub(crate) mod apply;
pub(crate) mod plan;
pub(crate) mod remove;

pub use plan::RULE_LIMIT;
