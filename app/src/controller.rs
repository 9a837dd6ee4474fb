//! `cfgw controller`: a Kubernetes cluster in; route tables, tunnels, records and proxies out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use adapter_kubernetes::workloads::{
    ConnectionsOfPods, Deployments, NetworkRules, WorkloadOptions,
};
use adapter_kubernetes::{
    Client, Clients, Cluster, ClusterOptions, Finalizers, KeptOrphans, KeptSecret,
    KeptSecretErrorKind, Lease, LeaseOptions, OwnerReference, Rotations, SecretCredentials,
    Statuses, TokenReviews, WatchTimes, deployment_as_owner, instance_id,
};
use adapter_table_stream::{LISTENER_LIMITS, Leader, ServerOptions, TableServer};
use anyhow::Context;
use config::values::{Backend, EdgeAddresses, Names};
use config::{ControllerSettings, ENV_PREFIX};
use domain::attachment::GatewayDefaults;
use domain::endpoint_policy::AddressRange;
use domain::gateway::{CONTROLLER_NAME, DnsPolicy};
use domain::names::ObjectKey;
use domain::ports::Leadership;
use domain::reconcile::{Ports, Reconciler};
use domain::snapshot::{EndpointRules, Outside};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::attestor::Projected;
use crate::authority::{self, KeptAuthority};
use crate::client_certificate::WithClientCertificates;
use crate::cluster_key;
use crate::connectors::edge_kind;
use crate::disowned::Disowned;
use crate::edge::{self, read_pem};
use crate::engines::underscored_headers;
use crate::listening;
use crate::passes::Passes;
use crate::system::SystemClock;

/// How long replicas may take to acknowledge a table before statuses name them.
const LATE_AFTER: Duration = Duration::from_secs(5);

/// `cfgw controller`, running.
pub struct Controller {
    stop: CancellationToken,
    passes: JoinHandle<()>,
    lease: Arc<Lease>,
}

impl Controller {
    /// Wires everything together and starts it. An error names the setting that cannot be used.
    pub async fn start(settings: &ControllerSettings) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let Clients {
            calls: client,
            lease,
            reviews,
        } = adapter_kubernetes::connect().await?;
        let instance = instance_id(&client).await?;
        let installation = edge::installation(settings.installation_name()?, instance)?;
        let owner = owner(settings, &client).await?;
        let cluster = Cluster::start(client.clone(), cluster_options(settings), stop.clone());
        let lease = Lease::start(lease, lease_options(settings, owner.clone())?, stop.clone());
        let authority = kept_authority(settings, &client, owner.clone(), &stop).await?;
        let backend = backend(settings, &client, owner, &stop).await?;
        let mut registry = Registry::with_prefix("cfgw");
        let statuses = Arc::new(Notify::new());
        let disowned = Arc::new(Disowned::default());
        let told = disowned.clone();
        let options = ServerOptions {
            late_after: LATE_AFTER,
            changed: statuses.clone(),
            disowned: Arc::new(move |gateway: &ObjectKey| told.tell(gateway)),
            leader: leader(&lease),
            limits: LISTENER_LIMITS,
        };
        let tables = serve_tables(settings, reviews, options, &authority, &stop).await?;
        let statuses_of = Statuses::new(client.clone(), cluster.clone(), lease.clone());
        let written = Arc::new(statuses_of.behind(edge_kind(&settings.tunnel)));
        let secrets = Arc::new(SecretCredentials::new(client.clone(), cluster.clone()));
        let ports = Ports {
            cluster: cluster.clone(),
            statuses: written.clone(),
            events: written,
            orphans: Arc::new(kept_orphans(settings, &client)),
            finalizer: Arc::new(
                Finalizers::new(client.clone())
                    .in_namespaces(named(&settings.watch.namespaces).as_ref()),
            ),
            leadership: lease.clone(),
            workloads: Deployments::new(
                client.clone(),
                workload_options(settings, &authority, &statuses, connections(&tables))?,
            ),
            rotations: Arc::new(Rotations::new(client.clone())),
            clock: Arc::new(SystemClock),
            data_plane: WithClientCertificates::new(tables, secrets.clone()),
            edge: edge::open(
                backend,
                &settings.edge,
                &settings.cloudflare,
                installation.clone(),
                secrets.clone(),
                secrets,
                &mut registry,
            )?,
        };
        let reconciler = Reconciler::new(ports, CONTROLLER_NAME);
        let reconciler = Arc::new(reconciler.with_defaults(GatewayDefaults {
            session_key: authority.session_key.clone(),
            ..defaults(settings)
        }));
        let passes = Passes::new(
            reconciler,
            cluster.clone(),
            statuses,
            woken_by(&lease, leads(&mut registry), &stop),
            disowned,
            settings.resync_interval.get(),
        );
        let listen = settings.admin.listen.get();
        let admin =
            admin::serve(listen, Arc::new(registry), readiness(cluster), stop.clone()).await?;
        let passes = tokio::spawn(passes.run(stop.clone()));
        tracing::info!(%installation, %admin, replica = %settings.replica, "controller started");
        Ok(Self {
            stop,
            passes,
            lease,
        })
    }

    /// Stops and gives the lead away. What runs in the cluster and at Cloudflare stays.
    pub async fn shutdown(self) {
        // A pass under way may wait for Cloudflare; nothing it does is lost when it ends here.
        self.passes.abort();
        self.stop.cancel();
        self.lease.released().await;
        tracing::info!("controller stopped");
    }
}

fn cluster_options(settings: &ControllerSettings) -> ClusterOptions {
    ClusterOptions {
        times: WatchTimes::default(),
        namespaces: named(&settings.watch.namespaces),
        secret_namespaces: named(&settings.secrets.namespaces),
        endpoint_rules: endpoint_rules(settings),
    }
}

/// These names; `None`, which stands for all, where none is written.
fn named(names: &Names) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = names.names().into_iter().collect();
    (!names.is_empty()).then_some(names)
}

/// What Lease and authority go with.
async fn owner(
    settings: &ControllerSettings,
    client: &Client,
) -> anyhow::Result<Option<OwnerReference>> {
    let Some(deployment) = &settings.deployment else {
        return Ok(None);
    };
    let namespace = settings.namespace.as_str();
    let owner = deployment_as_owner(client, namespace, deployment.as_str()).await;
    owner.map_err(|why| anyhow::anyhow!("Deployment {namespace}/{deployment}: {why}"))
}

fn lease_options(
    settings: &ControllerSettings,
    owner: Option<OwnerReference>,
) -> anyhow::Result<LeaseOptions> {
    let advertise = settings.stream.advertise.as_ref();
    Ok(LeaseOptions {
        namespace: settings.namespace.as_str().to_owned(),
        name: settings.lease.name.as_str().to_owned(),
        identity: settings.replica.as_str().to_owned(),
        address: advertise
            .context("stream.advertise is not set")?
            .as_str()
            .to_owned(),
        owner,
        duration: settings.lease.duration.get(),
        renew: settings.lease.renew_interval.get(),
    })
}

async fn kept_authority(
    settings: &ControllerSettings,
    client: &Client,
    owner: Option<OwnerReference>,
    stop: &CancellationToken,
) -> anyhow::Result<KeptAuthority> {
    let (namespace, name) = (&settings.namespace, &settings.stream.authority);
    let secret = KeptSecret::new(client.clone(), namespace.as_str(), name.as_str());
    let secret = secret.owned_by(owner);
    // Of an earlier release; it is tried again at the next start. After a conflict another replica has done it.
    if let Err(error) = secret.give_to_owner().await
        && error.kind != KeptSecretErrorKind::Conflict
    {
        tracing::warn!("the certificate authority stays when its Deployment goes: {error}");
    }
    let kept = authority::keep(secret, stop.clone()).await;
    kept.with_context(|| format!("the certificate authority in Secret {namespace}/{name}"))
}

async fn backend(
    settings: &ControllerSettings,
    client: &Client,
    owner: Option<OwnerReference>,
    stop: &CancellationToken,
) -> anyhow::Result<edge::Backend> {
    if settings.edge.backend == Backend::Direct {
        return Ok(edge::Backend::Direct);
    }
    let (namespace, name) = (&settings.namespace, &settings.broker_key);
    let secret = KeptSecret::new(client.clone(), namespace.as_str(), name.as_str());
    let key = cluster_key::in_secret(&secret.owned_by(owner)).await;
    let key =
        key.with_context(|| format!("the key for the broker in Secret {namespace}/{name}"))?;
    let token = settings.edge.broker.service_account_token_file.clone();
    let attestor = token.map(|file| Arc::new(Projected::new(file, client.clone())) as _);
    Ok(edge::Backend::Broker {
        key: Box::new(key),
        attestor,
        stop: stop.clone(),
    })
}

fn kept_orphans(settings: &ControllerSettings, client: &Client) -> KeptOrphans {
    let (namespace, name) = (&settings.namespace, &settings.orphans);
    KeptOrphans::new(KeptSecret::new(
        client.clone(),
        namespace.as_str(),
        name.as_str(),
    ))
}

/// Who serves the stream of tables: the holder of the Lease.
fn leader(lease: &Arc<Lease>) -> Arc<dyn Fn() -> Leader + Send + Sync> {
    let lease = lease.clone();
    Arc::new(move || match (lease.term(), lease.leader_address()) {
        (Some(term), _) => Leader::Here { term },
        (None, Some(address)) => Leader::At(address),
        (None, None) => Leader::Nobody,
    })
}

/// The data plane: proxies fetch their tables from here.
async fn serve_tables(
    settings: &ControllerSettings,
    reviews: Client,
    options: ServerOptions,
    authority: &KeptAuthority,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<TableServer>> {
    let audience = settings.stream.audience.as_str().to_owned();
    let identities = Arc::new(TokenReviews::new(reviews, audience));
    let server = TableServer::new(identities, options);
    let listen = settings.stream.listen.get();
    let listener = listening::listen(listen)
        .await
        .with_context(|| format!("stream.listen {listen}; choose a free address"))?;
    let serving = server.clone();
    let (identity, stop) = (authority.identity.clone(), stop.clone());
    tokio::spawn(async move { serving.serve(listener, identity, stop).await });
    Ok(server)
}

/// Connections of a Gateway's pods to the edge, as they say on the stream.
fn connections(tables: &Arc<TableServer>) -> Arc<ConnectionsOfPods> {
    let tables = tables.clone();
    Arc::new(move |gateway| {
        let replicas = tables.replicas(gateway).into_iter();
        let connected = replicas.filter(|replica| replica.connected);
        connected
            .map(|replica| (replica.name, replica.connections))
            .collect()
    })
}

fn workload_options(
    settings: &ControllerSettings,
    authority: &KeptAuthority,
    changed: &Arc<Notify>,
    connections: Arc<ConnectionsOfPods>,
) -> anyhow::Result<WorkloadOptions> {
    let image = settings.proxies.image.as_ref();
    let roots = settings
        .tunnel
        .ca_file
        .as_deref()
        .map(read_pem)
        .transpose()?;
    let roots = roots.map(String::from_utf8).transpose();
    Ok(WorkloadOptions {
        image: image
            .context("proxies.image is not set")?
            .as_str()
            .to_owned(),
        controller_namespace: settings.namespace.as_str().to_owned(),
        stream_address: settings.stream.service.as_str().to_owned(),
        stream_audience: settings.stream.audience.as_str().to_owned(),
        authority: authority.bundle.clone(),
        edge_roots: roots.context("tunnel.ca_file")?,
        namespaces: named(&settings.watch.namespaces),
        network: network_rules(settings),
        image_pull_secrets: settings.proxies.pull_secrets.names(),
        proxy_environment: passed_on(settings)?,
        drain: settings.tunnel.grace_period.get(),
        changed: changed.clone(),
        connections,
    })
}

/// What the network is to hold proxies to.
fn network_rules(settings: &ControllerSettings) -> Option<NetworkRules> {
    let proxies = &settings.proxies;
    proxies.network_policy.is_on().then(|| NetworkRules {
        edge: match &settings.tunnel.edge {
            EdgeAddresses::Discover => Vec::new(),
            EdgeAddresses::Given(addresses) => addresses.clone(),
        },
        endpoint_ranges: proxies.endpoint_ranges.ranges(),
        cluster_ranges: cluster_ranges(settings).collect(),
    })
}

/// Where endpoints may be. The tenants of the cluster write them.
fn endpoint_rules(settings: &ControllerSettings) -> EndpointRules {
    EndpointRules {
        names: settings.endpoints.names.is_on(),
        outside: match settings.endpoints.external_hosts.is_on() {
            true => Outside::Permitted(cluster_ranges(settings).collect()),
            false => Outside::No,
        },
        ..EndpointRules::default()
    }
}

/// Addresses of the cluster, as the settings say.
fn cluster_ranges(settings: &ControllerSettings) -> impl Iterator<Item = AddressRange> {
    let ranges = settings.endpoints.cluster_ranges.ranges().into_iter();
    ranges.filter_map(|range| AddressRange::parse(&range))
}

/// What holds for Gateways whose parameters do not say otherwise.
fn defaults(settings: &ControllerSettings) -> GatewayDefaults {
    GatewayDefaults {
        dns: match settings.defaults.dns.is_on() {
            true => DnsPolicy::All,
            false => DnsPolicy::Off,
        },
        upload_certificates: settings.defaults.upload_certificates.is_on(),
        underscored_headers: underscored_headers(&settings.requests),
        is_behind_broker: settings.edge.backend == Backend::Broker,
        session_key: None,
        edge: edge_kind(&settings.tunnel),
    }
}

/// The controller's own settings of the tunnel, requests and the log, for its proxies. The edge's roots are a file,
/// which they get on another way.
fn passed_on(settings: &ControllerSettings) -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    let tunnel = serde_json::to_value(&settings.tunnel)?;
    let requests = serde_json::to_value(&settings.requests)?;
    let log = serde_json::to_value(&settings.log)?;
    for (section, values) in [("TUNNEL", tunnel), ("REQUESTS", requests), ("LOG", log)] {
        for (key, value) in values.as_object().into_iter().flatten() {
            if let Some(text) = value.as_str().filter(|_| key != "ca_file") {
                let name = format!("{ENV_PREFIX}{section}__{}", key.to_ascii_uppercase());
                variables.insert(name, text.to_owned());
            }
        }
    }
    Ok(variables)
}

/// Shows whether this instance leads.
fn leads(registry: &mut Registry) -> Gauge {
    let leads: Gauge = Gauge::default();
    registry.register(
        "leads",
        "1 in the instance that writes, 0 in the others",
        leads.clone(),
    );
    leads
}

/// Notified whenever this instance begins or ceases to lead.
fn woken_by(lease: &Arc<Lease>, leads: Gauge, stop: &CancellationToken) -> Arc<Notify> {
    let woken = Arc::new(Notify::new());
    let (told, lease, stop) = (woken.clone(), lease.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = lease.changed() => {
                    leads.set(lease.term().is_some().into());
                    told.notify_one();
                }
                () = stop.cancelled() => return,
            }
        }
    });
    woken
}

/// Ready once the cluster was seen whole: a follower can then take over, and proxies find their tables.
fn readiness(cluster: Arc<Cluster>) -> admin::Readiness {
    Arc::new(move || {
        let unread = !cluster.is_read();
        let missing = unread.then(|| "the cluster has not been read yet".to_owned());
        Box::pin(async move { missing.into_iter().collect() })
    })
}
