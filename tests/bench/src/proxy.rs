//! The proxy alone, with its loopback listener, on one thread as nginx and haproxy have one worker.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use adapter_proxy::{Engine, GatewayMetrics, Limits, LoopbackListener, Memory};
use domain::endpoint_policy::EndpointPolicy;
use tokio_util::sync::CancellationToken;

use crate::features::{Feature, speak_tls};
use crate::routes::Routes;

/// Domain of its routes.
pub(crate) const DOMAIN: &str = "alone.example";

/// Serves until standard input ends.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve(
    listen: SocketAddr,
    routes: usize,
    origin: SocketAddr,
    with: Feature,
    authority: Option<&Path>,
) -> anyhow::Result<()> {
    let engine = Engine::new(
        Limits::default(),
        EndpointPolicy::Standalone,
        Memory::unlimited(),
        Arc::new(GatewayMetrics::default()),
    );
    let mut table = Routes::new(routes, DOMAIN).table(origin);
    with.add_to(&mut table);
    if let Some(authority) = authority {
        speak_tls(&mut table, authority)?;
    }
    engine.load(Arc::new(table));
    let listener = LoopbackListener::bind(listen, engine).await?;
    let stop = CancellationToken::new();
    let ended = stop.clone();
    std::thread::spawn(move || {
        // Whatever comes: only its end matters.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.cancel();
    });
    listener.serve(stop).await;
    Ok(())
}
