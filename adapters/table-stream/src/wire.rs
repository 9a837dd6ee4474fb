//! What controller and proxy say to each other: JSON, one frame each. The format of tables is guarded by a
//! golden file; whatever changes what a proxy reads already takes a new [`FORMAT`]. What a feature of the Gateway API adds
//! takes none: a table goes to each proxy in the features that its [`Hello`] names.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::capabilities::FeatureSet;
use domain::certificate::Fingerprint;
use domain::names::ObjectKey;
use domain::route_table::RouteTable;
use domain::secret::CertificatePair;
use domain::workload::EdgeConnections;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::delta::TableDelta;

/// Path of the request that carries the frames.
pub const PATH: &str = "/v1/route-table";

/// Version of the exchange: which frames there are and who says them when.
pub const PROTOCOL: u32 = 1;

/// Version of the written form of tables and differences. A proxy refuses any other, because half understood
/// routes would send requests to a wrong place.
pub const FORMAT: u32 = 2;

/// Each side says something at least this often.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// A side that was silent this long is gone.
pub const SILENCE: Duration = Duration::from_secs(16);

/// Largest frame from a proxy, in bytes.
pub(crate) const LARGEST_REPORT: usize = 8 << 10;

/// Characters of a refusal's message that a proxy sends: whatever they are, they fit [`LARGEST_REPORT`].
pub(crate) const LONGEST_MESSAGE: usize = 1000;

/// Tokens that a replica names. It has one, and a second while it takes another.
pub(crate) const MOST_TOKENS: usize = 16;

/// Largest frame from the controller, in bytes: a bound for memory, far above any table that fits etcd.
pub(crate) const LARGEST_TABLE: usize = 1 << 30;

/// Version of a table: newer is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Term of the leader that published it: who leads later has a greater one, so that a proxy knows a
    /// deposed leader from the present one.
    pub term: u64,
    /// Grows with each table within a term.
    pub counter: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.counter)
    }
}

/// A frame from the controller to a proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToProxy {
    /// Whose proxy the token shows this to be. Comes first.
    Welcome(Welcome),
    Table(Table),
    /// What endpoints are shown from now on, before a table that names it. Only to a replica that serves
    /// `GatewayBackendClientCertificate`. It is kept in memory alone.
    ClientCertificate(Option<ClientPair>),
    /// What changed since a table that this replica acknowledged.
    Delta(Delta),
    /// Nothing is to be served any more.
    Withdraw(Withdraw),
    /// Nothing new; still here.
    Heartbeat,
    /// The controller does not go on with this replica; nothing follows.
    Denied(Denial),
    /// Go elsewhere: this instance no longer leads, or stops, or wants to see a fresh token.
    Leave(Leave),
}

/// See [`ToProxy::Welcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub protocol: u32,
    pub gateway: ObjectKey,
}

/// See [`ToProxy::Table`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// [`FORMAT`] of the sender.
    pub format: u32,
    pub version: Version,
    pub table: Arc<RouteTable>,
}

/// See [`ToProxy::ClientCertificate`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientPair {
    /// The chain in PEM.
    pub chain: String,
    /// The private key in PEM.
    pub key: String,
    pub fingerprint: Fingerprint,
}

impl ClientPair {
    pub(crate) fn of(pair: &CertificatePair) -> Self {
        Self {
            chain: pair.chain.clone(),
            key: pair.key.expose_secret().to_owned(),
            fingerprint: pair.fingerprint.clone(),
        }
    }
}

impl From<ClientPair> for CertificatePair {
    fn from(pair: ClientPair) -> Self {
        Self {
            chain: pair.chain,
            key: pair.key.into(),
            fingerprint: pair.fingerprint,
        }
    }
}

impl fmt::Debug for ClientPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPair")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// See [`ToProxy::Delta`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// [`FORMAT`] of the sender.
    pub format: u32,
    pub version: Version,
    /// Version that it applies to.
    pub base: Version,
    pub changes: TableDelta,
}

/// See [`ToProxy::Withdraw`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdraw {
    /// Version that this state has.
    pub version: Version,
}

/// See [`ToProxy::Leave`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// Address of the instance that leads, where it is known.
    pub leader: Option<String>,
}

/// A frame from a proxy to the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToController {
    /// Who speaks. Comes first.
    Hello(Hello),
    /// The replica serves this version.
    Acknowledge(Version),
    /// The replica does not take this version and serves what it served before.
    Refuse(Refuse),
    /// Whether the replica takes traffic: it has a table and a connection to the edge.
    Ready(bool),
    /// The replica's connections to the edge, with at most 16 tokens.
    Connections(EdgeConnections),
    /// The edge has told the replica that there is no such tunnel, or that the token is not its.
    Disowned,
    /// Nothing new; still here.
    Heartbeat,
    /// The replica is about to stop: nothing waits for it any more.
    Goodbye,
}

/// See [`ToController::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the exchange that the replica speaks.
    pub protocol: u32,
    /// Name of the replica (its pod), unique within its Gateway.
    pub replica: String,
    pub held: Option<Holding>,
    /// As in [`ToController::Ready`].
    pub ready: bool,
    /// As in [`ToController::Connections`].
    pub connections: EdgeConnections,
    /// What of the Gateway API it serves.
    pub features: FeatureSet,
}

/// What a replica serves. Versions count for each Gateway apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub gateway: ObjectKey,
    pub version: Version,
}

/// See [`ToController::Refuse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    pub version: Version,
    /// Why, as a word.
    pub reason: RefusalReason,
    /// Why, as a sentence.
    pub message: String,
}

/// Why a version is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The replica holds a newer one.
    Older,
    /// It is written in a format that the replica does not know.
    UnknownFormat,
    /// It does not apply to what the replica holds; a whole table would help.
    BaseMismatch,
    /// It is for another Gateway than the table that the replica holds.
    OtherGateway,
    /// The proxy behind the replica did not take it.
    Unusable,
}

/// Why a proxy is turned away: a frame, and the body of every answer that carries no frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What is wrong and who can mend it.
    pub message: String,
}

/// What can be read of a table whose format is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) format: u32,
    pub(crate) version: Version,
}

/// Reads a frame from the controller. `Err(Some(stamp))` is a table or difference that cannot be read.
pub(crate) fn read_to_proxy(json: &[u8]) -> Result<ToProxy, Option<Stamp>> {
    #[derive(Deserialize)]
    struct Unread {
        table: Option<Stamp>,
        delta: Option<Stamp>,
    }
    match serde_json::from_slice(json) {
        Ok(ToProxy::Table(Table {
            format, version, ..
        })) if format != FORMAT => Err(Some(Stamp { format, version })),
        Ok(ToProxy::Delta(Delta {
            format, version, ..
        })) if format != FORMAT => Err(Some(Stamp { format, version })),
        Ok(frame) => Ok(frame),
        Err(_) => {
            let unread = serde_json::from_slice::<Unread>(json).ok();
            Err(unread.and_then(|unread| unread.table.or(unread.delta)))
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::capabilities::Feature;

    use super::*;

    #[test]
    fn versions_are_ordered_by_term_then_counter() {
        let version = |term, counter| Version { term, counter };
        assert!(version(1, 9) < version(2, 1));
        assert!(version(2, 1) < version(2, 2));
        assert_eq!(version(2, 1).to_string(), "2.1");
    }

    #[test]
    fn features_are_named_and_those_of_a_later_version_left_out() {
        let set: FeatureSet = serde_json::from_str(r#"["HTTPRoute","HTTPRouteTeleport"]"#).unwrap();
        assert_eq!(set, FeatureSet::of(&[Feature::HTTPRoute]));
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"["HTTPRoute"]"#);
    }

    #[test]
    fn a_table_that_cannot_be_read_still_tells_its_format_and_version() {
        let stamp = |format| Stamp {
            format,
            version: Version {
                term: 3,
                counter: 4,
            },
        };
        let stamped = r#""version":{"term":3,"counter":4}"#;
        let heartbeat = Ok(ToProxy::Heartbeat);
        for (given, then) in [
            (
                format!(r#"{{"table":{{"format":9,{stamped},"table":{{"routes":7}}}}}}"#),
                Err(Some(stamp(9))),
            ),
            (
                format!(r#"{{"delta":{{"format":{FORMAT},{stamped},"changes":"x"}}}}"#),
                Err(Some(stamp(FORMAT))),
            ),
            (
                format!(
                    r#"{{"table":{{"format":8,{stamped},"table":{{"gateway":{{"namespace":"a","name":"b"}},"listeners":[],"upstreams":[]}}}}}}"#
                ),
                Err(Some(stamp(8))),
            ),
            ("{\"unheard_of\":1}".to_owned(), Err(None)),
            ("no JSON".to_owned(), Err(None)),
            ("\"heartbeat\"".to_owned(), heartbeat),
        ] {
            assert_eq!(read_to_proxy(given.as_bytes()), then, "{given}");
        }
    }
}
