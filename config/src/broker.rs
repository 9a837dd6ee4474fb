//! Settings of `cfgw broker`.

use std::path::PathBuf;
use std::time::Duration;

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
        /// `postgres://user@host/database` for several brokers. Another machine is reached with TLS, and its certificate is
        /// checked (`sslmode=verify-full`), unless the address says otherwise: `?sslrootcert=FILE` names an authority of one's own.
        store: StoreAddress = fixed("sqlite:broker.db"),
        /// File with the password of the user at PostgreSQL. A replaced file is taken up within a minute, for new
        /// connections.
        store_password_file: Option<PathBuf> = None,
        /// File with the keys that API tokens are sealed by: lines of an id and 32 bytes in base64
        /// (`echo "first $(openssl rand -base64 32)"`). The first line seals; the others open what they sealed. Needed.
        keys_file: Option<PathBuf> = None,
        /// File with tenants, accounts and grants (YAML), which are put into the store at the start and whenever
        /// it changes. What it does not name stays as it is in the store.
        seed: Option<PathBuf> = None,
        /// How often every Gateway is compared with Cloudflare when nothing changes.
        resync_interval: Period = Period::seconds(600),
        section /// The API for people, which is off unless it has an address.
        people: PeopleSettings,
        section /// TLS of the servers.
        tls: TlsSettings,
        section /// For how long the silence of a cluster means nothing.
        patience: PatienceSettings,
        section /// How the Cloudflare API is reached.
        cloudflare: CloudflareSettings,
        section /// The program's own HTTP server.
        admin: AdminSettings,
        section /// What is logged.
        log: LogSettings,
    }
}

settings! {
    /// The API for people: operators, programs that deploy.
    pub struct PeopleSettings {
        /// Where people are served. Other addresses than those of this machine need `tls`.
        listen: Option<Address> = None,
    }
}

settings! {
    /// TLS of the broker's servers.
    pub struct TlsSettings {
        /// PEM file with the certificate and its chain. A replaced file is taken up within a minute.
        cert_file: Option<PathBuf> = None,
        /// PEM file with the private key. A replaced file is taken up within a minute.
        key_file: Option<PathBuf> = None,
    }
}

settings! {
    /// For how long the silence of a cluster means nothing.
    pub struct PatienceSettings {
        /// After so long without a new session a cluster is stale, which is shown and logged. At least `10m`: a quiet cluster
        /// opens a session about every ten minutes, or every `resync_interval` of its controller if that is longer.
        stale: Period = Period::seconds(15 * 60),
        /// After so long without a new session, and without a connector that is connected, a cluster has expired: what
        /// `cfgw broker when-expired` said of it is carried out. Longer than `patience.stale`.
        expired: Period = Period::seconds(7 * 24 * 3600),
    }
}

/// How long a session of a cluster lasts, at most.
const SESSION: Duration = Duration::from_secs(10 * 60);

impl ProgramSettings for BrokerSettings {
    fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        let keys = self.keys_file.as_deref();
        let why = "API tokens are sealed by its keys";
        layers::needed("keys_file", keys.is_some(), why)?;
        self.check_tls()?;
        self.check_patience(figment)?;
        if self.store_password_file.is_some() && self.store.as_str().starts_with("sqlite:") {
            let problem =
                "a file of SQLite has no password; remove it, or name a PostgreSQL in store";
            return Err(layers::wrong(
                figment,
                "store_password_file",
                problem.to_owned(),
            ));
        }
        layers::check_files(
            figment,
            &[
                ("keys_file", keys),
                ("store_password_file", self.store_password_file.as_deref()),
                ("seed", self.seed.as_deref()),
                ("tls.cert_file", self.tls.cert_file.as_deref()),
                ("tls.key_file", self.tls.key_file.as_deref()),
                ("cloudflare.ca_file", self.cloudflare.ca_file.as_deref()),
            ],
        )
    }
}

impl BrokerSettings {
    fn check_patience(&self, figment: &Figment) -> Result<(), SettingsError> {
        let PatienceSettings { stale, expired } = &self.patience;
        if stale.get() < SESSION {
            let problem = format!(
                "{stale} is shorter than a session, and a quiet cluster opens no other one before its end; set it to 10m or longer"
            );
            return Err(layers::wrong(figment, "patience.stale", problem));
        }
        if expired <= stale {
            let problem = format!(
                "{expired} is not longer than patience.stale, which is {stale}; set it to a longer time, such as 168h"
            );
            return Err(layers::wrong(figment, "patience.expired", problem));
        }
        Ok(())
    }

    /// Whether nobody elsewhere is served.
    fn is_of_this_machine(&self) -> bool {
        let people = self.people.listen.map(Address::get);
        let mut all = [self.listen.get()].into_iter().chain(people);
        all.all(|address| address.ip().is_loopback())
    }

    fn check_tls(&self) -> Result<(), SettingsError> {
        match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(_), Some(_)) => Ok(()),
            (Some(_), None) => layers::needed("tls.key_file", false, "tls.cert_file needs it"),
            (None, Some(_)) => layers::needed("tls.cert_file", false, "tls.key_file needs it"),
            (None, None) if self.is_of_this_machine() => Ok(()),
            (None, None) => {
                let why = "only an address of this machine can be served without TLS";
                layers::needed("tls.cert_file", false, why)
            }
        }
    }
}
