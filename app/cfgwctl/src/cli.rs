//! The command line of `cfgwctl`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use domain::names::{is_dns_label, is_object_name};

use crate::cluster::{Choice, Cluster};
use crate::failure::{Exit, Failure};
use crate::screen::{Screen, stdout_has_colours};
use crate::wait::{Wait, duration};
use crate::{reconciling, rotation, version};

/// Shows and operates the Gateways of cloudflare-gateway-controller.
///
/// The cluster is the one that kubectl would use. A verb that acts sets an annotation of the Gateway, which the
/// controller acts upon; no other permission is needed than to read and to patch Gateways. Under the name
/// kubectl-cfgw it is a plugin of kubectl: kubectl cfgw <command>.
#[derive(Debug, Parser)]
#[command(name = "cfgwctl", version, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Which cluster is meant.
    #[command(flatten)]
    pub flags: ClusterFlags,
}

const EXAMPLES: &str = "\
Examples:
  cfgwctl suspend gateway my-gateway
  cfgwctl resume gateway my-gateway --namespace infra
  cfgwctl rotate gateway token my-gateway --watch

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 timed out.

`cfgwctl <command> --help` says more.";

/// Flags that choose the cluster, as kubectl has them.
#[derive(Debug, Default, Args)]
pub struct ClusterFlags {
    /// Namespace; that of the context unless given.
    #[arg(short, long, global = true, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; the current one unless given.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig; KUBECONFIG or ~/.kube/config unless given, and in a pod its ServiceAccount.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Shows the version of this program and of the controllers.
    #[command(after_help = "Example:\n  cfgwctl version")]
    Version,
    /// Stops the controller's work on something; traffic goes on.
    #[command(subcommand)]
    Suspend(Suspend),
    /// Ends a suspension.
    #[command(subcommand)]
    Resume(Resume),
    /// Has something compared with Cloudflare now.
    #[command(subcommand)]
    Reconcile(Reconcile),
    /// Replaces something of a Gateway.
    #[command(subcommand)]
    Rotate(Rotate),
    /// Follows what is under way.
    #[command(subcommand)]
    Watch(Watch),
}

/// What is suspended.
#[derive(Debug, Subcommand)]
pub enum Suspend {
    /// Suspends a Gateway: nothing is written for it until it is resumed.
    #[command(after_help = "Example:\n  cfgwctl suspend gateway my-gateway")]
    Gateway(Named),
}

/// What is resumed.
#[derive(Debug, Subcommand)]
pub enum Resume {
    /// Resumes a Gateway and has it reconciled.
    #[command(after_help = "\
Examples:
  cfgwctl resume gateway my-gateway
  cfgwctl resume gateway my-gateway --wait=false")]
    Gateway(Handled),
}

/// What is reconciled.
#[derive(Debug, Subcommand)]
pub enum Reconcile {
    /// Has a Gateway read and compared with Cloudflare now.
    #[command(after_help = "\
Examples:
  cfgwctl reconcile gateway my-gateway
  cfgwctl reconcile gateway my-gateway --timeout 1m")]
    Gateway(Handled),
}

/// Of what something is replaced.
#[derive(Debug, Subcommand)]
pub enum Rotate {
    /// Of a Gateway.
    #[command(subcommand)]
    Gateway(RotateOfGateway),
}

/// What is replaced.
#[derive(Debug, Subcommand)]
pub enum RotateOfGateway {
    /// Replaces the token of the Gateway's tunnel; no request fails.
    #[command(after_help = "\
Examples:
  cfgwctl rotate gateway token my-gateway
  cfgwctl rotate gateway token my-gateway --watch --timeout 5m")]
    Token(RotateToken),
}

/// Of what something is followed.
#[derive(Debug, Subcommand)]
pub enum Watch {
    /// Of a Gateway.
    #[command(subcommand)]
    Gateway(WatchOfGateway),
}

/// What is followed.
#[derive(Debug, Subcommand)]
pub enum WatchOfGateway {
    /// Follows a rotation of the token until every replica has the new one.
    #[command(after_help = "Example:\n  cfgwctl watch gateway token my-gateway")]
    Token(WatchToken),
}

/// A Gateway.
#[derive(Debug, Args)]
pub struct Named {
    /// Name of the Gateway.
    #[arg(value_name = "GATEWAY", value_parser = object_name)]
    pub name: String,
}

/// A Gateway, and how long the request is waited for.
#[derive(Debug, Args)]
pub struct Handled {
    /// Which Gateway.
    #[command(flatten)]
    pub gateway: Named,
    /// Whether to wait until the Gateway is ready.
    #[arg(
        long, default_value_t = true, value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub wait: bool,
    /// How long to wait at most.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
}

impl Handled {
    fn wait(&self) -> Option<Wait> {
        self.wait.then(|| Wait::of(self.timeout))
    }
}

/// A Gateway whose token is replaced.
#[derive(Debug, Args)]
pub struct RotateToken {
    /// Which Gateway.
    #[command(flatten)]
    pub gateway: Named,
    /// Follow it until every replica has the new token.
    #[arg(long)]
    pub watch: bool,
    /// How long to follow it at most.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
}

/// A Gateway whose rotation is followed.
#[derive(Debug, Args)]
pub struct WatchToken {
    /// Which Gateway.
    #[command(flatten)]
    pub gateway: Named,
    /// How long to follow it at most.
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
}

fn object_name(text: &str) -> Result<String, String> {
    match is_object_name(text) {
        true => Ok(text.to_owned()),
        false => Err("must be the name of an object: a-z, 0-9, inner `-` and `.`".to_owned()),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    match is_dns_label(text) {
        true => Ok(text.to_owned()),
        false => Err("must be the name of a namespace: a-z, 0-9 and inner `-`".to_owned()),
    }
}

/// The command line under the name that the program was called by: `kubectl cfgw` where kubectl calls it.
pub fn command(called: &Path) -> clap::Command {
    let command = Cli::command();
    match called.file_stem() {
        Some(name) if name == "kubectl-cfgw" => command.bin_name("kubectl cfgw"),
        _ => command,
    }
}

/// Does what the arguments of the process ask for.
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
            eprintln!("{failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Does what a command line asks for.
///
/// # Errors
/// It was not done; [`Exit`] says in which way.
pub async fn run(cli: Cli, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let Cli { verb, flags } = cli;
    let choice = Choice {
        kubeconfig: flags.kubeconfig,
        context: flags.context,
        namespace: flags.namespace,
    };
    let cluster = Cluster::connect(&choice).await;
    match verb {
        Verb::Version => {
            let controllers = match cluster {
                Ok(cluster) => cluster.controllers().await,
                Err(failure) => Err(failure),
            };
            screen.text(version::text(controllers));
            Ok(())
        }
        verb => act(verb, &cluster?, screen).await,
    }
}

async fn act(verb: Verb, cluster: &Cluster, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let now = jiff::Timestamp::now().to_string();
    match verb {
        Verb::Version => Ok(()),
        Verb::Suspend(Suspend::Gateway(Named { name })) => {
            reconciling::suspend(cluster, &cluster.key(&name), screen).await
        }
        Verb::Resume(Resume::Gateway(handled)) => {
            let gateway = cluster.key(&handled.gateway.name);
            reconciling::resume(cluster, &gateway, &now, handled.wait(), screen).await
        }
        Verb::Reconcile(Reconcile::Gateway(handled)) => {
            let gateway = cluster.key(&handled.gateway.name);
            reconciling::reconcile(cluster, &gateway, &now, handled.wait(), screen).await
        }
        Verb::Rotate(Rotate::Gateway(RotateOfGateway::Token(asked))) => {
            let gateway = cluster.key(&asked.gateway.name);
            let wait = asked.watch.then(|| Wait::of(asked.timeout));
            rotation::rotate(cluster, &gateway, &now, wait, screen).await
        }
        Verb::Watch(Watch::Gateway(WatchOfGateway::Token(asked))) => {
            let gateway = cluster.key(&asked.gateway.name);
            rotation::watch(cluster, &gateway, Wait::of(asked.timeout), screen).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_is_in_the_way_of_another() {
        Cli::command().debug_assert();
    }

    /// Commands that do something, with the words before them.
    fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        let words = format!("{words} {}", command.get_name());
        if command.get_subcommands().next().is_none() {
            found.push((words.trim_start().to_owned(), command.clone()));
        }
        for deeper in command.get_subcommands() {
            leaves(deeper, &words, found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_it_can_read() {
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        assert!(found.len() > 5, "{}", found.len());
        for (words, command) in found {
            let help = command
                .get_after_help()
                .unwrap_or_else(|| panic!("{words}"));
            let help = help.to_string();
            let examples = help.lines().map(str::trim);
            let examples: Vec<_> = examples
                .filter(|line| line.starts_with("cfgwctl "))
                .collect();
            assert!(!examples.is_empty(), "{words} has no example");
            for example in examples {
                assert!(example.starts_with(&words), "{words}: {example}");
                let read = Cli::try_parse_from(example.split_whitespace());
                assert!(read.is_ok(), "{example}: {read:?}");
            }
        }
    }

    #[test]
    fn what_is_no_name_is_refused_before_any_call() {
        for line in [
            "cfgwctl suspend gateway ../x",
            "cfgwctl suspend gateway",
            "cfgwctl resume gateway web --timeout soon",
            "cfgwctl resume gateway web --namespace a/b",
            "cfgwctl rotate gateway web",
        ] {
            let refused = Cli::try_parse_from(line.split_whitespace()).expect_err(line);
            assert_eq!(refused.exit_code(), Exit::Usage as i32, "{line}");
        }
    }

    #[test]
    fn it_is_called_by_the_name_that_kubectl_gives_it() {
        for (called, expected) in [
            ("/usr/bin/cfgwctl", "Usage: cfgwctl "),
            ("/usr/bin/kubectl-cfgw", "Usage: kubectl cfgw "),
            ("kubectl-cfgw.exe", "Usage: kubectl cfgw "),
        ] {
            let help = command(Path::new(called)).render_help().to_string();
            assert!(help.contains(expected), "{called}: {help}");
        }
    }
}
