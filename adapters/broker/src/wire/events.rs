//! What a broker tells a cluster by itself.

use domain::broker::notice::{Notice, Notices, Told};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GatewayDocument, Malformed};

/// Answer to `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsDocument {
    /// In their order.
    events: Vec<EventDocument>,
    /// The number to ask with the next time.
    pub last: u64,
    /// Whether there were others that are not kept: what they said is not known, so each Gateway is to be stated again.
    pub missed: bool,
}

/// Something that the cluster does not wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EventDocument {
    sequence: u64,
    /// In seconds since 1970.
    at: i64,
    /// `grants_changed`, `credential_replaced`, `drift_repaired`, `outcome_changed`, `revoked`, `quarantined` or `given_up`; others may
    /// come.
    kind: String,
    /// Which Gateway it is about; `null` where it is about all.
    gateway: Option<GatewayDocument>,
    /// For people.
    detail: String,
}

impl EventsDocument {
    /// The document of what is kept after a sequence.
    pub fn of(since: u64, notices: &Notices) -> Self {
        Self {
            events: notices.told.iter().map(EventDocument::of).collect(),
            last: notices.last,
            missed: notices.has_missed(since),
        }
    }

    /// What was told. Of a kind that this version does not know it is known that it came.
    pub fn read(self) -> Result<Vec<(Option<Notice>, String)>, Malformed> {
        let events = self.events.into_iter();
        events.map(EventDocument::read).collect()
    }
}

impl EventDocument {
    fn of(told: &Told) -> Self {
        Self {
            sequence: told.sequence,
            at: told.at.0,
            kind: told.notice.kind().to_owned(),
            gateway: told.notice.gateway().map(GatewayDocument::of),
            detail: told.detail.clone(),
        }
    }

    fn read(self) -> Result<(Option<Notice>, String), Malformed> {
        let gateway = self.gateway.map(GatewayDocument::read).transpose()?;
        Ok((Notice::read(&self.kind, gateway), self.detail))
    }
}
