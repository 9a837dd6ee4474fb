//! Independent programs on both sides of the proxy: genuine gRPC as client and server, nginx and Go as endpoints that
//! speak HTTP/2 without TLS; and an OpenID provider beside the broker. `tests/peers/run` installs them and names them in the environment.

mod endings;
mod sign_in;
mod silence;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tests::manifests::{gateway, route, service_speaking};
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A program that serves; killed when dropped.
struct Peer {
    address: SocketAddr,
    _child: Child,
}

impl Peer {
    /// Starts a program that prints the address that it serves at.
    async fn start(command: &[String]) -> Self {
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the peer starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let line = timeout(Duration::from_secs(20), output.lines().next_line()).await;
        let line = line.expect("an address in time").expect("a readable pipe");
        let address = line.expect("one line").parse().expect("an address");
        Self {
            address,
            _child: child,
        }
    }
}

/// What `tests/peers/run` put into the environment.
fn program(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: use tests/peers/run"))
}

/// A world whose only route leads from `app.example.com` to this endpoint.
async fn world_before(endpoint: SocketAddr) -> (World, Cfgw) {
    let world = World::start().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("app.yaml", &route("app", "app.example.com", "app"));
    world.write(
        "svc.yaml",
        &service_speaking("app", &[endpoint], "kubernetes.io/h2c"),
    );
    let cfgw = world.cfgw().await;
    world.answers_to("app.example.com").await;
    (world, cfgw)
}
