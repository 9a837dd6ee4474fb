//! Endpoints that make requests last.

use std::future::Future;
use std::net::SocketAddr;

use tests::origin::Origin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// One of each kind.
pub(super) struct Endpoints {
    silent: SocketAddr,
    unread: SocketAddr,
    early: SocketAddr,
    large: Origin,
    /// Listens and never accepts: the kernel completes the first two connections and ignores the others.
    deaf: TcpListener,
    _stop: DropGuard,
}

impl Endpoints {
    pub(super) async fn start() -> Self {
        let stop = CancellationToken::new();
        Self {
            silent: serve(&stop, reads_only).await,
            unread: serve_at(listener(SMALL), &stop, reads_nothing),
            early: serve(&stop, answers_early).await,
            large: Origin::start("large").await,
            deaf: deaf(),
            _stop: stop.drop_guard(),
        }
    }

    /// Each by the name of its Service.
    pub(super) fn named(&self) -> [(&'static str, SocketAddr); 5] {
        let deaf = self.deaf.local_addr().unwrap();
        [
            ("silent", self.silent),
            ("unread", self.unread),
            ("early", self.early),
            ("large", self.large.address),
            ("deaf", deaf),
        ]
    }
}

fn deaf() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.listen(1).unwrap()
}

/// Bytes that the kernel keeps for an endpoint that does not read them, about.
const SMALL: u32 = 16 << 10;

fn listener(buffer: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(buffer).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.listen(1024).unwrap()
}

/// Serves each connection in a task of its own, until all are to stop.
async fn serve<F, Fut>(stop: &CancellationToken, connection: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = std::io::Result<()>> + Send + 'static,
{
    serve_at(
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        stop,
        connection,
    )
}

fn serve_at<F, Fut>(listener: TcpListener, stop: &CancellationToken, connection: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    let stop = stop.clone();
    tokio::spawn(async move {
        while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
            let stop = stop.clone();
            let serving = connection(stream);
            // A connection that breaks was the proxy's to end.
            tokio::spawn(async move { drop(stop.run_until_cancelled(serving).await) });
        }
    });
    address
}

/// Takes a request and is silent.
async fn reads_only(mut stream: TcpStream) -> std::io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    while stream.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// Takes the head of a request, or a part of it, and nothing more.
async fn reads_nothing(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 16]).await?;
    std::future::pending().await
}

/// Answers the head of a request and reads on.
async fn answers_early(mut stream: TcpStream) -> std::io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    let read = stream.read(&mut chunk).await?;
    if read > 0 {
        let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await?;
    }
    while stream.read(&mut chunk).await? > 0 {}
    Ok(())
}
