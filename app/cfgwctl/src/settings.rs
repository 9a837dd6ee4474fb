//! What of a controller's settings decides what becomes of objects, as its Deployment shows it.
//!
//! Of the environment only plain values are looked at. A settings file, which the chart does not use, is not seen.

use std::collections::BTreeSet;

use domain::attachment::GatewayDefaults;
use domain::gateway::{DnsPolicy, UnderscoredHeaders};
use domain::snapshot::{ClusterSnapshot, Outside};
use domain::{InstallationName, ObjectKey};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::objects::Deployment;

/// The settings of one controller.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The Deployment; `None` where none was found.
    pub deployment: Option<ObjectKey>,
    pub installation: Option<InstallationName>,
    pub defaults: GatewayDefaults,
    /// Whether names may stand for addresses of endpoints.
    pub endpoint_names: bool,
    /// Whether hosts outside of the cluster may be backends.
    pub external_hosts: bool,
    /// Namespaces whose Secrets it may read; empty for all.
    pub secret_namespaces: BTreeSet<String>,
    /// Addresses of the broker, with commas between.
    pub broker_url: Option<String>,
    /// The Secret with the key that a broker knows the cluster by.
    pub broker_key: String,
    /// The ServiceAccount by whose tokens a broker knows the cluster too.
    pub attested: Option<ObjectKey>,
    /// Its API of Cloudflare, where it is not Cloudflare's own.
    pub base_url: Option<String>,
    /// The Secret that names Gateways which leave what they have.
    pub orphans: String,
    /// Settings that are not the default and decide something, as `NAME=value`.
    pub changed: Vec<String>,
}

/// Default of `broker_key`.
const BROKER_KEY: &str = "cfgw-controller-broker-key";

/// Default of `orphans`.
const ORPHANS: &str = "cfgw-controller-orphans";

const PREFIX: &str = "CFGW_";

/// Is set where the controller shows a token of its ServiceAccount to the broker.
const SERVICE_ACCOUNT_TOKEN_FILE: &str = "CFGW_EDGE__BROKER__SERVICE_ACCOUNT_TOKEN_FILE";

impl Settings {
    /// Of the only controller, or of the one that is named.
    ///
    /// # Errors
    /// Deployments cannot be listed, the one that is named is not there, or there are several.
    pub async fn of_cluster(cluster: &Cluster, named: Option<&ObjectKey>) -> Result<Self, Failure> {
        let found = cluster.controllers().await?;
        let is_named = |it: &Deployment| named.is_none_or(|named| *named == it.metadata.key());
        let mut meant: Vec<Deployment> = found.into_iter().filter(is_named).collect();
        match (meant.pop(), named) {
            (Some(one), _) if meant.is_empty() => Ok(Self::of(&one)),
            (Some(one), _) => {
                let all = meant.iter().chain([&one]);
                let mut names: Vec<String> = all.map(|it| it.metadata.key().to_string()).collect();
                names.sort();
                Err(Failure::new(
                    format!(
                        "there are several Deployments of controllers: {}",
                        names.join(", ")
                    ),
                    "say which is meant with --controller NAMESPACE/NAME",
                ))
            }
            (None, Some(named)) => Err(Failure::new(
                format!("Deployment {named}: Not found, or not labelled as the chart labels it"),
                "see cfgwctl version, and name one of those",
            )),
            (None, None) => Ok(Self::of(&Deployment::default())),
        }
    }

    fn of(deployment: &Deployment) -> Self {
        let key = deployment.metadata.key();
        let mut settings = Self {
            deployment: (!key.name.is_empty()).then_some(key),
            orphans: ORPHANS.to_owned(),
            broker_key: BROKER_KEY.to_owned(),
            ..Self::default()
        };
        let containers = deployment.spec.template.spec.containers.iter();
        let environment = containers.flat_map(|container| &container.env);
        for variable in environment.filter(|variable| !variable.value.is_empty()) {
            if let Some(name) = variable.name.strip_prefix(PREFIX) {
                settings.take(name, &variable.value);
            }
        }
        let mut containers = deployment.spec.template.spec.containers.iter();
        let shows_token = containers.any(|container| {
            let mut all = container.env.iter();
            all.any(|one| one.name == SERVICE_ACCOUNT_TOKEN_FILE)
        });
        let account = &deployment.spec.template.spec.service_account_name;
        if shows_token && !account.is_empty() {
            let namespace = &deployment.metadata.key().namespace;
            settings.attested = Some(ObjectKey::new(namespace, account));
        }
        settings
    }

    fn take(&mut self, name: &str, value: &str) {
        let before = self.clone();
        match (name, value) {
            ("INSTALLATION", _) => self.installation = InstallationName::parse(value).ok(),
            ("ORPHANS", _) => value.clone_into(&mut self.orphans),
            ("CLOUDFLARE__BASE_URL", _) => {
                let is_default = value == adapter_cloudflare::DEFAULT_BASE_URL;
                self.base_url = (!is_default).then(|| value.to_owned());
            }
            ("EDGE__BROKER__URL", _) => self.broker_url = Some(value.to_owned()),
            ("BROKER_KEY", _) => value.clone_into(&mut self.broker_key),
            ("DEFAULTS__DNS", "false") => self.defaults.dns = DnsPolicy::Off,
            ("DEFAULTS__UPLOAD_CERTIFICATES", "true") => self.defaults.upload_certificates = true,
            ("REQUESTS__HEADERS_WITH_UNDERSCORES", "allow") => {
                self.defaults.underscored_headers = UnderscoredHeaders::Allow;
            }
            ("EDGE__BACKEND", "broker") => self.defaults.is_behind_broker = true,
            ("ENDPOINTS__NAMES", "true") => self.endpoint_names = true,
            ("ENDPOINTS__EXTERNAL_HOSTS", "true") => self.external_hosts = true,
            ("SECRETS__NAMESPACES", _) => {
                let names = value.split(',').map(str::trim);
                let names = names.filter(|name| !name.is_empty());
                self.secret_namespaces = names.map(str::to_owned).collect();
            }
            _ => {}
        }
        let decides = self.defaults != before.defaults
            || self.endpoint_names != before.endpoint_names
            || self.external_hosts != before.external_hosts
            || self.secret_namespaces != before.secret_namespaces;
        if decides {
            self.changed.push(format!("{PREFIX}{name}={value}"));
        }
    }

    /// Has a snapshot judged as the controller judges it.
    pub fn apply(&self, snapshot: &mut ClusterSnapshot) {
        snapshot.endpoint_rules.names = self.endpoint_names;
        snapshot.endpoint_rules.outside = match self.external_hosts {
            true => Outside::Permitted(Vec::new()),
            false => Outside::No,
        };
        let namespaces = &self.secret_namespaces;
        snapshot.secret_namespaces = (!namespaces.is_empty()).then(|| namespaces.clone());
    }

    /// What is told of settings that decide something.
    pub fn told(&self) -> Option<String> {
        let deployment = self.deployment.as_ref()?;
        let changed = self.changed.join(", ");
        (!changed.is_empty())
            .then(|| format!("the controller (Deployment {deployment}) has {changed}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(environment: &[(&str, &str)]) -> Settings {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let deployment = json!({
            "metadata": { "namespace": "cfgw-system", "name": "cfgw" },
            "spec": { "template": { "spec": { "containers": [{ "env": environment }] } } },
        });
        Settings::of(&serde_json::from_value(deployment).expect("a Deployment"))
    }

    #[test]
    fn what_the_chart_sets_by_default_is_told_of_nothing() {
        let settings = with(&[
            ("CFGW_INSTALLATION", "home"),
            ("CFGW_ORPHANS", "cfgw-orphans"),
            ("CFGW_DEFAULTS__DNS", "true"),
            ("CFGW_DEFAULTS__UPLOAD_CERTIFICATES", "false"),
            ("CFGW_REQUESTS__HEADERS_WITH_UNDERSCORES", "drop"),
            ("CFGW_ENDPOINTS__NAMES", "false"),
            ("CFGW_SECRETS__NAMESPACES", ""),
            ("CFGW_EDGE__BACKEND", "direct"),
            (
                "CFGW_CLOUDFLARE__BASE_URL",
                adapter_cloudflare::DEFAULT_BASE_URL,
            ),
        ]);
        assert_eq!(settings.told(), None);
        assert_eq!(settings.orphans, "cfgw-orphans");
        assert_eq!(settings.base_url, None);
        let installation = settings.installation.map(|name| name.to_string());
        assert_eq!(installation.as_deref(), Some("home"));
    }

    #[test]
    fn each_setting_that_decides_something_is_told_of() {
        for (name, value) in [
            ("CFGW_DEFAULTS__DNS", "false"),
            ("CFGW_DEFAULTS__UPLOAD_CERTIFICATES", "true"),
            ("CFGW_REQUESTS__HEADERS_WITH_UNDERSCORES", "allow"),
            ("CFGW_EDGE__BACKEND", "broker"),
            ("CFGW_ENDPOINTS__NAMES", "true"),
            ("CFGW_SECRETS__NAMESPACES", "a,b"),
        ] {
            assert_eq!(
                with(&[(name, value)]).told(),
                Some(format!(
                    "the controller (Deployment cfgw-system/cfgw) has {name}={value}"
                ))
            );
        }
    }
}
