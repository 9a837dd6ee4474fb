//! Addresses of hosts outside of the cluster. Their names are asked of the pod's name servers as they are written, without the
//! cluster's search domains, and remembered for as long as the answer says, within bounds. Who may connect to which of them is
//! decided for each connection, where they are used.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;

/// Names that are remembered.
const MOST_NAMES: u64 = 1_024;

/// How long addresses of a name are remembered at most, and that it has none.
const LONGEST: Duration = Duration::from_secs(5 * 60);
const LONGEST_NOTHING: Duration = Duration::from_secs(10);

/// How long a name server is waited for, and how often it is asked once more.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 1;

static RESOLVER: OnceLock<Option<TokioResolver>> = OnceLock::new();

/// Addresses of a name, those of IPv4 first: not every pod that has an IPv6 address has a way out for it.
pub(super) async fn addresses(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let resolver = RESOLVER.get_or_init(resolver).as_ref();
    let resolver = resolver.ok_or_else(|| io::Error::other("no name servers are configured"))?;
    let absolute = format!("{}.", name.trim_end_matches('.'));
    let found = resolver.lookup_ip(absolute).await;
    let found = found.map_err(io::Error::other)?;
    let mut addresses: Vec<SocketAddr> = found.iter().map(|ip| (ip, port).into()).collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

fn resolver() -> Option<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio()
        .inspect_err(|error| tracing::warn!(%error, "hosts outside of the cluster are not found"))
        .ok()?;
    let options = builder.options_mut();
    options.cache_size = MOST_NAMES;
    options.positive_max_ttl = Some(LONGEST);
    options.negative_max_ttl = Some(LONGEST_NOTHING);
    options.timeout = PATIENCE;
    options.attempts = ATTEMPTS;
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_found_by_the_systems_resolver_and_one_that_is_none_is_not() {
        let found = addresses("localhost", 80).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        assert!(!found.is_empty());
        assert!(addresses(&"a".repeat(64), 80).await.is_err());
    }
}
