//! What the data plane counts.
//!
//! Counters are plain atomics, found once when a table is loaded and counted up without a look-up. They
//! are turned into the exposition format only when they are asked for, and go with the route they belong to.

mod asked;
mod mirrors;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

pub(crate) use asked::{AskedAbout, AuthOutcome};
use domain::gateway::RouteKind;
use domain::names::ObjectKey;
use domain::route_table::RouteTable;
use http::StatusCode;
pub(crate) use mirrors::{MirrorOutcome, MirrorSlot, Mirrors};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

type RouteName = (RouteKind, ObjectKey);

/// Metrics of all engines of a process.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    gateways: Arc<Mutex<BTreeMap<ObjectKey, Arc<GatewayMetrics>>>>,
}

impl Metrics {
    /// Metrics that a registry shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Metrics of one Gateway; the same ones each time.
    pub fn gateway(&self, gateway: &ObjectKey) -> Arc<GatewayMetrics> {
        let mut gateways = self.gateways.lock();
        Arc::clone(gateways.entry(gateway.clone()).or_default())
    }

    /// Removes the series of a Gateway that is served no more.
    pub fn forget(&self, gateway: &ObjectKey) {
        self.gateways.lock().remove(gateway);
    }
}

/// Metrics of one Gateway's engine.
#[derive(Debug, Default)]
pub struct GatewayMetrics {
    in_flight: AtomicUsize,
    /// Answers to requests that no route took.
    pub(crate) unrouted: Answers,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) retries: AtomicU64,
    /// Endpoints ejected because they failed again and again.
    pub(crate) ejections: AtomicU64,
    /// Retries that the budget of an upstream did not grant.
    pub(crate) denied_retries: AtomicU64,
    /// Requests refused because there were too many, or too little memory.
    pub(crate) shed: AtomicU64,
    /// Requests whose endpoint did not answer in time.
    pub(crate) answer_timeouts: AtomicU64,
    pub(crate) mirrors: Arc<Mirrors>,
    pub(crate) asked: AskedAbout,
    routes: Mutex<BTreeMap<RouteName, Arc<Answers>>>,
}

impl GatewayMetrics {
    /// Requests being served, upgraded ones included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Connections that an endpoint refused or did not accept in time.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Relaxed)
    }

    /// Requests sent once more after a failure.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Endpoints ejected because they failed again and again.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// Retries that rules asked for and the budget of an upstream did not grant.
    pub fn denied_retries(&self) -> u64 {
        self.denied_retries.load(Relaxed)
    }

    /// Requests refused because there were too many, or too little memory.
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    /// Requests whose endpoint did not answer in time.
    pub fn answer_timeouts(&self) -> u64 {
        self.answer_timeouts.load(Relaxed)
    }

    /// Copies of requests, by what became of them: `answered`, `cut`, `dropped`, `failed`.
    pub fn mirrored(&self) -> BTreeMap<&'static str, u64> {
        self.mirrors.counted().collect()
    }

    /// Requests that authorizers were asked about, by what these said: `permitted`, `denied`, `failed`.
    pub fn authorized(&self) -> BTreeMap<&'static str, u64> {
        self.asked.counted().collect()
    }

    /// Counters of every route of a table; those of routes that are gone are dropped.
    pub(crate) fn follow(&self, table: &RouteTable) -> BTreeMap<RouteName, Arc<Answers>> {
        let mut routes = self.routes.lock();
        let mut followed = BTreeMap::new();
        for route in table.listeners.iter().flat_map(|l| &l.routes) {
            let name = (route.kind, route.key.clone());
            let answers = routes.get(&name).cloned().unwrap_or_default();
            followed.entry(name).or_insert(answers);
        }
        routes.clone_from(&followed);
        followed
    }

    /// Counts a request in, unless `max` are there already.
    pub(crate) fn admit(self: &Arc<Self>, max: usize) -> Option<InFlight> {
        if self.in_flight.fetch_add(1, Relaxed) < max {
            return Some(InFlight(Arc::clone(self)));
        }
        self.in_flight.fetch_sub(1, Relaxed);
        None
    }
}

/// A request being served; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<GatewayMetrics>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Answers by class of their status.
#[derive(Debug, Default)]
pub(crate) struct Answers([AtomicU64; CLASSES.len()]);

impl Answers {
    pub(crate) fn count(&self, status: StatusCode) {
        if let Some(class) = self
            .0
            .get(usize::from(status.as_u16() / 100).wrapping_sub(1))
        {
            class.fetch_add(1, Relaxed);
        }
    }

    fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CLASSES
            .into_iter()
            .zip(self.0.iter().map(|class| class.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gateways: Vec<_> = self
            .gateways
            .lock()
            .iter()
            .map(|(key, metrics)| (key.to_string(), Arc::clone(metrics)))
            .collect();
        encode_requests(&mut encoder, &gateways)?;
        for (name, help, value) in TOTALS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (gateway, metrics) in &gateways {
                family
                    .encode_family(&[("gateway", gateway.as_str())])?
                    .encode_counter::<NoLabelSet, _, u64>(&value(metrics), None)?;
            }
        }
        let help = "Copies of requests for mirrors, by what became of them";
        let counter = MetricType::Counter;
        let mut family =
            encoder.encode_descriptor("proxy_mirrored_requests", help, None, counter)?;
        for (gateway, metrics) in &gateways {
            for (outcome, count) in metrics.mirrors.counted() {
                family
                    .encode_family(&[("gateway", gateway.as_str()), ("outcome", outcome)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Requests that authorizers were asked about, by what these said";
        let mut family =
            encoder.encode_descriptor("proxy_authorized_requests", help, None, counter)?;
        for (gateway, metrics) in &gateways {
            for (outcome, count) in metrics.asked.counted() {
                family
                    .encode_family(&[("gateway", gateway.as_str()), ("outcome", outcome)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Requests being served, upgraded ones included";
        let mut family =
            encoder.encode_descriptor("proxy_in_flight", help, None, MetricType::Gauge)?;
        for (gateway, metrics) in &gateways {
            let in_flight = i64::try_from(metrics.in_flight()).unwrap_or(i64::MAX);
            family
                .encode_family(&[("gateway", gateway.as_str())])?
                .encode_gauge(&in_flight)?;
        }
        Ok(())
    }
}

type Total = (&'static str, &'static str, fn(&GatewayMetrics) -> u64);

const TOTALS: [Total; 6] = [
    (
        "proxy_shed_requests",
        "Requests refused because there were too many at once or too little memory",
        GatewayMetrics::shed,
    ),
    (
        "proxy_upstream_answer_timeouts",
        "Requests whose endpoint did not answer in time",
        GatewayMetrics::answer_timeouts,
    ),
    (
        "proxy_upstream_connect_failures",
        "Connections that an endpoint refused or did not accept in time",
        GatewayMetrics::connect_failures,
    ),
    (
        "proxy_upstream_denied_retries",
        "Retries that rules asked for and the budget of an upstream did not grant",
        GatewayMetrics::denied_retries,
    ),
    (
        "proxy_upstream_ejections",
        "Endpoints ejected because they failed again and again",
        GatewayMetrics::ejections,
    ),
    (
        "proxy_upstream_retries",
        "Requests sent once more after a failure",
        GatewayMetrics::retries,
    ),
];

fn encode_requests(
    encoder: &mut DescriptorEncoder<'_>,
    gateways: &[(String, Arc<GatewayMetrics>)],
) -> fmt::Result {
    let help = "Requests answered, by route (empty where none took it) and class of status";
    let mut family =
        encoder.encode_descriptor("proxy_requests", help, None, MetricType::Counter)?;
    let mut encode = |gateway: &str, kind: &str, route: &str, answers: &Answers| {
        for (class, count) in answers.counted() {
            let labels = [
                ("gateway", gateway),
                ("kind", kind),
                ("route", route),
                ("class", class),
            ];
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    };
    for (gateway, metrics) in gateways {
        encode(gateway, "", "", &metrics.unrouted)?;
        for ((kind, key), answers) in metrics.routes.lock().iter() {
            encode(gateway, kind.as_str(), &key.to_string(), answers)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::gateway::Protocol;
    use domain::names::Timestamp;
    use domain::route_table::{TableListener, TableRoute};

    fn table(routes: &[&str]) -> RouteTable {
        let route = |name: &&str| TableRoute {
            broader: None,
            key: ObjectKey::new("shop", *name),
            kind: RouteKind::Http,
            created: Timestamp(0),
            hostnames: Vec::new(),
            rules: Vec::new(),
        };
        RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("infra", "web"),
            listeners: vec![TableListener {
                name: "https".into(),
                port: 443,
                protocol: Protocol::Https,
                hostname: None,
                filters: Vec::new(),
                routes: routes.iter().map(route).collect(),
            }],
            upstreams: BTreeMap::new(),
        }
    }

    #[test]
    fn answers_are_shown_by_route_and_class_until_the_route_goes() {
        let mut registry = Registry::with_prefix("cfgw");
        let metrics = Metrics::register(&mut registry);
        let gateway = metrics.gateway(&ObjectKey::new("infra", "web"));
        let shown = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };

        let followed = gateway.follow(&table(&["cart", "home"]));
        let cart = &followed[&(RouteKind::Http, ObjectKey::new("shop", "cart"))];
        cart.count(StatusCode::OK);
        gateway.follow(&table(&["cart"]));
        cart.count(StatusCode::OK);
        gateway.unrouted.count(StatusCode::NOT_FOUND);
        let admitted = gateway.admit(1);
        assert!(admitted.is_some() && gateway.admit(1).is_none());

        let text = shown();
        for line in [
            r#"cfgw_proxy_requests_total{gateway="infra/web",kind="HTTPRoute",route="shop/cart",class="2xx"} 2"#,
            r#"cfgw_proxy_requests_total{gateway="infra/web",kind="",route="",class="4xx"} 1"#,
            r#"cfgw_proxy_upstream_retries_total{gateway="infra/web"} 0"#,
            r#"cfgw_proxy_in_flight{gateway="infra/web"} 1"#,
            r#"cfgw_proxy_mirrored_requests_total{gateway="infra/web",outcome="cut"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }

        gateway.follow(&table(&[]));
        assert!(!shown().contains("shop/cart"));
        metrics.forget(&ObjectKey::new("infra", "web"));
        assert!(!shown().contains("infra/web"));
    }
}
