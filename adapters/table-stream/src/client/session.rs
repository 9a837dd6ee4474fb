//! One stream as the proxy sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::capabilities::DataPlaneKind;
use domain::names::ObjectKey;
use domain::route_table::RouteTable;
use domain::workload::EdgeConnections;
use tokio::sync::watch;

use super::Shared;
use super::dial::Dialled;
use super::kept::{HeldTable, Kept};
use crate::wire::{
    ClientPair, Delta, FORMAT, HEARTBEAT, Hello, LONGEST_MESSAGE, PROTOCOL, RefusalReason, Refuse,
    SILENCE, Stamp, Table, ToController, ToProxy, Version, Welcome, read_to_proxy,
};

/// How long a farewell may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// How often signs of life are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum End {
    /// This client was stopped.
    Stopped,
    /// The controller said to go on, to this address if it knew one.
    Elsewhere(Option<String>),
    /// The stream is gone, or of no use.
    Broken(String),
}

/// A stream with what belongs to it.
pub(super) struct Session {
    shared: Arc<Shared>,
    stream: Dialled,
    ready: watch::Receiver<bool>,
    connections: watch::Receiver<EdgeConnections>,
    spoke: Instant,
}

/// Why a version is not taken.
struct TableRefusal(RefusalReason, String);

impl Session {
    pub(super) fn new(shared: Arc<Shared>, stream: Dialled) -> Self {
        Self {
            ready: shared.ready.subscribe(),
            connections: shared.connections.subscribe(),
            shared,
            stream,
            spoke: Instant::now(),
        }
    }

    /// Runs until either side ends it.
    pub(super) async fn run(mut self) -> End {
        let hello = Hello {
            protocol: PROTOCOL,
            replica: self.shared.options.replica.clone(),
            held: self.shared.holding(),
            ready: *self.ready.borrow_and_update(),
            connections: self.connections.borrow_and_update().clone(),
            features: DataPlaneKind::Native.serves(),
        };
        if !self.say(&ToController::Hello(hello)).await {
            return gone();
        }
        let end = self.until_end().await;
        if matches!(end, End::Stopped) {
            self.farewell().await;
        }
        end
    }

    async fn until_end(&mut self) -> End {
        let shared = self.shared.clone();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let ended = tokio::select! {
                () = shared.stop.cancelled() => Some(End::Stopped),
                read = self.stream.reader.next() => match read {
                    Ok(Some(json)) => self.hear(&json).await,
                    Ok(None) => Some(End::Broken("the controller ended it".to_owned())),
                    Err(error) => Some(End::Broken(error.to_string())),
                },
                changed = self.ready.changed() => {
                    let ready = *self.ready.borrow_and_update();
                    let said = changed.is_ok() && self.say(&ToController::Ready(ready)).await;
                    (!said).then(gone)
                }
                changed = self.connections.changed() => {
                    let connections = self.connections.borrow_and_update().clone();
                    let said = changed.is_ok() && self.say(&ToController::Connections(connections)).await;
                    (!said).then(gone)
                }
                () = shared.disowned.notified() => {
                    let said = self.say(&ToController::Disowned).await;
                    (!said).then(gone)
                }
                _ = looks.tick() => self.look(),
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    fn look(&mut self) -> Option<End> {
        if self.stream.reader.silence() > SILENCE {
            return Some(End::Broken("the controller is silent".to_owned()));
        }
        if self.spoke.elapsed() >= HEARTBEAT {
            self.stream.sender.send_if_idle(&ToController::Heartbeat);
            self.spoke = Instant::now();
        }
        None
    }

    async fn hear(&mut self, json: &[u8]) -> Option<End> {
        match read_to_proxy(json) {
            Ok(ToProxy::Welcome(welcome)) => self.welcomed(welcome),
            Ok(ToProxy::Table(Table { version, table, .. })) => self.take(version, table).await,
            Ok(ToProxy::Delta(delta)) => match self.result_of(delta) {
                Ok((version, table)) => self.take(version, table).await,
                Err((version, refusal)) => self.refuse(version, refusal).await,
            },
            Ok(ToProxy::ClientCertificate(pair)) => self.show(pair).await,
            Ok(ToProxy::Withdraw(withdraw)) => self.give_up(withdraw.version).await,
            Ok(ToProxy::Heartbeat) => None,
            Ok(ToProxy::Denied(denial)) => Some(End::Broken(denial.message)),
            Ok(ToProxy::Leave(leave)) => Some(End::Elsewhere(leave.leader)),
            Err(Some(stamp)) => self.refuse(stamp.version, unreadable(stamp)).await,
            Err(None) => Some(End::Broken("the controller said what this proxy does not know; run proxy and controller of one release".to_owned())),
        }
    }

    fn welcomed(&self, welcome: Welcome) -> Option<End> {
        if welcome.protocol != PROTOCOL {
            let words = format!("the controller speaks protocol {}", welcome.protocol);
            return Some(End::Broken(words));
        }
        let mut state = self.shared.state.lock();
        state.connected = true;
        state.gateway.get_or_insert(welcome.gateway);
        None
    }

    /// The table that a difference leads to.
    fn result_of(
        &self,
        delta: Delta,
    ) -> Result<(Version, Arc<RouteTable>), (Version, TableRefusal)> {
        let version = delta.version;
        let mismatch = |words: String| (version, TableRefusal(RefusalReason::BaseMismatch, words));
        let held = self.shared.held();
        let base = held.filter(|held| held.version == delta.base);
        let Some(old) = base.and_then(|held| held.table) else {
            let words = format!("the replica does not hold version {}", delta.base);
            return Err(mismatch(words));
        };
        let table = delta.changes.apply(&old);
        let table = table.map_err(|error| mismatch(error.to_string()))?;
        Ok((version, Arc::new(table)))
    }

    /// Has endpoints shown a certificate.
    async fn show(&mut self, pair: Option<ClientPair>) -> Option<End> {
        let gateway = self.shared.state.lock().gateway.clone()?;
        let pair = pair.map(|pair| Arc::new(pair.into()));
        if let Err(error) = self.shared.sink.show(&gateway, pair).await {
            tracing::warn!(%error, "the certificate for endpoints was not taken");
        }
        None
    }

    /// Serves a table and says so.
    async fn take(&mut self, version: Version, table: Arc<RouteTable>) -> Option<End> {
        if let Err(refusal) = self.acceptable(version, &table.gateway) {
            return self.refuse(version, refusal).await;
        }
        if let Err(error) = self.shared.sink.publish(table.clone()).await {
            let refusal = TableRefusal(RefusalReason::Unusable, error.to_string());
            return self.refuse(version, refusal).await;
        }
        let gateway = table.gateway.clone();
        self.hold(gateway, version, Some(table)).await
    }

    /// Serves nothing any more.
    async fn give_up(&mut self, version: Version) -> Option<End> {
        let gateway = self.shared.state.lock().gateway.clone()?;
        if let Err(refusal) = self.acceptable(version, &gateway) {
            return self.refuse(version, refusal).await;
        }
        if let Err(error) = self.shared.sink.withdraw(&gateway).await {
            let refusal = TableRefusal(RefusalReason::Unusable, error.to_string());
            return self.refuse(version, refusal).await;
        }
        self.hold(gateway, version, None).await
    }

    async fn hold(
        &mut self,
        gateway: ObjectKey,
        version: Version,
        table: Option<Arc<RouteTable>>,
    ) -> Option<End> {
        let held = HeldTable { version, table };
        {
            let mut state = self.shared.state.lock();
            state.gateway = Some(gateway.clone());
            state.held = Some(held.clone());
        }
        let kept = Kept::new(gateway, held);
        self.shared.to_keep.send_replace(Some(kept));
        let said = self.say(&ToController::Acknowledge(version)).await;
        (!said).then(gone)
    }

    /// Whether this version for this Gateway may take the place of what is held.
    fn acceptable(&self, version: Version, gateway: &ObjectKey) -> Result<(), TableRefusal> {
        let state = self.shared.state.lock();
        if let Some(held) = &state.held
            && held.version > version
        {
            let words = format!(
                "the replica holds version {}, which is newer than {version}; if the controller's terms began anew, restart the proxy's pods",
                held.version
            );
            return Err(TableRefusal(RefusalReason::Older, words));
        }
        match &state.gateway {
            Some(served) if served != gateway => {
                let words = format!(
                    "the replica serves Gateway {served}, not {gateway}; a proxy serves one Gateway for life"
                );
                Err(TableRefusal(RefusalReason::OtherGateway, words))
            }
            _ => Ok(()),
        }
    }

    /// What is served stays. A controller with older tables than ours is left.
    async fn refuse(&mut self, version: Version, refusal: TableRefusal) -> Option<End> {
        let TableRefusal(reason, message) = refusal;
        tracing::warn!(%version, message, "a route table is refused");
        let refuse = Refuse {
            version,
            reason,
            message: message.chars().take(LONGEST_MESSAGE).collect(),
        };
        let said = self.say(&ToController::Refuse(refuse)).await;
        (!said).then(gone)
    }

    async fn say(&mut self, frame: &ToController) -> bool {
        self.spoke = Instant::now();
        self.stream.sender.send(frame).await
    }

    /// Says goodbye and waits until the controller has heard it: it ends the stream.
    async fn farewell(mut self) {
        if !self.say(&ToController::Goodbye).await {
            return;
        }
        let Dialled {
            sender,
            mut reader,
            connection,
        } = self.stream;
        drop(sender);
        let heard = async { while let Ok(Some(_)) = reader.next().await {} };
        drop(tokio::time::timeout(FAREWELL / 2, heard).await);
        drop(connection);
    }
}

fn gone() -> End {
    End::Broken("the connection is gone".to_owned())
}

fn unreadable(stamp: Stamp) -> TableRefusal {
    if stamp.format == FORMAT {
        let words = "the table cannot be read although its format is known";
        return TableRefusal(RefusalReason::Unusable, words.to_owned());
    }
    let words = format!(
        "the table is written in format {}, and this replica reads format {FORMAT} only; run proxy and controller of one release",
        stamp.format
    );
    TableRefusal(RefusalReason::UnknownFormat, words)
}
