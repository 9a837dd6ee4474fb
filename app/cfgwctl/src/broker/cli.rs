//! The command line of `cfgwctl broker`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::screen::Plain;

/// `cfgwctl broker`.
#[derive(Debug, Args)]
pub struct Broker {
    /// What to do there.
    #[command(subcommand)]
    pub verb: BrokerVerb,
    /// File that keeps who is signed in where; broker.json in the folder cfgw of the user's settings unless given.
    #[arg(long, global = true, value_name = "FILE", env = "CFGW_BROKER_SESSION")]
    pub session: Option<PathBuf>,
}

/// What people do at a broker.
#[derive(Debug, Subcommand)]
pub enum BrokerVerb {
    /// Signs in with a password and a one-time code, with an identity provider, or by a token, for eight hours at most.
    #[command(
        after_help = "Examples:\n  cfgwctl broker sign-in https://broker.example.com:8444 --name ada\n  cfgwctl broker sign-in https://broker.example.com:8444 --oidc\n  cfgwctl broker sign-in https://broker.example.com:8444 --token-file /var/run/secrets/broker/token"
    )]
    SignIn(SignIn),
    /// Signs out.
    #[command(after_help = "Example:\n  cfgwctl broker sign-out")]
    SignOut,
    /// Shows tenants.
    #[command(after_help = "Example:\n  cfgwctl broker tenants")]
    Tenants(Shown),
    /// Makes a tenant.
    #[command(after_help = "Example:\n  cfgwctl broker put-tenant acme")]
    PutTenant { tenant: String },
    /// Removes a tenant that has nothing.
    #[command(after_help = "Example:\n  cfgwctl broker remove-tenant acme")]
    RemoveTenant { tenant: String },
    /// Shows clusters.
    #[command(after_help = "Example:\n  cfgwctl broker clusters -o json")]
    Clusters(Shown),
    /// Gives out a code that a cluster is enrolled with. It is good once and for 15 minutes; earlier codes and keys end.
    #[command(after_help = "Example:\n  cfgwctl broker invite east --tenant acme")]
    Invite {
        cluster: String,
        /// Whose it is.
        #[arg(long)]
        tenant: String,
    },
    /// Accepts the key of a cluster that redeemed its code. With --attest-anew the cluster is attested by other keys from then on.
    #[command(
        after_help = "Examples:\n  cfgwctl broker accept east --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n  cfgwctl broker accept east --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --attest-anew qTfT0wk2c0nBVvCuNEOEtyzTz9vJPzVgh0cRzOX0bX4"
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
    #[command(after_help = "Example:\n  cfgwctl broker revoke east")]
    Revoke { cluster: String },
    /// Ends the sessions of a cluster, replaces the tokens of its tunnels and closes their connections. Records and tunnels stay.
    #[command(after_help = "Example:\n  cfgwctl broker quarantine east")]
    Quarantine { cluster: String },
    /// Lets a cluster go with its records and tunnels, which stay. It goes on with credentials of its own, under the same name.
    #[command(after_help = "Example:\n  cfgwctl broker release east")]
    Release { cluster: String },
    /// Removes the records and tunnels of a cluster, and refuses it until it is invited again.
    ///
    /// Without --confirm it only shows what would be removed.
    #[command(
        after_help = "Examples:\n  cfgwctl broker give-up east\n  cfgwctl broker give-up east --confirm east"
    )]
    GiveUp {
        cluster: String,
        /// The name of the cluster once more.
        #[arg(long, value_name = "CLUSTER")]
        confirm: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Says what becomes of a cluster that is not heard of any more: keep, unpublish (its records are removed until it comes
    /// back) or delete (it is given up).
    #[command(after_help = "Example:\n  cfgwctl broker when-expired east unpublish")]
    WhenExpired { cluster: String, then: String },
    /// Shows the Gateways of a cluster, with their accounts and hostnames.
    #[command(after_help = "Example:\n  cfgwctl broker gateways east -o json")]
    Gateways {
        cluster: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Shows what is granted to the clusters of a tenant.
    #[command(after_help = "Example:\n  cfgwctl broker grants acme")]
    Grants {
        tenant: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Puts a grant in its place, from a file.
    #[command(after_help = "Example:\n  cfgwctl broker put-grant acme -f grant.yaml")]
    PutGrant {
        tenant: String,
        /// File with the grant, YAML or JSON.
        #[arg(short, long, value_name = "FILE")]
        filename: PathBuf,
    },
    /// Removes a grant. Names that are granted by no other one lose their records.
    #[command(after_help = "Example:\n  cfgwctl broker remove-grant acme some")]
    RemoveGrant { tenant: String, grant: String },
    /// Shows Cloudflare accounts.
    #[command(after_help = "Example:\n  cfgwctl broker accounts")]
    Accounts(Shown),
    /// Puts in an API token, has it tried, and used if it works; else the one before stays.
    #[command(after_help = "Example:\n  cfgwctl broker put-token main --file new-token")]
    PutToken {
        account: String,
        /// File with the token.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Shows the audit.
    #[command(after_help = "Example:\n  cfgwctl broker audit --after 1200")]
    Audit {
        /// Entries after this one.
        #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
        after: u64,
        #[command(flatten)]
        shown: Shown,
    },
    /// Has the broker go through the audit.
    #[command(after_help = "Example:\n  cfgwctl broker verify-audit")]
    VerifyAudit,
}

/// How something is printed.
#[derive(Debug, Args)]
pub struct Shown {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Plain::Table, value_name = "FORMAT")]
    pub output: Plain,
}

/// `cfgwctl broker sign-in`.
#[derive(Debug, Args)]
pub struct SignIn {
    /// Where the broker serves people.
    pub url: String,
    /// The name that whoever runs the broker gave.
    #[arg(long, required_unless_present_any = ["oidc", "token_file"])]
    pub name: Option<String>,
    /// Signs in with an identity provider, in a browser on whatever machine.
    #[arg(long, conflicts_with_all = ["name", "password_file", "code"])]
    pub oidc: bool,
    /// Which one, where the broker knows several.
    #[arg(long, requires = "oidc")]
    pub provider: Option<String>,
    /// File with the secret of the client, where the provider gives one to programs for terminals too.
    #[arg(long, requires = "oidc", value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// File with a token of an identity provider, such as that of a job or of a ServiceAccount. It is good once.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "password_file", "code", "oidc"])]
    pub token_file: Option<PathBuf>,
    /// In which tenant, where the provider's rules give roles in several.
    #[arg(long, conflicts_with = "name")]
    pub tenant: Option<String>,
    /// File with the certificate authorities of broker and provider (PEM), besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with the password; it is asked for unless given.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The one-time code; it is asked for unless given.
    #[arg(long)]
    pub code: Option<String>,
}
