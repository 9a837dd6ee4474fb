//! What stands between a client and a server over TCP, and the ways in which it fails.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They go through.
    Through,
    /// They are closed at once.
    Away,
    /// They are taken, and nothing is answered.
    Silent,
    /// Every request is answered with 500 and a page in HTML.
    ServerError,
    /// The request goes through; the answer ends before its end.
    HalfAnswer,
}

/// A running front; stops when dropped.
pub struct Front {
    address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// Stands before a server; lets everything through.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (way, ways) = watch::channel(Way::Through);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut ways = ways.clone();
                let way = *ways.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(client, server, way) => {}
                        // Connections of an earlier way end with it.
                        _ = ways.changed() => {}
                    }
                });
            }
        });
        Self { address, way, task }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Behaves so from now on.
    pub fn go(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, way: Way) {
    match way {
        Way::Through => {
            if let Ok(mut server) = TcpStream::connect(server).await {
                // The end of a connection, whichever way, is the end of its copy.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        }
        Way::Away => {}
        Way::Silent => tokio::time::sleep(Duration::from_secs(3600)).await,
        Way::ServerError => {
            let _ = client.read(&mut [0; 4096]).await;
            let page =
                "HTTP/1.1 500 Oops\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\noops";
            let _ = client.write_all(page.as_bytes()).await;
        }
        Way::HalfAnswer => half_an_answer(client, server).await,
    }
}

async fn half_an_answer(client: TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let request = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut answer = vec![0; 64 * 1024];
    let length = from_server.read(&mut answer).await.unwrap_or(0);
    let _ = to_client.write_all(&answer[..length * 9 / 10]).await;
    request.abort();
}
