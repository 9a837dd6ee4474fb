//! What backends lead to: Services and ServiceImports joined with their EndpointSlices.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{OutsideRules, Upstream, UpstreamEndpoint, UpstreamKey};
use crate::endpoint_policy;
use crate::gateway::{
    BackendKind, BackendName, Endpoint, EndpointHost, EndpointSlice, ExternalBackend, Service,
    ServiceImport, ServicePort,
};
use crate::names::Hostname;
use crate::snapshot::{ClusterSnapshot, EndpointRules, Outside};

/// Services, ServiceImports and EndpointSlices of one snapshot, indexed once for all Gateways.
#[derive(Debug)]
pub struct BackendIndex<'s> {
    backends: HashMap<BackendName<'s>, Backend<'s>>,
    /// By kind, namespace and name of what the slices belong to.
    slices: HashMap<(BackendKind, &'s str, &'s str), Vec<&'s EndpointSlice>>,
    rules: &'s EndpointRules,
    outside: Option<Arc<OutsideRules>>,
}

/// What a backendRef names, as far as requests are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Backend<'s> {
    pub ports: &'s [ServicePort],
    /// Names of its ports for other protocols than TCP, as far as they are known.
    pub other_ports: &'s [String],
    /// Its own address, from where requests reach an endpoint.
    pub cluster_ip: Option<IpAddr>,
    /// The host outside of the cluster that it stands for.
    pub external_name: Option<&'s str>,
}

impl<'s> Backend<'s> {
    /// One of its ports.
    pub fn port(&self, number: u16) -> Option<&'s ServicePort> {
        self.ports.iter().find(|declared| declared.port == number)
    }
}

impl<'s> From<&'s Service> for Backend<'s> {
    fn from(service: &'s Service) -> Self {
        Self {
            ports: &service.ports,
            other_ports: &service.other_ports,
            cluster_ip: service.cluster_ip,
            external_name: service.external_name.as_deref(),
        }
    }
}

impl<'s> From<&'s ServiceImport> for Backend<'s> {
    fn from(import: &'s ServiceImport) -> Self {
        Self {
            ports: &import.ports,
            other_ports: &[],
            cluster_ip: import.cluster_ip,
            external_name: None,
        }
    }
}

impl<'s> From<&'s ExternalBackend> for Backend<'s> {
    fn from(backend: &'s ExternalBackend) -> Self {
        Self {
            ports: &backend.ports,
            other_ports: &[],
            cluster_ip: None,
            external_name: backend.hostname.as_ref().map(Hostname::as_str),
        }
    }
}

impl<'s> BackendIndex<'s> {
    /// Indexes a snapshot. Linear in its Services, ServiceImports and EndpointSlices.
    pub fn new(snapshot: &'s ClusterSnapshot) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for slice in snapshot.endpoint_slices.items() {
            let namespace = slice.key.namespace.as_str();
            let service = Some(&slice.service).filter(|name| !name.is_empty());
            let service = service.map(|name| (BackendKind::Service, name));
            let import = slice.import.as_ref();
            let import = import.map(|name| (BackendKind::ServiceImport, name));
            for (kind, name) in service.into_iter().chain(import) {
                let of_one = slices.entry((kind, namespace, name.as_str()));
                of_one.or_default().push(slice);
            }
        }
        let services = snapshot.services.items().iter();
        let services = services.map(|it| (BackendName::service(&it.key), Backend::from(it)));
        let imports = snapshot.service_imports.items().iter().map(|import| {
            let name = BackendName {
                kind: BackendKind::ServiceImport,
                key: &import.key,
            };
            (name, Backend::from(import))
        });
        let external = snapshot.external_backends.items().iter().map(|backend| {
            let name = BackendName {
                kind: BackendKind::External,
                key: &backend.key,
            };
            (name, Backend::from(backend))
        });
        Self {
            backends: services.chain(imports).chain(external).collect(),
            slices,
            rules: &snapshot.endpoint_rules,
            outside: match &snapshot.endpoint_rules.outside {
                Outside::Permitted(ranges) => Some(Arc::new(OutsideRules {
                    cluster_ranges: ranges.clone(),
                })),
                Outside::No | Outside::Any => None,
            },
        }
    }

    /// The object of that name.
    pub fn find(&self, name: BackendName<'_>) -> Option<Backend<'s>> {
        self.backends.get(&name).copied()
    }

    /// The endpoints of a backend that get no request because of where they are: each as a sentence that names the
    /// object and the field.
    pub fn refused(&self, name: BackendName<'_>) -> Vec<String> {
        match self.slices_of(name) {
            Some(slices) => slices
                .iter()
                .flat_map(|slice| slice.endpoints.iter().enumerate().map(move |e| (slice, e)))
                .filter_map(|(slice, (index, endpoint))| {
                    let problem = self.refusal(&endpoint.host)?;
                    let slice = &slice.key;
                    Some(format!(
                        "EndpointSlice {slice}: endpoints[{index}].addresses[0]: {problem}"
                    ))
                })
                .collect(),
            None => {
                let backend = self.find(name);
                let external = backend.and_then(|backend| backend.external_name);
                let address = external.and_then(|external| external.parse().ok());
                let problem = address.and_then(|it| self.refusal(&EndpointHost::Address(it)));
                let text = |problem| format!("{name}: spec.externalName: {problem}");
                problem.map(text).into_iter().collect()
            }
        }
    }

    /// Why no request is sent to an endpoint.
    fn refusal(&self, host: &EndpointHost) -> Option<String> {
        match host {
            EndpointHost::Address(address) => {
                let why = endpoint_policy::refusal(*address, self.rules.policy)?;
                Some(format!(
                    "Invalid value: \"{address}\": it is {why}; write the address of a pod"
                ))
            }
            EndpointHost::Name(_) if self.rules.names => None,
            EndpointHost::Name(name) => Some(format!(
                "Invalid value: {name:?}: names are not served here; write an address, or have the operator set endpoints.names"
            )),
        }
    }

    fn slices_of<'a>(&'a self, name: BackendName<'a>) -> Option<&'a [&'s EndpointSlice]> {
        let of_one = (
            name.kind,
            name.key.namespace.as_str(),
            name.key.name.as_str(),
        );
        self.slices.get(&of_one).map(Vec::as_slice)
    }

    /// What takes the traffic of a port: the ready endpoints of its EndpointSlices, or, while none
    /// is ready, those that still serve while they terminate (Kubernetes' rule for proxies, KEP-1669).
    /// Without an EndpointSlice the host outside of the cluster that it stands for, where that is allowed. Whether it is spoken to over TLS is not
    /// said here.
    pub fn upstream(&self, key: &UpstreamKey) -> Upstream {
        let Some(backend) = self.find(key.backend()) else {
            return Upstream::default();
        };
        let endpoints = match self.slices_of(key.backend()) {
            Some(slices) => endpoints_of(backend, key.port, slices),
            None => return self.external(backend, key.port),
        };
        self.permitted(endpoints)
    }

    /// The same with the endpoints that still serve while they terminate.
    pub fn upstream_with_sessions(&self, key: &UpstreamKey) -> Upstream {
        let mut upstream = self.upstream(key);
        let backend = self.find(key.backend());
        if let Some((backend, slices)) = backend.zip(self.slices_of(key.backend())) {
            let draining = endpoints_that(backend, key.port, slices, |endpoint| {
                endpoint.serving && !endpoint.ready
            });
            let mut draining = self.permitted(draining).endpoints;
            draining.retain(|at| !upstream.endpoints.contains(at));
            upstream.draining = draining;
        }
        upstream
    }

    /// What takes the traffic of a port where requests go to cluster IPs. `None` where it has none: then its endpoints do.
    pub fn upstream_by_cluster_ip(&self, key: &UpstreamKey) -> Option<Upstream> {
        let backend = self.find(key.backend())?;
        let endpoint = UpstreamEndpoint {
            host: EndpointHost::Address(backend.cluster_ip?),
            port: backend.port(key.port)?.port,
        };
        Some(self.permitted(vec![endpoint]))
    }

    /// Those of these endpoints that requests may be sent to.
    fn permitted(&self, mut endpoints: Vec<UpstreamEndpoint>) -> Upstream {
        endpoints.retain(|endpoint| self.refusal(&endpoint.host).is_none());
        Upstream {
            endpoints,
            ..Upstream::default()
        }
    }

    /// The host outside of the cluster that a backend stands for.
    fn external(&self, backend: Backend<'_>, port: u16) -> Upstream {
        let Some(name) = backend.external_name else {
            return Upstream::default();
        };
        match (&self.rules.outside, &self.outside) {
            (Outside::Permitted(_), Some(outside)) => Upstream {
                endpoints: vec![UpstreamEndpoint {
                    host: EndpointHost::Name(name.to_owned()),
                    port,
                }],
                outside: Some(Arc::clone(outside)),
                ..Upstream::default()
            },
            (Outside::Any, _) => {
                let host = host_of(name);
                self.permitted(vec![UpstreamEndpoint { host, port }])
            }
            _ => Upstream::default(),
        }
    }
}

/// What an `externalName` stands for: it may be an address too.
fn host_of(name: &str) -> EndpointHost {
    match name.parse::<IpAddr>() {
        Ok(address) => EndpointHost::Address(address),
        Err(_) => EndpointHost::Name(name.to_owned()),
    }
}

fn endpoints_of(
    backend: Backend<'_>,
    port: u16,
    slices: &[&EndpointSlice],
) -> Vec<UpstreamEndpoint> {
    let ready = endpoints_that(backend, port, slices, |endpoint| endpoint.ready);
    match ready.is_empty() {
        true => endpoints_that(backend, port, slices, |endpoint| endpoint.serving),
        false => ready,
    }
}

fn endpoints_that(
    backend: Backend<'_>,
    port: u16,
    slices: &[&EndpointSlice],
    takes: fn(&Endpoint) -> bool,
) -> Vec<UpstreamEndpoint> {
    let Some(port) = backend.port(port) else {
        return Vec::new();
    };
    let endpoints: BTreeSet<UpstreamEndpoint> = slices
        .iter()
        .filter_map(|slice| Some((slice, *slice.ports.get(&port.name)?)))
        .flat_map(|(slice, target)| slice.endpoints.iter().map(move |e| (e, target)))
        .filter(|(endpoint, _)| takes(endpoint))
        .map(|(endpoint, port)| UpstreamEndpoint {
            host: endpoint.host.clone(),
            port,
        })
        .collect();
    endpoints.into_iter().collect()
}
