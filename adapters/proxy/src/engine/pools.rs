//! What upstreams of the present table have, and the next one may have too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::RetryConstraint;
use domain::route_table::{
    OutsideRules, UpstreamEndpoint, UpstreamKey, UpstreamProtocol, UpstreamTls,
};
use tokio::time::Instant;

use crate::limits::Limits;
use crate::upstream::{Endpoint, Reach, RetryBudget, ShownCertificate, Tls};

/// What endpoints and their connections are shared by: a connection that was made by one policy for TLS carries no request
/// of another.
type EndpointKey = (UpstreamEndpoint, UpstreamProtocol, Option<u64>, Reach);

/// A way to speak TLS.
#[derive(Debug, Clone)]
pub(super) struct SpokenTls {
    /// Its own.
    number: u64,
    /// `None` where it cannot be spoken.
    pub(super) tls: Option<Arc<Tls>>,
}

#[derive(Debug, Default)]
pub(super) struct Pools {
    endpoints: HashMap<EndpointKey, Arc<Endpoint>>,
    tls: HashMap<Arc<UpstreamTls>, SpokenTls>,
    /// The last number that a way to speak TLS was given.
    last: u64,
    /// What endpoints are shown.
    shown: Option<ShownCertificate>,
    /// Of the upstreams that rules with retries lead to.
    budgets: HashMap<UpstreamKey, Arc<RetryBudget>>,
    /// Mirrored requests under way, to the upstreams that mirrors lead to.
    mirrored: HashMap<UpstreamKey, Arc<AtomicUsize>>,
    /// Requests that authorizers are asked about now, by the namespace of these.
    asked: HashMap<String, Arc<AtomicUsize>>,
}

impl Pools {
    /// What endpoints are shown by the next table.
    pub(super) fn show(&mut self, certificate: Option<ShownCertificate>) {
        self.shown = certificate;
    }

    /// Closes what is idle, and the rest as soon as its requests are done.
    pub(super) fn clear(&mut self) {
        self.succeed().retire_missing(self);
    }

    /// Leaves what does not belong to one table, and returns all.
    pub(super) fn succeed(&mut self) -> Self {
        let next = Self {
            last: self.last,
            shown: self.shown.clone(),
            ..Self::default()
        };
        std::mem::replace(self, next)
    }

    /// The same of what the next pools do not have.
    pub(super) fn retire_missing(self, next: &Self) {
        for (at, endpoint) in self.endpoints {
            if !next.endpoints.contains_key(&at) {
                endpoint.retire();
            }
        }
    }
}

/// The pools of a table that is being made ready. What the one before has of it is kept, with its connections and counts.
pub(super) struct NextPools<'a> {
    pub(super) next: &'a mut Pools,
    pub(super) before: &'a Pools,
    pub(super) policy: EndpointPolicy,
    pub(super) limits: &'a Arc<Limits>,
}

impl NextPools<'_> {
    pub(super) fn endpoint(
        &mut self,
        at: &UpstreamEndpoint,
        protocol: UpstreamProtocol,
        tls: Option<&SpokenTls>,
        outside: Option<&Arc<OutsideRules>>,
    ) -> Arc<Endpoint> {
        let reach = Reach {
            policy: self.policy,
            outside: outside.cloned(),
        };
        let key = (
            at.clone(),
            protocol,
            tls.map(|tls| tls.number),
            reach.clone(),
        );
        let Self { next, before, .. } = self;
        let known = next.endpoints.get(&key);
        let known = known.or_else(|| before.endpoints.get(&key)).cloned();
        let endpoint = known.unwrap_or_else(|| {
            let limits = Arc::clone(self.limits);
            let tls = tls.and_then(|spoken| spoken.tls.clone());
            Arc::new(Endpoint::new(at.clone(), protocol, tls, reach, limits))
        });
        next.endpoints.insert(key, Arc::clone(&endpoint));
        endpoint
    }

    /// The same one for equal values.
    pub(super) fn tls(&mut self, tls: &Arc<UpstreamTls>) -> SpokenTls {
        let Self { next, before, .. } = self;
        // One that lacked its certificate may have it now.
        let earlier = before.tls.get(tls).filter(|spoken| spoken.tls.is_some());
        let known = next.tls.get(tls).or(earlier).cloned();
        let spoken = known.unwrap_or_else(|| {
            next.last += 1;
            SpokenTls {
                number: next.last,
                tls: Tls::new(tls, next.shown.as_ref()).map(Arc::new),
            }
        });
        next.tls.insert(Arc::clone(tls), spoken.clone());
        spoken
    }

    /// The counts of the one before stay, unless another budget is asked for.
    pub(super) fn budget(
        &mut self,
        key: &UpstreamKey,
        asked: Option<&RetryConstraint>,
    ) -> Arc<RetryBudget> {
        let budget = self.next.budgets.entry(key.clone()).or_insert_with(|| {
            let before = self.before.budgets.get(key);
            let before = before.filter(|budget| budget.is(asked)).cloned();
            before.unwrap_or_else(|| Arc::new(RetryBudget::new(asked.copied(), Instant::now())))
        });
        Arc::clone(budget)
    }

    pub(super) fn asked(&mut self, namespace: &str) -> Arc<AtomicUsize> {
        let count = self.next.asked.entry(namespace.to_owned());
        let count = count.or_insert_with(|| {
            let before = self.before.asked.get(namespace).cloned();
            before.unwrap_or_default()
        });
        Arc::clone(count)
    }

    pub(super) fn mirrored(&mut self, key: &UpstreamKey) -> Arc<AtomicUsize> {
        let count = self.next.mirrored.entry(key.clone()).or_insert_with(|| {
            let before = self.before.mirrored.get(key).cloned();
            before.unwrap_or_default()
        });
        Arc::clone(count)
    }
}
