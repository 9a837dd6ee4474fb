//! One stream: what one replica is told and what it says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::ObjectKey;
use domain::route_table::RouteTable;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::audience::Hearer;
use super::{Leader, TableServer, Told};
use crate::delta::TableDelta;
use crate::frames::{FrameReader, FrameSender};
use crate::wire::{
    Delta, Denial, FORMAT, HEARTBEAT, Hello, LARGEST_REPORT, Leave, PROTOCOL, RefusalReason,
    Refuse, SILENCE, Table, ToController, ToProxy, Version, Welcome, Withdraw,
};

/// How long a proxy may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How often leadership and signs of life are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// After this a proxy has to come again with a fresh token: one that was taken away opens no new stream.
const LONGEST_STREAM: Duration = Duration::from_secs(30 * 60);

/// A stream before hello.
pub(super) struct Stream {
    server: Arc<TableServer>,
    gateway: ObjectKey,
    term: u64,
    reader: FrameReader,
    sender: FrameSender,
}

impl Stream {
    pub(super) fn new(
        server: Arc<TableServer>,
        gateway: ObjectKey,
        term: u64,
        body: Incoming,
        sender: FrameSender,
    ) -> Self {
        Self {
            server,
            gateway,
            term,
            reader: FrameReader::new(body, LARGEST_REPORT),
            sender,
        }
    }

    /// Runs until either side ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let hello = match tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(message)) => {
                tracing::info!(gateway = %self.gateway, message, "a proxy was turned away");
                self.sender.send(&ToProxy::Denied(Denial { message })).await;
                return;
            }
            Err(_) => return tracing::debug!(gateway = %self.gateway, "a proxy said no hello"),
        };
        let welcome = Welcome {
            protocol: PROTOCOL,
            gateway: self.gateway.clone(),
        };
        if !self.sender.send(&ToProxy::Welcome(welcome)).await {
            return;
        }
        // What it holds of another Gateway counts for nothing here.
        let held = hello.held.filter(|held| held.gateway == self.gateway);
        let hearer = Hearer {
            name: &hello.replica,
            ready: hello.ready,
            held: held.map(|held| held.version),
        };
        let (number, told) = self.server.join(&self.gateway, &hearer, self.term);
        let newest = told.borrow().version(self.term);
        let settled = hearer.held.filter(|held| newest == Some(*held));
        let acknowledged = settled.and_then(|version| Some((version, told.borrow().table()?)));
        let session = Session {
            settled,
            acknowledged,
            replica: hello.replica,
            number,
            told,
            in_flight: None,
            opened: Instant::now(),
            spoke: Instant::now(),
            stream: self,
        };
        session.run(stop).await;
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
        if !is_name(&hello.replica) {
            return Err("a replica is named by 1 to 253 of a-z, 0-9, `-` and `.`".to_owned());
        }
        Ok(hello)
    }
}

/// Replica names end up in statuses.
fn is_name(text: &str) -> bool {
    let permitted =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(permitted)
}

/// A stream after hello. At most one table is under way: a replica that is slow gets the newest one next,
/// whatever was published meanwhile.
struct Session {
    stream: Stream,
    replica: String,
    number: u64,
    told: watch::Receiver<Told>,
    /// What the replica is known to serve: what differences are made to.
    acknowledged: Option<(Version, Arc<RouteTable>)>,
    in_flight: Option<(Version, Option<Arc<RouteTable>>)>,
    /// The last version that was acknowledged or refused for good.
    settled: Option<Version>,
    opened: Instant,
    spoke: Instant,
}

/// Why a session ends.
enum End {
    /// The replica stops.
    Goodbye,
    /// The stream is gone, or of no use.
    Broken(String),
    /// The proxy has to go elsewhere, or to come again.
    Leave(Option<String>),
}

impl Session {
    async fn run(mut self, stop: CancellationToken) {
        let end = self.until_end(&stop).await;
        if let End::Leave(leader) = &end {
            let leader = leader.clone();
            let frame = ToProxy::Leave(Leave { leader });
            let sent = self.stream.sender.send(&frame);
            // Whoever reads nothing needs no farewell.
            drop(tokio::time::timeout(LOOK_EVERY, sent).await);
        }
        if let End::Broken(why) = &end {
            let (gateway, replica) = (&self.stream.gateway, &self.replica);
            tracing::info!(%gateway, replica, why, "the stream of a replica broke");
        }
        let goodbye = matches!(end, End::Goodbye);
        let (name, number) = (self.replica, self.number);
        self.stream
            .server
            .note(&self.stream.gateway, self.stream.term, |audience, _| {
                audience.leave(&name, number, goodbye, Instant::now());
            });
    }

    async fn until_end(&mut self, stop: &CancellationToken) -> End {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            if self.in_flight.is_none()
                && let Some(frame) = self.news()
            {
                if !self.stream.sender.send(&frame).await {
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
                changed = self.told.changed() => if changed.is_err() {
                    return End::Leave(None);
                },
                _ = looks.tick() => if let Some(end) = self.look() {
                    return end;
                },
                () = stop.cancelled() => return End::Leave(None),
            }
        }
    }

    /// The frame that brings the replica to the newest state; `None` where it is there.
    fn news(&mut self) -> Option<ToProxy> {
        let told = self.told.borrow_and_update().clone();
        let version = told.version(self.stream.term)?;
        let Told::State { table, .. } = told else {
            return None;
        };
        if self.settled == Some(version) {
            return None;
        }
        self.in_flight = Some((version, table.clone()));
        Some(match (table, &self.acknowledged) {
            (None, _) => ToProxy::Withdraw(Withdraw { version }),
            (Some(table), Some((base, old))) => ToProxy::Delta(Delta {
                format: FORMAT,
                version,
                base: *base,
                changes: TableDelta::between(old, &table),
            }),
            (Some(table), None) => ToProxy::Table(Table {
                format: FORMAT,
                version,
                table,
            }),
        })
    }

    fn hear(&mut self, json: &[u8]) -> Option<End> {
        match serde_json::from_slice(json) {
            Ok(ToController::Acknowledge(version)) => self.acknowledge(version),
            Ok(ToController::Refuse(refuse)) => return self.refused(refuse),
            Ok(ToController::Ready(ready)) => {
                let (name, number) = (self.replica.clone(), self.number);
                self.note(|audience, _| audience.ready(&name, number, ready));
            }
            // Whose proxy it is the token has shown, so it speaks for no other Gateway.
            Ok(ToController::Disowned) => {
                (self.stream.server.options.disowned)(&self.stream.gateway);
            }
            Ok(ToController::Heartbeat) => {}
            Ok(ToController::Goodbye) => return Some(End::Goodbye),
            Ok(ToController::Hello(_)) => return Some(End::Broken("a second hello".to_owned())),
            Err(error) => return Some(End::Broken(format!("no frame of a proxy: {error}"))),
        }
        None
    }

    fn acknowledge(&mut self, version: Version) {
        let Some((sent, table)) = self.in_flight.take_if(|(sent, _)| *sent == version) else {
            return;
        };
        self.settled = Some(sent);
        self.acknowledged = table.map(|table| (sent, table));
        let (name, number) = (self.replica.clone(), self.number);
        self.note(|audience, newest| audience.holds(&name, number, sent, newest));
    }

    fn refused(&mut self, refuse: Refuse) -> Option<End> {
        let Refuse {
            version,
            reason,
            message,
        } = refuse;
        self.in_flight.take_if(|(sent, _)| *sent == version)?;
        let (gateway, replica) = (&self.stream.gateway, &self.replica);
        if reason == RefusalReason::BaseMismatch {
            tracing::debug!(%gateway, replica, %version, message, "a whole table is needed");
            self.acknowledged = None;
            return None;
        }
        tracing::warn!(%gateway, replica, %version, message, "a replica refuses a route table");
        self.settled = Some(version);
        let (name, number) = (self.replica.clone(), self.number);
        self.note(|audience, _| audience.refuses(&name, number, version, message));
        let older = reason == RefusalReason::Older;
        older.then(|| End::Broken("the replica holds a newer table".to_owned()))
    }

    /// What has to be looked at from time to time.
    fn look(&mut self) -> Option<End> {
        let server = &self.stream.server;
        match (server.options.leader)() {
            Leader::Here { term } if term == self.stream.term => {}
            Leader::Here { .. } | Leader::Nobody => return Some(End::Leave(None)),
            Leader::At(leader) => return Some(End::Leave(Some(leader))),
        }
        if !server.is_current(&self.stream.gateway, &self.replica, self.number) {
            return Some(End::Broken("the replica came again".to_owned()));
        }
        if self.stream.reader.silence() > SILENCE {
            return Some(End::Broken("the proxy is silent".to_owned()));
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
        let stream = &self.stream;
        stream.server.note(&stream.gateway, stream.term, act);
    }
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
            assert_eq!(is_name(given), then, "{given:?}");
        }
    }
}
