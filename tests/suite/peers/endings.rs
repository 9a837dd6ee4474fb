//! Endpoints that end their HTTP/2 connections while requests with bodies arrive: they say which requests they did not
//! process (RFC 9113 §6.8), so none may fail.

use std::path::Path;

use tests::nginx::Nginx;
use tests::world::World;
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
        let nginx = nginx(requests).await;
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

/// nginx that answers every request with 200 and ends a connection after so many of them.
async fn nginx(keepalive_requests: usize) -> Nginx {
    Nginx::start(Path::new(&program("PEER_NGINX")), |address| {
        format!(
            "    keepalive_requests {keepalive_requests};
    server {{ listen {address} http2; location / {{ return 200 ok; }} }}
"
        )
    })
    .await
}
