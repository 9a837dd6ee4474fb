//! The routes of every subject: the same hosts and paths, written as each of them wants it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use domain::gateway::{BackendKind, EndpointHost, PathMatch, Protocol, RouteKind, RouteMatch};
use domain::names::{Hostname, ObjectKey, Timestamp};
use domain::route_table::{
    BackendTarget, RouteTable, TableBackend, TableListener, TableRoute, TableRule, Upstream,
    UpstreamEndpoint, UpstreamKey, UpstreamProtocol,
};

/// Hosts that the routes are spread over.
const HOSTS: usize = 100;

/// Routes by host and first path segment: route `n` is for host `n mod 100` and path `/r(n div 100)`.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    /// How many.
    pub(crate) count: usize,
    /// The hosts' common domain.
    pub(crate) domain: String,
}

impl Routes {
    pub(crate) fn new(count: usize, domain: &str) -> Self {
        Self {
            count,
            domain: domain.to_owned(),
        }
    }

    pub(crate) fn hosts(&self) -> Vec<String> {
        let hosts = HOSTS.min(self.count);
        (0..hosts).map(|n| self.host(n)).collect()
    }

    fn host(&self, route: usize) -> String {
        format!("h{}.{}", route % HOSTS, self.domain)
    }

    fn path(route: usize) -> String {
        format!("/r{}", route / HOSTS)
    }

    /// A browser's request for something under one of the routes.
    pub(crate) fn request(&self, dice: usize) -> String {
        let route = dice % self.count;
        format!(
            "GET {}/item?id=7 HTTP/1.1\r\nHost: {}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
             Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\n\
             Cookie: session=0123456789abcdef\r\n\r\n",
            Self::path(route),
            self.host(route)
        )
    }

    /// Host and path of a request under one of the routes.
    pub(crate) fn target(&self, dice: usize) -> (String, String) {
        let route = dice % self.count;
        (self.host(route), format!("{}/item", Self::path(route)))
    }

    /// As the proxy gets them.
    pub(crate) fn table(&self, origin: SocketAddr) -> RouteTable {
        let upstream = UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("default", "origin"),
            port: 80,
            protocol: UpstreamProtocol::Http1,
        };
        let endpoint = UpstreamEndpoint {
            host: EndpointHost::Address(origin.ip()),
            port: origin.port(),
        };
        let listener = TableListener {
            name: "http".to_owned(),
            port: 80,
            protocol: Protocol::Http,
            hostname: None,
            filters: Vec::new(),
            routes: (0..self.count)
                .map(|n| self.table_route(n, &upstream))
                .collect(),
        };
        RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("default", "bench"),
            listeners: vec![listener],
            upstreams: BTreeMap::from([(
                upstream,
                Upstream {
                    endpoints: vec![endpoint],
                    ..Upstream::default()
                },
            )]),
        }
    }

    fn table_route(&self, n: usize, upstream: &UpstreamKey) -> TableRoute {
        TableRoute {
            broader: None,
            key: ObjectKey::new("default", format!("route-{n}")),
            kind: RouteKind::Http,
            created: Timestamp(0),
            hostnames: Hostname::parse(&self.host(n)).into_iter().collect(),
            rules: vec![TableRule {
                matches: vec![RouteMatch {
                    path: PathMatch::Prefix(Self::path(n)),
                    method: None,
                    headers: Vec::new(),
                    query: Vec::new(),
                }],
                filters: Vec::new(),
                policy: Default::default(),
                backends: vec![TableBackend {
                    weight: 1,
                    target: BackendTarget::Upstream(upstream.clone()),
                    filters: vec![],
                }],
            }],
        }
    }

    /// As manifests of a folder: one HTTPRoute each.
    pub(crate) fn manifests(&self) -> String {
        let mut text = String::new();
        for n in 0..self.count {
            let _ = write!(
                text,
                "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{n}, namespace: default}}
spec:
  parentRefs: [{{name: bench}}]
  hostnames: [{}]
  rules:
    - matches: [{{path: {{type: PathPrefix, value: {}}}}}]
      backendRefs: [{{name: origin, port: 80}}]
",
                self.host(n),
                Self::path(n)
            );
        }
        text
    }

    /// As `server` blocks of nginx, to be put in its `http` block.
    pub(crate) fn nginx(&self, listen: SocketAddr, scheme: &str) -> String {
        let mut text = String::new();
        for (host, name) in self.hosts().into_iter().enumerate() {
            let _ = writeln!(text, "server {{ listen {listen}; server_name {name};");
            for route in (host..self.count).step_by(HOSTS) {
                let path = Self::path(route);
                let _ = writeln!(
                    text,
                    "  location {path}/ {{ proxy_pass {scheme}://origin; }}"
                );
            }
            text.push_str("}\n");
        }
        text
    }

    /// As a map of haproxy, from the beginning of host and path to a backend.
    pub(crate) fn haproxy(&self) -> String {
        let mut text = String::new();
        for route in 0..self.count {
            let _ = writeln!(text, "{}{}/ origin", self.host(route), Self::path(route));
        }
        text
    }
}
