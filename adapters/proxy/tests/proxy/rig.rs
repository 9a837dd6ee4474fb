//! Tables, requests and patience.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_proxy::{BoxError, Engine, GatewayMetrics, Limits, Memory, ResponseBody};
use bytes::Bytes;
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::{
    BackendKind, EndpointHost, ExternalAuth, Filter, PathMatch, Protocol, Retry, RetryConstraint,
    RouteKind, RouteMatch, RulePolicy, Session, Timeouts,
};
use domain::names::{ObjectKey, Timestamp};
use domain::route_table::{
    Arrival, BackendTarget, RouteTable, Scheme, TableBackend, TableFilter, TableListener,
    TableRoute, TableRule, Upstream, UpstreamEndpoint, UpstreamKey, UpstreamProtocol, UpstreamTls,
};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::sync::mpsc;

use crate::endpoint::Endpoint;

pub(crate) const HOST: &str = "app.example";

/// An engine with default limits.
pub(crate) fn engine() -> Arc<Engine> {
    engine_with(Limits::default()).0
}

/// An engine and its metrics.
pub(crate) fn engine_with(limits: Limits) -> (Arc<Engine>, Arc<GatewayMetrics>) {
    engine_within(limits, Memory::unlimited())
}

/// An engine with this much memory.
pub(crate) fn engine_within(
    limits: Limits,
    memory: Arc<Memory>,
) -> (Arc<Engine>, Arc<GatewayMetrics>) {
    let metrics = Arc::new(GatewayMetrics::default());
    let policy = EndpointPolicy::Standalone;
    let engine = Engine::new(limits, policy, memory, Arc::clone(&metrics));
    (engine, metrics)
}

/// An endpoint, and an engine with default limits that sends everything to it.
pub(crate) async fn app_behind(protocol: UpstreamProtocol) -> (Endpoint, Arc<Engine>) {
    let (app, engine, _) = app_behind_with(protocol, Limits::default()).await;
    (app, engine)
}

/// The same with these limits, and the engine's metrics.
pub(crate) async fn app_behind_with(
    protocol: UpstreamProtocol,
    limits: Limits,
) -> (Endpoint, Arc<Engine>, Arc<GatewayMetrics>) {
    let app = Endpoint::start("app").await;
    let (engine, metrics) = engine_with(limits);
    engine.load(Sketch::simple(protocol, &[app.at]));
    (app, engine, metrics)
}

/// A table in the making: rules of one route for every host, on ports 80 and 443.
#[derive(Default)]
pub(crate) struct Sketch {
    rules: Vec<TableRule>,
    /// Of the listener on port 443.
    authorizers: Vec<ExternalAuth<UpstreamKey>>,
    upstreams: BTreeMap<UpstreamKey, Upstream>,
}

/// A Service port by its name alone: what it speaks is said with its endpoints.
pub(crate) fn service(name: &str) -> UpstreamKey {
    speaking(name, UpstreamProtocol::Http1)
}

fn speaking(name: &str, protocol: UpstreamProtocol) -> UpstreamKey {
    UpstreamKey {
        kind: BackendKind::Service,
        service: ObjectKey::new("shop", name),
        port: 80,
        protocol,
    }
}

/// A share of a Service.
pub(crate) fn share(name: &str, weight: u32) -> TableBackend {
    TableBackend {
        weight,
        target: BackendTarget::Upstream(service(name)),
        filters: vec![],
    }
}

/// A share that resolves to nothing.
pub(crate) fn invalid(weight: u32) -> TableBackend {
    TableBackend {
        weight,
        target: BackendTarget::Invalid,
        filters: vec![],
    }
}

impl Sketch {
    /// One rule for everything, with one Service behind it.
    pub(crate) fn simple(protocol: UpstreamProtocol, endpoints: &[SocketAddr]) -> Arc<RouteTable> {
        Self::default()
            .rule("/", vec![], vec![share("app", 1)])
            .upstream("app", protocol, endpoints)
            .table()
    }

    pub(crate) fn rule(
        mut self,
        prefix: &str,
        filters: Vec<TableFilter>,
        backends: Vec<TableBackend>,
    ) -> Self {
        self.rules.push(TableRule {
            matches: vec![RouteMatch {
                path: PathMatch::Prefix(prefix.into()),
                method: None,
                headers: vec![],
                query: vec![],
            }],
            filters,
            policy: RulePolicy::default(),
            backends,
        });
        self
    }

    /// Has an authorizer asked about every request to port 443.
    pub(crate) fn guarded(mut self, by: ExternalAuth<UpstreamKey>) -> Self {
        self.authorizers.push(by);
        self
    }

    /// Has the last rule ask for this instead.
    pub(crate) fn matching(mut self, wanted: RouteMatch) -> Self {
        let rule = self.rules.last_mut().expect("a rule");
        rule.matches = vec![wanted];
        self
    }

    /// Gives requests of the last rule this time.
    pub(crate) fn within(mut self, timeouts: Timeouts) -> Self {
        let rule = self.rules.last_mut().expect("a rule");
        rule.policy.timeouts = timeouts;
        self
    }

    /// Has requests of the last rule sent once more.
    pub(crate) fn retrying(mut self, retry: Retry) -> Self {
        let rule = self.rules.last_mut().expect("a rule");
        rule.policy.retry = Some(retry);
        self
    }

    /// Has visitors of the last rule stay with an endpoint.
    pub(crate) fn staying(mut self, session: Session) -> Self {
        let rule = self.rules.last_mut().expect("a rule");
        rule.policy.session = Some(session);
        self
    }

    /// How many retries an upstream gets.
    pub(crate) fn constrained(mut self, name: &str, retries: Option<RetryConstraint>) -> Self {
        let upstreams = self.upstreams.iter_mut();
        for (_, upstream) in upstreams.filter(|(key, _)| key.service.name == name) {
            upstream.retries = retries;
        }
        self
    }

    /// Endpoints of an upstream that drain.
    pub(crate) fn draining(mut self, name: &str, endpoints: &[SocketAddr]) -> Self {
        let upstreams = self.upstreams.iter_mut();
        for (_, upstream) in upstreams.filter(|(key, _)| key.service.name == name) {
            upstream.draining = endpoints.iter().map(at).collect();
        }
        self
    }

    pub(crate) fn upstream(
        self,
        name: &str,
        protocol: UpstreamProtocol,
        endpoints: &[SocketAddr],
    ) -> Self {
        self.upstream_at(name, protocol, endpoints.iter().map(at).collect())
    }

    pub(crate) fn upstream_at(
        mut self,
        name: &str,
        protocol: UpstreamProtocol,
        endpoints: Vec<UpstreamEndpoint>,
    ) -> Self {
        let key = speaking(name, protocol);
        let backends = self.rules.iter_mut().flat_map(|rule| &mut rule.backends);
        for backend in backends {
            if backend.target == BackendTarget::Upstream(service(name)) {
                backend.target = BackendTarget::Upstream(key.clone());
            }
        }
        for rule in &mut self.rules {
            let of_backends = rule.backends.iter_mut().flat_map(|b| &mut b.filters);
            for filter in rule.filters.iter_mut().chain(of_backends) {
                if let Filter::Mirror(mirror) = filter
                    && mirror.to == service(name)
                {
                    mirror.to = key.clone();
                }
                if let Filter::ExternalAuth(auth) = filter
                    && auth.to == Some(service(name))
                {
                    auth.to = Some(key.clone());
                }
            }
        }
        for auth in &mut self.authorizers {
            if auth.to == Some(service(name)) {
                auth.to = Some(key.clone());
            }
        }
        let upstream = Upstream {
            endpoints,
            ..Upstream::default()
        };
        self.upstreams.insert(key, upstream);
        self
    }

    /// Has all upstreams spoken to over TLS.
    pub(crate) fn over(mut self, tls: &UpstreamTls) -> Self {
        for upstream in self.upstreams.values_mut() {
            upstream.tls = Some(Arc::new(tls.clone()));
        }
        self
    }

    pub(crate) fn table(self) -> Arc<RouteTable> {
        let listener = |port, protocol| TableListener {
            name: format!("port-{port}"),
            port,
            protocol,
            hostname: None,
            filters: match port {
                443 => self.authorizers.clone(),
                _ => Vec::new(),
            },
            routes: vec![TableRoute {
                broader: None,
                key: ObjectKey::new("shop", "route"),
                kind: RouteKind::Http,
                created: Timestamp(0),
                hostnames: vec![],
                rules: self.rules.clone(),
            }],
        };
        Arc::new(RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("infra", "web"),
            listeners: vec![listener(80, Protocol::Http), listener(443, Protocol::Https)],
            upstreams: self.upstreams,
        })
    }
}

fn at(address: &SocketAddr) -> UpstreamEndpoint {
    UpstreamEndpoint {
        host: EndpointHost::Address(address.ip()),
        port: address.port(),
    }
}

/// How requests of the tests arrive: by HTTPS, from 203.0.113.7.
pub(crate) fn arrival() -> Arrival {
    let client = "203.0.113.7".parse().ok();
    Arrival::new(Scheme::Https, HOST, client).unwrap()
}

/// A request without a body.
pub(crate) fn bare(method: &str, path: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", HOST)
        .body(Empty::new())
        .unwrap()
}

pub(crate) async fn get(engine: &Engine, path: &str) -> Response<ResponseBody> {
    engine.serve(arrival(), bare("GET", path)).await
}

/// Status and whole body.
pub(crate) async fn read(response: Response<ResponseBody>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

pub(crate) type Feed = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;
pub(crate) type FedBody =
    StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>>;

/// A body that is fed frame by frame and ends when the feed is dropped.
pub(crate) fn fed() -> (Feed, FedBody) {
    let (feed, mut frames) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    (feed, StreamBody::new(Box::pin(stream)))
}

pub(crate) fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(bytes.into()))
}

/// The next data of a body, as text. `None` at its end, or where trailers come instead.
pub(crate) async fn next_text(body: &mut ResponseBody) -> Option<String> {
    loop {
        let frame = in_time(body.frame()).await?.unwrap();
        let data = frame.into_data().ok()?;
        // HTTP/2 may end a body with an empty frame.
        if !data.is_empty() {
            return Some(String::from_utf8_lossy(&data).into_owned());
        }
    }
}

/// Waits, but not for ever.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it takes less than 20 s")
}

/// Polls until it holds, but not for ever.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 20 s: {what}");
}
