//! The QUIC half of the connector for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use capnp::message::ReaderOptions;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, RecvStream, SendStream, TransportConfig};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};
use tunnel_schema::quic_metadata_protocol_capnp::{
    ConnectionType, connect_request, connect_response,
};
use tunnel_schema::tunnelrpc_capnp::configuration_manager as rpc;

use super::connector::{Call, State, calls_on};
use super::origin::Origin;
use super::visitor::tls_config;
use crate::edge::Edge;
use crate::edge::body::{self, Body};
use crate::edge::headers::{self, ResponseSource};
use crate::edge::line::metadata::{
    DATA_SIGNATURE, HEADER, METHOD, RPC_SIGNATURE, STATUS, VERSION, read_message,
};

/// Dials the edge as cloudflared does.
pub(super) async fn dial(edge: &Edge, address: SocketAddr) -> (quinn::Endpoint, quinn::Connection) {
    let mut tls = tls_config(edge);
    tls.alpn_protocols = vec![b"argotunnel".to_vec()];
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(2_000u32.into())
        .max_idle_timeout(Some(Duration::from_secs(5).try_into().unwrap()))
        .keep_alive_interval(Some(Duration::from_secs(1)));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let connecting = endpoint.connect_with(config, address, "quic.cftunnel.com");
    let connection = super::soon("the handshake", connecting.unwrap()).await;
    (endpoint, connection.unwrap())
}

/// Serves until the edge closes, and says whether it did so in an orderly way.
pub(super) async fn serve(
    (endpoint, connection): (quinn::Endpoint, quinn::Connection),
    origin: Arc<Origin>,
    state: Arc<State>,
    calls: mpsc::UnboundedReceiver<Call>,
) -> bool {
    let (mut send, recv) = connection.open_bi().await.unwrap();
    let (mut from_calls, mut to_calls) = tokio::io::split(calls_on(calls));
    tokio::spawn(async move { tokio::io::copy(&mut from_calls, &mut send).await });
    tokio::spawn(async move { drop(body::write_to(body::from_reader(recv), &mut to_calls).await) });
    loop {
        match connection.accept_bi().await {
            Ok((send, recv)) => {
                let (origin, state) = (origin.clone(), state.clone());
                tokio::spawn(stream(send, recv, origin, state));
            }
            Err(error) => {
                endpoint.wait_idle().await;
                return matches!(
                    error,
                    ConnectionError::ApplicationClosed(close) if close.error_code == 0u32.into()
                );
            }
        }
    }
}

async fn stream(send: SendStream, mut recv: RecvStream, origin: Arc<Origin>, state: Arc<State>) {
    let mut signature = [0; 6];
    recv.read_exact(&mut signature).await.unwrap();
    if signature == RPC_SIGNATURE {
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, serve_configuration(send, recv, state));
        });
        return;
    }
    assert_eq!(signature, DATA_SIGNATURE);
    let mut version = [0; 2];
    recv.read_exact(&mut version).await.unwrap();
    assert_eq!(version, VERSION);
    let message = read_message(&mut recv).await.unwrap().unwrap();
    let (kind, request) = request(&message);
    let websocket = kind == ConnectionType::Websocket;
    let response = tokio::select! {
        response = origin.answer(request.map(|()| body::from_reader(recv))) => response,
        _ = send.stopped() => return,
    };
    respond(send, websocket, response).await;
}

fn request(message: &[u8]) -> (ConnectionType, Request<()>) {
    let options = ReaderOptions::default();
    let message = capnp::serialize::read_message_from_flat_slice(&mut &message[..], options);
    let message = message.unwrap();
    let head = message.get_root::<connect_request::Reader<'_>>().unwrap();
    let mut request = Request::builder().uri(head.get_dest().unwrap().to_str().unwrap());
    for pair in head.get_metadata().unwrap() {
        let key = pair.get_key().unwrap().to_str().unwrap();
        let value = pair.get_val().unwrap().as_bytes();
        if key == METHOD {
            request = request.method(value);
        } else if let Some(name) = key.strip_prefix(HEADER) {
            request = request.header(name, value);
        }
    }
    (head.get_type().unwrap(), request.body(()).unwrap())
}

/// Says over QUIC what the origin has answered in the form of HTTP/2.
async fn respond(mut send: SendStream, websocket: bool, response: Response<Body>) {
    let (head, mut body) = response.into_parts();
    let mut origin = headers::origin_headers(&head.headers).unwrap();
    let preamble = match headers::response_source(&head.headers) {
        Ok(ResponseSource::Origin) => {
            let agreed = websocket && origin.contains_key(SEC_WEBSOCKET_ACCEPT);
            let status = if agreed {
                StatusCode::SWITCHING_PROTOCOLS
            } else {
                head.status
            };
            connect_response("", Some(status), &origin)
        }
        Ok(ResponseSource::Connector) => {
            origin.clear();
            connect_response("no route to host", None, &origin)
        }
        Err(_) => b"neither signature".to_vec(),
    };
    send.write_all(&preamble).await.unwrap();
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            _ = send.stopped() => return,
        };
        match frame {
            None => break,
            Some(Err(_)) => {
                send.reset(1u32.into()).unwrap();
                return;
            }
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                if send.write_chunk(data).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = send.finish();
}

fn connect_response(error: &str, status: Option<StatusCode>, headers: &HeaderMap) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    let mut response = message.init_root::<connect_response::Builder<'_>>();
    response.set_error(error);
    let status = status.map(|status| (STATUS.to_owned(), status.as_str().to_owned()));
    let headers = headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap().to_owned();
        (format!("{HEADER}{name}"), value)
    });
    let pairs: Vec<_> = status.into_iter().chain(headers).collect();
    let mut metadata = response.init_metadata(u32::try_from(pairs.len()).unwrap());
    for (index, (key, value)) in (0..).zip(&pairs) {
        let mut pair = metadata.reborrow().get(index);
        pair.set_key(key.as_str());
        pair.set_val(value.as_str());
    }
    let message = capnp::serialize::write_message_to_words(&message);
    [&DATA_SIGNATURE[..], &VERSION, &message].concat()
}

async fn serve_configuration(send: SendStream, recv: RecvStream, state: Arc<State>) {
    let options = ReaderOptions::default();
    let (reader, writer) = (recv.compat(), send.compat_write());
    let network = twoparty::VatNetwork::new(reader, writer, Side::Server, options);
    let manager: rpc::Client = capnp_rpc::new_client(Configuration(state));
    let _ended = RpcSystem::new(Box::new(network), Some(manager.client)).await;
}

struct Configuration(Arc<State>);

impl rpc::Server for Configuration {
    async fn update_configuration(
        self: capnp::capability::Rc<Self>,
        params: rpc::UpdateConfigurationParams,
        mut results: rpc::UpdateConfigurationResults,
    ) -> Result<(), capnp::Error> {
        let params = params.get()?;
        let version = params.get_version();
        let document: Value = serde_json::from_slice(params.get_config()?).unwrap();
        let rejects = *self.0.rejects.lock().unwrap();
        let mut result = results.get().init_result();
        result.set_latest_applied_version(rejects.unwrap_or(version));
        if rejects.is_some() {
            result.set_err("no catch-all");
        }
        let push = json!({"version": version, "config": document});
        self.0.pushed.lock().unwrap().push(push);
        Ok(())
    }
}
