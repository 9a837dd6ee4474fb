//! The ports of one process. Every call is a step: the process pauses before it, and what happens then is
//! drawn by the history. Calls that may take something away are judged on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use domain::edge::objects::{
    Connector, CustomCertificate, DnsRecord, IngressDocument, RecordBatch, Tunnel, Zone,
};
use domain::edge::{EdgeError, EdgeErrorKind, Partial};
use domain::ports::{
    CloudflareAccounts, CloudflareApi, ClusterSource, Credentials, DataPlane, Hold, PortError,
    StatusSink, Workloads,
};
use domain::route_table::RouteTable;
use domain::secret::{CertificatePair, CloudflareCredentials, ConnectorToken};
use domain::snapshot::ClusterSnapshot;
use domain::status::StatusUpdate;
use domain::testing::{ApiCall, FakeCluster, FakeDataPlane, Moment, StaticCredentials};
use domain::workload::{WorkloadSpec, WorkloadStatus};
use domain::{CertificateId, ObjectKey, ObjectRef, TunnelId, ZoneId};

use super::stage::zone_id;
use super::stage::{Stage, Surroundings};
use super::town::{GATEWAYS, ZONES, key};
use super::wishes::{Wishes, is_readable};

/// A process: what it sees, and what it did last.
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) stage: Arc<Stage>,
    pub(crate) cluster: FakeCluster,
    pub(crate) data_plane: FakeDataPlane,
    pub(crate) around: Surroundings,
    pub(crate) notes: Mutex<Notes>,
}

#[derive(Default)]
pub(crate) struct Notes {
    /// The snapshot of the route pass under way.
    pub(crate) seen: Arc<ClusterSnapshot>,
    /// What the last readable snapshot asks for.
    pub(crate) in_force: Arc<Wishes>,
    /// The same at the start of the edge pass under way.
    pub(crate) acting_on: Arc<Wishes>,
    /// For how many resyncs in a row each Gateway was known to be unwanted.
    pub(crate) unwanted_for: BTreeMap<ObjectKey, usize>,
    /// Zones whose last read failed.
    pub(crate) unread: BTreeSet<ZoneId>,
}

/// One port of a process.
pub(crate) struct Port(pub(crate) Arc<Actor>);

/// Lets the history decide who is next.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            // Passes of several queues only go on where they were woken.
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

impl Actor {
    pub(crate) fn begin_edge_pass(&self, resync: bool) {
        let mut notes = self.notes.lock().unwrap();
        notes.acting_on = notes.in_force.clone();
        for gateway in GATEWAYS.map(key) {
            if !notes.acting_on.releases(&gateway) {
                notes.unwanted_for.remove(&gateway);
            } else if resync {
                *notes.unwanted_for.entry(gateway).or_default() += 1;
            }
        }
        let told = || format!(" {}: edge pass, resync {resync}", self.name);
        self.stage.tell(told);
    }

    /// What was seen last is what passes at the edge act on from now on.
    pub(crate) fn put_in_force(&self) {
        let mut notes = self.notes.lock().unwrap();
        if is_readable(&notes.seen) {
            notes.in_force = Arc::new(Wishes::of(&notes.seen));
        }
    }

    /// A call to a port other than Cloudflare.
    async fn port<T>(
        &self,
        what: impl FnOnce() -> String + Send,
        made: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        pause().await;
        let lost = || Err(PortError::unavailable("lost"));
        let fault = self.stage.next_port_fault();
        let answer = match fault {
            Some(Moment::Before) => lost(),
            Some(Moment::After) => made.await.and(lost()),
            None => made.await,
        };
        let told = fault.map_or(String::new(), |moment| format!(" fails {moment:?}"));
        self.stage
            .tell(|| format!("  {}: {}{told}", self.name, what()));
        answer
    }
}

#[async_trait]
impl ClusterSource for Port {
    async fn snapshot(&self) -> Arc<ClusterSnapshot> {
        pause().await;
        let snapshot = self.0.cluster.snapshot().await;
        self.0.notes.lock().unwrap().seen = snapshot.clone();
        snapshot
    }

    async fn changed(&self) {
        self.0.cluster.changed().await;
    }

    fn follow(&self, refs: BTreeSet<ObjectRef>) {
        self.0.cluster.follow(refs);
    }
}

#[async_trait]
impl StatusSink for Port {
    async fn write(&self, updates: &[StatusUpdate]) -> Result<(), PortError> {
        let what = || format!("writes {} statuses", updates.len());
        self.0.port(what, async { Ok(()) }).await
    }
}

#[async_trait]
impl Hold for Port {
    async fn hold(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = self.0.around.hold.hold(gateway);
        self.0.port(|| format!("holds {gateway}"), made).await
    }

    async fn release(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = async {
            let stage = &self.0.stage;
            stage.require(
                !stage.trouble.is_alone_and_sees() || !stage.has(gateway),
                || format!("{gateway} is let go while something of it is at the edge"),
            );
            self.0.around.hold.release(gateway).await
        };
        self.0.port(|| format!("lets {gateway} go"), made).await
    }

    async fn held(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let made = Hold::held(&*self.0.around.hold);
        self.0.port(|| "asks who is held".to_owned(), made).await
    }
}

#[async_trait]
impl Workloads for Port {
    async fn ensure(
        &self,
        gateway: &ObjectKey,
        spec: &WorkloadSpec,
        tunnel: TunnelId,
        token: &ConnectorToken,
    ) -> Result<WorkloadStatus, PortError> {
        let workloads = &self.0.around.workloads;
        let made = workloads.ensure(gateway, spec, tunnel, token);
        let what = || format!("runs the proxy of {gateway}");
        self.0.port(what, made).await
    }

    async fn stop(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = async {
            let stopped = self.0.around.workloads.stop(gateway).await;
            self.0.stage.close_connections(gateway);
            stopped
        };
        let what = || format!("stops the proxy of {gateway}");
        self.0.port(what, made).await
    }

    async fn status(&self, gateway: &ObjectKey) -> WorkloadStatus {
        self.0.around.workloads.status(gateway).await
    }

    async fn running(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let made = self.0.around.workloads.running();
        self.0
            .port(|| "asks which proxies run".to_owned(), made)
            .await
    }
}

#[async_trait]
impl DataPlane for Port {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        let gateway = table.gateway.clone();
        let made = self.0.data_plane.publish(table);
        self.0.port(|| format!("publishes {gateway}"), made).await
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        let made = self.0.data_plane.withdraw(gateway);
        self.0.port(|| format!("withdraws {gateway}"), made).await
    }
}

/// As where the Secret is named by the class of the Gateway: a Gateway that is gone has none.
#[async_trait]
impl Credentials for Port {
    async fn of(&self, gateway: &ObjectKey) -> Result<CloudflareCredentials, EdgeError> {
        let seen = self.0.notes.lock().unwrap().seen.clone();
        let mut gateways = seen.gateways.items().iter();
        if gateways.any(|there| there.key == *gateway) {
            return StaticCredentials::for_all("acme").of(gateway).await;
        }
        let message = format!("there is no Gateway {gateway}");
        Err(EdgeError::new(EdgeErrorKind::Credentials, message))
    }

    async fn all(&self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        StaticCredentials::for_all("acme").all().await
    }
}

impl CloudflareAccounts for Port {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(Api {
            actor: self.0.clone(),
            cloudflare: self.0.stage.cloudflare.open(credentials),
        })
    }
}

struct Api {
    actor: Arc<Actor>,
    cloudflare: Arc<dyn CloudflareApi>,
}

impl Api {
    async fn call<T>(
        &self,
        call: ApiCall,
        what: impl FnOnce() -> String + Send,
        made: impl Future<Output = Result<T, EdgeError>> + Send,
    ) -> Result<T, EdgeError> {
        pause().await;
        let stage = &self.actor.stage;
        if let Some((moment, error)) = stage.next_fault() {
            stage.cloudflare.fail_nth(0, moment, error);
        }
        let answer = made.await;
        stage.cloudflare.heal();
        let error = answer
            .as_ref()
            .err()
            .map(|error| (error.kind, &error.message));
        stage.tell(|| format!("  {}: {call:?} {} {error:?}", self.actor.name, what()));
        answer
    }
}

fn nothing() -> String {
    String::new()
}

#[async_trait]
impl CloudflareApi for Api {
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, EdgeError> {
        let made = self.cloudflare.tunnels(name_prefix);
        self.call(ApiCall::Tunnels, nothing, made).await
    }

    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, EdgeError> {
        let made = async {
            self.actor.judge_creation(name);
            self.cloudflare.create_tunnel(name).await
        };
        self.call(ApiCall::CreateTunnel, || name.to_owned(), made)
            .await
    }

    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), EdgeError> {
        let made = async {
            self.actor.judge_removal(tunnel);
            // A proxy that still runs comes back at once after its connections were closed.
            for gateway in GATEWAYS {
                let proxy = self.actor.around.workloads.proxy(&key(gateway));
                let runs = proxy.is_some_and(|(runs_for, _)| runs_for == tunnel);
                let cloudflare = &self.actor.stage.cloudflare;
                if runs && cloudflare.tunnels().iter().any(|there| there.id == tunnel) {
                    cloudflare.connect(tunnel, gateway);
                }
            }
            self.cloudflare.delete_tunnel(tunnel).await
        };
        self.call(ApiCall::DeleteTunnel, || tunnel.to_string(), made)
            .await
    }

    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, EdgeError> {
        let made = self.cloudflare.connectors(tunnel);
        self.call(ApiCall::Connectors, nothing, made).await
    }

    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), EdgeError> {
        let made = self.cloudflare.disconnect(tunnel);
        self.call(ApiCall::Disconnect, nothing, made).await
    }

    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, EdgeError> {
        let made = self.cloudflare.tunnel_token(tunnel);
        self.call(ApiCall::TunnelToken, nothing, made).await
    }

    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), EdgeError> {
        let made = self.cloudflare.set_tunnel_secret(tunnel, secret);
        self.call(ApiCall::SetTunnelSecret, nothing, made).await
    }

    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), EdgeError> {
        let made = self.cloudflare.adopt_tunnel(tunnel, name, secret);
        self.call(ApiCall::AdoptTunnel, nothing, made).await
    }

    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, EdgeError> {
        let made = self.cloudflare.configuration(tunnel);
        self.call(ApiCall::Configuration, nothing, made).await
    }

    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), EdgeError> {
        let made = self.cloudflare.configure(tunnel, document);
        self.call(ApiCall::Configure, nothing, made).await
    }

    async fn zones(&self) -> Result<Vec<Zone>, EdgeError> {
        let zones = self
            .call(ApiCall::Zones, nothing, self.cloudflare.zones())
            .await;
        if zones.is_err() {
            let all = ZONES.iter().map(|zone| zone_id(zone));
            self.actor.notes.lock().unwrap().unread.extend(all);
        }
        zones
    }

    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, EdgeError> {
        let made = self.cloudflare.records(zone);
        let records = self.call(ApiCall::Records, || zone.to_string(), made).await;
        let unread = &mut self.actor.notes.lock().unwrap().unread;
        match &records {
            Ok(_) => unread.remove(zone),
            Err(_) => unread.insert(zone.clone()),
        };
        records
    }

    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), EdgeError> {
        let made = async {
            self.actor.judge_batch(zone, batch);
            self.cloudflare.change_records(zone, batch).await
        };
        self.call(ApiCall::ChangeRecords, || format!("{batch:?}"), made)
            .await
    }

    async fn custom_certificates(
        &self,
        zone: &ZoneId,
    ) -> Result<Vec<CustomCertificate>, EdgeError> {
        let made = self.cloudflare.custom_certificates(zone);
        self.call(ApiCall::CustomCertificates, || zone.to_string(), made)
            .await
    }

    async fn upload_certificate(
        &self,
        zone: &ZoneId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, EdgeError> {
        let made = self.cloudflare.upload_certificate(zone, pair);
        self.call(ApiCall::UploadCertificate, || zone.to_string(), made)
            .await
    }

    async fn replace_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
        pair: &CertificatePair,
    ) -> Result<CertificateId, EdgeError> {
        let made = self.cloudflare.replace_certificate(zone, certificate, pair);
        self.call(ApiCall::ReplaceCertificate, || zone.to_string(), made)
            .await
    }

    async fn delete_certificate(
        &self,
        zone: &ZoneId,
        certificate: &CertificateId,
    ) -> Result<(), EdgeError> {
        let made = self.cloudflare.delete_certificate(zone, certificate);
        self.call(ApiCall::DeleteCertificate, || zone.to_string(), made)
            .await
    }

    async fn verify_token(&self) -> Result<(), EdgeError> {
        let made = self.cloudflare.verify_token();
        self.call(ApiCall::VerifyToken, nothing, made).await
    }
}
