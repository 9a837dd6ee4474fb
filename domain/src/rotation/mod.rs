//! Replacing the tokens of tunnels: when ([`Schedule`], [`Request`]), how far it is ([`RotationState`]), and which replica
//! takes a new token next ([`rollout`]).

mod fields;
mod request;
mod rollout;
mod schedule;
mod state;
#[cfg(test)]
mod tests;

pub use request::{
    CLOSE_ANNOTATION, FORCE_ANNOTATION, REQUEST_ANNOTATION, Request, RotationIntent,
};
pub use rollout::{HeldTokens, Rollout, rollout};
pub use schedule::{DEFAULT_CRON, DEFAULT_TIME_ZONE, MalformedSchedule, Schedule, ScheduleField};
pub use state::{RotationFacts, RotationState, Stage};
