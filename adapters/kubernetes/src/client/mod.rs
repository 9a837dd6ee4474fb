//! The connections to the API server.
//!
//! - `managed_fields`: what no answer needs is taken out of it;
//! - `limit`: how many calls are under way, and so how many connections are open.

mod limit;
mod managed_fields;

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

use crate::cluster::LONGEST_SILENCE;
use limit::AnswerLayer;
pub(crate) use managed_fields::Remover;

/// Name under which this software writes: field manager, and source of events.
pub(crate) const FIELD_MANAGER: &str = "cloudflare-gateway-controller";

/// An API server that is there accepts connections well within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An API server that is there begins to answer within this time, to a watch too. One whose machine died without a
/// word would otherwise be waited for without an end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls under way at the same time, watches not counted: whatever users write, no more connections are open than
/// these and one for each watch.
const CALLS: usize = 12;

/// The same for the Lease: a renewal and a read.
const LEASE_CALLS: usize = 2;

/// The same for reviews of tokens.
const REVIEW_CALLS: usize = 4;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither KUBECONFIG (or `~/.kube/config`) nor a pod's ServiceAccount says where the cluster is.
    #[error("no cluster is configured: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount")]
    NotConfigured(#[from] kube::config::InferConfigError),
    /// The configuration cannot be used, e.g. a certificate that cannot be read.
    #[error("the cluster's configuration cannot be used: {0}")]
    Unusable(#[from] kube::Error),
    /// The proxy's URL is not repeated: it may hold a password.
    #[error(
        "the proxy to the cluster cannot be used: HTTPS_PROXY or proxy-url of the kubeconfig must be a URL such as http://proxy.example.com:3128"
    )]
    Proxy,
}

/// Clients with connections of their own, so that one kind of call waits for no other.
#[derive(Clone)]
pub struct Clients {
    pub calls: Client,
    /// For the Lease: an instance that cannot renew it in time leads no longer.
    pub lease: Client,
    /// For reviews of the tokens that strangers show.
    pub reviews: Client,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// Clients for the cluster that KUBECONFIG names, by the proxy of `proxy-url` or of HTTPS_PROXY and NO_PROXY, or else for
/// the one that this pod runs in, without a proxy. No call is made yet.
///
/// # Errors
/// No cluster is configured, or its configuration cannot be used.
pub async fn connect() -> Result<Clients, ConnectError> {
    connect_to(&Config::infer().await?)
}

/// Clients for the cluster of this configuration. No call is made yet.
///
/// # Errors
/// The configuration cannot be used.
pub fn connect_to(config: &Config) -> Result<Clients, ConnectError> {
    let scheme = config.proxy_url.as_ref().map(|url| url.scheme_str());
    if scheme.is_some_and(|scheme| !matches!(scheme, Some("http" | "https"))) {
        return Err(ConnectError::Proxy);
    }
    let client = |calls| client(config.clone(), ANSWER_TIMEOUT, calls);
    Ok(Clients {
        calls: client(CALLS)?,
        lease: client(LEASE_CALLS)?,
        reviews: client(REVIEW_CALLS)?,
    })
}

fn client(
    mut config: Config,
    answer_timeout: Duration,
    calls: usize,
) -> Result<Client, kube::Error> {
    // Who calls decides when to try again: a renewal of the Lease must not hang in silent retries.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Bounds what follows the head of an answer; while a request waits for its head, time counts anew.
    config.read_timeout = Some(LONGEST_SILENCE);
    config.reset_reader_on_write = true;
    let service = ClientBuilder::try_from(config)?;
    let service = service.with_layer(&TimeoutLayer::new(answer_timeout));
    Ok(service.with_layer(&AnswerLayer::new(calls)).build())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_url_of_a_proxy_that_cannot_be_used_is_not_shown() {
        for (proxy, is_usable) in [
            ("http://user:canary@proxy.example.com:3128", true),
            ("https://user:canary@proxy.example.com:3128", true),
            ("socks5://user:canary@proxy.example.com:1080", false),
            ("ftp://user:canary@proxy.example.com", false),
        ] {
            let mut config = Config::new("https://10.96.0.1".parse().unwrap());
            config.proxy_url = Some(proxy.parse().unwrap());
            let told = connect_to(&config).map_err(|error| format!("{error} {error:?}"));
            assert_eq!(told.is_ok(), is_usable, "{proxy}");
            assert!(!told.is_err_and(|told| told.contains("canary")), "{proxy}");
        }
    }

    #[tokio::test]
    async fn an_api_server_that_says_nothing_is_not_waited_for_without_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let config = Config::new(at.parse().unwrap());
        let client = client(config, Duration::from_millis(100), 1).unwrap();
        let namespaces = Api::<Namespace>::all(client);
        let asked = namespaces.get("shop");
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert!(answer.expect("the call ended by itself").is_err());
    }
}
