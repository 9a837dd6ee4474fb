//! Most endpoints of a Service go away under load, each in its way, while the table still names all of them. One stays,
//! so no request fails that may be sent again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_proxy::{Engine, Limits};
use domain::route_table::UpstreamProtocol::{self, H2c, Http1};
use futures_util::future::join_all;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{self, Endpoint, refusing};
use crate::rig::{Sketch, engine_with, get, in_time, read};

const GONE: usize = 9;
const TASKS: usize = 4;
const EACH: usize = 15;

/// What becomes of a connection to an endpoint that goes away.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It is refused.
    Refused,
    /// It is accepted and reset at once.
    Reset,
    /// It is accepted and closed at once.
    Closed,
    /// Nothing is answered to it, as by an address that is nobody's any more.
    Silent,
}

async fn gone(way: Way) -> SocketAddr {
    match way {
        Way::Refused => refusing().await,
        Way::Reset => {
            endpoint::bare(|stream| async move {
                SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            })
            .await
        }
        Way::Closed => endpoint::bare(|_| async {}).await,
        Way::Silent => silent().await,
    }
}

/// An address that answers to no connection: those that wait to be accepted are as many as may be.
async fn silent() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(at)).await {
        queued.push(stream.unwrap());
    }
    tokio::spawn(async move {
        let _held = (listener, queued);
        std::future::pending::<()>().await;
    });
    at
}

/// An engine that gives up a connection after a second, or sooner while there are others.
fn engine(protocol: UpstreamProtocol, endpoints: &[SocketAddr]) -> Arc<Engine> {
    let (engine, _) = engine_with(Limits {
        connect_timeout: Duration::from_secs(1),
        ..Limits::default()
    });
    engine.load(Sketch::simple(protocol, endpoints));
    engine
}

async fn statuses(engine: &Engine) -> Vec<u16> {
    let tasks = (0..TASKS).map(|_| async {
        let mut statuses = Vec::new();
        for _ in 0..EACH {
            statuses.push(read(get(engine, "/").await).await.0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        statuses
    });
    in_time(join_all(tasks)).await.concat()
}

#[tokio::test]
async fn where_nine_of_ten_endpoints_are_gone_each_request_is_answered_by_the_tenth() {
    for way in [Way::Refused, Way::Reset, Way::Closed, Way::Silent] {
        for protocol in [Http1, H2c] {
            let living = Endpoint::start("living").await;
            let mut endpoints = join_all((0..GONE).map(|_| gone(way))).await;
            endpoints.push(living.at);
            let engine = engine(protocol, &endpoints);
            let statuses = statuses(&engine).await;
            assert_eq!(statuses, [200; TASKS * EACH], "{way:?} {protocol:?}");
        }
    }
}

/// Answers one request on each connection. A connection breaks off at its second request; from the first such request on,
/// new connections end as `way` says.
async fn answers_once_then(way: Way) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let gone = CancellationToken::new();
    tokio::spawn(async move {
        while let Some(accepted) = gone.run_until_cancelled(listener.accept()).await {
            tokio::spawn(answer_once(accepted.unwrap().0, gone.clone()));
        }
        if let Way::Reset = way {
            while listener.accept().await.is_ok() {}
        }
    });
    at
}

async fn answer_once(mut stream: TcpStream, gone: CancellationToken) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    endpoint::read_head(&mut stream).await;
    let _ = stream.write_all(answer).await;
    let _ = stream.read_u8().await;
    gone.cancel();
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[tokio::test]
async fn each_request_is_answered_where_nine_of_ten_endpoints_end_kept_connections() {
    for way in [Way::Refused, Way::Reset] {
        let living = Endpoint::start("living").await;
        let mut endpoints = join_all((0..GONE).map(|_| answers_once_then(way))).await;
        endpoints.push(living.at);
        let engine = engine(Http1, &endpoints);
        // So that every endpoint has a connection that is kept alive.
        let statuses = statuses(&engine).await;
        assert_eq!(statuses, [200; TASKS * EACH], "{way:?}");
    }
}
