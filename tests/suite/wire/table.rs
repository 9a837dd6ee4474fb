//! A connector with the engine behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{Connector, TransportChoice};
use adapter_connector::{ConnectorOptions, EdgeAddresses, EdgeRoots, RequestBody, RequestHandler};
use adapter_proxy::{Engine, ResponseBody};
use domain::gateway::Protocol;
use domain::route_table::Arrival;
use domain::secret::ConnectorToken;
use http::{Request, Response};
use tests::routing::{Rule, engine};

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
    let engine = engine(Protocol::Https, rules);
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
