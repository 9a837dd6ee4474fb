//! Settings of `cfgw broker`.

use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers::{self, ProgramSettings};
use crate::oidc::OidcProviders;
use crate::sections::{AdminSettings, CloudflareSettings, LogSettings, fixed};
use crate::values::{
    Address, AuditEntries, BaseUrl, KeyKind, KeyLabel, Period, StoreAddress, VariableName,
};

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
        /// (`echo "first $(openssl rand -base64 32)"`). The first line seals; the others open what they sealed. Needed, unless
        /// keys are elsewhere: `keys_variable`, `pkcs11`, `vault`.
        keys_file: Option<PathBuf> = None,
        /// Environment variable with such lines, such as `BROKER_KEYS`.
        keys_variable: Option<VariableName> = None,
        /// Which keys seal where there are several kinds: `file`, `variable`, `pkcs11` or `vault`. The others open what they
        /// sealed.
        seal_with: Option<KeyKind> = None,
        /// File with tenants, accounts and grants (YAML), which are put into the store at the start and whenever
        /// it changes. What it does not name stays as it is in the store.
        seed: Option<PathBuf> = None,
        /// How often every Gateway is compared with Cloudflare when nothing changes.
        resync_interval: Period = Period::seconds(600),
        section /// The API for people, which is off unless it has an address.
        people: PeopleSettings,
        section /// Keys in a token of PKCS#11.
        pkcs11: Pkcs11Settings,
        section /// Keys of the transit engine of HashiCorp Vault.
        vault: VaultSettings,
        section /// How the audit is signed, and how much of it is kept.
        audit: AuditSettings,
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
        /// Identity providers by whose tokens people and programs sign in, besides those who have a password (a list;
        /// docs/broker-people.md has the keys of each). In the environment it is a text in YAML.
        oidc: OidcProviders = OidcProviders::default(),
    }
}

settings! {
    /// Keys in a token of PKCS#11.
    pub struct Pkcs11Settings {
        /// The module: a shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
        module: Option<PathBuf> = None,
        /// Label of the token that the keys are in.
        token: Option<KeyLabel> = None,
        /// Label of the AES key in it that seals. Keys that sealed before are found by themselves.
        key: KeyLabel = fixed("cfgw"),
        /// File with the user's PIN. A replaced file counts when the next session with the token begins.
        pin_file: Option<PathBuf> = None,
    }
}

settings! {
    /// Keys of the transit engine of HashiCorp Vault.
    pub struct VaultSettings {
        /// Base URL of Vault. Plain `http` is taken for addresses of this machine only.
        address: Option<BaseUrl> = None,
        /// Where the transit engine is mounted.
        mount: KeyLabel = fixed("transit"),
        /// Name of the key there.
        key: KeyLabel = fixed("cfgw"),
        /// Namespace, of Vault Enterprise.
        namespace: Option<KeyLabel> = None,
        /// File with a token that may update `<mount>/encrypt/<key>` and `<mount>/decrypt/<key>`. A replaced file counts at once.
        token_file: Option<PathBuf> = None,
        /// PEM file with root certificates that are trusted besides the system's. A replaced file counts at once.
        ca_file: Option<PathBuf> = None,
        /// How long one request may take, its whole answer included.
        request_timeout: Period = Period::seconds(10),
    }
}

settings! {
    /// How the audit is signed, and how much of it is kept.
    pub struct AuditSettings {
        /// A checkpoint is signed after so many entries at the latest.
        checkpoint_entries: AuditEntries = AuditEntries::new(1000),
        /// A checkpoint is signed after so long at the latest, where there are entries.
        checkpoint_interval: Period = Period::seconds(10 * 60),
        /// For how long entries are kept in the store.
        keep: Period = Period::seconds(365 * 24 * 3600),
        /// About how many entries are kept in the store, at most.
        max_entries: AuditEntries = AuditEntries::new(1_000_000),
        /// Folder that entries are written to before they are cut, which several brokers may share. Without one they are
        /// gone then.
        export_folder: Option<PathBuf> = None,
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
        self.check_keys(figment)?;
        self.check_tls()?;
        self.check_patience(figment)?;
        self.check_store(figment)?;
        self.check_audit(figment)?;
        if let Some(problem) = self.people.oidc.problem() {
            return Err(layers::wrong(figment, "people.oidc", problem));
        }
        layers::check_files(
            figment,
            &[
                ("keys_file", self.keys_file.as_deref()),
                ("store_password_file", self.store_password_file.as_deref()),
                ("pkcs11.module", self.pkcs11.module.as_deref()),
                ("pkcs11.pin_file", self.pkcs11.pin_file.as_deref()),
                ("vault.token_file", self.vault.token_file.as_deref()),
                ("vault.ca_file", self.vault.ca_file.as_deref()),
                ("seed", self.seed.as_deref()),
                ("tls.cert_file", self.tls.cert_file.as_deref()),
                ("tls.key_file", self.tls.key_file.as_deref()),
                ("cloudflare.ca_file", self.cloudflare.ca_file.as_deref()),
            ],
        )
    }
}

impl BrokerSettings {
    fn check_store(&self, figment: &Figment) -> Result<(), SettingsError> {
        if self.store_password_file.is_none() || !self.store.as_str().starts_with("sqlite:") {
            return Ok(());
        }
        let problem = "a file of SQLite has no password; remove it, or name a PostgreSQL in store";
        Err(layers::wrong(
            figment,
            "store_password_file",
            problem.to_owned(),
        ))
    }

    /// The kinds of keys that there are.
    fn kinds(&self) -> impl Iterator<Item = KeyKind> {
        let kinds = [
            (KeyKind::File, self.keys_file.is_some()),
            (KeyKind::Variable, self.keys_variable.is_some()),
            (KeyKind::Pkcs11, self.pkcs11.module.is_some()),
            (KeyKind::Vault, self.vault.address.is_some()),
        ];
        let kinds = kinds.into_iter().filter(|(_, is_set)| *is_set);
        kinds.map(|(kind, _)| kind)
    }

    /// The kinds of keys that there are, the one that seals before the others.
    pub fn kinds_of_keys(&self) -> Vec<KeyKind> {
        let mut kinds: Vec<_> = self.kinds().collect();
        if let Some(seals) = self.seal_with {
            kinds.sort_by_key(|kind| *kind != seals);
        }
        kinds
    }

    fn check_keys(&self, figment: &Figment) -> Result<(), SettingsError> {
        let kinds: Vec<_> = self.kinds().collect();
        let why = "API tokens are sealed by its keys";
        layers::needed("keys_file", !kinds.is_empty(), why)?;
        let why = "there are keys of several kinds";
        layers::needed(
            "seal_with",
            kinds.len() == 1 || self.seal_with.is_some(),
            why,
        )?;
        if let Some(seals) = self.seal_with.filter(|seals| !kinds.contains(seals)) {
            let problem = format!(
                "there are no keys of the kind {seals}; set {}",
                seals.setting()
            );
            return Err(layers::wrong(figment, "seal_with", problem));
        }
        if self.pkcs11.module.is_some() {
            let why = "pkcs11.module needs it";
            layers::needed("pkcs11.token", self.pkcs11.token.is_some(), why)?;
            layers::needed("pkcs11.pin_file", self.pkcs11.pin_file.is_some(), why)?;
        }
        if self.vault.address.is_some() {
            let why = "vault.address needs it";
            layers::needed("vault.token_file", self.vault.token_file.is_some(), why)?;
        }
        Ok(())
    }

    fn check_audit(&self, figment: &Figment) -> Result<(), SettingsError> {
        let folder = self.audit.export_folder.as_ref();
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let problem = format!("{} is not a folder; name one that exists", folder.display());
            return Err(layers::wrong(figment, "audit.export_folder", problem));
        }
        let AuditSettings {
            keep,
            checkpoint_interval,
            ..
        } = &self.audit;
        if keep <= checkpoint_interval {
            let problem = format!(
                "{keep} is not longer than audit.checkpoint_interval, which is {checkpoint_interval}; set it to a longer time, such as 8760h"
            );
            return Err(layers::wrong(figment, "audit.keep", problem));
        }
        Ok(())
    }

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
