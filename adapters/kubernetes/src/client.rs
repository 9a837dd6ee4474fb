//! The connection to the API server.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

use crate::cluster::LONGEST_SILENCE;

/// An API server that is there accepts connections well within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An API server that is there begins to answer within this time, to a watch too. One whose machine died without a
/// word would otherwise be waited for without an end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither KUBECONFIG (or `~/.kube/config`) nor a pod's ServiceAccount says where the cluster is.
    #[error("no cluster is configured: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount")]
    NotConfigured(#[from] kube::config::InferConfigError),
    /// The configuration cannot be used, e.g. a certificate that cannot be read.
    #[error("the cluster's configuration cannot be used: {0}")]
    Unusable(#[from] kube::Error),
}

/// A client for the cluster that KUBECONFIG names, or else for the one that this pod runs in. No call is
/// made yet.
///
/// # Errors
/// No cluster is configured, or its configuration cannot be used.
pub async fn connect() -> Result<Client, ConnectError> {
    let config = Config::infer().await?;
    Ok(client(config, ANSWER_TIMEOUT)?)
}

fn client(mut config: Config, answer_timeout: Duration) -> Result<Client, kube::Error> {
    // Who calls decides when to try again: a renewal of the Lease must not hang in silent retries.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Bounds what follows the head of an answer; while a request waits for its head, time counts anew.
    config.read_timeout = Some(LONGEST_SILENCE);
    config.reset_reader_on_write = true;
    let calls = ClientBuilder::try_from(config)?;
    Ok(calls.with_layer(&TimeoutLayer::new(answer_timeout)).build())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use tokio::net::TcpListener;

    use super::*;

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
        let client = client(config, Duration::from_millis(100)).unwrap();
        let namespaces = Api::<Namespace>::all(client);
        let asked = namespaces.get("shop");
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert!(answer.expect("the call ended by itself").is_err());
    }
}
