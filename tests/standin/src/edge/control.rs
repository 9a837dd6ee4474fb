//! Cap'n Proto RPC: the control stream with the edge as server, and configuration pushes over QUIC with
//! the edge as client. The types of `capnp-rpc` cannot leave their thread, so all of it lives on one of
//! its own; the rest of the edge hands it byte streams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use capnp::capability::Rc;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use futures_util::io::{AsyncReadExt, BufReader, BufWriter};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::TokioAsyncReadCompatExt;
use tunnel_schema::tunnelrpc_capnp::{
    configuration_manager, connection_response, registration_server as rpc,
};
use uuid::Uuid;

use super::registry::Confirmation;
use super::session::Session;
use crate::cloud::RegistrationRefusal;

/// What a connector says when it registers a connection.
#[derive(Clone)]
pub(super) struct RegistrationRequest {
    pub(super) account: String,
    pub(super) secret: Vec<u8>,
    pub(super) tunnel: Uuid,
    pub(super) index: u8,
    pub(super) connector: Uuid,
    pub(super) features: Vec<String>,
    pub(super) client_version: String,
    pub(super) arch: String,
    pub(super) replace_existing: bool,
}

/// What an accepted connection is told.
pub(super) struct Accepted {
    pub(super) connection: Uuid,
    pub(super) location: String,
    pub(super) remotely_managed: bool,
}

/// The bytes of a control stream and the session that it belongs to.
pub(super) struct ControlStream {
    pub(super) io: DuplexStream,
    pub(super) session: Arc<Session>,
}

/// A configuration for the connector at the other end of a byte stream.
pub(super) struct ConfigurationPush {
    pub(super) io: DuplexStream,
    pub(super) version: i32,
    /// JSON.
    pub(super) document: String,
    pub(super) answer: oneshot::Sender<capnp::Result<Confirmation>>,
}

/// What the thread is asked for.
pub(super) enum Rpc {
    Serve(ControlStream),
    Configure(ConfigurationPush),
}

/// Starts the thread. It ends when the last sender is dropped.
pub(super) fn start() -> io::Result<mpsc::UnboundedSender<Rpc>> {
    let (sender, mut arriving) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    std::thread::Builder::new()
        .name("edge-rpc".into())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                while let Some(rpc) = arriving.recv().await {
                    match rpc {
                        Rpc::Serve(stream) => tokio::task::spawn_local(serve(stream)),
                        Rpc::Configure(push) => tokio::task::spawn_local(configure(push)),
                    };
                }
            });
        })?;
    Ok(sender)
}

fn system(
    io: DuplexStream,
    side: Side,
    bootstrap: Option<capnp::capability::Client>,
) -> RpcSystem<Side> {
    let (reader, writer) = io.compat().split();
    let network = twoparty::VatNetwork::new(
        BufReader::new(reader),
        BufWriter::new(writer),
        side,
        capnp::message::ReaderOptions::default(),
    );
    RpcSystem::new(Box::new(network), bootstrap)
}

async fn serve(stream: ControlStream) {
    let registration: rpc::Client = capnp_rpc::new_client(Registration(stream.session));
    let system = system(stream.io, Side::Server, Some(registration.client));
    if let Err(error) = system.await {
        tracing::debug!(%error, "control stream");
    }
}

async fn configure(push: ConfigurationPush) {
    let mut system = system(push.io, Side::Client, None);
    let manager: configuration_manager::Client = system.bootstrap(Side::Server);
    let running = tokio::task::spawn_local(system);
    let confirmed = update_configuration(&manager, push.version, &push.document).await;
    running.abort();
    // Whoever asked may have given up.
    let _ = push.answer.send(confirmed);
}

async fn update_configuration(
    manager: &configuration_manager::Client,
    version: i32,
    document: &str,
) -> capnp::Result<Confirmation> {
    let mut request = manager.update_configuration_request();
    request.get().set_version(version);
    request.get().set_config(document.as_bytes());
    let response = request.send().promise.await?;
    let result = response.get()?.get_result()?;
    let error = result.get_err()?.to_string()?;
    Ok(Confirmation {
        version: result.get_latest_applied_version(),
        error: (!error.is_empty()).then_some(error),
    })
}

/// The interface `RegistrationServer` of the tunnel protocol.
struct Registration(Arc<Session>);

impl rpc::Server for Registration {
    async fn register_connection(
        self: Rc<Self>,
        params: rpc::RegisterConnectionParams,
        mut results: rpc::RegisterConnectionResults,
    ) -> Result<(), capnp::Error> {
        let request = registration_request(&params)?;
        let outcome = self.0.register(&request);
        let result = results.get().init_result().init_result();
        match outcome {
            Ok(accepted) => write_accepted(result, &accepted),
            Err(refusal) => write_refusal(result, &refusal),
        }
        Ok(())
    }

    async fn unregister_connection(
        self: Rc<Self>,
        _: rpc::UnregisterConnectionParams,
        _: rpc::UnregisterConnectionResults,
    ) -> Result<(), capnp::Error> {
        self.0.leave("unregistered");
        Ok(())
    }

    async fn update_local_configuration(
        self: Rc<Self>,
        params: rpc::UpdateLocalConfigurationParams,
        _: rpc::UpdateLocalConfigurationResults,
    ) -> Result<(), capnp::Error> {
        let document = String::from_utf8_lossy(params.get()?.get_config()?).into_owned();
        self.0.local_configuration(&document);
        Ok(())
    }
}

fn registration_request(
    params: &rpc::RegisterConnectionParams,
) -> capnp::Result<RegistrationRequest> {
    let params = params.get()?;
    let auth = params.get_auth()?;
    let options = params.get_options()?;
    let client = options.get_client()?;
    let features = client.get_features()?.iter();
    Ok(RegistrationRequest {
        account: auth.get_account_tag()?.to_string()?,
        secret: auth.get_tunnel_secret()?.to_vec(),
        tunnel: uuid(params.get_tunnel_id()?)?,
        index: params.get_conn_index(),
        connector: uuid(client.get_client_id()?)?,
        features: features
            .map(|feature| Ok(feature?.to_string()?))
            .collect::<capnp::Result<_>>()?,
        client_version: client.get_version()?.to_string()?,
        arch: client.get_arch()?.to_string()?,
        replace_existing: options.get_replace_existing(),
    })
}

fn uuid(bytes: &[u8]) -> capnp::Result<Uuid> {
    Uuid::from_slice(bytes).map_err(|error| capnp::Error::failed(error.to_string()))
}

fn write_accepted(result: connection_response::result::Builder<'_>, accepted: &Accepted) {
    let mut details = result.init_connection_details();
    details.set_uuid(accepted.connection.as_bytes());
    details.set_location_name(accepted.location.as_str());
    details.set_tunnel_is_remotely_managed(accepted.remotely_managed);
}

fn write_refusal(result: connection_response::result::Builder<'_>, refusal: &RegistrationRefusal) {
    let mut error = result.init_error();
    error.set_cause(refusal.cause.as_str());
    error.set_retry_after(nanoseconds(refusal.retry_after));
    error.set_should_retry(refusal.should_retry);
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
