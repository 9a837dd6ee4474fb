//! The proxy without a tunnel, beside nginx and haproxy: HTTP/1.1 with kept connections, one worker each.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum as _;
use tempfile::TempDir;

use crate::features::Feature;
use crate::load::Load;
use crate::process::{Process, free_address};
use crate::proxy::DOMAIN;
use crate::report;
use crate::rounds::{self, Subject};
use crate::routes::Routes;
use crate::{Plan, origin, servers};

/// Starts the proxy as a process of its own. `authority` is that of an origin that speaks TLS.
pub(crate) fn proxy(
    mut command: Command,
    folder: &Path,
    listen: SocketAddr,
    origin: SocketAddr,
    authority: Option<&Path>,
    routes: &Routes,
    with: Feature,
) -> anyhow::Result<Process> {
    command.arg("proxy");
    command.arg("--listen").arg(listen.to_string());
    command.arg("--routes").arg(routes.count.to_string());
    command.arg("--origin").arg(origin.to_string());
    if let Some(name) = with.to_possible_value() {
        command.arg("--with").arg(name.get_name());
    }
    if let Some(authority) = authority {
        command.arg("--authority").arg(authority);
    }
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
            servers::nginx(folder.path(), listen, origin, None, &routes)?,
        );
        let listen = free_address()?;
        let command = Command::new(std::env::current_exe()?);
        let ours = proxy(
            command,
            folder.path(),
            listen,
            origin,
            None,
            &routes,
            Feature::Plain,
        )?;
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

/// The same with an origin that speaks TLS; haproxy is left out, as only nginx is compared with.
pub(crate) async fn measure_tls(plan: &Plan) -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("cfgw-bench-")?;
    let plain = origin::start().await?;
    let (origin, authority) = origin::start_tls(folder.path()).await?;
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
        let origins = [
            ("over TLS", origin, Some(&*authority)),
            ("in clear text", plain, None),
        ];
        for (how, origin, authority) in origins {
            let (at, folder) = (free_address()?, folder.path());
            let nginx = servers::nginx(folder, at, origin, authority, &routes)?;
            add(&format!("nginx, {how}"), at, nginx);
            let at = free_address()?;
            let command = Command::new(std::env::current_exe()?);
            let with = Feature::Plain;
            let ours = proxy(command, folder, at, origin, authority, &routes, with)?;
            add(&format!("our proxy, {how}"), at, Some(ours));
        }
    }
    let figures = rounds::measure(plan, &subjects).await?;
    report::table(
        "The proxy alone, to an origin over TLS 1.3 (ratios to nginx over TLS with as many routes)",
        &figures,
    );
    for four in figures.chunks(4) {
        let [nginx, ours, ..] = four else { continue };
        if nginx.name.starts_with("nginx") && ours.name.starts_with("our") {
            let ratio = report::cpu_ratio(ours, nginx);
            let what = format!("CPU per request of {}, of nginx", ours.name);
            report::goal(&what, ratio.median, 1.0);
        }
    }
    Ok(())
}
