//! `cfgw broker` and its commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use config::{BrokerSettings, ProgramSettings};
use domain::broker::cluster::WhenExpired;
use domain::broker::role::Role;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::{AdminFlags, OrderToStop};
use crate::broker::{Parts, commands, people};
use crate::core_dumps;
use crate::environment::environment;
use crate::outgoing::check_proxy;
use crate::telemetry;

pub(super) const OF_BROKER: &str = "\
Examples:
  cfgw broker --config /etc/cfgw/broker.yaml --listen 0.0.0.0:8444
  cfgw broker invite east --tenant acme --config /etc/cfgw/broker.yaml
  cfgw broker accept east --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --config /etc/cfgw/broker.yaml
The commands work at the store, whether the broker runs or not.";

/// `cfgw broker`.
#[derive(Debug, Args)]
pub struct Broker {
    /// Instead of serving.
    #[command(subcommand)]
    pub action: Option<BrokerAction>,
    /// Settings file (YAML). Environment (CFGW_…) and flags win over it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings given as flags.
    #[command(flatten)]
    pub flags: BrokerFlags,
}

/// What `cfgw broker` does instead of serving.
#[derive(Debug, Subcommand)]
pub enum BrokerAction {
    /// Gives out a code that a cluster is enrolled with. It is good once and for 15 minutes; earlier codes and keys end.
    #[command(
        after_help = "Example:\n  cfgw broker invite east --tenant acme --config broker.yaml"
    )]
    Invite {
        /// Name of the cluster, unique over all tenants.
        cluster: String,
        /// Whose it is.
        #[arg(long)]
        tenant: String,
    },
    /// Accepts the key of a cluster that redeemed its code. With --attest-anew the cluster is attested by other keys from then on.
    #[command(
        after_help = "Examples:\n  cfgw broker accept east --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --config broker.yaml\n  cfgw broker accept east --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --attest-anew qTfT0wk2c0nBVvCuNEOEtyzTz9vJPzVgh0cRzOX0bX4 --config broker.yaml"
    )]
    Accept {
        cluster: String,
        /// The thumbprint that the cluster tells.
        #[arg(long)]
        key: String,
        /// The thumbprint that the controller logs of its issuer, ServiceAccount and keys, which the cluster is attested by from its
        /// next session on.
        #[arg(long, value_name = "THUMBPRINT")]
        attest_anew: Option<String>,
    },
    /// Ends the sessions of a cluster. Its tunnels go on serving.
    #[command(after_help = "Example:\n  cfgw broker revoke east --config broker.yaml")]
    Revoke { cluster: String },
    /// Ends the sessions of a cluster, replaces the tokens of its tunnels and closes their connections. Records and tunnels stay.
    #[command(after_help = "Example:\n  cfgw broker quarantine east --config broker.yaml")]
    Quarantine { cluster: String },
    /// Removes the records and tunnels of a cluster, and refuses it until it is invited again.
    ///
    /// Without --confirm it only shows what would be removed.
    #[command(
        after_help = "Examples:\n  cfgw broker give-up east --config broker.yaml\n  cfgw broker give-up east --confirm east --config broker.yaml"
    )]
    GiveUp {
        cluster: String,
        /// The name of the cluster once more.
        #[arg(long, value_name = "CLUSTER")]
        confirm: Option<String>,
    },
    /// Lets a cluster go with its records and tunnels, which stay. It goes on with credentials of its own, under the same name.
    #[command(after_help = "Example:\n  cfgw broker release east --config broker.yaml")]
    Release { cluster: String },
    /// Says what becomes of a cluster that is not heard of for `patience.expired`.
    ///
    /// keep: nothing. unpublish: its records are removed until it comes back. delete: it is given up.
    #[command(
        after_help = "Example:\n  cfgw broker when-expired east unpublish --config broker.yaml"
    )]
    WhenExpired {
        cluster: String,
        #[arg(value_enum)]
        then: Then,
    },
    /// Lists all clusters, with the time of their last new session.
    #[command(after_help = "Example:\n  cfgw broker clusters --config broker.yaml")]
    Clusters,
    /// Puts in an API token, tries it, and uses it if it works; else the one before stays.
    #[command(
        after_help = "Example:\n  cfgw broker put-token main --file new-token --config broker.yaml"
    )]
    PutToken {
        account: String,
        /// File with the token.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Goes through the audit and tells whether it is whole.
    #[command(
        after_help = "Examples:\n  cfgw broker verify-audit --config broker.yaml\n  cfgw broker verify-audit --exported audit --kept kept.json --config broker.yaml"
    )]
    VerifyAudit {
        /// Folder with all files that were exported before entries were cut (audit.export_folder).
        #[arg(long, value_name = "FOLDER")]
        exported: Option<PathBuf>,
        /// File with keys and checkpoints that were kept elsewhere: an answer to GET /admin/v1/audit/checkpoints, or what
        /// sign-audit printed.
        #[arg(long, value_name = "FILE")]
        kept: Option<PathBuf>,
    },
    /// Signs the audit as it is now, and prints what to keep elsewhere, for `verify-audit --kept`: public keys and the checkpoint.
    #[command(after_help = "Example:\n  cfgw broker sign-audit --config broker.yaml")]
    SignAudit,
    /// Makes another key that the audit is signed with, and prints what to keep elsewhere, for `verify-audit --kept`.
    #[command(after_help = "Example:\n  cfgw broker new-signing-key --config broker.yaml")]
    NewSigningKey,
    /// Has everything sealed by the key that seals now, so that the others can be removed. It can be interrupted and repeated.
    #[command(after_help = "Example:\n  cfgw broker wrap-again --config broker.yaml")]
    WrapAgain,
    /// Makes a person, or gives another password, other codes and other roles to one. Prints the address that an
    /// authenticator reads the one-time codes from.
    #[command(
        after_help = "Example:\n  cfgw broker put-person ada --role operator --role auditor --password-file password --config broker.yaml"
    )]
    PutPerson {
        person: String,
        /// What they may do: viewer, operator, credential-admin or auditor. May be given several times.
        #[arg(long = "role", required = true, value_parser = role)]
        roles: Vec<Role>,
        /// The one tenant that they see. Without it: all.
        #[arg(long)]
        tenant: Option<String>,
        /// File with the password, 12 to 256 characters.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Signs a person out and removes them.
    #[command(after_help = "Example:\n  cfgw broker remove-person ada --config broker.yaml")]
    RemovePerson { person: String },
    /// Ends every session of somebody: the next call that is made with one is refused.
    #[command(
        after_help = "Examples:\n  cfgw broker sign-out ada --config broker.yaml\n  cfgw broker sign-out 24400320 --issuer https://login.example.com/realms/staff --config broker.yaml"
    )]
    SignOut {
        /// A person with a password; with --issuer the subject of a token (`sub`), as the audit names it.
        whom: String,
        /// The identity provider by whose word somebody is signed in (`iss`).
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
    /// Lists all people who have a password.
    #[command(after_help = "Example:\n  cfgw broker people --config broker.yaml")]
    People,
    /// Writes a copy of the store into a file, which can be put in its place.
    #[command(after_help = "Example:\n  cfgw broker back-up copy.db --config broker.yaml")]
    BackUp { file: PathBuf },
    /// Prints one of its APIs as a document of OpenAPI 3.1.
    #[command(after_help = "Examples:\n  cfgw broker openapi\n  cfgw broker openapi --api people")]
    Openapi {
        /// Who asks by it.
        #[arg(long, value_enum, default_value_t = Api::Clusters)]
        api: Api,
    },
}

/// The APIs of a broker.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Api {
    Clusters,
    People,
}

/// What becomes of a cluster that has expired.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Then {
    Keep,
    Unpublish,
    Delete,
}

impl From<Then> for WhenExpired {
    fn from(then: Then) -> Self {
        match then {
            Then::Keep => Self::Keep,
            Then::Unpublish => Self::Unpublish,
            Then::Delete => Self::Delete,
        }
    }
}

/// Flags that stand for settings of the broker.
#[derive(Debug, Default, Args, Serialize)]
pub struct BrokerFlags {
    /// Address where clusters are served, such as 0.0.0.0:8444.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Settings of the program's own HTTP server.
    #[command(flatten)]
    pub admin: AdminFlags,
}

/// Runs `cfgw broker` until SIGTERM or Ctrl-C.
pub async fn broker(arguments: Broker, ordered: OrderToStop) -> anyhow::Result<()> {
    // Before a key is read.
    core_dumps::forbid()?;
    if let Some(BrokerAction::Openapi { api }) = arguments.action {
        let document = match api {
            Api::Clusters => adapter_broker::openapi::cluster_plane(),
            Api::People => adapter_broker::openapi::people_plane(),
        };
        print!("{document}");
        return Ok(());
    }
    let (file, flags) = (arguments.config.as_deref(), &arguments.flags);
    let settings = BrokerSettings::load(file, environment()?, flags)?;
    if let Some(action) = arguments.action {
        return act(&settings, action).await;
    }
    telemetry::install(settings.log.filter.as_str(), settings.log.format)?;
    check_proxy(|name| std::env::var(name).ok())?;
    let running = crate::broker::Broker::start(&settings).await?;
    ordered.given().await?;
    running.shutdown().await;
    Ok(())
}

async fn act(settings: &BrokerSettings, action: BrokerAction) -> anyhow::Result<()> {
    // On standard error: why keys that are elsewhere cannot be used.
    telemetry::install("warn", settings.log.format)?;
    let mut registry = Registry::default();
    let parts = Parts::open(settings, &mut registry).await?;
    match action {
        BrokerAction::Invite { cluster, tenant } => {
            let code = commands::invite(&parts, &cluster, &tenant, WhenExpired::Keep).await?;
            println!("{}", commands::told(&code));
        }
        BrokerAction::Accept {
            cluster,
            key,
            attest_anew,
        } => {
            let anew = attest_anew.as_deref();
            let attested = commands::accept(&parts, &cluster, &key, anew).await?;
            match anew {
                None => println!("cluster {cluster} is accepted; attested: {attested}"),
                Some(_) => {
                    println!("cluster {cluster} is attested anew by its next session");
                }
            }
        }
        BrokerAction::Revoke { cluster } => {
            commands::revoke(&parts, &cluster).await?;
            println!("cluster {cluster} is revoked");
        }
        BrokerAction::Quarantine { cluster } => {
            commands::quarantine(&parts, &cluster).await?;
            println!(
                "cluster {cluster} is quarantined; the broker replaces the tokens of its tunnels"
            );
        }
        BrokerAction::GiveUp { cluster, confirm } => {
            print!(
                "{}",
                commands::give_up(&parts, &cluster, confirm.as_deref()).await?
            );
        }
        BrokerAction::Release { cluster } => {
            commands::release(&parts, &cluster).await?;
            println!("cluster {cluster} is released; what it has at Cloudflare stays as it is");
        }
        BrokerAction::WhenExpired { cluster, then } => {
            let then = WhenExpired::from(then);
            commands::when_expired(&parts, &cluster, then).await?;
            println!("once cluster {cluster} has expired: {}", then.as_str());
        }
        BrokerAction::Clusters => print!("{}", commands::clusters(&parts).await?),
        BrokerAction::PutToken { account, file } => {
            commands::put_token(&parts, &account, &file).await?;
            println!("the token of account {account} is in use");
        }
        BrokerAction::VerifyAudit { exported, kept } => {
            let (exported, kept) = (exported.as_deref(), kept.as_deref());
            print!("{}", commands::verify_audit(&parts, exported, kept).await?);
        }
        BrokerAction::SignAudit => print!("{}", commands::sign_audit(&parts).await?),
        BrokerAction::NewSigningKey => print!("{}", commands::new_signing_key(&parts).await?),
        BrokerAction::WrapAgain => {
            println!(
                "{} secrets are sealed anew",
                commands::wrap_again(&parts).await?
            );
        }
        BrokerAction::PutPerson {
            person,
            roles,
            tenant,
            password_file,
        } => {
            let tenant = tenant.as_deref();
            let address =
                people::put_person(&parts, &person, &roles, tenant, &password_file).await?;
            println!("{}", commands::told(&address));
        }
        BrokerAction::RemovePerson { person } => {
            people::remove_person(&parts, &person).await?;
            println!("person {person} is removed");
        }
        BrokerAction::SignOut { whom, issuer } => {
            let ended = people::sign_out(&parts, &whom, issuer.as_deref()).await?;
            println!("{ended} sessions of {whom} are ended");
        }
        BrokerAction::People => print!("{}", people::people(&parts).await?),
        BrokerAction::BackUp { file } => {
            commands::back_up(&parts, &file).await?;
            println!("the store is copied to {}", file.display());
        }
        // Printed before settings are read.
        BrokerAction::Openapi { .. } => {}
    }
    Ok(())
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text)
        .ok_or_else(|| "must be viewer, operator, credential-admin or auditor".to_owned())
}
