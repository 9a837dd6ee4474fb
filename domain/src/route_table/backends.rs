//! What backends lead to: Services joined with their EndpointSlices.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Upstream, UpstreamEndpoint, UpstreamKey};
use crate::gateway::{Endpoint, EndpointHost, EndpointSlice, Service};
use crate::names::ObjectKey;
use crate::snapshot::ClusterSnapshot;

/// Services and EndpointSlices of one snapshot, indexed once for all Gateways.
#[derive(Debug)]
pub struct BackendIndex<'s> {
    services: HashMap<&'s ObjectKey, &'s Service>,
    slices: HashMap<(&'s str, &'s str), Vec<&'s EndpointSlice>>,
    external_names: bool,
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
            external_names: snapshot.external_names,
        }
    }

    /// The Service of that name.
    pub fn service(&self, key: &ObjectKey) -> Option<&'s Service> {
        self.services.get(key).copied()
    }

    /// Whether a Service may stand for its `externalName`
    /// ([`ClusterSnapshot::external_names`]).
    pub fn serves_external_names(&self) -> bool {
        self.external_names
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
        let slices = self
            .slices
            .get(&(key.service.namespace.as_str(), key.service.name.as_str()));
        let endpoints = match slices {
            Some(slices) => endpoints_of(service, key.port, slices),
            None => self.external(service, key.port).into_iter().collect(),
        };
        Upstream { endpoints }
    }

    fn external(&self, service: &Service, port: u16) -> Option<UpstreamEndpoint> {
        let name = service
            .external_name
            .as_ref()
            .filter(|_| self.external_names)?;
        let host = match name.parse::<IpAddr>() {
            Ok(address) => EndpointHost::Address(address),
            Err(_) => EndpointHost::Name(name.clone()),
        };
        Some(UpstreamEndpoint { host, port })
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
