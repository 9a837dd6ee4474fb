//! What is known of one Gateway at the edge, newly or from an earlier answer.

use super::{GatewayFacts, Verdict};
use crate::edge::{EdgeStatus, HostnameOutcome, ZoneStatus};
use crate::error::{PortError, PortErrorKind};
use crate::names::Hostname;
use crate::status::{Reason, Truth};
use crate::workload::WorkloadStatus;

/// The best that is known.
#[derive(Clone, Copy)]
pub(super) struct EdgeView<'f> {
    answer: Answer<'f>,
    last_known: Option<&'f EdgeStatus>,
    workload: Option<&'f WorkloadStatus>,
    removal: Option<&'f PortError>,
}

/// The last answer of the edge.
#[derive(Clone, Copy)]
pub(super) enum Answer<'f> {
    None,
    Status(&'f EdgeStatus),
    Error(&'f PortError),
}

/// What is known of a hostname.
pub(super) enum Known<'f> {
    /// From the last answer.
    Now(&'f HostnameOutcome),
    /// From an earlier one, because the last one failed for this reason.
    Earlier(&'f HostnameOutcome, &'f str),
    Nothing,
}

impl<'f> EdgeView<'f> {
    pub(super) fn new(facts: Option<&'f GatewayFacts>) -> Self {
        Self {
            answer: match facts.and_then(|facts| facts.edge.as_ref()) {
                None => Answer::None,
                Some(Ok(status)) => Answer::Status(status),
                Some(Err(error)) => Answer::Error(error),
            },
            last_known: facts.and_then(|facts| facts.last_known.as_ref()),
            workload: facts.map(|facts| &facts.workload),
            removal: facts.and_then(|facts| facts.removal.as_ref()),
        }
    }

    /// Why something of it is left, though it is to be removed.
    pub(super) fn removal(&self) -> Option<&'f PortError> {
        self.removal
    }

    pub(super) fn answer(&self) -> Answer<'f> {
        self.answer
    }

    /// The last answer, or else the last known one.
    pub(super) fn status(&self) -> Option<&'f EdgeStatus> {
        match self.answer {
            Answer::Status(status) => Some(status),
            Answer::None | Answer::Error(_) => self.last_known,
        }
    }

    pub(super) fn workload(&self) -> Option<&'f WorkloadStatus> {
        self.workload
    }

    /// Addresses of the tunnels, also of an earlier answer: a tunnel keeps its address.
    pub(super) fn addresses(&self) -> Vec<String> {
        let tunnels = self.status().into_iter().flat_map(|status| &status.tunnels);
        tunnels.map(|tunnel| tunnel.address.clone()).collect()
    }

    /// What became of a hostname. An earlier answer counts where the last one does not know.
    pub(super) fn outcome(&self, hostname: &Hostname) -> Known<'f> {
        let earlier = self
            .last_known
            .and_then(|status| status.hostnames.get(hostname))
            .filter(|outcome| !matches!(outcome, HostnameOutcome::Unknown { .. }));
        match (self.answer, earlier) {
            (Answer::Status(status), earlier) => match (status.hostnames.get(hostname), earlier) {
                (Some(HostnameOutcome::Unknown { message }), Some(earlier)) => {
                    Known::Earlier(earlier, message)
                }
                (Some(outcome), _) => Known::Now(outcome),
                (None, _) => Known::Nothing,
            },
            (Answer::Error(error), Some(earlier)) => Known::Earlier(earlier, &error.message),
            (Answer::None, Some(earlier)) => {
                Known::Earlier(earlier, "the edge has not been asked again yet")
            }
            (Answer::Error(_) | Answer::None, None) => Known::Nothing,
        }
    }

    /// The zone that a hostname lies in, where the edge has told.
    pub(super) fn zone(&self, hostname: &Hostname) -> Option<&'f ZoneStatus> {
        let zones = self.status()?.zones.iter();
        let around = zones.filter(|zone| hostname.is_within(&zone.name));
        around.max_by_key(|zone| zone.name.len())
    }

    /// Why nothing is known, for a condition that only the edge can decide.
    pub(super) fn silence(&self) -> Verdict {
        match self.answer {
            Answer::Error(error) => Verdict::new(
                Truth::Unknown,
                error_reason(error.kind),
                error.message.clone(),
            ),
            Answer::None | Answer::Status(_) => Verdict::new(
                Truth::Unknown,
                Reason::Pending,
                "the edge has not been asked yet",
            ),
        }
    }
}

/// The word for a failure of the edge.
pub(super) fn error_reason(kind: PortErrorKind) -> Reason {
    match kind {
        PortErrorKind::Credentials | PortErrorKind::Unauthenticated => Reason::InvalidParameters,
        PortErrorKind::Forbidden => Reason::Forbidden,
        PortErrorKind::TooManyGateways => Reason::TooManyGateways,
        PortErrorKind::Unavailable | PortErrorKind::RateLimited => Reason::EdgeUnavailable,
        PortErrorKind::BrokerUnavailable => Reason::BrokerUnavailable,
        PortErrorKind::NotFound | PortErrorKind::Conflict | PortErrorKind::Invalid => {
            Reason::Pending
        }
    }
}
