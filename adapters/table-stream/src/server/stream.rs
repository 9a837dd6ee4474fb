//! One stream: what is sent to one replica and what it says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::capabilities::{Feature, FeatureSet};
use domain::certificate::Fingerprint;
use domain::names::is_object_name;
use domain::route_table::{RouteTable, needs, reduced};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::audience::Hearer;
use super::encoded::Encoded;
use super::{Joined, Leader, OpenStream, Published};
use crate::delta::TableDelta;
use crate::frames::{FrameReader, FrameSender, encode};
use crate::wire::{
    ClientPair, Delta, Denial, FORMAT, HEARTBEAT, Hello, LARGEST_REPORT, Leave, MOST_TOKENS,
    PROTOCOL, RefusalReason, Refuse, SILENCE, Table, ToController, ToProxy, Version, Welcome,
    Withdraw,
};

/// How long a proxy may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How often leadership and signs of life are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// After this a proxy has to come again with a fresh token: one that was taken away opens no new stream.
const LONGEST_STREAM: Duration = Duration::from_secs(30 * 60);

/// How long a replica may take to serve a table or to refuse it. Until then the table is kept for it.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Frames that a proxy may send within [`COUNTED_FOR`].
const MOST_FRAMES: u32 = 1000;

/// See [`MOST_FRAMES`].
const COUNTED_FOR: Duration = Duration::from_secs(10);

/// A stream before hello.
pub(super) struct Stream {
    open: OpenStream,
    term: u64,
    reader: FrameReader,
    sender: FrameSender,
}

impl Stream {
    pub(super) fn new(open: OpenStream, term: u64, body: Incoming, sender: FrameSender) -> Self {
        Self {
            open,
            term,
            reader: FrameReader::new(body, LARGEST_REPORT),
            sender,
        }
    }

    /// Runs until either side ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let gateway = self.open.gateway.clone();
        let hello = match tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(message)) => return self.deny(message).await,
            Err(_) => return tracing::debug!(%gateway, "a proxy said no hello"),
        };
        // What it holds of another Gateway counts for nothing here.
        let held = hello.held.filter(|held| held.gateway == gateway);
        let hearer = Hearer {
            name: &hello.replica,
            ready: hello.ready,
            held: held.map(|held| held.version),
            connections: &hello.connections,
        };
        let joined = match self.open.server.join(&gateway, hearer, self.term) {
            Ok(joined) => joined,
            Err(full) => return self.deny(full.to_string()).await,
        };
        let session = Session::new(self, hello.replica, hello.features, joined);
        session.run(stop).await;
    }

    async fn deny(self, message: String) {
        let gateway = &self.open.gateway;
        tracing::info!(%gateway, message, "a proxy was turned away");
        self.sender.send(&ToProxy::Denied(Denial { message })).await;
    }

    async fn hello(&mut self) -> Result<Hello, String> {
        let hello = match self.reader.next().await {
            Ok(Some(json)) => match serde_json::from_slice(&json) {
                Ok(ToController::Hello(hello)) => hello,
                Ok(_) | Err(_) => return Err("the first frame must be hello".to_owned()),
            },
            Ok(None) => return Err("the stream ended before hello".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        if hello.protocol != PROTOCOL {
            return Err(format!(
                "protocol {} is not spoken here, only {PROTOCOL}; run proxy and controller of one release",
                hello.protocol
            ));
        }
        if !is_object_name(&hello.replica) {
            return Err("a replica is named by 1 to 253 of a-z, 0-9, `-` and `.`".to_owned());
        }
        if hello.connections.tokens.len() > MOST_TOKENS {
            return Err(TOO_MANY_TOKENS.to_owned());
        }
        Ok(hello)
    }
}

const TOO_MANY_TOKENS: &str = "the proxy names too many tokens";

/// A stream after hello. At most one table is under way: a replica that is slow gets the newest one next,
/// whatever was published meanwhile.
struct Session {
    stream: Stream,
    replica: String,
    /// What of the Gateway API the replica serves.
    features: FeatureSet,
    number: u64,
    published: watch::Receiver<Published>,
    encoded: Arc<Encoded>,
    /// What the replica is known to serve: what differences are made to.
    acknowledged: Option<(Version, Arc<RouteTable>)>,
    in_flight: Option<InFlight>,
    /// The certificate for endpoints that the replica was sent.
    shown: Option<Fingerprint>,
    /// The last version that was acknowledged or refused for good.
    settled: Option<Version>,
    opened: Instant,
    spoke: Instant,
    /// Frames since a moment.
    heard: (u32, Instant),
}

/// What was sent and neither acknowledged nor refused yet.
struct InFlight {
    version: Version,
    /// `None` for a withdrawal.
    table: Option<Arc<RouteTable>>,
    /// What the published table needs and the replica does not serve: the rules concerned answer 500.
    lacking: FeatureSet,
    sent: Instant,
}

/// Why a session ends.
enum End {
    Goodbye,
    /// The stream is gone, or of no use.
    Broken(String),
    /// The proxy has to go elsewhere, or to come again.
    Leave(Option<String>),
}

impl Session {
    fn new(stream: Stream, replica: String, features: FeatureSet, joined: Joined) -> Self {
        let now = Instant::now();
        let published = joined.published.borrow().clone();
        let newest = published.version(stream.term);
        let table = published.table();
        // What it holds of such a table is not known: the program that asked for it may have been another one.
        let is_whole = |table: &Arc<RouteTable>| needs(table).without(features).is_empty();
        let is_whole = table.as_ref().is_none_or(is_whole);
        let settled = joined.held.filter(|held| newest == Some(*held) && is_whole);
        Self {
            stream,
            replica,
            features,
            number: joined.stream,
            acknowledged: settled.and_then(|version| Some((version, table?))),
            published: joined.published,
            encoded: joined.encoded,
            in_flight: None,
            shown: None,
            settled,
            opened: now,
            spoke: now,
            heard: (0, now),
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let end = match self.welcome().await {
            true => self.until_end(&stop).await,
            false => End::Broken("the proxy reads nothing".to_owned()),
        };
        if let End::Leave(leader) = &end {
            let leader = leader.clone();
            let frame = ToProxy::Leave(Leave { leader });
            let sent = self.stream.sender.send(&frame);
            // A replica that reads nothing needs no farewell.
            drop(tokio::time::timeout(LOOK_EVERY, sent).await);
        }
        if let End::Broken(why) = &end {
            let (gateway, replica) = (&self.stream.open.gateway, &self.replica);
            tracing::info!(%gateway, replica, why, "the stream of a replica broke");
        }
        let goodbye = matches!(end, End::Goodbye);
        let (name, number) = (self.replica.clone(), self.number);
        self.note(|audience, _| audience.leave(&name, number, goodbye, Instant::now()));
    }

    async fn welcome(&self) -> bool {
        let welcome = Welcome {
            protocol: PROTOCOL,
            gateway: self.stream.open.gateway.clone(),
        };
        self.stream.sender.send(&ToProxy::Welcome(welcome)).await
    }

    async fn until_end(&mut self, stop: &CancellationToken) -> End {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            if let Some(frame) = self.shown()
                && !self.stream.sender.send_encoded(frame).await
            {
                return End::Broken("the proxy reads no more".to_owned());
            }
            if self.in_flight.is_none()
                && let Some(frame) = self.news()
            {
                if !self.stream.sender.send_encoded(frame).await {
                    return End::Broken("the proxy reads no more".to_owned());
                }
                self.spoke = Instant::now();
            }
            tokio::select! {
                read = self.stream.reader.next() => match read {
                    Ok(Some(json)) => {
                        if let Some(end) = self.hear(&json) {
                            return end;
                        }
                    }
                    Ok(None) => return End::Broken("the proxy ended it".to_owned()),
                    Err(error) => return End::Broken(error.to_string()),
                },
                changed = self.published.changed() => if changed.is_err() {
                    return End::Leave(None);
                },
                _ = looks.tick() => if let Some(end) = self.look() {
                    return end;
                },
                () = stop.cancelled() => return End::Leave(None),
            }
        }
    }

    /// The frame with the certificate for endpoints; `None` where the replica has it, or takes none.
    fn shown(&mut self) -> Option<Bytes> {
        if !self.features.has(Feature::GatewayBackendClientCertificate) {
            return None;
        }
        let shown = self.published.borrow().shown();
        let fingerprint = shown.as_ref().map(|shown| shown.fingerprint.clone());
        if fingerprint == self.shown {
            return None;
        }
        self.shown = fingerprint;
        let pair = shown.as_deref().map(ClientPair::of);
        Some(encode(&ToProxy::ClientCertificate(pair)))
    }

    /// The frame that brings the replica to the newest state; `None` where it is there.
    fn news(&mut self) -> Option<Bytes> {
        let published = self.published.borrow_and_update().clone();
        let version = published.version(self.stream.term)?;
        let Published::State { table, .. } = published else {
            return None;
        };
        if self.settled == Some(version) {
            return None;
        }
        let lacking = table
            .as_ref()
            .map(|table| needs(table).without(self.features));
        let lacking = lacking.unwrap_or_default();
        let table = match lacking.is_empty() {
            true => table,
            false => table.map(|table| Arc::new(reduced(&table, self.features))),
        };
        self.in_flight = Some(InFlight {
            version,
            table: table.clone(),
            lacking,
            sent: Instant::now(),
        });
        Some(match (table, &self.acknowledged) {
            (None, _) => encode(&ToProxy::Withdraw(Withdraw { version })),
            (Some(table), Some((base, old))) => encode(&ToProxy::Delta(Delta {
                format: FORMAT,
                version,
                base: *base,
                changes: TableDelta::between(old, &table),
            })),
            (Some(table), None) if lacking.is_empty() => self.encoded.of(version, &table),
            (Some(table), None) => encode(&ToProxy::Table(Table {
                format: FORMAT,
                version,
                table,
            })),
        })
    }

    fn hear(&mut self, json: &[u8]) -> Option<End> {
        if self.is_flooded() {
            return Some(End::Broken("the proxy says too much".to_owned()));
        }
        match serde_json::from_slice(json) {
            Ok(ToController::Acknowledge(version)) => self.acknowledge(version),
            Ok(ToController::Refuse(refuse)) => return self.refused(refuse),
            Ok(ToController::Ready(ready)) => {
                let (name, number) = (self.replica.clone(), self.number);
                self.note(|audience, _| audience.ready(&name, number, ready));
            }
            Ok(ToController::Connections(now)) if now.tokens.len() > MOST_TOKENS => {
                return Some(End::Broken(TOO_MANY_TOKENS.to_owned()));
            }
            Ok(ToController::Connections(now)) => {
                let (name, number) = (self.replica.clone(), self.number);
                let mut are_others = false;
                self.note(|audience, _| are_others = audience.connections(&name, number, now));
                if are_others {
                    self.stream.open.server.options.changed.notify_one();
                }
            }
            // Whose proxy it is the token has shown, so it speaks for no other Gateway.
            Ok(ToController::Disowned) => {
                let open = &self.stream.open;
                (open.server.options.disowned)(&open.gateway);
            }
            Ok(ToController::Heartbeat) => {}
            Ok(ToController::Goodbye) => return Some(End::Goodbye),
            Ok(ToController::Hello(_)) => return Some(End::Broken("a second hello".to_owned())),
            Err(error) => return Some(End::Broken(format!("no frame of a proxy: {error}"))),
        }
        None
    }

    /// Whether more frames come than any proxy has reason to send.
    fn is_flooded(&mut self) -> bool {
        let (count, since) = &mut self.heard;
        if since.elapsed() >= COUNTED_FOR {
            (*count, *since) = (0, Instant::now());
        }
        *count += 1;
        *count > MOST_FRAMES
    }

    fn landed(&mut self, version: Version) -> Option<InFlight> {
        self.in_flight.take_if(|sent| sent.version == version)
    }

    /// Counts only for what was sent to this very replica.
    fn acknowledge(&mut self, version: Version) {
        let Some(InFlight { table, lacking, .. }) = self.landed(version) else {
            return;
        };
        self.settled = Some(version);
        self.acknowledged = table.map(|table| (version, table));
        let (name, number) = (self.replica.clone(), self.number);
        if lacking.is_empty() {
            return self.note(|audience, newest| audience.holds(&name, number, version, newest));
        }
        let why = not_served(lacking);
        self.note(|audience, _| audience.refuses(&name, number, version, &why));
    }

    fn refused(&mut self, refuse: Refuse) -> Option<End> {
        let Refuse {
            version,
            reason,
            message,
        } = refuse;
        self.landed(version)?;
        let (gateway, replica) = (&self.stream.open.gateway, &self.replica);
        if reason == RefusalReason::BaseMismatch {
            tracing::debug!(%gateway, replica, %version, message, "a whole table is needed");
            self.acknowledged = None;
            return None;
        }
        tracing::warn!(%gateway, replica, %version, message, "a replica refuses a route table");
        self.settled = Some(version);
        let (name, number) = (self.replica.clone(), self.number);
        self.note(|audience, _| audience.refuses(&name, number, version, &message));
        let older = reason == RefusalReason::Older;
        older.then(|| End::Broken("the replica holds a newer table".to_owned()))
    }

    /// What has to be looked at from time to time.
    fn look(&mut self) -> Option<End> {
        let OpenStream {
            server, gateway, ..
        } = &self.stream.open;
        match (server.options.leader)() {
            Leader::Here { term } if term == self.stream.term => {}
            Leader::Here { .. } | Leader::Nobody => return Some(End::Leave(None)),
            Leader::At(leader) => return Some(End::Leave(Some(leader))),
        }
        if !server.is_current(gateway, &self.replica, self.number) {
            return Some(End::Broken("the replica came again".to_owned()));
        }
        if self.stream.reader.silence() > SILENCE {
            return Some(End::Broken("the proxy is silent".to_owned()));
        }
        let sent = self.in_flight.as_ref().map(|sent| sent.sent.elapsed());
        if sent.is_some_and(|ago| ago > ACKNOWLEDGE_TIMEOUT) {
            return Some(End::Broken("the proxy acknowledges nothing".to_owned()));
        }
        if self.opened.elapsed() > LONGEST_STREAM {
            return Some(End::Leave(None));
        }
        if self.spoke.elapsed() >= HEARTBEAT {
            self.stream.sender.send_if_idle(&ToProxy::Heartbeat);
            self.spoke = Instant::now();
        }
        None
    }

    fn note(&self, act: impl FnOnce(&mut super::Audience, Option<Version>)) {
        let OpenStream {
            server, gateway, ..
        } = &self.stream.open;
        server.note(gateway, self.stream.term, act);
    }
}

/// Why a replica does not serve all of a table that it acknowledged.
fn not_served(lacking: FeatureSet) -> String {
    let names: Vec<_> = lacking.iter().map(Feature::name).collect();
    format!("it does not serve {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_named_like_a_pod() {
        for (given, then) in [
            ("gateway-web-7d9f-x2x", true),
            ("a.b", true),
            ("", false),
            ("a b", false),
            ("a\n", false),
            ("A", false),
        ] {
            assert_eq!(is_object_name(given), then, "{given:?}");
        }
    }
}
