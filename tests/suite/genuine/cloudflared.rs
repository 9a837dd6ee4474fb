//! Genuine cloudflared as a process, with our proxy behind it on loopback.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use domain::gateway::Protocol;
use domain::route_table::UpstreamProtocol;
use serde_json::json;
use standin::cloud::{ConfigSource, NewTunnel};
use tempfile::TempDir;
use tests::routing::{Rule, engine, on_loopback};
use tests::world::{ACCOUNT, World, within};
use tokio::process::{Child, Command};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Origins;
use super::table::{APP, DEAD, GRPC, STRANGER};

/// The program: `$CLOUDFLARED`, or the first of that name in the PATH.
pub(super) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("CLOUDFLARED").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("cloudflared"));
    named
        .into_iter()
        .chain(found)
        .find(|program| program.is_file())
}

/// A running cloudflared with four connections; killed when dropped.
pub(super) struct Cloudflared {
    _child: Child,
    _folder: TempDir,
    _proxy: DropGuard,
}

impl Cloudflared {
    /// Makes a tunnel in this world that sends everything to our proxy, and joins it over `protocol`,
    /// as cloudflared calls it.
    pub(super) async fn start(
        program: PathBuf,
        protocol: &str,
        world: &World,
        origins: &Origins,
    ) -> Self {
        let stop = CancellationToken::new();
        let service = proxy(origins, stop.clone()).await;
        let token = tunnel(world, &service);
        let folder = TempDir::new().expect("a temporary folder");
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, world.standin.ca_pem()).expect("a new file");
        let log = std::fs::File::create(folder.path().join("log")).expect("a new file");
        let mut command = Command::new(program);
        command.arg("tunnel");
        for address in world.standin.edge().tunnel_addresses() {
            command.args(["--edge", &address.to_string()]);
        }
        command
            .arg("--cacert")
            .arg(&ca)
            .args(["--no-autoupdate", "--no-prechecks"])
            .args(["--metrics", "127.0.0.1:0", "--protocol", protocol, "run"])
            .env_clear()
            .env("HOME", folder.path())
            .env("TUNNEL_TOKEN", token)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().expect("cloudflared starts");
        let cloudflared = Self {
            _child: child,
            _folder: folder,
            _proxy: stop.drop_guard(),
        };
        cloudflared.joined(world, protocol).await;
        cloudflared
    }

    /// Waits for four connections over the right transport that have confirmed their configuration.
    async fn joined(&self, world: &World, protocol: &str) {
        let what = format!("four connections of cloudflared over {protocol}");
        within(Duration::from_secs(60), &what, || async {
            let connections = world.standin.edge().connections();
            let ready = connections.iter().filter(|connection| {
                connection.transport.to_string() == protocol
                    && connection.client_version.starts_with("20")
                    && (connection.confirmed.as_ref())
                        .is_some_and(|c| c.version == 1 && c.error.is_none())
            });
            (ready.count() == 4).then_some(())
        })
        .await;
    }
}

/// A remotely configured tunnel with one catch-all rule, and a name for each row. Gives its token.
fn tunnel(world: &World, service: &str) -> String {
    let new = NewTunnel {
        name: "genuine".to_owned(),
        config_src: ConfigSource::Cloudflare,
        secret: None,
    };
    let cloud = world.standin.cloud();
    let tunnel = cloud.create_tunnel(ACCOUNT, new).expect("a new tunnel");
    let document = json!({"ingress": [{"service": service}]});
    let configured = cloud.configure_tunnel(ACCOUNT, tunnel.id, document);
    configured.expect("a document with one rule");
    for name in [APP, GRPC, DEAD, STRANGER] {
        let target = format!("{}.cfargotunnel.com", tunnel.id);
        world.foreign_record("CNAME", name, &target);
    }
    tunnel.token()
}

/// Our proxy on loopback. Gives its URL.
async fn proxy(origins: &Origins, stop: CancellationToken) -> String {
    let living = origins.living.address;
    let rules = [
        (APP, UpstreamProtocol::Http1, living),
        (GRPC, UpstreamProtocol::H2c, living),
        (DEAD, UpstreamProtocol::Http1, origins.dead),
    ]
    .map(|(name, protocol, at)| Rule {
        hostname: Some(name),
        ..Rule::new("/", protocol, &[at])
    });
    let address = on_loopback(engine(Protocol::Https, &rules), stop).await;
    format!("http://{address}")
}
