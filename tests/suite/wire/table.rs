//! A connector with the engine behind it, and a route table: a prefix for each endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{Connector, TransportChoice};
use adapter_connector::{ConnectorOptions, EdgeAddresses, EdgeRoots, RequestBody, RequestHandler};
use adapter_proxy::{Engine, GatewayMetrics, Limits, Memory, ResponseBody};
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::{
    EndpointHost, Filter, HeaderMatch, PathMatch, Protocol, RouteKind, RouteMatch, RulePolicy,
    TextMatch, Timeouts,
};
use domain::names::{ObjectKey, Timestamp};
use domain::route_table::{
    Arrival, BackendTarget, RouteTable, TableBackend, TableListener, TableRoute, TableRule,
    Upstream, UpstreamEndpoint, UpstreamKey, UpstreamProtocol,
};
use domain::secret::ConnectorToken;
use http::{Request, Response};

/// Requests below a prefix, perhaps with a header, and the endpoints that they go to.
pub(super) struct Rule {
    pub(super) prefix: String,
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) protocol: UpstreamProtocol,
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) filters: Vec<Filter>,
    pub(super) timeouts: Timeouts,
}

impl Rule {
    pub(super) fn new(
        prefix: impl Into<String>,
        protocol: UpstreamProtocol,
        endpoints: &[SocketAddr],
    ) -> Self {
        Self {
            prefix: prefix.into(),
            header: None,
            protocol,
            endpoints: endpoints.to_vec(),
            filters: vec![],
            timeouts: Timeouts::default(),
        }
    }

    fn key(&self) -> UpstreamKey {
        UpstreamKey {
            service: ObjectKey::new("shop", format!("{}{:?}", self.prefix, self.header)),
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
        }
    }
}

fn table(rules: &[Rule]) -> Arc<RouteTable> {
    let upstreams = rules.iter().map(|rule| (rule.key(), rule.upstream()));
    Arc::new(RouteTable {
        gateway: ObjectKey::new("infra", "web"),
        listeners: vec![TableListener {
            name: "https".into(),
            port: 443,
            protocol: Protocol::Https,
            hostname: None,
            routes: vec![TableRoute {
                key: ObjectKey::new("shop", "route"),
                kind: RouteKind::Http,
                created: Timestamp(0),
                hostnames: vec![],
                rules: rules.iter().map(Rule::rule).collect(),
            }],
        }],
        upstreams: upstreams.collect::<BTreeMap<_, _>>(),
    })
}

/// Hands the requests of a tunnel to the engine.
struct ToEngine(Arc<Engine>);

impl RequestHandler for ToEngine {
    type Body = ResponseBody;

    async fn handle(
        &self,
        arrival: Arrival,
        request: Request<RequestBody>,
    ) -> Response<ResponseBody> {
        self.0.serve(arrival, request).await
    }
}

/// A connector with one connection to one of these edges, and the engine with these rules behind it.
pub(super) fn connector(
    transport: TransportChoice,
    edge: Vec<SocketAddr>,
    ca_pem: &str,
    token: String,
    rules: &[Rule],
) -> Connector {
    let engine = Engine::new(
        Limits::default(),
        EndpointPolicy::Standalone,
        Memory::unlimited(),
        Arc::new(GatewayMetrics::default()),
    );
    engine.load(table(rules));
    let options = ConnectorOptions {
        edge: EdgeAddresses::Given(edge),
        roots: EdgeRoots::Only(ca_pem.as_bytes().to_vec()),
        transport,
        connections: 1,
        // An edge that is played frame by frame opens no control stream.
        rpc_timeout: Duration::from_secs(600),
        silence: Duration::from_secs(60),
        ..ConnectorOptions::default()
    };
    let token = ConnectorToken::new(token);
    Connector::start(&token, options, Arc::new(ToEngine(engine))).expect("the connector starts")
}
