//! Commands that ask Cloudflare.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use adapter_manifests::Manifests;

use super::connect;
use crate::cli::cloudflare::BrokerFlags;
use crate::cli::cloudflare::{AdoptOrphan, DeleteOrphan, ListOrphans, Orphan};
use crate::cli::{AccessFlags, ClusterFlags, Orphans, Plan};
use crate::failure::Failure;
use crate::orphans::{found, taking};
use crate::plan;
use crate::plan::stage::{self, Access};
use crate::screen::{Screen, harmless};
use crate::settings::Settings;
use crate::wait::Wait;

/// Longest manifest that is read from standard input.
const LONGEST_INPUT: u64 = 8 << 20;

pub(super) async fn plan(
    asked: Plan,
    flags: ClusterFlags,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let access = behind(asked.broker, access(asked.access)?)?;
    let manifests = asked.filename.as_deref().map(manifests).transpose()?;
    let now = now();
    let (rehearsed, notes) = match (manifests, &asked.state) {
        (Some(manifests), Some(state)) if access.broker_url.is_some() => {
            stage::rehearse_folder_behind(&manifests, state, &access, now).await?
        }
        (Some(manifests), Some(state)) => {
            let staged = stage::of_folder(manifests, state, &access, now).await?;
            (staged.rehearse().await, staged.notes)
        }
        (manifests, _) => {
            let cluster = connect(flags).await?;
            let settings = Settings::of_cluster(&cluster, access.controller.as_ref()).await?;
            if settings.defaults.is_behind_broker {
                let manifests = manifests.as_ref();
                stage::rehearse_behind(&cluster, &settings, manifests, &access, now).await?
            } else {
                let staged = stage::of_cluster(&cluster, manifests, &access, now).await?;
                (staged.rehearse().await, staged.notes)
            }
        }
    };
    let plan = plan::Plan::of(&rehearsed, notes);
    let text = asked.output.text(&plan, || plan.text(screen));
    screen.text(text);
    plan.verdict()
}

/// The same where there is a broker.
pub(super) fn behind(broker: BrokerFlags, access: Access) -> Result<Access, Failure> {
    Ok(Access {
        broker_url: broker.broker_url,
        broker_roots: certificates("--broker-ca", broker.broker_ca)?,
        ..access
    })
}

/// `-` is standard input.
fn manifests(path: &Path) -> Result<Manifests, Failure> {
    if path.as_os_str() != "-" {
        return Manifests::read(path).map_err(|error| Failure::new(error, ""));
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .take(LONGEST_INPUT)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("standard input: {error}"), "give it YAML"))?;
    Ok(Manifests::of_text(&text))
}

pub(super) async fn orphans(
    asked: Orphans,
    flags: ClusterFlags,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    match asked {
        Orphans::List(ListOrphans { access: to, output }) => {
            let access = access(to)?;
            let cluster = connect(flags).await?;
            let staged = stage::of_cluster(&cluster, None, &access, now()).await?;
            let orphans = found::find(&staged).await;
            let text = output.text(&orphans, || orphans.text(screen));
            screen.text(text);
            orphans.verdict()
        }
        Orphans::Adopt(AdoptOrphan { orphan, filename }) => {
            let manifest = filename.map(|file| {
                std::fs::read_to_string(&file).map_err(|error| {
                    Failure::usage(format!("{}: {error}", file.display()), "name a file")
                })
            });
            let manifest = manifest.transpose()?;
            act(orphan, flags, screen, async |cluster, asked, screen| {
                taking::adopt(cluster, asked, manifest.as_deref(), screen).await
            })
            .await
        }
        Orphans::Delete(DeleteOrphan { orphan, timeout }) => {
            act(orphan, flags, screen, async |cluster, asked, screen| {
                taking::delete(cluster, asked, Wait::of(timeout), screen).await
            })
            .await
        }
    }
}

async fn act(
    orphan: Orphan,
    flags: ClusterFlags,
    screen: &mut Screen<'_>,
    act: impl AsyncFnOnce(
        &crate::cluster::Cluster,
        &taking::Asked<'_>,
        &mut Screen<'_>,
    ) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let access = access(orphan.access)?;
    let cluster = connect(flags).await?;
    let consent = |question: &str| match orphan.yes {
        true => Ok(true),
        false => confirmed(question),
    };
    let asked = taking::Asked {
        gateway: cluster.key(&orphan.gateway.name),
        class: orphan.class,
        access: &access,
        consent: &consent,
        now: now(),
    };
    act(&cluster, &asked, screen).await
}

/// Asks at the terminal.
fn confirmed(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(
            "--yes: Required value: there is no terminal to ask at",
            "look at the lines above, and give --yes",
        ));
    }
    eprint!("{} [y/N] ", harmless(question));
    let mut answer = String::new();
    let read = std::io::stderr().flush();
    read.and_then(|()| stdin.lock().read_line(&mut answer).map(|_| ()))
        .map_err(|error| Failure::new(format!("standard input: {error}"), "give --yes"))?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

pub(super) fn now() -> domain::Timestamp {
    domain::Timestamp(jiff::Timestamp::now().as_second())
}

pub(super) fn access(flags: AccessFlags) -> Result<Access, Failure> {
    Ok(Access {
        url: flags.cloudflare_url,
        roots: certificates("--cloudflare-ca", flags.cloudflare_ca)?,
        installation: flags.installation,
        controller: flags.controller,
        ..Access::default()
    })
}

fn certificates(flag: &str, file: Option<PathBuf>) -> Result<Vec<u8>, Failure> {
    let read = file.map(|file| {
        std::fs::read(&file).map_err(|error| {
            Failure::usage(
                format!("{flag} {}: {error}", file.display()),
                "name a file with certificates in PEM",
            )
        })
    });
    Ok(read.transpose()?.unwrap_or_default())
}
