//! What is planned: objects, credentials and the installation.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use adapter_broker::identity::key::ClusterKey;
use adapter_cloudflare::{ClientSettings, CloudflareClient};
use adapter_kubernetes::{KeptOrphans, KeptSecret};
use adapter_manifests::Manifests;
use domain::attachment::GatewayDefaults;
use domain::broker::attestation::AUDIENCE;
use domain::ports::{CloudflareAccounts, Orphans, PortError};
use domain::rehearsal::{self, Rehearsed, Stage, rehearse};
use domain::snapshot::ClusterSnapshot;
use domain::{Installation, InstallationName, InstanceId, ObjectKey, Timestamp};
use secrecy::SecretString;

use super::behind::{Behind, Place};
use super::keys::Keys;
use super::merged::merged;
use crate::cluster::Cluster;
use crate::explain::reading;
use crate::failure::Failure;
use crate::settings::Settings;

/// Calls to Cloudflare in five minutes: a quarter of what it allows all programs of a user together, as the controller
/// needs the most of it.
const CALLS: u32 = 300;

/// Problems of manifests that are named in an error.
const SHOWN_PROBLEMS: usize = 8;

/// How Cloudflare is reached, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Base URL; that of Cloudflare unless given.
    pub url: Option<String>,
    /// Certificates in PEM that are trusted besides the system's.
    pub roots: Vec<u8>,
    /// Base URL of the broker; that of the controller unless given.
    pub broker_url: Option<String>,
    /// Certificates in PEM that are trusted there besides the system's.
    pub broker_roots: Vec<u8>,
    /// Name of the installation; that of the controller unless given.
    pub installation: Option<InstallationName>,
    /// Deployment of the controller; the only one unless given.
    pub controller: Option<ObjectKey>,
}

impl Access {
    fn accounts(&self) -> Result<Arc<dyn CloudflareAccounts>, Failure> {
        let default = ClientSettings::default();
        let settings = ClientSettings {
            base_url: self.url.clone().unwrap_or(default.base_url),
            user_agent: concat!("cfgwctl/", env!("CARGO_PKG_VERSION")).to_owned(),
            extra_roots: self.roots.clone(),
            requests_per_window: CALLS,
            ..ClientSettings::default()
        };
        let client = CloudflareClient::new(&settings).map_err(|error| {
            Failure::usage(error, "correct --cloudflare-url or --cloudflare-ca")
        })?;
        Ok(Arc::new(client))
    }
}

/// All that a plan is made of. The same may be rehearsed again, with other orphans.
pub struct Staged {
    snapshot: Arc<ClusterSnapshot>,
    keys: Arc<Keys>,
    accounts: Arc<dyn CloudflareAccounts>,
    pub installation: Installation,
    defaults: GatewayDefaults,
    /// Gateways that leave what they have when they go.
    pub orphans: Result<BTreeSet<ObjectKey>, PortError>,
    now: Timestamp,
    /// What is to be known of the answer.
    pub notes: Vec<String>,
}

impl Staged {
    /// The plan as it is.
    pub async fn rehearse(&self) -> Rehearsed {
        self.rehearse_with(self.orphans.clone()).await
    }

    /// The plan where these Gateways leave what they have.
    pub async fn rehearse_with(
        &self,
        orphans: Result<BTreeSet<ObjectKey>, PortError>,
    ) -> Rehearsed {
        let stage = Stage {
            snapshot: ClusterSnapshot::clone(&self.snapshot),
            installation: self.installation.clone(),
            defaults: self.defaults.clone(),
            accounts: self.accounts.clone(),
            credentials: self.keys.clone(),
            certificates: self.keys.clone(),
            orphans,
            now: self.now,
        };
        rehearse(stage).await
    }

    /// The objects.
    pub fn snapshot(&self) -> &ClusterSnapshot {
        &self.snapshot
    }

    /// The credentials of the Gateways, and why there may be more.
    pub async fn credentials(
        &self,
    ) -> (
        Vec<domain::secret::CloudflareCredentials>,
        Option<PortError>,
    ) {
        use domain::ports::Credentials;
        match self.keys.all().await {
            Ok(all) => (all, None),
            Err(partial) => (partial.found, Some(partial.error)),
        }
    }

    /// Cloudflare.
    pub fn accounts(&self) -> &dyn CloudflareAccounts {
        &*self.accounts
    }
}

/// Of a cluster, with manifests over its objects where there are any.
///
/// # Errors
/// The installation is not known, its edge is a broker, or the manifests cannot be read.
pub async fn of_cluster(
    cluster: &Cluster,
    manifests: Option<Manifests>,
    access: &Access,
    now: Timestamp,
) -> Result<Staged, Failure> {
    let settings = Settings::of_cluster(cluster, access.controller.as_ref()).await?;
    refuse_broker(&settings)?;
    let (snapshot, notes) = objects(cluster, &settings, manifests.as_ref(), now).await?;
    refuse_other_api(&settings, access)?;
    let name = access
        .installation
        .clone()
        .or(settings.installation.clone());
    let name = name.ok_or_else(|| {
        Failure::new(
            "the name of the installation is not known: no Deployment of a controller shows it",
            "say it with --installation",
        )
    })?;
    let client = cluster.client();
    let instance = adapter_kubernetes::instance_id(&client)
        .await
        .map_err(|error| Failure::new(error, ""))?;
    let orphans = orphans(cluster, &settings).await;
    let snapshot = Arc::new(snapshot);
    Ok(Staged {
        keys: Arc::new(Keys {
            snapshot: snapshot.clone(),
            manifests,
            client: Some(client),
        }),
        snapshot,
        accounts: access.accounts()?,
        installation: Installation { name, instance },
        defaults: settings.defaults,
        orphans,
        now,
        notes,
    })
}

/// What Gateways of a cluster behind a broker would be.
///
/// # Errors
/// The key of the cluster cannot be read, the broker's address is not known, or the manifests cannot be read.
pub async fn rehearse_behind(
    cluster: &Cluster,
    settings: &Settings,
    manifests: Option<&Manifests>,
    access: &Access,
    now: Timestamp,
) -> Result<(Rehearsed, Vec<String>), Failure> {
    let (snapshot, mut notes) = objects(cluster, settings, manifests, now).await?;
    let orphans = orphans(cluster, settings).await;
    let place = place(cluster, settings, access, &mut notes).await?;
    let rehearsed = behind(place, snapshot, settings.defaults.clone(), orphans, now).await?;
    notes.push(OF_BROKER.to_owned());
    Ok((rehearsed, notes))
}

/// How the broker of a cluster is reached, and as whom; `notes` get what could not be had for that.
///
/// # Errors
/// The key of the cluster cannot be read, or the broker's address is not known.
pub(crate) async fn place(
    cluster: &Cluster,
    settings: &Settings,
    access: &Access,
    notes: &mut Vec<String>,
) -> Result<Place, Failure> {
    let client = cluster.client();
    let instance = adapter_kubernetes::instance_id(&client).await;
    let Some(deployment) = &settings.deployment else {
        return Err(Failure::new("there is no Deployment of a controller", ""));
    };
    let secret = KeptSecret::new(client, &deployment.namespace, &settings.broker_key);
    let what = format!("Secret {}/{}", deployment.namespace, settings.broker_key);
    let kept = secret.read().await;
    let kept = kept.map_err(|error| Failure::new(format!("{what}: {error}"), ""))?;
    let bytes = kept.and_then(|values| values.get(KEY).cloned());
    let bytes = bytes.ok_or_else(|| {
        Failure::new(
            format!("{what}: Not found, or without {KEY}"),
            "the controller makes it at its first start",
        )
    })?;
    let text = SecretString::from(String::from_utf8_lossy(&bytes).into_owned());
    Ok(Place {
        urls: urls(
            access
                .broker_url
                .as_deref()
                .or(settings.broker_url.as_deref()),
        )?,
        roots: access.broker_roots.clone(),
        key: ClusterKey::parse(&text)
            .map_err(|error| Failure::new(format!("{what}: {error}"), ""))?,
        instance: instance.map_err(|error| Failure::new(error, ""))?,
        token: token(cluster, settings, notes).await,
    })
}

/// A token of the controller's ServiceAccount, where it shows such to the broker.
async fn token(
    cluster: &Cluster,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Option<SecretString> {
    let account = settings.attested.as_ref()?;
    let token = adapter_kubernetes::requested_token(&cluster.client(), account, AUDIENCE).await;
    token
        .inspect_err(|error| {
            notes.push(format!(
                "the broker may want a token: {error}; permit create of serviceaccounts/token of {account} to yourself"
            ));
        })
        .ok()
}

/// The same of manifests alone, as `cfgw standalone` with this state folder takes them behind a broker.
///
/// # Errors
/// The key of the state folder or the files cannot be read.
pub async fn rehearse_folder_behind(
    manifests: &Manifests,
    state: &Path,
    access: &Access,
    now: Timestamp,
) -> Result<(Rehearsed, Vec<String>), Failure> {
    let mut notes = Vec::new();
    let of_state = |error: &dyn std::fmt::Display| {
        Failure::new(
            format!("{}: {error}", state.display()),
            "cfgw standalone makes key and instance id at its first start",
        )
    };
    let instance = adapter_manifests::known_instance_id(state).map_err(|error| of_state(&error))?;
    let instance = instance.ok_or_else(|| of_state(&"it holds no instance id"))?;
    let text = std::fs::read_to_string(state.join(KEY)).map_err(|error| of_state(&error))?;
    let place = Place {
        urls: urls(access.broker_url.as_deref())?,
        roots: access.broker_roots.clone(),
        key: ClusterKey::parse(&SecretString::from(text)).map_err(|error| of_state(&error))?,
        instance,
        token: None,
    };
    let defaults = GatewayDefaults {
        is_behind_broker: true,
        ..GatewayDefaults::default()
    };
    let snapshot = read(manifests, &defaults, &mut notes)?;
    let orphans = adapter_manifests::KeptOrphans::new(state).all().await;
    let rehearsed = behind(place, snapshot, defaults, orphans, now).await?;
    notes.push(OF_BROKER.to_owned());
    Ok((rehearsed, notes))
}

/// Under which name a key is kept, in a Secret and in a state folder.
const KEY: &str = "broker-key";

const OF_BROKER: &str = "the broker planned each Gateway by itself; records that belong to no Gateway are not looked for";

fn urls(text: Option<&str>) -> Result<Vec<String>, Failure> {
    let text = text.ok_or_else(|| {
        Failure::new(
            "the address of the broker is not known: no Deployment of a controller shows it",
            "say it with --broker-url",
        )
    })?;
    Ok(text.split(',').map(|url| url.trim().to_owned()).collect())
}

async fn behind(
    place: Place,
    snapshot: ClusterSnapshot,
    defaults: GatewayDefaults,
    orphans: Result<BTreeSet<ObjectKey>, PortError>,
    now: Timestamp,
) -> Result<Rehearsed, Failure> {
    let edge = Arc::new(Behind::new(place)?);
    let cluster = rehearsal::Cluster {
        snapshot,
        defaults,
        orphans,
        now,
    };
    Ok(rehearsal::rehearse_over(cluster, edge.clone(), edge).await)
}

/// The objects of a cluster, with manifests over them where there are any, and what is to be known of them.
async fn objects(
    cluster: &Cluster,
    settings: &Settings,
    manifests: Option<&Manifests>,
    now: Timestamp,
) -> Result<(ClusterSnapshot, Vec<String>), Failure> {
    let mut snapshot = cluster.snapshot().await;
    settings.apply(&mut snapshot);
    let mut notes: Vec<String> = settings.told().into_iter().collect();
    if let Some(manifests) = manifests {
        let files = read(manifests, &settings.defaults, &mut notes)?;
        snapshot = merged(snapshot, files, now);
    }
    reading::add_secrets(cluster, &mut snapshot, &settings.defaults).await;
    Ok((snapshot, notes))
}

/// Gateways that leave what they have when they go.
async fn orphans(cluster: &Cluster, settings: &Settings) -> Result<BTreeSet<ObjectKey>, PortError> {
    match &settings.deployment {
        Some(deployment) => {
            let namespace = &deployment.namespace;
            let secret = KeptSecret::new(cluster.client(), namespace, &settings.orphans);
            KeptOrphans::new(secret).all().await
        }
        None => Ok(BTreeSet::new()),
    }
}

/// Of manifests alone, as `cfgw standalone` with this state folder takes them. Nothing is written into it.
///
/// # Errors
/// The installation is not named, or the files cannot be read.
pub async fn of_folder(
    manifests: Manifests,
    state: &Path,
    access: &Access,
    now: Timestamp,
) -> Result<Staged, Failure> {
    let name = access.installation.clone().ok_or_else(|| {
        Failure::usage(
            "--installation: Required value: a state folder does not hold the name of the installation",
            "name it as cfgw standalone does",
        )
    })?;
    let mut notes = Vec::new();
    let instance =
        adapter_manifests::known_instance_id(state).map_err(|error| Failure::new(error, ""))?;
    let instance = instance.unwrap_or_else(|| {
        notes.push(format!(
            "{} holds no instance id yet: what a first start would do is told",
            state.display()
        ));
        InstanceId::from_bytes([0; 16])
    });
    let defaults = GatewayDefaults::default();
    let snapshot = Arc::new(read(&manifests, &defaults, &mut notes)?);
    let orphans = adapter_manifests::KeptOrphans::new(state).all().await;
    Ok(Staged {
        keys: Arc::new(Keys {
            snapshot: snapshot.clone(),
            manifests: Some(manifests),
            client: None,
        }),
        snapshot,
        accounts: access.accounts()?,
        installation: Installation { name, instance },
        defaults,
        orphans,
        now,
        notes,
    })
}

/// The objects of manifests, which must all be readable: nothing follows from half of them.
fn read(
    manifests: &Manifests,
    defaults: &GatewayDefaults,
    notes: &mut Vec<String>,
) -> Result<ClusterSnapshot, Failure> {
    let snapshot = reading::of_manifests(manifests, defaults);
    let problems: Vec<String> = manifests
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    let unreadable = &snapshot.unreadable;
    let shown = problems.iter().take(SHOWN_PROBLEMS).cloned();
    if unreadable.nameless.is_some() || !unreadable.objects.is_empty() {
        let shown: Vec<String> = shown.collect();
        return Err(Failure::new(
            format!("the manifests cannot all be read: {}", shown.join("; ")),
            "mend them first",
        ));
    }
    notes.extend(shown);
    Ok(snapshot)
}

fn refuse_broker(settings: &Settings) -> Result<(), Failure> {
    let Some(deployment) = settings
        .deployment
        .as_ref()
        .filter(|_| settings.defaults.is_behind_broker)
    else {
        return Ok(());
    };
    Err(Failure::new(
        format!(
            "this does not go over a broker: the controller (Deployment {deployment}) has CFGW_EDGE__BACKEND=broker, and the credentials for Cloudflare are the broker's"
        ),
        "the broker looks for what is left by itself: see `cfgwctl broker gateways CLUSTER` for what it has, `cfgw broker give-up CLUSTER` to have all of it removed, and cfgwctl status for what it answered",
    ))
}

/// Whoever can write a Deployment must not choose where tokens are sent that only the user can read.
fn refuse_other_api(settings: &Settings, access: &Access) -> Result<(), Failure> {
    match (&settings.base_url, &access.url) {
        (Some(url), None) => Err(Failure::new(
            format!(
                "the controller has CFGW_CLOUDFLARE__BASE_URL={url}, and no token is sent to another place than Cloudflare unless you say so"
            ),
            format!("if that is right: --cloudflare-url {url}"),
        )),
        _ => Ok(()),
    }
}
