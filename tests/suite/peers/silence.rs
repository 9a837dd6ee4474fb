//! Calls in which no byte is sent for longer than a minute: neither end may give up.

use std::time::Duration;

use tests::client::Client;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Peer, program, world_before};

const SILENCE_SECONDS: u64 = 70;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs programs of others: tests/run peers"]
async fn calls_of_the_c_core_survive_a_silence_of_70_seconds() {
    let python = program("PEER_PYTHON");
    let file = |name: &str| format!("{}/peers/python/{name}", env!("CARGO_MANIFEST_DIR"));
    silent_calls(
        &[python.clone(), file("server.py")],
        &[python, file("client.py")],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs programs of others: tests/run peers"]
async fn calls_of_grpc_go_survive_a_silence_of_70_seconds() {
    let peer = program("PEER_GO");
    silent_calls(
        &[peer.clone(), "grpc-server".to_owned()],
        &[peer, "grpc-client".to_owned()],
    )
    .await;
}

/// A unary and a streaming call through the tunnel, silent on both ends.
async fn silent_calls(server: &[String], client: &[String]) {
    let server = Peer::start(server).await;
    let (world, _cfgw) = world_before(server.address).await;
    world.connections(1).await;
    let roots = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(roots.path(), world.standin.ca_pem()).expect("a writable file");
    let output = Command::new(&client[0])
        .args(&client[1..])
        .arg(public_address(&world.client, world.standin.edge().public_https().port()).await)
        .arg("app.example.com")
        .arg(roots.path())
        .arg(SILENCE_SECONDS.to_string())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(SILENCE_SECONDS + 30), output).await;
    let output = output.expect("the calls end").expect("the client starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let calls = ["unary ok", "stream ok"].map(|line| told.contains(line));
    assert_eq!(calls, [true, true], "{told}{complaints}");
}

async fn public_address(client: &Client, port: u16) -> String {
    let found = client.resolve("app.example.com").await.expect("a record");
    format!("{}:{port}", found[0])
}
