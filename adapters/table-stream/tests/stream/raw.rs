//! A client that keeps to no rule but TLS and HTTP/2.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adapter_table_stream::SERVER_NAME;
use adapter_table_stream::wire::{Hello, PATH, PROTOCOL, ToController, ToProxy};
use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rig::Cluster;

/// Longer than any test may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A body of bytes that come in time, or never end.
pub(crate) struct Unended(mpsc::UnboundedReceiver<Bytes>);

impl Body for Unended {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// A TCP connection from an address of this machine.
pub(crate) async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// TLS on a connection.
pub(crate) async fn handshake(cluster: &Cluster, stream: TcpStream) -> TlsStream<TcpStream> {
    let bundle = cluster.authority.lock().unwrap().bundle();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

/// A connection on which streams can be asked for.
#[derive(Clone)]
pub(crate) struct Client(http2::SendRequest<Unended>);

impl Client {
    pub(crate) async fn new(cluster: &Cluster, from: [u8; 4], to: SocketAddr) -> Self {
        let stream = handshake(cluster, connect(from, to).await).await;
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Asks for a stream and says these frames.
    pub(crate) async fn ask(&mut self, token: &str, frames: &[ToController]) -> Response<Incoming> {
        self.open(token, frames).await.0
    }

    /// The same, and what says more frames.
    pub(crate) async fn open(
        &mut self,
        token: &str,
        frames: &[ToController],
    ) -> (Response<Incoming>, impl Fn(&ToController) + use<>) {
        let (said, body) = mpsc::unbounded_channel();
        let say = move |frame: &ToController| {
            let json = serde_json::to_vec(frame).unwrap();
            let length = u32::try_from(json.len()).unwrap();
            let bytes = [length.to_be_bytes().to_vec(), json].concat();
            said.send(bytes.into()).unwrap();
        };
        frames.iter().for_each(&say);
        let request = Request::post(format!("https://{SERVER_NAME}{PATH}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Unended(body));
        self.0.ready().await.unwrap();
        let answer = self.0.send_request(request.unwrap());
        let answer = tokio::time::timeout(DEADLINE, answer).await;
        let answer = answer.expect("an answer in time").expect("an answer");
        (answer, say)
    }
}

/// What a replica says first.
pub(crate) fn hello(replica: &str, held: Option<adapter_table_stream::wire::Holding>) -> Hello {
    Hello {
        connections: Default::default(),
        protocol: PROTOCOL,
        replica: replica.to_owned(),
        held,
        ready: false,
        features: domain::capabilities::DataPlaneKind::Native.serves(),
    }
}

/// Reads frames until one that `wanted` takes.
pub(crate) async fn heard<T>(
    answer: &mut Response<Incoming>,
    wanted: impl Fn(ToProxy) -> Option<T>,
) -> T {
    let mut read = BytesMut::new();
    loop {
        while let Some(length) = read
            .first_chunk::<4>()
            .map(|first| u32::from_be_bytes(*first))
        {
            let length = usize::try_from(length).unwrap();
            if read.len() < 4 + length {
                break;
            }
            read.advance(4);
            let frame = serde_json::from_slice(&read.split_to(length)).unwrap();
            if let Some(wanted) = wanted(frame) {
                return wanted;
            }
        }
        let more = tokio::time::timeout(DEADLINE, answer.frame()).await;
        let more = more.expect("frames in time").expect("no end");
        read.extend_from_slice(&more.unwrap().into_data().unwrap());
    }
}

/// The status and the whole text of an answer.
pub(crate) async fn told(answer: Response<Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
