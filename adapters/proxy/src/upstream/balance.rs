//! Which endpoint takes a request.

use std::sync::Arc;

use domain::route_table::UpstreamProtocol;

use super::Endpoint;
use super::dice::below;

/// Endpoints tried for one request, at most; then the last failure is the answer. Most of a Service may go at once, when
/// it is scaled down, and those that are gone refuse at once.
pub(crate) const MAX_ENDPOINTS: usize = 16;

/// What stands behind a Service port, with the endpoints' pools.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What all of the endpoints speak.
    pub(crate) protocol: UpstreamProtocol,
    /// They may be shared with other upstreams and with earlier tables.
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
}

/// Endpoints that one request should not be sent to again.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    indices: [usize; MAX_ENDPOINTS],
    count: usize,
}

impl Tried {
    fn contains(&self, index: usize) -> bool {
        self.indices[..self.count].contains(&index)
    }

    /// Remembers an endpoint. `false` where no further one may be tried.
    pub(crate) fn add(&mut self, index: usize) -> bool {
        if let Some(slot) = self.indices.get_mut(self.count) {
            *slot = index;
            self.count += 1;
        }
        self.count < MAX_ENDPOINTS
    }
}

impl Upstream {
    /// The better of two endpoints drawn at random: one that did not just refuse a connection, then the
    /// one with fewer requests in flight ("power of two choices"). `None` where all were tried.
    pub(crate) fn pick(&self, tried: &Tried) -> Option<usize> {
        let one = self.draw(tried)?;
        let other = self.draw(tried)?;
        let burden = |index: usize| {
            let endpoint = &self.endpoints[index];
            (endpoint.is_suspect(), endpoint.in_flight())
        };
        Some(if burden(other) < burden(one) {
            other
        } else {
            one
        })
    }

    /// An untried endpoint at random.
    fn draw(&self, tried: &Tried) -> Option<usize> {
        let len = self.endpoints.len();
        if len <= tried.count {
            return None;
        }
        let start = below(len);
        (start..len)
            .chain(0..start)
            .find(|index| !tried.contains(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use domain::gateway::EndpointHost;
    use domain::route_table::UpstreamEndpoint;

    fn upstream(count: u16) -> Upstream {
        let protocol = UpstreamProtocol::Http1;
        let limits = Arc::new(Limits::default());
        let endpoint = |port| {
            let at = UpstreamEndpoint {
                host: EndpointHost::Name("pod".into()),
                port,
            };
            Arc::new(Endpoint::new(at, protocol, Arc::clone(&limits)))
        };
        Upstream {
            protocol,
            endpoints: (1..=count).map(endpoint).collect(),
        }
    }

    #[test]
    fn idle_endpoints_share_alike() {
        let upstream = upstream(10);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[upstream.pick(&Tried::default()).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
    }

    #[test]
    fn requests_that_last_are_spread_evenly() {
        let upstream = upstream(10);
        let claims: Vec<_> = (0..1_000)
            .map(|_| {
                let index = upstream.pick(&Tried::default()).unwrap();
                Endpoint::claim(&upstream.endpoints[index])
            })
            .collect();
        for endpoint in &upstream.endpoints {
            assert!((90..=110).contains(&endpoint.in_flight()), "{upstream:?}");
        }
        drop(claims);
        assert!(upstream.endpoints.iter().all(|e| e.in_flight() == 0));
    }

    #[test]
    fn each_endpoint_is_tried_once_and_sixteen_at_most() {
        for (endpoints, tries) in [(0, 0), (1, 1), (2, 2), (10, 10), (20, 16)] {
            let upstream = upstream(endpoints);
            let mut tried = Tried::default();
            let mut order = Vec::new();
            while let Some(index) = upstream.pick(&tried) {
                assert!(!order.contains(&index));
                order.push(index);
                if !tried.add(index) {
                    break;
                }
            }
            assert_eq!(order.len(), tries, "{endpoints} endpoints");
        }
    }

    #[test]
    fn an_endpoint_that_refused_is_avoided_while_there_is_another() {
        let upstream = upstream(2);
        upstream.endpoints[0].suspect();
        let first = (0..1_000)
            .filter(|_| upstream.pick(&Tried::default()) == Some(0))
            .count();
        // Only where both draws fall on it.
        assert!((150..350).contains(&first), "{first}");
    }
}
