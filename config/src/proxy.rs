//! Settings of `cfgw proxy`.

use std::path::PathBuf;

use figment::Figment;

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers::{self, ProgramSettings};
use crate::sections::{AdminSettings, LogSettings, RequestSettings, TunnelSettings, fixed};
use crate::values::{HostPort, ObjectName};

settings! {
    /// Settings of `cfgw proxy`, one replica of a Gateway's data plane. The controller sets them.
    pub struct ProxySettings {
        /// Name of this replica, unique among the Gateway's: the name of its pod.
        replica: ObjectName = fixed("proxy"),
        /// File with the connector token of the Gateway's tunnel. A replaced file is used without a restart.
        /// Needed.
        token_file: Option<PathBuf> = None,
        /// Folder in which the last routes are kept, so that a container that is restarted in place serves
        /// without the controller. It is made where it is missing.
        state_dir: PathBuf = PathBuf::from("cfgw-state"),
        section /// How routes come from the controller.
        controller: ControllerAccess,
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

settings! {
    /// How routes come from the controller.
    pub struct ControllerAccess {
        /// Where the controller is reached.
        address: HostPort = fixed("cfgw-controller.cfgw-system.svc:8443"),
        /// File with the token that says whose proxy this is; read again for each connection. Needed.
        token_file: Option<PathBuf> = None,
        /// PEM file with the controller's certificate authority; read again for each connection. Needed.
        ca_file: Option<PathBuf> = None,
    }
}

impl ProgramSettings for ProxySettings {
    fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        let controller = &self.controller;
        let why = "a proxy needs it";
        for (key, file) in [
            ("token_file", &self.token_file),
            ("controller.token_file", &controller.token_file),
            ("controller.ca_file", &controller.ca_file),
        ] {
            layers::needed(key, file.is_some(), why)?;
        }
        layers::check_files(
            figment,
            &[
                ("token_file", self.token_file.as_deref()),
                ("controller.token_file", controller.token_file.as_deref()),
                ("controller.ca_file", controller.ca_file.as_deref()),
                ("tunnel.ca_file", self.tunnel.ca_file.as_deref()),
            ],
        )
    }
}
