//! The control stream: Cap'n Proto RPC with the edge as server. The types of `capnp-rpc` cannot
//! leave their thread, so all control streams live on one of their own; the rest of the edge hands
//! it byte streams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use capnp::capability::Rc;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use futures_util::io::{AsyncReadExt, BufReader, BufWriter};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::compat::TokioAsyncReadCompatExt;
use tunnel_schema::tunnelrpc_capnp::{connection_response, registration_server as rpc};
use uuid::Uuid;

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

/// Starts the thread. It ends when the last sender is dropped.
pub(super) fn start() -> io::Result<mpsc::UnboundedSender<ControlStream>> {
    let (streams, mut arriving) = mpsc::unbounded_channel::<ControlStream>();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    std::thread::Builder::new()
        .name("edge-control".into())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                while let Some(stream) = arriving.recv().await {
                    tokio::task::spawn_local(serve(stream));
                }
            });
        })?;
    Ok(streams)
}

async fn serve(stream: ControlStream) {
    let (reader, writer) = stream.io.compat().split();
    let network = twoparty::VatNetwork::new(
        BufReader::new(reader),
        BufWriter::new(writer),
        Side::Server,
        capnp::message::ReaderOptions::default(),
    );
    let registration: rpc::Client = capnp_rpc::new_client(Registration(stream.session));
    let system = RpcSystem::new(Box::new(network), Some(registration.client));
    if let Err(error) = system.await {
        tracing::debug!(%error, "control stream");
    }
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
