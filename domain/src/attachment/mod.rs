//! Which route attaches to which listener, and why not: the Gateway API's rules over one snapshot.
//!
//! [`resolve`] keeps a reason for everything it drops, so that a status is a projection of its result
//! ([`report`]) and no path forgets a condition.

mod report;
mod resolve;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::edge::{DnsPolicy, EdgeError, EdgeStatus};
use crate::gateway::{Gateway, Listener, ParentRef, Route, RouteKind};
use crate::names::{Hostname, ObjectKey, Timestamp};
use crate::ports::WorkloadStatus;
use crate::route_table::RouteTable;
use crate::status::Reason;

pub use report::report;
pub use resolve::{credentials_reference, resolve};

/// A negative verdict: the condition's reason and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence that names object, field and remedy.
    pub message: String,
}

/// Everything that follows from one snapshot for the classes of our controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Our classes, by name.
    pub classes: BTreeMap<String, ClassResolution>,
    /// Gateways of our classes.
    pub gateways: BTreeMap<ObjectKey, GatewayResolution>,
    /// Routes with at least one parent among our Gateways, and those that had one in the source's view
    /// but no longer do, with no parents.
    pub routes: Vec<RouteResolution>,
}

/// A GatewayClass of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassResolution {
    /// Generation judged.
    pub generation: i64,
    /// Why it is not accepted.
    pub refusal: Option<Refusal>,
}

/// A Gateway of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayResolution {
    /// As written.
    pub gateway: Gateway,
    /// Why it is not accepted as a whole. Single bad listeners do not refuse it while a good one remains.
    pub refusal: Option<Refusal>,
    /// In the order written.
    pub listeners: Vec<ListenerResolution>,
    /// Effective hostnames of accepted routes, with the age of the oldest route that asks for each.
    pub hostnames: BTreeMap<Hostname, Timestamp>,
    /// For which of them DNS is managed.
    pub dns: DnsPolicy,
    /// What its proxies need. Empty of listeners where none is accepted: then there is neither tunnel
    /// nor proxy.
    pub table: Arc<RouteTable>,
}

impl GatewayResolution {
    /// Whether it gets a tunnel and a proxy: accepted, with a valid listener, and not being deleted.
    pub fn is_served(&self) -> bool {
        self.refusal.is_none() && !self.gateway.deleting && !self.table.listeners.is_empty()
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerResolution {
    /// As written.
    pub listener: Listener,
    /// Why Accepted is False.
    pub refusal: Option<Refusal>,
    /// Why Conflicted is True.
    pub conflict: Option<Refusal>,
    /// Why ResolvedRefs is False.
    pub unresolved: Option<Refusal>,
    /// Kinds that it takes.
    pub supported_kinds: Vec<RouteKind>,
    /// Routes with Accepted=True on it; counted also where the listener itself is refused.
    pub attached_routes: u32,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteResolution {
    /// As written.
    pub route: Arc<Route>,
    /// One for each parentRef that names a Gateway of ours, in the order written.
    pub parents: Vec<ParentResolution>,
}

/// A route at one of its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentResolution {
    /// As written.
    pub parent: ParentRef,
    /// Why it is not accepted.
    pub refusal: Option<Refusal>,
    /// Why ResolvedRefs is False.
    pub unresolved: Option<Refusal>,
    /// Effective hostnames on the listeners it is attached to; empty where it takes every name.
    pub hostnames: Vec<Hostname>,
}

/// What is known of a Gateway outside the snapshot, for its statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayFacts {
    /// Last answer of the edge; `None` before the first.
    pub edge: Option<Result<EdgeStatus, EdgeError>>,
    /// Status of an earlier answer, for what is still true while the edge is away.
    pub last_known: Option<EdgeStatus>,
    /// How its proxy is doing.
    pub workload: WorkloadStatus,
}
