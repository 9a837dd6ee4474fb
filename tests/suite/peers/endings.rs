//! Endpoints that end their HTTP/2 connections while requests with bodies arrive: they say which requests they did not
//! process (RFC 9113 §6.8), so none may fail.

use std::net::SocketAddr;
use std::time::Duration;

use tests::process::free_address;
use tests::world::{World, within};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::{Peer, program, world_before};

/// Requests at once, as many as a page and its parts may be.
const AT_ONCE: usize = 30;

/// Requests of one task.
const EACH: usize = 100;

const BODY: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs programs of others: tests/run peers"]
async fn no_post_fails_where_nginx_ends_its_connections() {
    for requests in [5, 100, 1000] {
        let nginx = Nginx::start(requests).await;
        let (world, _cfgw) = world_before(nginx.address).await;
        let failures = failures_of_posts(&world).await;
        let failed = failures.len();
        println!(
            "nginx, keepalive_requests {requests}: {failed} of {} POSTs failed",
            AT_ONCE * EACH
        );
        assert_eq!(
            failures.first(),
            None,
            "keepalive_requests {requests}: {failed} failed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs programs of others: tests/run peers"]
async fn no_post_fails_where_go_ends_its_connections() {
    let go = Peer::start(&[program("PEER_GO"), "h2c-server".to_owned()]).await;
    let (world, _cfgw) = world_before(go.address).await;
    let failures = failures_of_posts(&world).await;
    let failed = failures.len();
    println!("Go, each 50th: {failed} of {} POSTs failed", AT_ONCE * EACH);
    assert_eq!(failures.first(), None, "{failed} failed");
}

async fn failures_of_posts(world: &World) -> Vec<String> {
    world.answers("https://app.example.com/").await;
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let client = world.client.clone();
        tasks.spawn(async move {
            let mut failures = Vec::new();
            for _ in 0..EACH {
                let post = client.http().post("https://app.example.com/");
                match client.send(post.body(vec![b'x'; BODY])).await {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => failures.push(format!("{} {}", answer.status, answer.body)),
                    Err(error) => failures.push(error),
                }
            }
            failures
        });
    }
    tasks.join_all().await.concat()
}

/// Answers every request with 200, and ends a connection after so many.
struct Nginx {
    address: SocketAddr,
    _folder: tempfile::TempDir,
    _child: Child,
}

impl Nginx {
    async fn start(keepalive_requests: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (address, path) = (free_address(), folder.path().display());
        let settings = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {path}/body;
    proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
    keepalive_requests {keepalive_requests};
    server {{ listen {address} http2; location / {{ return 200 ok; }} }}
}}
"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).expect("a new file");
        let child = Command::new(program("PEER_NGINX"))
            .arg("-c")
            .arg(&file)
            .kill_on_drop(true)
            .spawn()
            .expect("nginx starts");
        within(Duration::from_secs(10), "nginx listens", || async {
            TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            address,
            _folder: folder,
            _child: child,
        }
    }
}
