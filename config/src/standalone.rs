//! Settings of `cfgw standalone`.

use std::path::PathBuf;

use figment::Figment;

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers::{self, ProgramSettings};
use crate::sections::{
    AdminSettings, CloudflareSettings, EdgeSettings, LogSettings, RequestSettings, TunnelSettings,
};
use crate::values::{Label, Period};

settings! {
    /// Settings of `cfgw standalone`, which reads a folder of manifests instead of a cluster.
    pub struct StandaloneSettings {
        /// Name of this installation: 1 to 63 of a-z, 0-9 and inner `-`. Needed. It is part of every tunnel name and
        /// ownership mark, so that no two in one account may be alike, and a rebuilt one keeps its own. A changed name
        /// leaves the old tunnels behind. Behind a broker the cluster's name there counts.
        installation: Option<Label> = None,
        /// Folder with the manifests, read with its subfolders and watched.
        manifests: PathBuf = PathBuf::from("manifests"),
        /// Folder in which statuses are written, and the instance id by which two installations of one name know each
        /// other. It is made where it is missing; each installation needs its own.
        state_dir: PathBuf = PathBuf::from("cfgw-state"),
        /// How often everything is compared with Cloudflare when nothing changes.
        resync_interval: Period = Period::seconds(600),
        section /// Who makes tunnels and records.
        edge: EdgeSettings,
        section /// How the Cloudflare API is reached; for the backend `direct` only.
        cloudflare: CloudflareSettings,
        section /// How the tunnel connects to Cloudflare's edge.
        tunnel: TunnelSettings,
        section /// What is taken of visitors, and how long they and endpoints are waited for.
        requests: RequestSettings,
        section /// The program's own HTTP server.
        admin: AdminSettings,
        section /// What is logged.
        log: LogSettings,
    }
}

impl StandaloneSettings {
    /// Name of this installation.
    ///
    /// # Errors
    /// It is not set.
    pub fn installation_name(&self) -> Result<&Label, SettingsError> {
        layers::installation_name(self.installation.as_ref())
    }
}

impl ProgramSettings for StandaloneSettings {
    fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        self.edge.check(figment)?;
        if self.edge.broker.service_account_token_file.is_some() {
            let problem =
                "a cluster is attested by it, and `cfgw standalone` is in none; remove it"
                    .to_owned();
            let setting = "edge.broker.service_account_token_file";
            return Err(layers::wrong(figment, setting, problem));
        }
        layers::check_files(
            figment,
            &[
                ("cloudflare.ca_file", self.cloudflare.ca_file.as_deref()),
                ("tunnel.ca_file", self.tunnel.ca_file.as_deref()),
            ],
        )
    }
}
