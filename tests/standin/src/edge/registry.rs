//! The live connections of every tunnel, and which of them gets a request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::watch;
use uuid::Uuid;

use super::body::Body;
use super::line::{Line, RequestKind, SendFailure};
use crate::cloud::ConnectionRecord;

/// How far a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has registered, and its first configuration is on the way.
    Registered,
    /// It gets requests.
    Serving,
    /// It gets no more requests; those that it has may finish.
    Draining,
    /// A test has frozen it: it gets no more requests and answers nothing.
    Wedged,
    /// It has ended.
    Ended,
}

/// What a connector answered when a configuration was pushed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The version that it runs now.
    pub version: i32,
    /// Its complaint about the version that was pushed: over HTTP/2 as JSON, over QUIC as text.
    pub error: Option<String>,
}

/// A registered connection.
pub(super) struct Connection {
    pub(super) record: ConnectionRecord,
    pub(super) peer: SocketAddr,
    pub(super) edge_address: SocketAddr,
    pub(super) line: Arc<Line>,
    phase: watch::Sender<Phase>,
    in_flight: watch::Sender<usize>,
    confirmed: Mutex<Option<Confirmation>>,
}

impl Connection {
    /// A connection that has just registered.
    pub(super) fn new(
        record: ConnectionRecord,
        peer: SocketAddr,
        edge_address: SocketAddr,
        line: Arc<Line>,
    ) -> Self {
        Self {
            record,
            peer,
            edge_address,
            line,
            phase: watch::Sender::new(Phase::Registered),
            in_flight: watch::Sender::new(0),
            confirmed: Mutex::new(None),
        }
    }

    /// Made by the edge at registration.
    pub(super) fn id(&self) -> Uuid {
        self.record.connection
    }

    /// How far it is.
    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Requests whose answer has not ended.
    pub(super) fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }

    /// The connector's last answer to a configuration.
    pub(super) fn confirmed(&self) -> Option<Confirmation> {
        lock(&self.confirmed).clone()
    }

    /// Notes the connector's answer to a configuration.
    pub(super) fn confirm(&self, confirmation: Confirmation) {
        *lock(&self.confirmed) = Some(confirmation);
    }

    /// Goes on to a later phase; never back.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = (phase as u8) > (*now as u8);
            if later {
                *now = phase;
            }
            later
        });
    }

    /// It has ended, or does so as soon as its streams have.
    pub(super) fn end(&self) {
        self.enter(Phase::Ended);
        self.line.close();
    }

    /// Waits until every answer has ended.
    pub(super) async fn idle(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self
            .in_flight
            .subscribe()
            .wait_for(|count| *count == 0)
            .await;
    }

    /// Whether it ends within a moment: the error of a request comes a little before the end of its
    /// connection.
    async fn ends_soon(&self) -> bool {
        let mut phase = self.phase.subscribe();
        let ended = phase.wait_for(|phase| *phase == Phase::Ended);
        tokio::time::timeout(Duration::from_millis(250), ended)
            .await
            .is_ok()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        kind: RequestKind,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendFailure> {
        match self.line.send(kind, request).await {
            Err(SendFailure::StreamFailed(_)) if self.ends_soon().await => {
                Err(SendFailure::ConnectionEnded)
            }
            outcome => outcome,
        }
    }
}

/// Counts a request as in flight until it is dropped.
pub(super) struct InFlight(Arc<Connection>);

impl InFlight {
    fn on(connection: Arc<Connection>) -> Self {
        connection.in_flight.send_modify(|count| *count += 1);
        Self(connection)
    }

    /// The connection that carries it.
    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|count| *count -= 1);
    }
}

/// All registered connections.
#[derive(Default)]
pub(super) struct Registry {
    by_tunnel: Mutex<HashMap<Uuid, Vec<Arc<Connection>>>>,
    turn: AtomicUsize,
}

impl Registry {
    /// Takes a connection in, unless its connector already holds one of the same index. With
    /// `replace`, the older one is cut instead.
    pub(super) fn admit(&self, new: Arc<Connection>, replace: bool) -> Result<(), Duplicate> {
        let mut tunnels = lock(&self.by_tunnel);
        let present = tunnels.entry(new.record.tunnel).or_default();
        let duplicate = present.iter().find(|old| {
            old.record.connector == new.record.connector
                && old.record.index == new.record.index
                && matches!(old.phase(), Phase::Registered | Phase::Serving)
        });
        match duplicate {
            Some(_) if !replace => return Err(Duplicate),
            Some(old) => old.line.cut(),
            None => {}
        }
        present.push(new);
        Ok(())
    }

    /// Lets a connection go.
    pub(super) fn remove(&self, connection: &Connection) {
        let mut tunnels = lock(&self.by_tunnel);
        if let Some(present) = tunnels.get_mut(&connection.record.tunnel) {
            present.retain(|other| other.id() != connection.id());
            if present.is_empty() {
                tunnels.remove(&connection.record.tunnel);
            }
        }
    }

    /// The connection of a tunnel that serves and has the fewest requests in flight, other than
    /// those `tried` already; equals take turns.
    pub(super) fn choose(&self, tunnel: Uuid, tried: &[Uuid]) -> Option<InFlight> {
        let tunnels = lock(&self.by_tunnel);
        let present = tunnels.get(&tunnel)?;
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % present.len();
        let (before, after) = present.split_at(first);
        let least = after
            .iter()
            .chain(before)
            .filter(|c| c.phase() == Phase::Serving && !tried.contains(&c.id()))
            .min_by_key(|c| c.in_flight())?;
        Some(InFlight::on(least.clone()))
    }

    /// Connections of one tunnel.
    pub(super) fn of_tunnel(&self, tunnel: Uuid) -> Vec<Arc<Connection>> {
        let tunnels = lock(&self.by_tunnel);
        tunnels.get(&tunnel).cloned().unwrap_or_default()
    }

    /// All connections.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        lock(&self.by_tunnel).values().flatten().cloned().collect()
    }
}

/// The connector already holds a connection of this index.
#[derive(Debug)]
pub(super) struct Duplicate;

/// Data behind these locks is whole after every statement, so a panic elsewhere cannot spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
