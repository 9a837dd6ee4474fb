//! Finding the edge by DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{ResolverBuilder, TokioResolver};

use crate::options::EdgeAddresses;

/// Answer DNS over TLS where the system's resolver does not know the edge.
const FALLBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)),
];
const FALLBACK_NAME: &str = "cloudflare-dns.com";
/// Time for a name server to answer a question, before it is asked once more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the edge was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error("the resolver cannot be set up: {0}")]
    Resolver(#[source] NetError),
    #[error("looking up {name} failed: {source}")]
    LookUp {
        name: String,
        #[source]
        source: NetError,
    },
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
            let first = match TokioResolver::builder_tokio().and_then(ResolverBuilder::build) {
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
    let server = |address| NameServerConfig::tls(address, FALLBACK_NAME.into());
    built(FALLBACK.map(server).into())
}

fn built(servers: Vec<NameServerConfig>) -> Result<TokioResolver, DiscoveryError> {
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = ANSWER_TIMEOUT;
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
                region.sort_by_cached_key(|address| usefulness(*address, has_route(*address)));
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
    let addresses = alternate(&regions);
    if addresses.is_empty() {
        return Err(error);
    }
    Ok(addresses)
}

/// Sorts addresses: those that there is a way to before those that the machine has none to, and IPv4
/// before IPv6, because not every machine that has IPv6 addresses has a way out for them.
fn usefulness(address: SocketAddr, has_route: bool) -> impl Ord {
    (!has_route, address.is_ipv6())
}

/// Whether the machine knows a way to an address. No packet is sent.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).is_ok_and(|socket| socket.connect(address).is_ok())
}

/// One address of each region in turn, so that neighbouring connections are in different regions.
fn alternate(regions: &[Vec<SocketAddr>]) -> Vec<SocketAddr> {
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
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::rdata::{A, SRV};
    use hickory_resolver::proto::rr::{Name, Record, RecordType};

    use super::*;
    use crate::options::Discovery;

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
            let regions: Vec<_> = given.iter().map(|r: &Vec<u8>| addresses(r)).collect();
            assert_eq!(alternate(&regions), addresses(&then), "{given:?}");
        }
    }

    #[test]
    fn addresses_without_a_way_to_them_come_last_and_ipv4_first_among_the_others() {
        let (v4, v6) = ("192.0.2.1:7844", "[2001:db8::1]:7844");
        for (routed, then) in [
            (&[v4, v6][..], [v4, v6]),
            (&[v4], [v4, v6]),
            (&[v6], [v6, v4]),
            (&[], [v4, v6]),
        ] {
            let mut region = [v6, v4];
            region.sort_by_key(|a| usefulness(a.parse().unwrap(), routed.contains(a)));
            assert_eq!(region, then, "{routed:?} can be reached");
        }
    }

    #[test]
    fn there_is_a_way_to_oneself() {
        assert!(has_route(SocketAddr::from((Ipv4Addr::LOCALHOST, 7844))));
    }

    /// A name server that knows the edge's two regions.
    async fn name_server() -> SocketAddr {
        use hickory_resolver::proto::op::Message;
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let mut message = Message::from_vec(&buffer[..length])
                    .unwrap()
                    .into_response();
                message.edns = None;
                for record in records(&message.queries[0]) {
                    message.add_answer(record);
                }
                let sent = message.to_vec().unwrap();
                socket.send_to(&sent, peer).await.unwrap();
            }
        });
        address
    }

    fn records(query: &Query) -> Vec<Record> {
        let region = |n: u8| Name::from_ascii(format!("region{n}.v2.argotunnel.com.")).unwrap();
        let name = query.name().to_string();
        let data: Vec<RData> = match (query.query_type(), name.as_str()) {
            (RecordType::SRV, "_us-v2-origintunneld._tcp.argotunnel.com.") => [2, 1]
                .map(|n| RData::SRV(SRV::new(1, 1, 7844, region(n))))
                .to_vec(),
            (RecordType::A, "region1.v2.argotunnel.com.") => {
                [1, 2].map(|n| RData::A(A::new(192, 0, 2, n))).to_vec()
            }
            (RecordType::A, "region2.v2.argotunnel.com.") => {
                vec![RData::A(A::new(192, 0, 2, 11))]
            }
            _ => Vec::new(),
        };
        data.into_iter()
            .map(|data| Record::from_rdata(query.name().clone(), 60, data))
            .collect()
    }

    #[tokio::test]
    async fn the_edge_is_found_by_its_service_in_the_tokens_region() {
        let edge = EdgeAddresses::Discover(Discovery {
            region: None,
            nameservers: vec![name_server().await],
        });
        let mut found = super::addresses(&edge, Some("us")).await.unwrap();
        assert!(
            found[1] == addresses(&[11])[0],
            "the regions do not alternate: {found:?}"
        );
        found.sort();
        assert_eq!(found, addresses(&[1, 2, 11]));
    }

    #[tokio::test]
    async fn an_unknown_region_is_an_error_that_names_what_was_asked_for() {
        let edge = EdgeAddresses::Discover(Discovery {
            region: Some("nowhere".to_owned()),
            nameservers: vec![name_server().await],
        });
        let error = super::addresses(&edge, None).await.unwrap_err().to_string();
        assert!(error.contains("_nowhere-v2-origintunneld"), "{error}");
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
