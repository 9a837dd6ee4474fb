//! Groups of settings that programs have in common.

use std::path::PathBuf;

use figment::Figment;

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers;
use crate::values::{
    Address, Backend, BaseUrl, BrokerUrls, Connections, EdgeAddresses, InFlight, LogFilter,
    LogFormat, MemoryLimit, NameServers, Period, RequestBudget, ServerName, Switch,
    TransportChoice, UnderscoredHeaders,
};

settings! {
    /// How the Cloudflare API is reached.
    pub struct CloudflareSettings {
        /// Base URL of the Cloudflare API. Plain `http` is taken for addresses of this machine only.
        base_url: BaseUrl = fixed("https://api.cloudflare.com/client/v4"),
        /// PEM file with root certificates that are trusted besides the system's.
        ca_file: Option<PathBuf> = None,
        /// How long one request may take, its whole answer included.
        request_timeout: Period = Period::seconds(30),
        /// Requests in five minutes with one API token for one account, at most. Cloudflare allows 1200 for all
        /// programs of a user together and refuses all of them for up to five minutes when there are more.
        request_budget: RequestBudget = RequestBudget::new(600),
    }
}

settings! {
    /// Who makes tunnels and records.
    pub struct EdgeSettings {
        /// `direct` asks Cloudflare with the credentials in Secrets; `broker` asks a broker that holds them.
        backend: Backend = Backend::Direct,
        section /// How the broker is reached; for the backend `broker` only.
        broker: BrokerAccess,
    }
}

settings! {
    /// How the broker is reached.
    pub struct BrokerAccess {
        /// Base URL of the broker, or a list of those of brokers with one store: the first that answers is used for as long as
        /// it does. Plain `http` is taken for addresses of this machine only. Needed for the backend `broker`.
        url: Option<BrokerUrls> = None,
        /// File with the code that this cluster is enrolled with. It is needed once: the key that was made for the cluster
        /// is kept, and the broker knows it by that.
        code_file: Option<PathBuf> = None,
        /// File with a projected token of the controller's ServiceAccount for the audience `cloudflare-gateway-broker`, which the
        /// kubelet keeps up to date. With it the cluster is attested: a copy of its key alone opens no session. For `cfgw controller`
        /// alone.
        service_account_token_file: Option<PathBuf> = None,
        /// PEM file with root certificates that are trusted besides the system's.
        ca_file: Option<PathBuf> = None,
        /// How long one request may take, its whole answer included. The broker waits for half of it until something is done.
        request_timeout: Period = Period::seconds(60),
        /// How often the controller that leads tells the broker that it is there and what it has, give or take a fifth. What the
        /// broker has otherwise, because its store is an older one, is stated again then.
        heartbeat: Period = Period::seconds(30),
    }
}

settings! {
    /// How the tunnel connects to Cloudflare's edge.
    pub struct TunnelSettings {
        /// `discover` finds the edge by DNS; a list of `address:port` names it.
        edge: EdgeAddresses = EdgeAddresses::Discover,
        /// Name servers that are asked for the edge's addresses: `system` or a list of `address:port`.
        name_servers: NameServers = NameServers::System,
        /// What carries the connections: `http2`, `quic`, or `auto`, which is HTTP/2, and QUIC for as long
        /// as TCP to the edge fails at every address. QUIC has no trailers, so gRPC needs HTTP/2: with
        /// `auto` a Gateway that has a GRPCRoute never uses QUIC.
        protocol: TransportChoice = TransportChoice::Auto,
        /// Name that the edge must prove by its certificate over HTTP/2.
        server_name: ServerName = fixed("h2.cftunnel.com"),
        /// Name that the edge must prove by its certificate over QUIC.
        quic_server_name: ServerName = fixed("quic.cftunnel.com"),
        /// Whether the edge tells the port and the TLS server name of each request. Cloudflare's does not, and hands on what
        /// visitors write into the headers for it, so this is for an edge of your own, such as that of a conformance test.
        /// It hands certificates on too, and closes the connection of a visitor whose certificate is refused. A GatewayClass
        /// claims HTTPRouteParentRefPort, GatewayHTTPSListenerDetectMisdirectedRequests,
        /// GatewayFrontendClientCertificateValidation and GatewayFrontendClientCertificateValidationInsecureFallback only with it.
        edge_tells_arrival: Switch = Switch::OFF,
        /// Whether Cloudflare is set to hand on the certificates of visitors, in `Client-Cert` and `Client-Cert-Chain`, and to
        /// remove what visitors write there, in every zone that Gateways have hostnames in. `spec.tls.frontend` of a Gateway is
        /// accepted only with it. Without it the proxies remove both headers.
        edge_hands_certificates: Switch = Switch::OFF,
        /// PEM file with the root certificates of the edge; replaces the system's and Cloudflare's.
        ca_file: Option<PathBuf> = None,
        /// Connections of one connector, each to another edge address.
        connections: Connections = Connections::new(4),
        /// How long a connection to the edge may be silent, though asked whether it is alive, before it is
        /// replaced.
        silence_timeout: Period = Period::seconds(3),
        /// How long requests in flight may go on after the order to stop.
        grace_period: Period = Period::seconds(30),
    }
}

settings! {
    /// What a proxy takes of visitors, and how long it waits for them and for endpoints.
    pub struct RequestSettings {
        /// Requests of a Gateway at a time, in each proxy; more are answered with 503.
        max_in_flight: InFlight = InFlight::new(20_000),
        /// Memory that the process may take, such as `512Mi`. Requests that would need more are answered with 503.
        /// `auto` is the limit of its cgroup, which in Kubernetes is that of its container, or the machine's memory.
        memory: MemoryLimit = MemoryLimit::Auto,
        /// How long connecting to an endpoint may take, the look-up of its name included.
        connect_timeout: Period = Period::seconds(5),
        /// How long an endpoint may be silent before its answer begins, counted from the last byte of the request;
        /// then 504. Cloudflare's own limit is shorter, except where an Enterprise plan raised it.
        answer_timeout: Period = Period::seconds(2 * 60),
        /// How long the sender of a request's or an answer's body may be silent, and a visitor may read nothing of an
        /// answer.
        body_idle_timeout: Period = Period::seconds(15 * 60),
        /// How long an upgraded connection, such as a WebSocket, may be silent in both directions.
        upgrade_idle_timeout: Period = Period::seconds(60 * 60),
        /// What becomes of headers whose names hold `_`, or another mark than `-`: `drop` or `allow`. Many
        /// applications cannot tell `X_User` from `X-User`, so that a visitor could write either. Second spellings
        /// of names that the edge or the proxy writes (`X_Forwarded_For`) are removed whatever is set here.
        headers_with_underscores: UnderscoredHeaders = UnderscoredHeaders::Drop,
    }
}

settings! {
    /// The program's own HTTP server.
    pub struct AdminSettings {
        /// Where `/healthz`, `/readyz` and `/metrics` are served. Port 0 takes a free one.
        listen: Address = fixed("127.0.0.1:8081"),
    }
}

settings! {
    /// What is logged.
    pub struct LogSettings {
        /// A level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as `info,hyper=warn`.
        filter: LogFilter = fixed("info"),
        /// `text` for people, `json` for programs.
        format: LogFormat = LogFormat::Text,
    }
}

impl EdgeSettings {
    /// A broker needs a place; its files must be there.
    pub(crate) fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        let broker = &self.broker;
        if self.backend == Backend::Broker {
            let why = "the backend `broker` needs it";
            layers::needed("edge.broker.url", broker.url.is_some(), why)?;
        }
        layers::check_files(
            figment,
            &[
                ("edge.broker.ca_file", broker.ca_file.as_deref()),
                ("edge.broker.code_file", broker.code_file.as_deref()),
                (
                    "edge.broker.service_account_token_file",
                    broker.service_account_token_file.as_deref(),
                ),
            ],
        )
    }
}

/// A default from its text.
pub(crate) fn fixed<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .ok()
        .expect("defaults are valid; a test reads them all")
}
