//! An HTTP proxy as in networks that let nothing else out. It takes CONNECT alone and asks for a password; it knows names
//! that nobody else does; and it ends TLS with a certificate of its own, so that it could read what passes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the proxy is entered with; it must be seen nowhere.
pub const PASSWORD: &str = "canary-of-the-proxy";

/// A running proxy.
pub struct ForwardProxy {
    address: SocketAddr,
    root: String,
    inner: Arc<Inner>,
}

struct Inner {
    tls: TlsAcceptor,
    /// Where names lead; they are served without TLS there.
    places: BTreeMap<String, SocketAddr>,
    tunnels: Mutex<Vec<String>>,
}

impl ForwardProxy {
    /// Starts one that knows these names.
    pub async fn start(places: &[(&str, SocketAddr)]) -> Self {
        let mut names: Vec<String> = places.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.push("localhost".to_owned());
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a pair");
        let places = places.iter().map(|(name, at)| ((*name).to_owned(), *at));
        let inner = Arc::new(Inner {
            tls: TlsAcceptor::from(Arc::new(config)),
            places: places.collect(),
            tunnels: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let served = inner.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.tunnel(stream).await });
            }
        });
        Self {
            address,
            root: made.cert.pem(),
            inner,
        }
    }

    /// Its URL with what it is entered with.
    pub fn url(&self) -> String {
        self.url_with(PASSWORD)
    }

    /// The same with another password.
    pub fn url_with(&self, password: &str) -> String {
        format!("http://user:{password}@{}", self.address)
    }

    /// The certificate to trust, as PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Hosts and ports that were asked for with the right password.
    pub fn tunnels(&self) -> Vec<String> {
        self.inner
            .tunnels
            .lock()
            .expect("no test panics in here")
            .clone()
    }

    /// Serves one of the names with TLS at an address of this machine, without the proxy.
    pub async fn beside(&self, name: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (inner, name) = (self.inner.clone(), name.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (inner, name) = (inner.clone(), name.clone());
                tokio::spawn(async move { inner.pass(stream, &name).await });
            }
        });
        address
    }
}

impl Inner {
    /// One CONNECT, and what follows it.
    async fn tunnel(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 8192 {
                return None;
            }
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let known = STANDARD.encode(format!("user:{PASSWORD}"));
        if !head.contains(&format!("Basic {known}")) {
            let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
            return stream.write_all(answer).await.ok();
        }
        let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
        let (name, _port) = target.rsplit_once(':')?;
        self.tunnels.lock().ok()?.push(target.to_owned());
        if !self.places.contains_key(name) {
            return stream
                .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                .await
                .ok();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
        self.pass(stream, name).await
    }

    async fn pass(&self, stream: TcpStream, name: &str) -> Option<()> {
        let mut stream = self.tls.accept(stream).await.ok()?;
        let mut server = TcpStream::connect(self.places.get(name)?).await.ok()?;
        copy_bidirectional(&mut stream, &mut server).await.ok()?;
        Some(())
    }
}
