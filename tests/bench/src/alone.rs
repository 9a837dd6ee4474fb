//! The proxy without a tunnel, beside nginx and haproxy: HTTP/1.1 with kept connections, one worker each.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::load::Load;
use crate::process::{Process, free_address};
use crate::proxy::DOMAIN;
use crate::report;
use crate::rounds::{self, Subject};
use crate::routes::Routes;
use crate::{Plan, origin, servers};

/// Starts the proxy as a process of its own.
pub(crate) fn proxy(
    mut command: Command,
    folder: &Path,
    listen: SocketAddr,
    origin: SocketAddr,
    routes: &Routes,
) -> anyhow::Result<Process> {
    command.arg("proxy");
    command.arg("--listen").arg(listen.to_string());
    command.arg("--routes").arg(routes.count.to_string());
    command.arg("--origin").arg(origin.to_string());
    Process::start(
        &mut command,
        folder.join(format!("proxy-{}.log", listen.port())),
    )
}

/// Measures and prints.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("cfgw-bench-")?;
    let origin = origin::start().await?;
    let mut subjects: Vec<Subject> = Vec::new();
    for count in [1, plan.routes] {
        let routes = Routes::new(count, DOMAIN);
        let first = subjects.len();
        let mut add = |name: &str, listen, process: Option<Process>| {
            subjects.extend(process.map(|process| Subject {
                name: format!("{name}, {count} routes"),
                against: first,
                processes: vec![process],
                load: Load::new(listen, &routes),
            }));
        };
        let listen = free_address()?;
        add(
            "nginx",
            listen,
            servers::nginx(folder.path(), listen, origin, &routes)?,
        );
        let listen = free_address()?;
        let command = Command::new(std::env::current_exe()?);
        let ours = proxy(command, folder.path(), listen, origin, &routes)?;
        add("our proxy", listen, Some(ours));
        let listen = free_address()?;
        add(
            "haproxy",
            listen,
            servers::haproxy(folder.path(), listen, origin, &routes)?,
        );
    }
    let figures = rounds::measure(plan, &subjects).await?;
    report::table(
        "The proxy alone (ratios to nginx with as many routes)",
        &figures,
    );
    let large = format!("our proxy, {} routes", plan.routes);
    if let Some(ours) = figures.iter().find(|f| f.name == large)
        && figures[ours.against].name.starts_with("nginx")
    {
        let ratio = report::cpu_ratio(ours, &figures[ours.against]);
        report::goal("CPU per request of the proxy, of nginx", ratio.median, 1.15);
    }
    Ok(())
}
