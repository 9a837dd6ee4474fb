//! Finding the edge by DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use crate::options::EdgeAddresses;

/// Answers DNS over TLS where the system's resolver does not know the edge.
const FALLBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));
const FALLBACK_NAME: &str = "cloudflare-dns.com";
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the edge was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    /// The resolver cannot be set up.
    #[error("the resolver cannot be set up: {0}")]
    Resolver(#[source] NetError),
    /// The look-up failed.
    #[error("looking up {name} failed: {source}")]
    LookUp {
        name: String,
        #[source]
        source: NetError,
    },
    /// There is nothing to connect to.
    #[error("{0} leads to no edge address")]
    Nothing(String),
}

/// The edge's addresses, in the order in which they are to be used. `region` is the token's.
pub(crate) async fn addresses(
    edge: &EdgeAddresses,
    region: Option<&str>,
) -> Result<Vec<SocketAddr>, DiscoveryError> {
    match edge {
        EdgeAddresses::Given(addresses) if addresses.is_empty() => {
            Err(DiscoveryError::Nothing("an empty list".to_owned()))
        }
        EdgeAddresses::Given(addresses) => Ok(addresses.clone()),
        EdgeAddresses::Discover(discovery) => {
            let name = service(discovery.region.as_deref().or(region));
            if !discovery.nameservers.is_empty() {
                return look_up(&resolver(&discovery.nameservers)?, &name).await;
            }
            let first = match TokioResolver::builder_tokio().and_then(|b| b.build()) {
                Ok(resolver) => look_up(&resolver, &name).await,
                Err(error) => Err(DiscoveryError::Resolver(error)),
            };
            match first {
                Ok(addresses) => Ok(addresses),
                Err(error) => {
                    tracing::debug!(%error, "asking DNS over TLS for the edge");
                    // The first error tells more about the machine that we run on.
                    look_up(&fallback()?, &name).await.map_err(|_| error)
                }
            }
        }
    }
}

/// Name of the SRV record.
fn service(region: Option<&str>) -> String {
    match region {
        Some(region) => format!("_{region}-v2-origintunneld._tcp.argotunnel.com."),
        None => "_v2-origintunneld._tcp.argotunnel.com.".to_owned(),
    }
}

fn resolver(nameservers: &[SocketAddr]) -> Result<TokioResolver, DiscoveryError> {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut c| {
            c.port = address.port();
            c
        });
        NameServerConfig::new(address.ip(), true, connections.to_vec())
    };
    built(nameservers.iter().map(server).collect())
}

fn fallback() -> Result<TokioResolver, DiscoveryError> {
    built(vec![NameServerConfig::tls(FALLBACK, FALLBACK_NAME.into())])
}

fn built(servers: Vec<NameServerConfig>) -> Result<TokioResolver, DiscoveryError> {
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = FALLBACK_TIMEOUT / 3;
    builder.build().map_err(DiscoveryError::Resolver)
}

async fn look_up(resolver: &TokioResolver, name: &str) -> Result<Vec<SocketAddr>, DiscoveryError> {
    let failed = |source| DiscoveryError::LookUp {
        name: name.to_owned(),
        source,
    };
    let records = resolver.srv_lookup(name).await.map_err(failed)?;
    let mut targets: Vec<_> = records
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        })
        .collect();
    targets.sort_by_key(|srv| (srv.priority, srv.target.to_string()));
    let mut regions = Vec::new();
    let mut error = DiscoveryError::Nothing(name.to_owned());
    for target in &targets {
        match resolver.lookup_ip(target.target.clone()).await {
            Ok(found) => {
                let address = |ip| SocketAddr::new(ip, target.port);
                let mut region: Vec<_> = found.iter().map(address).collect();
                // Not every host that has IPv6 addresses has a way out for them.
                region.sort_by_key(SocketAddr::is_ipv6);
                regions.push(region);
            }
            // The other region will do until the next look-up.
            Err(source) => {
                error = DiscoveryError::LookUp {
                    name: target.target.to_string(),
                    source,
                };
            }
        }
    }
    let addresses = alternate(regions);
    if addresses.is_empty() {
        return Err(error);
    }
    Ok(addresses)
}

/// One address of each region in turn, so that neighbouring connections are in different regions.
fn alternate(regions: Vec<Vec<SocketAddr>>) -> Vec<SocketAddr> {
    let longest = regions.iter().map(Vec::len).max().unwrap_or(0);
    let mut addresses = Vec::new();
    for at in 0..longest {
        for address in regions.iter().filter_map(|region| region.get(at)) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter()
            .map(|n| SocketAddr::from(([192, 0, 2, *n], 7844)))
            .collect()
    }

    #[test]
    fn regions_alternate_until_one_is_used_up() {
        for (given, then) in [
            (vec![], vec![]),
            (vec![vec![1, 2]], vec![1, 2]),
            (vec![vec![1, 2, 3], vec![11, 12]], vec![1, 11, 2, 12, 3]),
            (vec![vec![1, 2], vec![2, 1]], vec![1, 2]),
        ] {
            let regions = given.iter().map(|r: &Vec<u8>| addresses(r)).collect();
            assert_eq!(alternate(regions), addresses(&then), "{given:?}");
        }
    }

    #[test]
    fn a_region_has_a_service_of_its_own() {
        assert_eq!(service(None), "_v2-origintunneld._tcp.argotunnel.com.");
        assert_eq!(
            service(Some("us")),
            "_us-v2-origintunneld._tcp.argotunnel.com."
        );
    }
}
