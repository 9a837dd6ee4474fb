//! Which endpoint takes a request.

use std::sync::Arc;

use domain::route_table::UpstreamProtocol;

use super::Endpoint;
use super::random::below;

/// Endpoints tried for one request, at most; then the last failure is the answer. Most of a Service may go at once, when
/// it is scaled down, and those that are gone refuse at once.
pub(crate) const MAX_ENDPOINTS: usize = 16;

/// What stands behind a Service port, with the endpoints' pools.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What all of the endpoints speak.
    pub(crate) protocol: UpstreamProtocol,
    /// Whether they are spoken to over TLS.
    pub(crate) is_tls: bool,
    /// They may be shared with other upstreams and with earlier tables.
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    /// How many of them take any request. Those after them are draining, and take only what is sent to them by name.
    pub(crate) open: usize,
    /// Requests that it may have under way while the Gateway has more than that, so that others have room.
    pub(crate) max_in_flight: usize,
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
    /// The better of two endpoints drawn at random: the one with fewer requests in flight ("power of two choices"). Those
    /// that could not be connected to a moment ago are drawn only where there is no other. `None` where all were tried.
    ///
    /// The two are never the same one: whoever answers nothing any more has ever more requests in flight and
    /// loses each comparison, but would win those with itself.
    pub(crate) fn pick(&self, tried: &Tried) -> Option<usize> {
        let is_open = |index| !tried.contains(index);
        let is_good = |index| is_open(index) && !self.endpoints[index].is_suspect();
        self.better_of_two(is_good)
            .or_else(|| self.better_of_two(is_open))
    }

    /// Whether it has as many requests under way as it may, of so many of the Gateway.
    pub(crate) fn is_full(&self, of_gateway: usize) -> bool {
        let in_flight = || self.endpoints.iter().map(|e| e.in_flight()).sum::<usize>();
        of_gateway > self.max_in_flight && in_flight() >= self.max_in_flight
    }

    /// Whether a request that gives this endpoint up has another one, of which nothing bad is known.
    pub(crate) fn has_other(&self, tried: &Tried, than: usize) -> bool {
        let mut indices = 0..self.open;
        indices.any(|index| {
            index != than && !tried.contains(index) && !self.endpoints[index].is_suspect()
        })
    }

    fn better_of_two(&self, accepted: impl Fn(usize) -> bool) -> Option<usize> {
        let one = self.draw(&accepted, None)?;
        let Some(other) = self.draw(&accepted, Some(one)) else {
            return Some(one);
        };
        let burden = |index: usize| self.endpoints[index].in_flight();
        Some(if burden(other) < burden(one) {
            other
        } else {
            one
        })
    }

    /// An accepted endpoint at random, other than `drawn`.
    fn draw(&self, accepted: impl Fn(usize) -> bool, drawn: Option<usize>) -> Option<usize> {
        let len = self.open;
        if len <= usize::from(drawn.is_some()) {
            return None;
        }
        let start = match drawn {
            None => below(len),
            // A number among the others, which are one fewer.
            Some(drawn) => match below(len - 1) {
                before if before < drawn => before,
                after => after + 1,
            },
        };
        (start..len)
            .chain(0..start)
            .find(|index| drawn != Some(*index) && accepted(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reach;
    use super::*;
    use crate::Limits;
    use domain::endpoint_policy::EndpointPolicy;
    use domain::gateway::EndpointHost;
    use domain::route_table::UpstreamEndpoint;
    use std::time::Duration;

    fn upstream(count: u16) -> Upstream {
        let protocol = UpstreamProtocol::Http1;
        let limits = Arc::new(Limits::default());
        let endpoint = |port| {
            let at = UpstreamEndpoint {
                host: EndpointHost::Name("pod".into()),
                port,
            };
            let reach = Reach {
                policy: EndpointPolicy::Standalone,
                outside: None,
            };
            Arc::new(Endpoint::new(
                at,
                protocol,
                None,
                reach,
                Arc::clone(&limits),
            ))
        };
        Upstream {
            protocol,
            is_tls: false,
            endpoints: (1..=count).map(endpoint).collect(),
            open: count.into(),
            max_in_flight: usize::MAX,
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
    fn an_endpoint_that_drains_is_never_drawn() {
        for (count, open) in [(2, 1), (10, 9), (3, 0)] {
            let upstream = Upstream {
                open,
                ..upstream(count)
            };
            for _ in 0..1_000 {
                let picked = upstream.pick(&Tried::default());
                assert!(picked.is_none_or(|index| index < open));
                assert_eq!(picked.is_none(), open == 0);
            }
        }
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
    fn endpoints_that_refused_are_avoided_while_there_is_another() {
        for (count, refused) in [(2, 1), (3, 1), (10, 1), (3, 2), (10, 9)] {
            let upstream = upstream(count);
            for endpoint in &upstream.endpoints[..refused] {
                endpoint.suspect();
            }
            let picked = (0..1_000).filter_map(|_| upstream.pick(&Tried::default()));
            let avoided = picked.filter(|index| *index < refused).count();
            assert_eq!(avoided, 0, "{refused} of {count}");
        }
        let alone = upstream(1);
        alone.endpoints[0].suspect();
        assert_eq!(alone.pick(&Tried::default()), Some(0));
    }

    #[test]
    fn an_endpoint_that_answers_nothing_keeps_no_more_requests_than_the_others() {
        for count in [2, 3, 10] {
            let upstream = upstream(count);
            let mut hung = Vec::new();
            for _ in 0..1_000 {
                // The others answer at once.
                if upstream.pick(&Tried::default()) == Some(0) {
                    hung.push(Endpoint::claim(&upstream.endpoints[0]));
                }
            }
            assert_eq!(hung.len(), 1, "of {count}");
        }
    }

    #[test]
    fn what_refused_or_did_not_accept_is_avoided_for_longer_than_an_attempt_to_connect() {
        for (connect_timeout, avoided) in [(5, 10), (0, 2), (60, 120)] {
            let limits = Limits {
                connect_timeout: Duration::from_secs(connect_timeout),
                ..Limits::default()
            };
            assert_eq!(limits.suspicion(), Duration::from_secs(avoided));
        }
    }
}
