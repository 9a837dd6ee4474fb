//! Whose a record is.

use crate::edge::EdgeIntent;
use crate::edge::objects::{DnsRecord, Tunnel};
use crate::edge::observed::Observed;
use crate::edge::ownership::{self, RecordMark};
use crate::error::PortError;
use crate::names::{Installation, TunnelId};

/// Whose a record is, as its mark and the tunnel that it leads to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    Gateway,
    /// Of another Gateway of this installation, or of a former instance of it, whose tunnel is not used any more.
    Installation,
    /// Another installation's of our name, whose tunnel is there.
    Namesake {
        /// The tunnel's name, which holds installation, instance and Gateway.
        tunnel: String,
    },
    /// A namesake's, or a former instance's.
    Unknown {
        /// Why it is not known which.
        message: String,
    },
    Foreign,
}

/// What the owners of records are found by, for one Gateway.
pub(super) struct Owners<'a> {
    installation: &'a Installation,
    /// The mark of the Gateway's records.
    pub(super) mark: RecordMark,
    /// The Gateway's tunnel. `None` where it is yet to be made: then every record of ours points at the wrong place.
    pub(super) tunnel: Option<TunnelId>,
    /// The one that it had before.
    former: Option<TunnelId>,
    /// Every tunnel of the account.
    tunnels: Option<&'a Result<Vec<Tunnel>, PortError>>,
}

impl<'a> Owners<'a> {
    pub(super) fn of(
        intent: &EdgeIntent,
        observed: &'a Observed,
        installation: &'a Installation,
    ) -> Self {
        Self {
            installation,
            mark: RecordMark::of(installation, &intent.gateway),
            tunnel: observed.tunnel.as_ref().map(|tunnel| tunnel.id),
            former: observed.former,
            tunnels: observed.tunnels.as_ref(),
        }
    }

    /// Whether a record is the Gateway's for sure, so that it may be removed.
    pub(super) fn is_own(&self, record: &DnsRecord) -> bool {
        is_own(record, self.mark, self.tunnel.as_slice())
    }

    /// Whether a record has the Gateway's very mark, and not that of one from which its tunnel was adopted.
    pub(super) fn is_marked(&self, record: &DnsRecord) -> bool {
        mark_of(record) == Some(self.mark)
    }

    /// Whether a record leads to a tunnel that is known to be gone, or to the one that the Gateway had before.
    pub(super) fn leads_back(&self, record: &DnsRecord) -> bool {
        let Some(tunnel) = target(record) else {
            return false;
        };
        let is_gone = |there: &[Tunnel]| there.iter().all(|known| known.id != tunnel);
        let there = self.tunnels.and_then(|tunnels| tunnels.as_ref().ok());
        self.former == Some(tunnel) || there.is_some_and(|there| is_gone(there))
    }

    pub(super) fn owner(&self, record: &DnsRecord) -> Owner {
        let Some(mark) = mark_of(record) else {
            return Owner::Foreign;
        };
        if self.is_own(record) {
            return Owner::Gateway;
        }
        if mark.is_same_installation(self.mark) {
            return Owner::Installation;
        }
        match target(record) {
            Some(tunnel) if mark.is_namesake(self.mark) => self.user_of(tunnel, mark),
            // Somebody led a namesake's record elsewhere; if it is there it mends that itself.
            _ => Owner::Foreign,
        }
    }

    /// Whose a namesake's record is that leads to this tunnel. Where nobody uses the tunnel, the name may change
    /// hands between Gateways as if the record were ours.
    fn user_of(&self, tunnel: TunnelId, mark: RecordMark) -> Owner {
        let unknown = |why: &str| Owner::Unknown {
            message: format!(
                "the record is of another installation of this name, and whether that one still uses it is not known: {why}"
            ),
        };
        let tunnels = match self.tunnels {
            Some(Ok(tunnels)) => tunnels,
            Some(Err(error)) => return unknown(&error.message),
            None => return unknown("the tunnels were not listed"),
        };
        let found = tunnels.iter().find(|known| known.id == tunnel);
        let ours =
            |found: &Tunnel| ownership::gateway_of_tunnel(self.installation, &found.name).is_some();
        match found {
            Some(found) if !found.is_down() && !ours(found) => Owner::Namesake {
                tunnel: found.name.clone(),
            },
            _ if mark.is_same_gateway(self.mark) => Owner::Gateway,
            _ => Owner::Installation,
        }
    }
}

/// The tunnel that a record leads to.
pub(crate) fn target(record: &DnsRecord) -> Option<TunnelId> {
    let content = record.data.content.to_ascii_lowercase();
    content.strip_suffix(".cfargotunnel.com")?.parse().ok()
}

/// A mark counts on a CNAME only: a record of another type was made or changed by others, and is theirs.
pub(crate) fn mark_of(record: &DnsRecord) -> Option<RecordMark> {
    let is_cname = record.data.kind.eq_ignore_ascii_case("CNAME");
    is_cname
        .then(|| RecordMark::find(&record.data.comment))
        .flatten()
}

/// Whether a record is a Gateway's: it has the Gateway's mark, or it leads to one of the Gateway's tunnels and has the
/// mark of a namesake's Gateway of the same name, from which that tunnel was adopted.
pub(crate) fn is_own(record: &DnsRecord, mark: RecordMark, tunnels: &[TunnelId]) -> bool {
    mark_of(record).is_some_and(|found| {
        let adopted = || target(record).is_some_and(|tunnel| tunnels.contains(&tunnel));
        found == mark || (found.is_same_gateway(mark) && adopted())
    })
}

/// A Gateway's own records, for removing them all.
pub(crate) fn own_records<'r>(
    records: &'r [DnsRecord],
    mark: RecordMark,
    tunnels: &[TunnelId],
) -> Vec<&'r DnsRecord> {
    let own = records
        .iter()
        .filter(|record| is_own(record, mark, tunnels));
    own.collect()
}
