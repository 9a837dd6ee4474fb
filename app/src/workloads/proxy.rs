//! The connectors of one Gateway: one for each of its tunnels, and those that they replaced.

use std::sync::Arc;
use std::time::Duration;

use adapter_connector::{Connector, ConnectorStatus, TransportKind};
use domain::gateway::FieldError;
use domain::names::TunnelId;
use domain::secret::{ConnectorToken, TokenHash};
use domain::workload::{ConnectedReplica, EdgeConnections, WorkloadStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How long a proxy that joins another tunnel stays in the former one besides: its records in the other account are
/// made once it serves there, and until then visitors come by the former tunnel.
const BOTH_TUNNELS: Duration = Duration::from_secs(60);

/// The status of one connector.
type StatusReceiver = watch::Receiver<ConnectorStatus>;

/// The proxy of one Gateway.
pub(super) struct Proxy {
    /// That of all its tunnels.
    token: ConnectorToken,
    tunnels: Vec<Member>,
    /// Connectors that were replaced, each with the token of its time, as long as they may have connections.
    before: Vec<(TokenHash, StatusReceiver)>,
    /// The same, until they have left.
    replaced: TaskTracker,
    /// What of the parameters has no effect here; `None` until it was asked for by them.
    pub(super) parameters: Option<Vec<FieldError>>,
    /// Whether it is no Gateway's any more.
    pub(super) is_released: bool,
}

/// A connector with its token.
pub(super) struct Running {
    pub(super) token: ConnectorToken,
    pub(super) connector: Arc<Connector>,
    pub(super) watcher: JoinHandle<()>,
}

/// What is in one tunnel.
struct Member {
    current: Running,
    /// The status of the current connector. Those that it replaced wait for its connections; they wait no
    /// longer when this is dropped.
    statuses: watch::Sender<StatusReceiver>,
}

impl Proxy {
    /// One with these connectors, which were started with the parts of the token.
    pub(super) fn new(token: ConnectorToken, started: Vec<Running>) -> Self {
        Self {
            token,
            tunnels: started.into_iter().map(Member::new).collect(),
            before: Vec::new(),
            replaced: TaskTracker::new(),
            parameters: None,
            is_released: false,
        }
    }

    /// Whether it has this token already.
    pub(super) fn has(&self, token: &ConnectorToken) -> bool {
        self.token.is_same(token)
    }

    /// Whether one of its connectors has this token of a tunnel.
    pub(super) fn is_in(&self, token: &ConnectorToken) -> bool {
        let mut tunnels = self.tunnels.iter();
        tunnels.any(|member| member.current.token.is_same(token))
    }

    pub(super) fn set_trailers_needed(&self, needed: bool) {
        for member in &self.tunnels {
            member.current.connector.set_trailers_needed(needed);
        }
    }

    /// Takes another token. `started` are the connectors for those of its tunnels that none had the token of. Each takes the place
    /// of the one in its tunnel, else of one whose tunnel the Gateway has no longer.
    pub(super) fn take(&mut self, token: ConnectorToken, started: Vec<Running>) {
        let parts: Vec<_> = token.tunnels().collect();
        let stays = |member: &Member| {
            let mut parts = parts.iter();
            parts.any(|part| member.current.token.is_same(part))
        };
        let tunnels = std::mem::take(&mut self.tunnels);
        let (stay, mut go): (Vec<_>, Vec<_>) = tunnels.into_iter().partition(stays);
        self.tunnels = stay;
        let former = std::mem::replace(&mut self.token, token).hash();
        let of_same = |go: &[Member], new: &Running| {
            go.iter()
                .position(|member| member.current.tunnel() == new.tunnel())
        };
        let (same, other): (Vec<_>, Vec<_>) = started
            .into_iter()
            .partition(|new| of_same(&go, new).is_some());
        for new in same.into_iter().chain(other) {
            let place = of_same(&go, &new).or((!go.is_empty()).then_some(0));
            match place {
                None => self.tunnels.push(Member::new(new)),
                Some(place) => {
                    let mut member = go.remove(place);
                    let status = member.replace(new, &self.replaced);
                    self.before.push((former, status));
                    self.tunnels.push(member);
                }
            }
        }
        // Nothing leads to these any more.
        for Member { current, .. } in go {
            self.before.push((former, current.connector.status()));
            self.replaced.spawn(current.stop());
        }
    }

    /// Those to its tunnels.
    pub(super) fn connections(&mut self) -> EdgeConnections {
        let has_connection = |status: &StatusReceiver| status.borrow().registered() > 0;
        // One that begins to leave gets no further connection.
        self.before.retain(|(_, status)| has_connection(status));
        let tunnels: Vec<_> = self.tunnels.iter().map(|it| it.current.tunnel()).collect();
        let present = self.token.hash();
        let current = self.tunnels.iter();
        let current: Vec<_> = current
            .map(|member| (present, member.current.connector.status()))
            .collect();
        let mut connections = EdgeConnections::default();
        let connectors = self.before.iter().chain(&current);
        let connectors = connectors.map(|(token, status)| (token, status.borrow()));
        for (token, status) in connectors
            .filter(|(_, status)| status.registered() > 0 && tunnels.contains(&status.tunnel))
        {
            connections.tokens.insert(*token);
            connections.http2 += over(&status, TransportKind::Http2);
            connections.quic += over(&status, TransportKind::Quic);
        }
        connections
    }

    /// How it is doing. It is ready once it has a connection, and in every tunnel it has one or cannot get one.
    pub(super) fn status(&self) -> WorkloadStatus {
        let statuses: Vec<_> = self
            .tunnels
            .iter()
            .map(|member| member.current.connector.status())
            .collect();
        let mut connections = EdgeConnections::default();
        let (mut problems, mut is_ready, mut name) = (Vec::new(), true, None);
        for status in &statuses {
            let status = status.borrow();
            connections.http2 += over(&status, TransportKind::Http2);
            connections.quic += over(&status, TransportKind::Quic);
            let of_tunnel = status.problems();
            is_ready &= status.registered() > 0 || !of_tunnel.is_empty();
            problems.extend(of_tunnel);
            name.get_or_insert(status.connector_id.to_string());
        }
        let is_connected = connections.http2 > 0 || connections.quic > 0;
        let connector = name.and_then(|name| ConnectedReplica::of(&name, &connections));
        problems.dedup();
        WorkloadStatus {
            connectors: connector.into_iter().collect(),
            ready: u32::from(is_ready && is_connected),
            problems,
            parameters: self.parameters.clone(),
            ..WorkloadStatus::default()
        }
    }

    /// Returns when the current connectors and all before them have left.
    pub(super) async fn stop(self) {
        let current = self.tunnels.into_iter().map(|member| member.current);
        let current: Vec<_> = current.map(Running::stop).collect();
        self.replaced.close();
        let current = futures_util::future::join_all(current);
        tokio::join!(current, self.replaced.wait());
    }
}

impl Member {
    fn new(current: Running) -> Self {
        Self {
            statuses: watch::Sender::new(current.connector.status()),
            current,
        }
    }

    /// Makes another connector the current one, and gives the status of the one before. The connections of that one go when the
    /// new ones are there: the edge may refuse the new token. One that has no connection itself is not worth waiting with.
    fn replace(&mut self, new: Running, replaced: &TaskTracker) -> StatusReceiver {
        self.statuses.send_replace(new.connector.status());
        let old = std::mem::replace(&mut self.current, new);
        let status = old.connector.status();
        let serves = status.borrow().registered() > 0;
        let moves = old.tunnel() != self.current.tunnel();
        let mut statuses = self.statuses.subscribe();
        replaced.spawn(async move {
            if serves {
                connected(statuses.clone()).await;
            }
            if serves && moves {
                // What the edge says of the former tunnel counts no more.
                old.watcher.abort();
                let stopped = async { while statuses.changed().await.is_ok() {} };
                let _ = tokio::time::timeout(BOTH_TUNNELS, stopped).await;
            }
            old.stop().await;
        });
        status
    }
}

impl Running {
    async fn stop(self) {
        self.connector.shutdown().await;
        self.watcher.abort();
    }

    fn tunnel(&self) -> TunnelId {
        self.connector.status().borrow().tunnel
    }
}

fn over(status: &ConnectorStatus, transport: TransportKind) -> u32 {
    u32::try_from(status.registered_over(transport)).unwrap_or(u32::MAX)
}

/// Returns when the connector whose status is sent has a connection, or when no status will
/// be sent any more.
async fn connected(mut statuses: watch::Receiver<StatusReceiver>) {
    loop {
        let mut status = statuses.borrow_and_update().clone();
        let registered = async {
            // A connector that is gone gets no connection; another one may follow.
            if status.wait_for(|now| now.registered() > 0).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = registered => return,
            changed = statuses.changed() => if changed.is_err() { return },
        }
    }
}
