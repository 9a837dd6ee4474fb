//! What runs for a command line.

mod asking;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use adapter_gateway_api::Kind;
use clap::{CommandFactory, FromArgMatches};

use crate::check;
use crate::cli::{
    Check, Cli, ClusterFlags, Explain, Expose, Exposed, Generate, Man, Named, Reconcile, Resume,
    Rotate, RotateOfGateway, Status, Suspend, Verb, Watch, WatchOfGateway, command,
};
use crate::cluster::{Choice, Cluster};
use crate::explain::question::Question;
use crate::explain::reading;
use crate::explain::way::explain;
use crate::expose::{self, Said};
use crate::failure::Failure;
use crate::screen::{Screen, as_yaml, harmless, stdout_has_colours};
use crate::status::{Overview, Seen};
use crate::wait::Wait;
use crate::{broker, reconciling, rotation, standalone, version};

/// Does what the arguments of the process ask for. The exit code is that of [`Failure`].
pub async fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called = arguments.first().cloned().unwrap_or_default();
    let matches = command(Path::new(&called)).get_matches_from(arguments);
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let mut out = std::io::stdout();
    let mut screen = Screen::new(&mut out, stdout_has_colours());
    let ended = run(cli, &mut screen).await;
    let written = screen.finish();
    let ended = ended.and_then(|()| {
        written.map_err(|error| Failure::new(format!("standard output: {error}"), ""))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", harmless(&failure.to_string()));
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Does what a command line asks for.
///
/// # Errors
/// It was not done.
pub async fn run(cli: Cli, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let Cli { verb, flags } = cli;
    match verb {
        Verb::Completion(asked) => {
            let mut text = Vec::new();
            clap_complete::generate(asked.shell, &mut Cli::command(), "cfgwctl", &mut text);
            screen.text(String::from_utf8_lossy(&text));
            Ok(())
        }
        Verb::Man(asked) => man(&asked, screen),
        Verb::Broker(asked) => broker::run(asked, screen).await,
        Verb::Version => {
            let controllers = match connect(flags).await {
                Ok(cluster) => cluster.controllers().await,
                Err(failure) => Err(failure),
            };
            screen.text(version::text(controllers));
            Ok(())
        }
        Verb::Explain(asked) => show_way(asked, flags, screen).await,
        Verb::Plan(asked) => asking::plan(asked, flags, screen).await,
        Verb::Orphans(asked) => asking::orphans(asked, flags, screen).await,
        Verb::Status(Status {
            state: Some(state),
            output,
            ..
        }) => {
            let text = Overview::of(standalone::seen(&state)?).text(output, screen);
            screen.text(text);
            Ok(())
        }
        verb => with_cluster(verb, &connect(flags).await?, screen).await,
    }
}

async fn connect(flags: ClusterFlags) -> Result<Cluster, Failure> {
    let choice = Choice {
        kubeconfig: flags.kubeconfig,
        context: flags.context,
        namespace: flags.namespace,
    };
    Cluster::connect(&choice).await
}

async fn with_cluster(
    verb: Verb,
    cluster: &Cluster,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    let request = now.to_string();
    match verb {
        Verb::Suspend(Suspend::Gateway(Named { name })) => {
            reconciling::suspend(cluster, &cluster.key(&name), screen).await
        }
        Verb::Resume(Resume::Gateway(handled)) => {
            let gateway = cluster.key(&handled.gateway.name);
            reconciling::resume(cluster, &gateway, &request, handled.wait(), screen).await
        }
        Verb::Reconcile(Reconcile::Gateway(handled)) => {
            let gateway = cluster.key(&handled.gateway.name);
            reconciling::reconcile(cluster, &gateway, &request, handled.wait(), screen).await
        }
        Verb::Rotate(Rotate::Gateway(RotateOfGateway::Token(asked))) => {
            let gateway = cluster.key(&asked.gateway.name);
            let wait = asked.watch.then(|| Wait::of(asked.timeout));
            rotation::rotate(cluster, &gateway, &request, wait, screen).await
        }
        Verb::Watch(Watch::Gateway(WatchOfGateway::Token(asked))) => {
            let gateway = cluster.key(&asked.gateway.name);
            rotation::watch(cluster, &gateway, Wait::of(asked.timeout), screen).await
        }
        Verb::Status(asked) => show_status(cluster, &asked, screen).await,
        Verb::Check(asked) => show_check(cluster, asked, now.as_second(), screen).await,
        Verb::Generate(Generate::Route(exposed)) => {
            let wanted = expose::wanted(cluster, said(exposed)).await?;
            screen.text(as_yaml(&wanted.route()));
            Ok(())
        }
        Verb::Expose(Expose { exposed, timeout }) => {
            let wanted = expose::wanted(cluster, said(exposed)).await?;
            expose::expose(cluster, &wanted, Wait::of(timeout), screen).await
        }
        Verb::Diagnose(asked) => diagnose(cluster, &asked.folder, now.as_second(), screen).await,
        // Those that do without a cluster have run by now.
        Verb::Version
        | Verb::Explain(_)
        | Verb::Plan(_)
        | Verb::Orphans(_)
        | Verb::Broker(_)
        | Verb::Completion(_)
        | Verb::Man(_) => Ok(()),
    }
}

fn said(exposed: Exposed) -> Said {
    Said {
        service: exposed.service,
        hostname: exposed.hostname,
        gateway: exposed.gateway,
        port: exposed.port,
    }
}

fn man(asked: &Man, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let folder = asked.folder.display();
    let written = std::fs::create_dir_all(&asked.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &asked.folder));
    written.map_err(|error| {
        Failure::new(
            format!("{folder}: {error}"),
            "name a folder that can be written",
        )
    })?;
    screen.line(format_args!("Wrote the man pages into {folder}"));
    Ok(())
}

async fn show_way(
    asked: Explain,
    flags: ClusterFlags,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let question = Question::parse(&asked.request, &asked.method, &asked.header)?;
    let known = match &asked.filename {
        Some(files) => {
            let mut known = reading::of_files(files)?;
            if let Some(state) = &asked.state {
                known.statuses = Some(standalone::seen(state)?.statuses);
            }
            known
        }
        None => reading::of_cluster(&connect(flags).await?).await?,
    };
    let explanation = explain(&question, &known);
    let text = asked.output.text(&explanation, || explanation.text(screen));
    screen.text(text);
    match explanation.obstacle {
        Some(obstacle) => Err(Failure::new(obstacle, "")),
        None => Ok(()),
    }
}

async fn show_check(
    cluster: &Cluster,
    asked: Check,
    now: i64,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut findings = check::of_cluster(cluster, now).await?;
    for edge in &asked.edge {
        findings.extend(check::edge::check(edge).await);
    }
    let access = asking::behind(asked.broker, asking::access(asked.access)?)?;
    let now = domain::Timestamp(now);
    findings.extend(check::cloudflare::check(cluster, &access, now).await);
    let text = asked
        .output
        .text(&findings, || check::text(&findings, screen));
    screen.text(text);
    check::verdict(&findings)
}

async fn diagnose(
    cluster: &Cluster,
    folder: &Path,
    now: i64,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let check = match check::of_cluster(cluster, now).await {
        Ok(mut findings) => {
            for edge in check::edge::EDGES {
                findings.extend(check::edge::check(edge).await);
            }
            let mut out = Vec::new();
            check::text(&findings, &Screen::new(&mut out, false))
        }
        Err(failure) => failure.to_string(),
    };
    let files = crate::diagnose::collect(cluster, check)
        .await
        .write(folder)?;
    screen.line(format_args!(
        "Wrote {files} files into {}; what could not be read is in missing.txt. Look through it before you give it away",
        folder.display()
    ));
    Ok(())
}

async fn show_status(
    cluster: &Cluster,
    asked: &Status,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let seen = seen(cluster, asked.all_namespaces).await?;
    let text = Overview::of(seen).text(asked.output, screen);
    screen.text(text);
    Ok(())
}

/// What `status` shows, of one namespace or of all. Routes may be in another namespace than their Gateway.
///
/// # Errors
/// Gateways cannot be listed; what else cannot is told in its place.
pub async fn seen(cluster: &Cluster, everywhere: bool) -> Result<Seen, Failure> {
    let namespace = (!everywhere).then_some(cluster.namespace.as_str());
    let mut seen = Seen {
        gateways: cluster.gateways(namespace).await?,
        ..Seen::default()
    };
    match cluster.list(Kind::GatewayStatus, namespace).await {
        Ok(Some(statuses)) => seen.statuses = statuses,
        Ok(None) => seen.unread.push(
            "CloudflareGatewayStatus: Not found: its CRD must be installed; apply those of the chart".to_owned(),
        ),
        Err(failure) => seen
            .unread
            .push(format!("CloudflareGatewayStatuses: {failure}")),
    }
    // They may be in another namespace than their Gateway too, and the kind need not be there.
    match cluster.list(Kind::ListenerSet, None).await {
        Ok(sets) => seen.listener_sets = sets.unwrap_or_default(),
        Err(failure) => seen.unread.push(format!("ListenerSets: {failure}")),
    }
    for kind in [Kind::HttpRoute, Kind::GrpcRoute] {
        match cluster.list(kind, None).await {
            Ok(routes) => {
                let routes = routes.unwrap_or_default().into_iter();
                seen.routes
                    .extend(routes.map(|route| (kind.as_str(), route)));
            }
            Err(failure) => seen.unread.push(format!("{}s: {failure}", kind.as_str())),
        }
    }
    Ok(seen)
}
