//! Settings of `cfgw broker`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use figment::Figment;
use serde::{Deserialize, Serialize};

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers::{self, ProgramSettings};
use crate::sections::{AdminSettings, CloudflareSettings, LogSettings, fixed};
use crate::values::{AccountTag, Address, HostnamePattern, Label, Moment, Sha256Hash};

settings! {
    /// Settings of `cfgw broker`, which holds Cloudflare credentials for many clusters.
    pub struct BrokerSettings {
        /// Where clusters are served. Other addresses than those of this machine need `tls`. Port 0 takes a
        /// free one.
        listen: Address = fixed("127.0.0.1:8443"),
        /// The clusters; in the file only. A list of `name` (which becomes a part of tunnel names and
        /// ownership marks, as `installation` does without a broker), `token_sha256` (what
        /// `printf %s "$token" | sha256sum` prints) and, if the token is to expire, `expires`
        /// (2027-01-31T12:00:00Z). What the cluster may have is limited by `hostnames` (a list of exact names and
        /// of wildcards: `*.example.com` is the wildcard and every name below; absent: any name, empty: none)
        /// and `max_gateways` (as many tunnels; absent: no limit).
        clusters: Vec<ClusterSettings> = Vec::new(),
        section /// TLS of the server.
        tls: TlsSettings,
        section /// The Cloudflare credentials.
        credentials: CredentialsSettings,
        section /// How the Cloudflare API is reached.
        cloudflare: CloudflareSettings,
        section /// The program's own HTTP server.
        admin: AdminSettings,
        section /// What is logged.
        log: LogSettings,
    }
}

settings! {
    /// TLS of the broker's server.
    pub struct TlsSettings {
        /// PEM file with the certificate and its chain. Read at the start: restart after replacing it.
        cert_file: Option<PathBuf> = None,
        /// PEM file with the private key. Read at the start: restart after replacing it.
        key_file: Option<PathBuf> = None,
    }
}

settings! {
    /// The Cloudflare credentials of the broker.
    pub struct CredentialsSettings {
        /// Id of the Cloudflare account in which tunnels are made. Needed.
        account: Option<AccountTag> = None,
        /// File with the API token of that account. Needed. A replaced file is used without a restart.
        token_file: Option<PathBuf> = None,
    }
}

/// A cluster that the broker serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// Its name, unique among the broker's clusters and the installations in the account.
    pub name: Label,
    /// SHA-256 of its bearer token.
    pub token_sha256: Sha256Hash,
    /// When the token stops being accepted; never where it is not set.
    #[serde(default)]
    pub expires: Option<Moment>,
    /// Hostnames that it may have; any where it is not set.
    #[serde(default)]
    pub hostnames: Option<Vec<HostnamePattern>>,
    /// How many Gateways it may have; no limit where it is not set.
    #[serde(default)]
    pub max_gateways: Option<u32>,
}

impl ProgramSettings for BrokerSettings {
    fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        let credentials = &self.credentials;
        let why = "the broker needs it";
        let (account, token_file) = (&credentials.account, &credentials.token_file);
        layers::needed("credentials.account", account.is_some(), why)?;
        layers::needed("credentials.token_file", token_file.is_some(), why)?;
        if self.clusters.is_empty() {
            return Err(SettingsError::Missing {
                key: "clusters".to_owned(),
                why: "the broker serves them and nobody else".to_owned(),
                remedy: "name at least one in the settings file".to_owned(),
            });
        }
        self.check_clusters(figment)?;
        self.check_tls()?;
        layers::check_files(
            figment,
            &[
                ("tls.cert_file", self.tls.cert_file.as_deref()),
                ("tls.key_file", self.tls.key_file.as_deref()),
                ("credentials.token_file", token_file.as_deref()),
                ("cloudflare.ca_file", self.cloudflare.ca_file.as_deref()),
            ],
        )
    }
}

impl BrokerSettings {
    /// Two clusters of one name would undo each other's work; of two with one token, one could never be
    /// reached.
    fn check_clusters(&self, figment: &Figment) -> Result<(), SettingsError> {
        let (mut names, mut tokens) = (BTreeSet::new(), BTreeSet::new());
        for cluster in &self.clusters {
            let name = cluster.name.as_str();
            if !names.insert(name) {
                let problem = format!("two clusters are called {name}");
                return Err(layers::wrong(figment, "clusters", problem));
            }
            if !tokens.insert(cluster.token_sha256.as_str()) {
                let problem = format!("cluster {name} has the token of another cluster");
                return Err(layers::wrong(figment, "clusters", problem));
            }
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), SettingsError> {
        match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(_), Some(_)) => Ok(()),
            (Some(_), None) => layers::needed("tls.key_file", false, "tls.cert_file needs it"),
            (None, Some(_)) => layers::needed("tls.cert_file", false, "tls.key_file needs it"),
            (None, None) if self.listen.get().ip().is_loopback() => Ok(()),
            (None, None) => {
                let why = "only an address of this machine can be served without TLS";
                layers::needed("tls.cert_file", false, why)
            }
        }
    }
}
