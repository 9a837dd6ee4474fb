//! What backends lead to: Services joined with their EndpointSlices.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Upstream, UpstreamEndpoint, UpstreamKey};
use crate::endpoint_policy;
use crate::gateway::{Endpoint, EndpointHost, EndpointSlice, Service};
use crate::names::ObjectKey;
use crate::snapshot::{ClusterSnapshot, EndpointRules};

/// Services and EndpointSlices of one snapshot, indexed once for all Gateways.
#[derive(Debug)]
pub struct BackendIndex<'s> {
    services: HashMap<&'s ObjectKey, &'s Service>,
    slices: HashMap<(&'s str, &'s str), Vec<&'s EndpointSlice>>,
    rules: EndpointRules,
}

impl<'s> BackendIndex<'s> {
    /// Indexes a snapshot. Linear in its Services and EndpointSlices.
    pub fn new(snapshot: &'s ClusterSnapshot) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for slice in snapshot.endpoint_slices.items() {
            slices
                .entry((slice.key.namespace.as_str(), slice.service.as_str()))
                .or_default()
                .push(slice);
        }
        Self {
            services: snapshot
                .services
                .items()
                .iter()
                .map(|service| (&service.key, service))
                .collect(),
            slices,
            rules: snapshot.endpoint_rules,
        }
    }

    /// The Service of that name.
    pub fn service(&self, key: &ObjectKey) -> Option<&'s Service> {
        self.services.get(key).copied()
    }

    /// Whether a Service may stand for its `externalName`.
    pub fn serves_names(&self) -> bool {
        self.rules.names
    }

    /// The endpoints of a Service that get no request because of where they are: each as a sentence that names the
    /// object and the field.
    pub fn refused(&self, key: &ObjectKey) -> Vec<String> {
        match self.slices_of(key) {
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
                let service = self.service(key);
                let name = service.and_then(|service| service.external_name.as_deref());
                let problem = name.and_then(|name| self.refusal(&host_of(name)));
                let text = |problem| format!("Service {key}: spec.externalName: {problem}");
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

    fn slices_of<'a>(&'a self, key: &'a ObjectKey) -> Option<&'a [&'s EndpointSlice]> {
        let key = (key.namespace.as_str(), key.name.as_str());
        self.slices.get(&key).map(Vec::as_slice)
    }

    /// What takes the traffic of a Service port: the ready endpoints of its EndpointSlices, or, while none
    /// is ready, those that still serve while they terminate (Kubernetes' rule for proxies, KEP-1669).
    /// Without an EndpointSlice the Service's `externalName`, where that is allowed.
    pub fn upstream(&self, key: &UpstreamKey) -> Upstream {
        let Some(service) = self.service(&key.service) else {
            return Upstream {
                endpoints: Vec::new(),
            };
        };
        let mut endpoints = match self.slices_of(&key.service) {
            Some(slices) => endpoints_of(service, key.port, slices),
            None => self.external(service, key.port).into_iter().collect(),
        };
        endpoints.retain(|endpoint| self.refusal(&endpoint.host).is_none());
        Upstream { endpoints }
    }

    fn external(&self, service: &Service, port: u16) -> Option<UpstreamEndpoint> {
        let name = service.external_name.as_ref()?;
        let host = host_of(name);
        Some(UpstreamEndpoint { host, port }).filter(|_| self.rules.names)
    }
}

/// What an `externalName` stands for: it may be an address too.
fn host_of(name: &str) -> EndpointHost {
    match name.parse::<IpAddr>() {
        Ok(address) => EndpointHost::Address(address),
        Err(_) => EndpointHost::Name(name.to_owned()),
    }
}

fn endpoints_of(service: &Service, port: u16, slices: &[&EndpointSlice]) -> Vec<UpstreamEndpoint> {
    let Some(port) = service.ports.iter().find(|p| p.port == port) else {
        return Vec::new();
    };
    let taking = |takes: fn(&Endpoint) -> bool| -> BTreeSet<UpstreamEndpoint> {
        slices
            .iter()
            .filter_map(|slice| Some((slice, *slice.ports.get(&port.name)?)))
            .flat_map(|(slice, target)| slice.endpoints.iter().map(move |e| (e, target)))
            .filter(|(endpoint, _)| takes(endpoint))
            .map(|(endpoint, port)| UpstreamEndpoint {
                host: endpoint.host.clone(),
                port,
            })
            .collect()
    };
    let mut endpoints = taking(|endpoint| endpoint.ready);
    if endpoints.is_empty() {
        endpoints = taking(|endpoint| endpoint.serving);
    }
    endpoints.into_iter().collect()
}
