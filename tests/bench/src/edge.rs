//! The stand-in Cloudflare as a process of its own, and what a dashboard would be used for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::process::Process;

/// The account.
pub(crate) const ACCOUNT: &str = "000000000000000000000000000000be";
/// An API token that opens nothing but this stand-in.
pub(crate) const TOKEN: &str = "bench-token";

/// A running stand-in.
pub(crate) struct StandIn {
    _process: Process,
    client: reqwest::Client,
    /// URL of the API.
    pub(crate) api: String,
    /// Where connectors dial, separated by commas.
    pub(crate) edge: String,
    /// Where visitors come in, in clear text.
    pub(crate) visitors: SocketAddr,
    /// The authority of the edge's certificate.
    pub(crate) authority: PathBuf,
}

impl StandIn {
    /// Starts it with these zones.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        zones: &[String],
    ) -> anyhow::Result<Self> {
        let authority = folder.join("authority");
        let mut command = Command::new(program);
        command.args(["--api", "127.0.0.1:0", "--dns", "127.0.0.1:0"]);
        command.args(["--account", ACCOUNT, "--token", TOKEN]);
        command.arg("--zone").arg(zones.join(","));
        command.arg("--folder").arg(&authority);
        command.env("RUST_LOG", "error");
        let process = Process::start(&mut command, folder.join("standin.log"))?;
        let printed = printed(&process).await?;
        let value = |name: &str| {
            printed
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
                .with_context(|| format!("the stand-in does not say {name}"))
        };
        let visitors = value("visitors")?
            .strip_prefix("http ")
            .and_then(|text| text.split(',').next())
            .context("where visitors come in")?
            .parse()?;
        Ok(Self {
            api: value("API")?.to_owned(),
            edge: value("edge")?.to_owned(),
            visitors,
            authority: authority.join("ca.pem"),
            _process: process,
            client: reqwest::Client::new(),
        })
    }

    /// Makes a tunnel that leads every host of a zone to one service; returns the connector's token.
    pub(crate) async fn tunnel(&self, zone: &str, service: SocketAddr) -> anyhow::Result<String> {
        let tunnels = format!("/accounts/{ACCOUNT}/cfd_tunnel");
        let tunnel = json!({"name": zone, "config_src": "cloudflare"});
        let tunnel = self
            .call(reqwest::Method::POST, &tunnels, Some(tunnel))
            .await?;
        let id = text(&tunnel["id"])?;
        let config = json!({"config": {"ingress": [{"service": format!("http://{service}")}]}});
        let path = format!("{tunnels}/{id}/configurations");
        self.call(reqwest::Method::PUT, &path, Some(config)).await?;
        let zones = format!("/zones?name={zone}");
        let zones = self.call(reqwest::Method::GET, &zones, None).await?;
        let zone_id = text(&zones[0]["id"])?;
        let record = json!({
            "type": "CNAME",
            "name": format!("*.{zone}"),
            "content": format!("{id}.cfargotunnel.com"),
            "proxied": true,
        });
        let path = format!("/zones/{zone_id}/dns_records");
        self.call(reqwest::Method::POST, &path, Some(record))
            .await?;
        let path = format!("{tunnels}/{id}/token");
        let token = self.call(reqwest::Method::GET, &path, None).await?;
        text(&token).map(str::to_owned)
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.api))
            .bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let mut answer: Value = request.send().await?.json().await?;
        anyhow::ensure!(answer["success"] == true, "{path}: {}", answer["errors"]);
        Ok(answer["result"].take())
    }
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("the API answered without it")
}

async fn printed(process: &Process) -> anyhow::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let printed = process.printed()?;
        if printed.contains("Ctrl-C") {
            return Ok(printed);
        }
        anyhow::ensure!(Instant::now() < deadline, "the stand-in says: {printed}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
