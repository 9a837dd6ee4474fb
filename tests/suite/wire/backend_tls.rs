//! Endpoints over TLS, through the tunnel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use domain::certificate::CaBundle;
use domain::gateway::{Filter, Mirror, Share};
use domain::names::Hostname;
use domain::route_table::UpstreamProtocol::{H2c, Http1, Negotiated};
use domain::route_table::{Trust, UpstreamTls};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::TRANSPORTS;
use super::answers::{visit, visited};
use super::endpoint::answering;
use tests::routing::Rule;
use tests::world::within;

/// An endpoint that speaks HTTP/1.1 and HTTP/2 over TLS; its certificate, for `store.internal`, is its own authority.
pub(crate) async fn endpoint() -> (SocketAddr, CaBundle) {
    let (at, bundle, _) = counting_endpoint().await;
    (at, bundle)
}

/// The same, with the number of requests so far.
async fn counting_endpoint() -> (SocketAddr, CaBundle, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let params = CertificateParams::new(["store.internal".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let answer = |request: Request<Incoming>| {
                    counted.fetch_add(1, SeqCst);
                    let spoken = format!("{:?}", request.version());
                    let mut answer = Response::new(Full::new(Bytes::new()));
                    let spoken = spoken.parse().unwrap();
                    answer.headers_mut().insert("x-spoken", spoken);
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                };
                let builder = Builder::new(TokioExecutor::new());
                let served = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
                drop(served.await);
            });
        }
    });
    (at, CaBundle::from(certificate.pem()), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_reached_over_tls_and_no_other_way_over_both_transports() {
    let app = answering(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), false).await;
    for (hostname, is_reached) in [
        (Some("store.internal"), true),
        (Some("cart.internal"), false),
        (None, false),
    ] {
        for transport in TRANSPORTS {
            let (copy, bundle, reached) = counting_endpoint().await;
            let to_copy = Rule {
                tls: hostname.map(|hostname| UpstreamTls {
                    trust: Trust::Bundles(vec![bundle]),
                    hostname: Hostname::parse(hostname).unwrap(),
                    names: vec![],
                    client: None,
                }),
                ..Rule::new(
                    "/copy",
                    if hostname.is_some() {
                        Negotiated
                    } else {
                        Http1
                    },
                    &[copy],
                )
            };
            let mirrored = Rule {
                filters: vec![Filter::Mirror(Mirror {
                    to: to_copy.key(),
                    share: Share::ALL,
                })],
                ..Rule::new("/mirrored", Http1, &[app])
            };
            let (client, _running) = visited(transport, &[mirrored, to_copy]).await;
            let seen = visit(&client, "GET", "/mirrored").await;
            assert_eq!(seen.status, 204, "{hostname:?} over {transport:?}");
            let has_come = || async { (reached.load(SeqCst) > 0).then_some(()) };
            if is_reached {
                within(Duration::from_secs(10), "the copy comes", has_come).await;
            } else {
                tokio::time::sleep(Duration::from_millis(300)).await;
                assert_eq!(has_come().await, None, "{hostname:?} over {transport:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_reached_over_tls_and_no_other_way_over_both_transports() {
    let (at, bundle) = endpoint().await;
    let rule = |prefix: &str, protocol, hostname: &str| Rule {
        tls: Some(UpstreamTls {
            trust: Trust::Bundles(vec![bundle.clone()]),
            hostname: Hostname::parse(hostname).unwrap(),
            names: vec![],
            client: None,
        }),
        ..Rule::new(prefix, protocol, &[at])
    };
    let rules = [
        rule("/chosen", Negotiated, "store.internal"),
        rule("/1", Http1, "store.internal"),
        rule("/2", H2c, "store.internal"),
        rule("/other", Negotiated, "cart.internal"),
        Rule::new("/clear", Http1, &[at]),
    ];
    for transport in TRANSPORTS {
        let (client, _running) = visited(transport, &rules).await;
        for (path, status, spoken) in [
            ("/chosen", 200, Some("HTTP/2.0")),
            ("/1", 200, Some("HTTP/1.1")),
            ("/2", 200, Some("HTTP/2.0")),
            ("/other", 502, None),
            ("/clear", 502, None),
        ] {
            let seen = visit(&client, "GET", path).await;
            assert_eq!(seen.status, status, "{path} over {transport:?}");
            let said: Vec<&[u8]> = spoken.iter().map(|said| said.as_bytes()).collect();
            assert_eq!(seen.values("x-spoken"), said, "{path} over {transport:?}");
        }
    }
}
