//! The command line of `cfgwctl`.

pub mod cloudflare;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use domain::Hostname;
use domain::names::{is_dns_label, is_object_name};

use crate::broker::cli::Broker;
use crate::check::edge::EDGES;
use crate::screen::{Format, Plain};
use crate::wait::{Wait, duration};

pub use cloudflare::{AccessFlags, Diagnose, Orphans, Plan};
use cloudflare::{BrokerFlags, OF_DIAGNOSE, OF_PLAN};

/// Shows and operates the Gateways of cloudflare-gateway-controller.
///
/// The cluster is the one that kubectl would use. A verb that acts sets an annotation of the Gateway, which the
/// controller acts upon. Under the name kubectl-cfgw it is a plugin of kubectl, called as kubectl cfgw.
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
  cfgwctl status --all-namespaces
  cfgwctl explain app.example.com/cart
  cfgwctl plan -f ./manifests
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
    /// Shows Gateways, their hostnames, and what is not as it should be.
    #[command(after_help = OF_STATUS)]
    Status(Status),
    /// Shows the way of a request, or the first thing that is in its way.
    ///
    /// The rules are those of the controller and its proxies. Nothing is sent to the hostname. Without the right to
    /// read Secrets these are taken as right.
    #[command(after_help = OF_EXPLAIN)]
    Explain(Explain),
    /// Looks whether the cluster has what the controller needs, before and after it is installed.
    ///
    /// The edge is asked from where this program runs, which need not be where the proxies run. Cloudflare is asked, by
    /// calls that read, with the API tokens of the Secrets, as far as you may read them.
    #[command(after_help = OF_CHECK)]
    Check(Check),
    /// Shows what would change at Cloudflare, and changes nothing.
    ///
    /// The passes of the controller are made without writing anything. Cloudflare is asked, by calls that read, with the
    /// API tokens of the Secrets, which you must be able to read.
    #[command(after_help = OF_PLAN)]
    Plan(Plan),
    /// Shows what Gateways left at Cloudflare that are gone, and takes it up or has it removed.
    #[command(subcommand)]
    Orphans(Orphans),
    /// Collects what a report of a fault needs into a folder, without secrets.
    ///
    /// Versions, statuses, objects, Events, logs and metrics, as far as you may read them. No Secret is read; look
    /// through the folder before you give it away.
    #[command(after_help = OF_DIAGNOSE)]
    Diagnose(Diagnose),
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
    /// Prints an object to apply.
    #[command(subcommand)]
    Generate(Generate),
    /// Brings a hostname to a Service: makes the route, waits, and shows the way of a request.
    #[command(after_help = OF_EXPOSE)]
    Expose(Expose),
    /// Works at a broker: clusters, grants, tokens and the audit. No cluster is asked.
    Broker(Broker),
    /// Prints what completes commands in a shell.
    #[command(after_help = OF_COMPLETION)]
    Completion(Completion),
    /// Writes the man pages into a folder.
    #[command(after_help = "Example:\n  cfgwctl man ./man1")]
    Man(Man),
}

const OF_STATUS: &str = "\
Examples:
  cfgwctl status
  cfgwctl status --all-namespaces -o wide
  cfgwctl status --state ./state
  cfgwctl status -o json";

const OF_EXPLAIN: &str = "\
Examples:
  cfgwctl explain app.example.com
  cfgwctl explain app.example.com/cart --method POST --header x-version:2
  cfgwctl explain http://app.example.com -f ./manifests
  cfgwctl explain app.example.com -f ./manifests --state ./state";

const OF_CHECK: &str = "\
Examples:
  cfgwctl check
  cfgwctl check -o json";

const OF_EXPOSE: &str = "\
Examples:
  cfgwctl expose my-service --hostname app.example.com
  cfgwctl expose my-service --hostname app.example.com --port 8080 --gateway infra/my-gateway";

const OF_COMPLETION: &str = "\
Examples:
  cfgwctl completion bash
  cfgwctl completion powershell";

/// `cfgwctl status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Those of every namespace.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// State folder of cfgw standalone, in place of the cluster.
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
}

/// `cfgwctl explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The request: a hostname, with a path, a query, http:// or a port where these matter.
    #[arg(value_name = "HOST[/PATH]")]
    pub request: String,
    /// Its method.
    #[arg(long, default_value = "GET", value_name = "METHOD")]
    pub method: String,
    /// A header of it; may be given again.
    #[arg(long, value_name = "NAME:VALUE")]
    pub header: Vec<String>,
    /// Folder of manifests, or a file, in place of the cluster.
    #[arg(short, long, value_name = "PATH")]
    pub filename: Option<PathBuf>,
    /// State folder of cfgw standalone, whose statuses are taken with the files.
    #[arg(long, value_name = "FOLDER", requires = "filename")]
    pub state: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Plain::Table, value_name = "FORMAT")]
    pub output: Plain,
}

/// `cfgwctl check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Where the edge is asked; may be given again.
    #[arg(long, value_name = "HOST:PORT", default_values = EDGES)]
    pub edge: Vec<String>,
    /// How a broker is reached, where there is one.
    #[command(flatten)]
    pub broker: BrokerFlags,
    /// How Cloudflare is reached.
    #[command(flatten)]
    pub access: AccessFlags,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Plain::Table, value_name = "FORMAT")]
    pub output: Plain,
}

/// What is printed.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Prints an HTTPRoute that brings a hostname to a Service.
    #[command(after_help = "\
Examples:
  cfgwctl generate route my-service --hostname app.example.com
  cfgwctl generate route my-service --hostname app.example.com --port 80 --gateway my-gateway")]
    Route(Exposed),
}

/// A Service and the hostname that leads to it.
#[derive(Debug, Args)]
pub struct Exposed {
    /// Name of the Service.
    #[arg(value_name = "SERVICE", value_parser = object_name)]
    pub service: String,
    /// The hostname.
    #[arg(long, value_name = "HOSTNAME", value_parser = hostname)]
    pub hostname: Hostname,
    /// NAME or NAMESPACE/NAME; the only Gateway unless given.
    #[arg(long, value_name = "GATEWAY", value_parser = gateway)]
    pub gateway: Option<String>,
    /// Port of the Service; its only one unless given.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
}

/// `cfgwctl expose`.
#[derive(Debug, Args)]
pub struct Expose {
    /// What is exposed.
    #[command(flatten)]
    pub exposed: Exposed,
    /// How long to wait at most until the route is ready.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
}

/// `cfgwctl completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// Which shell.
    pub shell: Shell,
}

/// `cfgwctl man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Folder, which is made where it is not there.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
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
    /// The wait that is asked for.
    pub fn wait(&self) -> Option<Wait> {
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

fn hostname(text: &str) -> Result<Hostname, String> {
    Hostname::parse(text).map_err(|error| error.to_string())
}

fn gateway(text: &str) -> Result<String, String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    match is_dns_label(namespace) && is_object_name(name) {
        true => Ok(text.to_owned()),
        false => {
            Err("must be the name of a Gateway, or its namespace and name: infra/web".to_owned())
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

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
            "cfgwctl expose app --hostname a..b",
            "cfgwctl expose app --hostname a.b --port 0",
            "cfgwctl expose app --hostname a.b --gateway a/b/c",
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
