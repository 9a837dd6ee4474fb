//! Removing what a Gateway holds at the edge: its records, then its tunnel. The tunnel goes last, because it
//! is what the Gateway is found by.

use std::collections::BTreeSet;

use super::{DirectEdge, certificates};
use crate::edge::mark::{self, RecordMark};
use crate::edge::objects::{RecordBatch, Tunnel};
use crate::edge::plan::records::own_records;
use crate::edge::{EdgeError, EdgeErrorKind};
use crate::names::{ObjectKey, RecordId, ZoneId};
use crate::ports::{BATCH_LIMIT, CloudflareApi};
use crate::secret::CloudflareCredentials;

/// Credentials that can be tried for a Gateway which may be gone, and whether an account belongs to it for
/// sure, so that its records are looked for even without a tunnel.
struct Candidate {
    credentials: CloudflareCredentials,
    own: bool,
}

impl DirectEdge {
    /// Removes the Gateway from every account in which its tunnel is found, and from its own. An account
    /// that cannot be read is an error unless the tunnel was found elsewhere.
    pub(super) async fn forget_everywhere(&self, gateway: &ObjectKey) -> Result<(), EdgeError> {
        let name = mark::tunnel_name(&self.installation, gateway);
        let mark = RecordMark::of(&self.installation, gateway);
        let mut found = false;
        let mut unread = None;
        for candidate in self.candidates(gateway).await? {
            let api = self.look(&candidate.credentials);
            api.forget_all();
            match tunnels_named(&api, &name).await {
                Err(error) => unread = Some(error),
                Ok(tunnels) => {
                    found |= !tunnels.is_empty();
                    if candidate.own || !tunnels.is_empty() {
                        let written = self.zones_written(gateway, &candidate.credentials.account);
                        clear_account(&api, mark, &tunnels, &written).await?;
                    }
                }
            }
        }
        match unread {
            Some(error) if !found => Err(error),
            _ => Ok(()),
        }
    }

    /// The Gateway's own credentials if they can be had, those it was last reconciled with, and all others:
    /// a Gateway that is gone refers to none, and one whose credentials were changed may have left something
    /// in another account.
    async fn candidates(&self, gateway: &ObjectKey) -> Result<Vec<Candidate>, EdgeError> {
        let own = self.credentials.of(gateway).await;
        let all = self.credentials.all().await;
        let remembered = {
            let memory = self.memory();
            let of_gateway = memory.gateways.get(gateway);
            of_gateway.map(|memory| memory.credentials.clone())
        };
        let refusal = own.as_ref().err().or(all.as_ref().err()).cloned();
        let sure = own.into_iter().chain(remembered);
        let sure = sure.map(|credentials| Candidate {
            credentials,
            own: true,
        });
        let others = all.into_iter().flatten().map(|credentials| Candidate {
            credentials,
            own: false,
        });
        let mut seen = BTreeSet::new();
        let candidates: Vec<_> = sure
            .chain(others)
            .filter(|candidate| seen.insert(candidate.credentials.account.clone()))
            .collect();
        match refusal {
            Some(error) if candidates.is_empty() => Err(error),
            _ => Ok(candidates),
        }
    }
}

/// The first credentials of each account.
pub(super) fn one_for_each_account(
    credentials: Vec<CloudflareCredentials>,
) -> impl Iterator<Item = CloudflareCredentials> {
    let mut seen = BTreeSet::new();
    credentials
        .into_iter()
        .filter(move |credentials| seen.insert(credentials.account.clone()))
}

async fn tunnels_named(api: &dyn CloudflareApi, name: &str) -> Result<Vec<Tunnel>, EdgeError> {
    let mut tunnels = api.tunnels(name).await?;
    tunnels.retain(|tunnel| tunnel.name == name);
    Ok(tunnels)
}

/// Records of every zone first. Where one zone fails the tunnel stays, and with it the way to find the rest.
///
/// A zone that the token sees and may not read could not have been written to with it, so it is passed over,
/// unless it is one of those that were `written` to: the permission was there and went.
pub(super) async fn clear_account(
    api: &dyn CloudflareApi,
    mark: RecordMark,
    tunnels: &[Tunnel],
    written: &BTreeSet<ZoneId>,
) -> Result<(), EdgeError> {
    let mut failed = None;
    let zones = match api.zones().await {
        Err(error) if is_closed(&error) && written.is_empty() => Vec::new(),
        zones => zones?,
    };
    for zone in zones {
        let cleared = match api.records(&zone.id).await {
            Ok(records) => {
                let own = own_records(&records, mark);
                let ids: Vec<_> = own.into_iter().map(|record| record.id.clone()).collect();
                delete_records(api, &zone.id, &ids).await
            }
            Err(error) if is_closed(&error) && !written.contains(&zone.id) => Ok(()),
            Err(error) => Err(error),
        };
        failed = failed.or(cleared.err());
    }
    if let Some(error) = failed {
        return Err(error);
    }
    for tunnel in tunnels {
        certificates::clear(api, tunnel.id).await?;
        gone_is_fine(api.disconnect(tunnel.id).await)?;
        gone_is_fine(api.delete_tunnel(tunnel.id).await)?;
    }
    Ok(())
}

fn is_closed(error: &EdgeError) -> bool {
    error.kind == EdgeErrorKind::Forbidden
}

pub(super) async fn delete_records(
    api: &dyn CloudflareApi,
    zone: &ZoneId,
    ids: &[RecordId],
) -> Result<(), EdgeError> {
    for part in ids.chunks(BATCH_LIMIT) {
        let batch = RecordBatch {
            deletes: part.to_vec(),
            ..RecordBatch::default()
        };
        api.change_records(zone, &batch).await?;
    }
    Ok(())
}

fn gone_is_fine(result: Result<(), EdgeError>) -> Result<(), EdgeError> {
    match result {
        Err(error) if error.kind == EdgeErrorKind::NotFound => Ok(()),
        other => other,
    }
}
