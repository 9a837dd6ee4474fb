//! From the edge to the origin: `cfgw standalone`, and `cfgw proxy` as it runs in Kubernetes, beside a genuine
//! cloudflared, alone and with nginx behind it. All of them hold tunnels of one stand-in edge, over one transport.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::controller::Controller;
use crate::edge::{ACCOUNT, StandIn, TOKEN};
use crate::load::Load;
use crate::process::{Process, find, free_address};
use crate::report;
use crate::rounds::{self, Figures, Subject};
use crate::routes::Routes;
use crate::{Plan, origin, servers};

/// What carries the tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Http2,
    Quic,
}

impl Transport {
    /// Its name in the tables.
    fn title(self) -> &'static str {
        match self {
            Self::Http2 => "HTTP/2",
            Self::Quic => "QUIC",
        }
    }

    /// Its name in settings, ours and cloudflared's.
    fn setting(self) -> &'static str {
        match self {
            Self::Http2 => "http2",
            Self::Quic => "quic",
        }
    }
}

/// What all subjects share.
struct Stage<'p> {
    plan: &'p Plan,
    transport: Transport,
    folder: TempDir,
    standin: StandIn,
    origin: SocketAddr,
}

/// Measures and prints.
pub(crate) async fn measure(plan: &Plan, transport: Transport) -> anyhow::Result<()> {
    let cfgw = [1, plan.routes].map(|count| Routes::new(count, &format!("cfgw-{count}.example")));
    let nginx = [1, plan.routes].map(|count| Routes::new(count, &format!("nginx-{count}.example")));
    let proxy = [1, plan.routes].map(|count| Routes::new(count, &format!("proxy-{count}.example")));
    let direct = Routes::new(1, "direct.example");
    let folder = TempDir::with_prefix("cfgw-bench-")?;
    let all = cfgw.iter().chain(&nginx).chain(&proxy).chain([&direct]);
    let zones: Vec<_> = all.map(|routes| routes.domain.clone()).collect();
    let stage = Stage {
        plan,
        transport,
        standin: StandIn::start(&plan.standin, folder.path(), &zones).await?,
        folder,
        origin: origin::start().await?,
    };
    let mut subjects = Vec::new();
    if let Some(program) = find(&plan.cloudflared) {
        let alone = stage.cloudflared(&program, &direct, stage.origin).await?;
        subjects.push(stage.subject("cloudflared → origin", vec![alone], &direct));
        for routes in &nginx {
            let listen = free_address()?;
            let Some(nginx) =
                servers::nginx(stage.folder.path(), listen, stage.origin, None, routes)?
            else {
                continue;
            };
            let cloudflared = stage.cloudflared(&program, routes, listen).await?;
            let name = format!("cloudflared → nginx → origin, {} routes", routes.count);
            subjects.push(stage.subject(&name, vec![cloudflared, nginx], routes));
        }
    }
    for routes in &cfgw {
        let process = stage.standalone(routes)?;
        let name = format!("cfgw standalone → origin, {} routes", routes.count);
        subjects.push(stage.subject(&name, vec![process], routes));
    }
    let mut controllers = Vec::new();
    for routes in &proxy {
        let (process, controller) = stage.proxy(routes).await?;
        controllers.push(controller);
        let name = format!("cfgw proxy → origin, {} routes", routes.count);
        subjects.push(stage.subject(&name, vec![process], routes));
    }
    let figures = rounds::measure(plan, &subjects).await?;
    let over = transport.title();
    let title = format!("The whole way over {over} (ratios to cloudflared → origin)");
    report::table(&title, &figures);
    let compared = figures.first();
    if let Some(cloudflared) = compared.filter(|first| first.name.starts_with("cloudflared")) {
        let ours = figures.iter().filter(|one| one.name.starts_with("cfgw"));
        ours.for_each(|ours| judge(ours, cloudflared));
    }
    Ok(())
}

fn judge(ours: &Figures, cloudflared: &Figures) {
    let name = &ours.name;
    let cpu = report::cpu_ratio(ours, cloudflared).median;
    let what = format!("{name}: CPU per request, of cloudflared alone");
    report::goal(&what, cpu, 0.40);
    let memory = report::memory_ratio(ours, cloudflared);
    let what = format!("{name}: RSS after the load, of cloudflared's");
    report::goal(&what, memory, 0.40);
}

impl Stage<'_> {
    fn subject(&self, name: &str, processes: Vec<Process>, routes: &Routes) -> Subject {
        Subject {
            name: name.to_owned(),
            against: 0,
            processes,
            load: Load::new(self.standin.visitors, routes),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn cloudflared(
        &self,
        program: &Path,
        routes: &Routes,
        service: SocketAddr,
    ) -> anyhow::Result<Process> {
        let token = self.standin.tunnel(&routes.domain, service).await?;
        let mut command = Command::new(program);
        command.args(["tunnel", "--no-autoupdate", "--protocol"]);
        command.arg(self.transport.setting());
        for address in self.standin.edge.split(',') {
            command.args(["--edge", address]);
        }
        command.arg("--cacert").arg(&self.standin.authority);
        command.args([
            "--loglevel",
            "error",
            "--metrics",
            "127.0.0.1:0",
            "--no-prechecks",
        ]);
        command.args(["run", "--token", &token]);
        Process::start(&mut command, self.path(&format!("{}.log", routes.domain)))
    }

    fn standalone(&self, routes: &Routes) -> anyhow::Result<Process> {
        let folder = self.path(&routes.domain);
        let manifests = folder.join("manifests");
        std::fs::create_dir_all(&manifests)?;
        std::fs::write(manifests.join("gateway.yaml"), gateway(self.origin))?;
        std::fs::write(manifests.join("routes.yaml"), routes.manifests())?;
        let installation = routes.domain.trim_end_matches(".example");
        let mut command = Command::new(&self.plan.cfgw);
        command
            .arg("standalone")
            .env("CFGW_INSTALLATION", installation)
            .env("CFGW_MANIFESTS", &manifests)
            .env("CFGW_STATE_DIR", folder.join("state"))
            .env("CFGW_CLOUDFLARE__BASE_URL", &self.standin.api);
        self.start(&mut command, routes)
    }

    async fn proxy(&self, routes: &Routes) -> anyhow::Result<(Process, Controller)> {
        let folder = self.path(&routes.domain);
        std::fs::create_dir_all(&folder)?;
        let token = self.standin.tunnel(&routes.domain, self.origin).await?;
        let token_file = folder.join("tunnel-token");
        std::fs::write(&token_file, token)?;
        let controller = Controller::start(&folder, Arc::new(routes.table(self.origin))).await?;
        let mut command = Command::new(&self.plan.cfgw);
        command
            .arg("proxy")
            .env("CFGW_TOKEN_FILE", &token_file)
            .env("CFGW_STATE_DIR", folder.join("state"))
            .env("CFGW_CONTROLLER__ADDRESS", &controller.address)
            .env("CFGW_CONTROLLER__TOKEN_FILE", &controller.token)
            .env("CFGW_CONTROLLER__CA_FILE", &controller.authority);
        Ok((self.start(&mut command, routes)?, controller))
    }

    /// With what holds for every program of ours.
    fn start(&self, command: &mut Command, routes: &Routes) -> anyhow::Result<Process> {
        command
            .env("CFGW_TUNNEL__EDGE", &self.standin.edge)
            .env("CFGW_TUNNEL__PROTOCOL", self.transport.setting())
            .env("CFGW_TUNNEL__CA_FILE", &self.standin.authority)
            .env("CFGW_ADMIN__LISTEN", "127.0.0.1:0");
        Process::start(command, self.path(&format!("{}.log", routes.domain)))
    }
}

/// Everything but the routes.
fn gateway(origin: SocketAddr) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: cloudflare, namespace: default}}
stringData: {{CLOUDFLARE_API_TOKEN: {TOKEN}, CLOUDFLARE_ACCOUNT_ID: \"{ACCOUNT}\"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: cloudflare}}
spec:
  controllerName: cloudflare-gateway-controller.io/controller
  parametersRef: {{group: \"\", kind: Secret, name: cloudflare, namespace: default}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: bench, namespace: default}}
spec:
  gatewayClassName: cloudflare
  listeners: [{{name: http, protocol: HTTP, port: 80}}]
---
apiVersion: v1
kind: Service
metadata: {{name: origin, namespace: default}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: origin-1
  namespace: default
  labels: {{kubernetes.io/service-name: origin}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: [\"{ip}\"]}}]
",
        port = origin.port(),
        ip = origin.ip(),
    )
}
