//! Settings of `cfgw broker`.

use std::path::PathBuf;

use figment::Figment;

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers::{self, ProgramSettings};
use crate::sections::{AdminSettings, CloudflareSettings, LogSettings, fixed};
use crate::values::{Address, Period, StoreAddress};

settings! {
    /// Settings of `cfgw broker`, which holds Cloudflare credentials for many clusters.
    pub struct BrokerSettings {
        /// Where clusters are served. Other addresses than those of this machine need `tls`. Port 0 takes a
        /// free one.
        listen: Address = fixed("127.0.0.1:8443"),
        /// What the broker keeps: `sqlite:` and the path of a file, which one broker alone uses and which is made, or
        /// `postgres://user@host/database` for several brokers. A password belongs into the file that PGPASSFILE names.
        store: StoreAddress = fixed("sqlite:broker.db"),
        /// File with the keys that API tokens are sealed by: lines of an id and 32 bytes in base64
        /// (`echo "first $(openssl rand -base64 32)"`). The first line seals; the others open what they sealed. Needed.
        keys_file: Option<PathBuf> = None,
        /// File with tenants, accounts and grants (YAML), which are put into the store at the start and whenever
        /// it changes. What it does not name stays as it is in the store.
        seed: Option<PathBuf> = None,
        /// How often every Gateway is compared with Cloudflare when nothing changes.
        resync_interval: Period = Period::seconds(600),
        section /// TLS of the server.
        tls: TlsSettings,
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
        /// PEM file with the certificate and its chain. A replaced file is taken up within a minute.
        cert_file: Option<PathBuf> = None,
        /// PEM file with the private key. A replaced file is taken up within a minute.
        key_file: Option<PathBuf> = None,
    }
}

impl ProgramSettings for BrokerSettings {
    fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        let keys = self.keys_file.as_deref();
        let why = "API tokens are sealed by its keys";
        layers::needed("keys_file", keys.is_some(), why)?;
        self.check_tls()?;
        layers::check_files(
            figment,
            &[
                ("keys_file", keys),
                ("seed", self.seed.as_deref()),
                ("tls.cert_file", self.tls.cert_file.as_deref()),
                ("tls.key_file", self.tls.key_file.as_deref()),
                ("cloudflare.ca_file", self.cloudflare.ca_file.as_deref()),
            ],
        )
    }
}

impl BrokerSettings {
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
