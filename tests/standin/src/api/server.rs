//! The HTTP server under the API. It is our own loop, because a fault may close a connection without
//! an answer, which no response can express.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Cut;
use super::{BASE_PATH, site};
use crate::cloud::Cloud;

/// How to start the API.
#[derive(Clone)]
pub struct ApiOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Serves over TLS, else in plain HTTP.
    pub tls: Option<TlsAcceptor>,
}

/// The running API. It stops when dropped.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    scheme: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ApiServer {
    /// Binds and starts to answer.
    pub async fn start(cloud: Cloud, options: ApiOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let scheme = if options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let accept = accept(
            listener,
            options.tls,
            site(cloud),
            tasks.clone(),
            stop.clone(),
        );
        tasks.spawn(stop.clone().run_until_cancelled_owned(accept));
        Ok(Self {
            address,
            scheme,
            stop,
            tasks,
        })
    }

    /// What a client takes for `https://api.cloudflare.com/client/v4`.
    pub fn url(&self) -> String {
        format!("{}://{}{BASE_PATH}", self.scheme, self.address)
    }

    /// The page for people.
    pub fn operator_url(&self) -> String {
        format!("{}://{}/standin/", self.scheme, self.address)
    }

    /// Stops it, with whatever is under way, and waits until it is gone.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    site: axum::Router,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let site = TowerToHyperService::new(site);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // A small answer must not wait for more; failing to say so only costs time.
        let _ = stream.set_nodelay(true);
        let serve = serve(stream, tls.clone(), site.clone());
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(serve).await });
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    site: TowerToHyperService<axum::Router>,
) {
    match tls {
        None => answer(stream, site).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => answer(stream, site).await,
            Err(error) => tracing::debug!(%error, "a client of the API gave up"),
        },
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    site: TowerToHyperService<axum::Router>,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let site = site.clone();
        async move { whole_or_cut(site.call(request).await) }
    });
    let server = Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::debug!(error, "a connection to the API ended");
    }
}

fn whole_or_cut(
    response: Result<Response<Body>, std::convert::Infallible>,
) -> Result<Response<Body>, io::Error> {
    let Ok(response) = response;
    if response.extensions().get::<Cut>().is_some() {
        return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
    }
    Ok(response)
}
