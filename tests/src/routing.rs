//! The proxy engine with a route table that a test writes as rules, without a controller.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter_proxy::{Engine, GatewayMetrics, Limits, LoopbackListener, Memory};
use domain::Hostname;
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::{
    BackendKind, EndpointHost, HeaderMatch, PathMatch, Protocol, Retry, RouteKind, RouteMatch,
    RulePolicy, Session, TextMatch, Timeouts,
};
use domain::names::{ObjectKey, Timestamp};
use domain::route_table::{
    BackendTarget, RouteTable, TableBackend, TableFilter, TableListener, TableRoute, TableRule,
    Upstream, UpstreamEndpoint, UpstreamKey, UpstreamProtocol, UpstreamTls,
};
use tokio_util::sync::CancellationToken;

/// Requests of a hostname below a prefix, perhaps with a header, and the endpoints that they go to.
pub struct Rule {
    /// `None` for every hostname.
    pub hostname: Option<&'static str>,
    /// What their paths begin with.
    pub prefix: String,
    /// A header that they must have.
    pub header: Option<(&'static str, &'static str)>,
    /// What the endpoints speak.
    pub protocol: UpstreamProtocol,
    /// Where they go.
    pub endpoints: Vec<SocketAddr>,
    /// The filters of the rule.
    pub filters: Vec<TableFilter>,
    /// The timeouts of the rule.
    pub timeouts: Timeouts,
    /// The retries of the rule.
    pub retry: Option<Retry>,
    /// The sessions of the rule.
    pub session: Option<Session>,
    /// How the endpoints are spoken to over TLS.
    pub tls: Option<UpstreamTls>,
}

impl Rule {
    /// A rule for every hostname, without header, filters, timeouts, retries and sessions.
    pub fn new(
        prefix: impl Into<String>,
        protocol: UpstreamProtocol,
        endpoints: &[SocketAddr],
    ) -> Self {
        Self {
            hostname: None,
            prefix: prefix.into(),
            header: None,
            protocol,
            endpoints: endpoints.to_vec(),
            filters: vec![],
            timeouts: Timeouts::default(),
            retry: None,
            session: None,
            tls: None,
        }
    }

    /// Where its requests go: a mirror of another rule may go there too.
    pub fn key(&self) -> UpstreamKey {
        let host = self.hostname.unwrap_or_default();
        UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("shop", format!("{host}{}{:?}", self.prefix, self.header)),
            port: 80,
            protocol: self.protocol,
        }
    }

    fn rule(&self) -> TableRule {
        let matched = self.header.map(|(name, value)| HeaderMatch {
            name: name.into(),
            value: TextMatch::Exact(value.into()),
        });
        TableRule {
            matches: vec![RouteMatch {
                path: PathMatch::Prefix(self.prefix.clone()),
                method: None,
                headers: matched.into_iter().collect(),
                query: vec![],
            }],
            filters: self.filters.clone(),
            policy: RulePolicy {
                timeouts: self.timeouts,
                retry: self.retry.clone(),
                session: self.session.clone(),
            },
            backends: vec![TableBackend {
                weight: 1,
                target: BackendTarget::Upstream(self.key()),
                filters: vec![],
            }],
        }
    }

    fn upstream(&self) -> Upstream {
        let endpoint = |at: &SocketAddr| UpstreamEndpoint {
            host: EndpointHost::Address(at.ip()),
            port: at.port(),
        };
        Upstream {
            endpoints: self.endpoints.iter().map(endpoint).collect(),
            tls: self.tls.clone().map(Arc::new),
            ..Upstream::default()
        }
    }
}

/// One listener with a route for each run of rules that have the same hostname.
fn table(protocol: Protocol, rules: &[Rule]) -> Arc<RouteTable> {
    let route = |rules: &[Rule]| TableRoute {
        broader: None,
        key: ObjectKey::new("shop", rules[0].hostname.unwrap_or("route")),
        kind: RouteKind::Http,
        created: Timestamp(0),
        hostnames: rules[0]
            .hostname
            .map(|name| Hostname::parse(name).expect("a hostname"))
            .into_iter()
            .collect(),
        rules: rules.iter().map(Rule::rule).collect(),
    };
    let upstreams = rules.iter().map(|rule| (rule.key(), rule.upstream()));
    let (name, port) = match protocol {
        Protocol::Https => ("https", 443),
        _ => ("http", 80),
    };
    Arc::new(RouteTable {
        client_validation: Vec::new(),
        gateway: ObjectKey::new("infra", "web"),
        listeners: vec![TableListener {
            name: name.into(),
            port,
            protocol,
            hostname: None,
            filters: Vec::new(),
            routes: rules
                .chunk_by(|one, next| one.hostname == next.hostname)
                .map(route)
                .collect(),
        }],
        upstreams: upstreams.collect(),
    })
}

/// An engine with these rules on one listener: HTTPS on port 443, or HTTP on port 80.
pub fn engine(protocol: Protocol, rules: &[Rule]) -> Arc<Engine> {
    let engine = Engine::new(
        Limits::default(),
        EndpointPolicy::Standalone,
        Memory::unlimited(),
        Arc::new(GatewayMetrics::default()),
    );
    engine.load(table(protocol, rules));
    engine
}

/// Serves it by HTTP/1.1 on a free port of 127.0.0.1 until `stop`.
pub async fn on_loopback(engine: Arc<Engine>, stop: CancellationToken) -> SocketAddr {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = LoopbackListener::bind(any_port, engine).await;
    let listener = listener.expect("a free port of 127.0.0.1");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(listener.serve(stop));
    address
}
