//! The replicas of one Gateway, and how far the last table has come among them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::ports::Delivery;
use domain::workload::EdgeConnections;

use crate::wire::Version;

/// Streams of one Gateway at a time. A Gateway may have 128 replicas, and as many more while they are replaced.
pub const STREAMS_OF_GATEWAY: usize = 256;

/// Laggards that statuses name.
const NAMED: usize = 8;

/// Characters of a refusal that are shown.
const LONGEST_REFUSAL: usize = 256;

/// The Gateway has as many replicas as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Gateway has {} replicas, which is the most", STREAMS_OF_GATEWAY)]
pub(super) struct Full;

/// The replicas of one Gateway by name.
#[derive(Debug, Default)]
pub(super) struct Audience {
    replicas: BTreeMap<String, Replica>,
}

/// A replica as it introduces itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearer<'h> {
    pub(super) name: &'h str,
    pub(super) ready: bool,
    /// The table of this Gateway that it serves.
    pub(super) held: Option<Version>,
    /// To the edge.
    pub(super) connections: &'h EdgeConnections,
}

/// What is known of one replica.
#[derive(Debug)]
struct Replica {
    /// The stream that speaks for it; a later one takes over.
    stream: u64,
    ready: bool,
    connections: EdgeConnections,
    held: Option<Version>,
    refused: Option<(Version, String)>,
    /// Since when it holds something else than the newest table.
    behind_since: Option<Instant>,
    /// When its stream broke. It may serve on, so it is waited for, but not for ever.
    lost: Option<Instant>,
}

/// One replica, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Name (of its pod).
    pub name: String,
    pub ready: bool,
    pub connected: bool,
    /// To the edge.
    pub connections: EdgeConnections,
    pub held: Option<Version>,
    /// Why it does not take the newest one.
    pub refusal: Option<String>,
}

impl Audience {
    /// A stream speaks for a replica from now on. Where there are too many replicas, one whose stream broke makes room.
    pub(super) fn join(
        &mut self,
        replica: &Hearer<'_>,
        stream: u64,
        newest: Option<Version>,
        now: Instant,
    ) -> Result<(), Full> {
        if !self.replicas.contains_key(replica.name) && self.replicas.len() >= STREAMS_OF_GATEWAY {
            self.forget_longest_lost()?;
        }
        let joined = Replica {
            stream,
            ready: replica.ready,
            connections: replica.connections.clone(),
            held: replica.held,
            refused: None,
            behind_since: (replica.held != newest).then_some(now),
            lost: None,
        };
        self.replicas.insert(replica.name.to_owned(), joined);
        Ok(())
    }

    fn forget_longest_lost(&mut self) -> Result<(), Full> {
        let replicas = self.replicas.iter();
        let lost = replicas.filter_map(|(name, replica)| Some((replica.lost?, name)));
        let (_, name) = lost.min().ok_or(Full)?;
        let name = name.clone();
        self.replicas.remove(&name);
        Ok(())
    }

    /// Whether this stream still speaks for the replica.
    pub(super) fn is_of(&self, name: &str, stream: u64) -> bool {
        let replica = self.replicas.get(name);
        replica.is_some_and(|replica| replica.stream == stream)
    }

    fn of(&mut self, name: &str, stream: u64) -> Option<&mut Replica> {
        let replica = self.replicas.get_mut(name);
        replica.filter(|replica| replica.stream == stream)
    }

    pub(super) fn ready(&mut self, name: &str, stream: u64, ready: bool) {
        if let Some(replica) = self.of(name, stream) {
            replica.ready = ready;
        }
    }

    /// Its connections to the edge. Whether those are others than before.
    pub(super) fn connections(&mut self, name: &str, stream: u64, now: EdgeConnections) -> bool {
        self.of(name, stream).is_some_and(|replica| {
            let are_others = replica.connections != now;
            replica.connections = now;
            are_others
        })
    }

    /// It serves this version.
    pub(super) fn holds(
        &mut self,
        name: &str,
        stream: u64,
        version: Version,
        newest: Option<Version>,
    ) {
        if let Some(replica) = self.of(name, stream) {
            replica.held = Some(version);
            replica.refused = None;
            if newest == Some(version) {
                replica.behind_since = None;
            }
        }
    }

    /// It does not take this version.
    pub(super) fn refuses(&mut self, name: &str, stream: u64, version: Version, why: &str) {
        if let Some(replica) = self.of(name, stream) {
            let why = why.chars().filter(|c| !c.is_control());
            let why = why.take(LONGEST_REFUSAL).collect();
            replica.refused = Some((version, why));
        }
    }

    /// The stream ended; with a goodbye the replica is not waited for any more.
    pub(super) fn leave(&mut self, name: &str, stream: u64, goodbye: bool, now: Instant) {
        let Some(replica) = self.of(name, stream) else {
            return;
        };
        if goodbye {
            self.replicas.remove(name);
        } else {
            replica.lost = Some(now);
        }
    }

    /// There is a newer table.
    pub(super) fn published(&mut self, now: Instant) {
        for replica in self.replicas.values_mut() {
            replica.behind_since.get_or_insert(now);
        }
    }

    /// Forgets replicas whose stream broke so long ago.
    pub(super) fn forget_lost(&mut self, after: Duration, now: Instant) {
        let recent = |lost: Instant| now.duration_since(lost) < after;
        self.replicas
            .retain(|_, replica| replica.lost.is_none_or(recent));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }

    /// How far this version, the newest, has come. Replicas that take no traffic are not waited for.
    pub(super) fn delivery(&self, newest: Version, late_after: Duration, now: Instant) -> Delivery {
        let ready = self.replicas.iter().filter(|(_, replica)| replica.ready);
        let behind: Vec<_> = ready
            .filter(|(_, replica)| replica.held != Some(newest))
            .collect();
        if behind.is_empty() {
            return Delivery::Served;
        }
        let late = |replica: &Replica| {
            let waited = replica.behind_since.map(|since| now.duration_since(since));
            waited.is_some_and(|waited| waited >= late_after)
        };
        let refusal = |replica: &Replica| match &replica.refused {
            Some((version, why)) if *version == newest => Some(why.clone()),
            _ => None,
        };
        if behind
            .iter()
            .any(|(_, replica)| !late(replica) && refusal(replica).is_none())
        {
            return Delivery::Pending;
        }
        let named = behind.iter().take(NAMED);
        let named = named.map(|(name, replica)| match refusal(replica) {
            Some(why) => format!("{name} ({why})"),
            None => (*name).clone(),
        });
        let more = behind.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("{more} more"));
        Delivery::Late(named.chain(more).collect())
    }

    pub(super) fn statuses(&self) -> Vec<ReplicaStatus> {
        let replicas = self.replicas.iter();
        replicas
            .map(|(name, replica)| ReplicaStatus {
                name: name.clone(),
                ready: replica.ready,
                connected: replica.lost.is_none(),
                connections: replica.connections.clone(),
                held: replica.held,
                refusal: replica.refused.as_ref().map(|(_, why)| why.clone()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(5);

    fn version(counter: u64) -> Version {
        Version { term: 1, counter }
    }

    fn late(names: &[&str]) -> Delivery {
        Delivery::Late(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn hearer(name: &str, ready: bool, held: Option<Version>) -> Hearer<'_> {
        static NONE: EdgeConnections = EdgeConnections {
            tokens: std::collections::BTreeSet::new(),
            http2: 0,
            quic: 0,
        };
        Hearer {
            name,
            ready,
            held,
            connections: &NONE,
        }
    }

    /// Replica `a` holds version 1, which is the newest.
    fn settled(start: Instant) -> Audience {
        let mut audience = Audience::default();
        let joined = audience.join(&hearer("a", true, None), 1, Some(version(1)), start);
        assert_eq!(joined, Ok(()));
        audience.holds("a", 1, version(1), Some(version(1)));
        audience
    }

    #[test]
    fn a_table_is_served_once_every_ready_replica_holds_it() {
        let start = Instant::now();
        let mut audience = settled(start);
        let at = |audience: &Audience, seconds| {
            let now = start + Duration::from_secs(seconds);
            audience.delivery(version(2), LATE, now)
        };
        let joined = audience.join(&hearer("b", false, None), 2, Some(version(1)), start);
        assert_eq!(joined, Ok(()));
        audience.published(start + Duration::from_secs(10));
        assert_eq!(at(&audience, 14), Delivery::Pending, "b is not waited for");
        assert_eq!(at(&audience, 15), late(&["a"]));
        audience.holds("a", 1, version(2), Some(version(2)));
        assert_eq!(at(&audience, 15), Delivery::Served);
        audience.ready("b", 2, true);
        assert_eq!(at(&audience, 15), late(&["b"]));
    }

    #[test]
    fn a_replica_that_refuses_is_late_at_once_and_says_why() {
        let start = Instant::now();
        let mut audience = settled(start);
        audience.published(start);
        audience.refuses("a", 1, version(2), "unknown\n format");
        let found = audience.delivery(version(2), LATE, start);
        assert_eq!(found, late(&["a (unknown format)"]));
        audience.published(start);
        let found = audience.delivery(version(3), LATE, start);
        assert_eq!(found, Delivery::Pending, "it has not refused this one");
    }

    #[test]
    fn a_stream_of_tables_does_not_hide_a_replica_that_takes_none() {
        let start = Instant::now();
        let mut audience = settled(start);
        for second in 0..=5 {
            audience.published(start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(5);
        assert_eq!(audience.delivery(version(7), LATE, now), late(&["a"]));
    }

    #[test]
    fn a_broken_stream_is_waited_for_and_a_goodbye_is_not() {
        let start = Instant::now();
        for (goodbye, then) in [(true, Delivery::Served), (false, Delivery::Pending)] {
            let mut audience = settled(start);
            audience.leave("a", 1, goodbye, start);
            audience.published(start);
            audience.forget_lost(LATE, start);
            assert_eq!(audience.delivery(version(2), LATE, start), then);
            audience.forget_lost(LATE, start + LATE);
            assert!(audience.is_empty());
        }
    }

    #[test]
    fn only_the_latest_stream_speaks_for_a_replica() {
        let start = Instant::now();
        let mut audience = settled(start);
        let again = hearer("a", true, Some(version(1)));
        let joined = audience.join(&again, 2, Some(version(2)), start);
        assert_eq!(joined, Ok(()));
        audience.holds("a", 1, version(2), Some(version(2)));
        audience.leave("a", 1, true, start);
        assert!(audience.is_of("a", 2) && !audience.is_of("a", 1));
        let found = audience.delivery(version(2), LATE, start);
        assert_eq!(found, Delivery::Pending);
    }

    #[test]
    fn names_of_replicas_and_their_refusals_are_bounded() {
        let start = Instant::now();
        let mut audience = Audience::default();
        let newest = Some(version(1));
        let names: Vec<_> = (0..=STREAMS_OF_GATEWAY)
            .map(|n| format!("r{n:03}"))
            .collect();
        let (more, names) = names.split_last().unwrap();
        for (stream, name) in (0..).zip(names) {
            let joined = audience.join(&hearer(name, true, None), stream, newest, start);
            assert_eq!(joined, Ok(()));
        }
        let mut join = |name: &str| audience.join(&hearer(name, true, None), 999, newest, start);
        assert_eq!(join(more), Err(Full));
        assert_eq!(join("r007"), Ok(()), "it is one of them");
        audience.leave("r005", 5, false, start);
        let joined = audience.join(&hearer(more, true, None), 999, newest, start);
        assert_eq!(joined, Ok(()));
        assert!(!audience.is_of("r005", 5), "it made room");

        audience.refuses("r000", 0, version(1), &"long".repeat(100));
        let Delivery::Late(laggards) = audience.delivery(version(1), LATE, start + LATE) else {
            panic!("nobody holds it");
        };
        assert_eq!(laggards.len(), NAMED + 1);
        assert_eq!(
            laggards[NAMED],
            format!("{} more", STREAMS_OF_GATEWAY - NAMED)
        );
        assert_eq!(laggards[0].len(), LONGEST_REFUSAL + "r000 ()".len());
    }
}
