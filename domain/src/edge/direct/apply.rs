//! Carrying out a plan, call by call.

use std::collections::BTreeMap;

use super::cache::CachedApi;
use crate::edge::api::BATCH_LIMIT;
use crate::edge::ownership::RecordMark;
use crate::edge::plan::{Change, Plan, RecordChange, ZoneChanges, outcome_of};
use crate::edge::{EdgeError, EdgeErrorKind, HostnameOutcome, IngressOutcome};
use crate::names::{Hostname, TunnelId};

/// Further calls that are spent on finding the operation for which a whole batch was refused: enough for
/// two bad ones among 200, few enough not to eat the account's budget when every one is refused.
const CALLS_TO_ISOLATE: usize = 32;

/// What came of it.
pub(super) struct Applied {
    pub(super) tunnel: TunnelId,
    /// Hostnames for which it did not go as planned.
    pub(super) hostnames: BTreeMap<Hostname, HostnameOutcome>,
    /// Set where the ingress document did not go as planned.
    pub(super) ingress: Option<IngressOutcome>,
    pub(super) failures: Vec<EdgeError>,
}

/// Carries out what can be. Only a tunnel that cannot be made stops everything: nothing could point at it.
pub(super) async fn apply(
    api: &CachedApi,
    name: &str,
    mark: RecordMark,
    existing: Option<TunnelId>,
    plan: &Plan,
) -> Result<Applied, EdgeError> {
    let tunnel = match existing {
        Some(tunnel) => tunnel,
        None => create_or_adopt(api, name).await?,
    };
    let mut applied = Applied {
        tunnel,
        hostnames: BTreeMap::new(),
        ingress: None,
        failures: Vec::new(),
    };
    for change in &plan.changes {
        match change {
            Change::CreateTunnel => {}
            Change::Configure(document) => {
                if let Err(error) = api.configure(tunnel, document).await {
                    let message = error.message.clone();
                    applied.ingress = Some(IngressOutcome::Unknown { message });
                    applied.failures.push(error);
                }
            }
            Change::Records(zone) => {
                for part in zone.changes.chunks(BATCH_LIMIT) {
                    change_records(api, mark, zone.part(part), &mut applied).await;
                }
            }
        }
    }
    Ok(applied)
}

/// A name that is taken is ours: somebody made the tunnel between our look and our call, or an earlier call
/// of ours went through without its answer.
async fn create_or_adopt(api: &CachedApi, name: &str) -> Result<TunnelId, EdgeError> {
    match api.create_tunnel(name).await {
        Ok(tunnel) => Ok(tunnel.id),
        Err(error) if error.kind == EdgeErrorKind::Conflict => {
            let found = super::observe::tunnel(api, name).await?;
            found.map(|tunnel| tunnel.id).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// One batch, all or nothing. Where one of its operations is refused, it is taken apart, so that one bad
/// name does not keep the others of its zone from their records.
async fn change_records(
    api: &CachedApi,
    mark: RecordMark,
    whole: ZoneChanges,
    applied: &mut Applied,
) {
    let mut calls_left = 1 + CALLS_TO_ISOLATE;
    let mut pending = vec![whole];
    let mut refusal = None;
    while let Some(part) = pending.pop() {
        if calls_left == 0 {
            let refusal: &EdgeError = refusal
                .as_ref()
                .expect("calls run out only after a refusal took the batch apart");
            applied.fail(&part, not_tried(refusal));
            continue;
        }
        calls_left -= 1;
        let batch = part.batch(applied.tunnel, mark);
        let Err(error) = api.change_records(&part.zone, &batch).await else {
            continue;
        };
        match &part.changes[..] {
            [RecordChange::Delete(_)] if error.kind == EdgeErrorKind::NotFound => {}
            [_, _, ..] if blames_an_operation(error.kind) => {
                let (first, second) = part.changes.split_at(part.changes.len() / 2);
                pending.push(part.part(second));
                pending.push(part.part(first));
                refusal = Some(error);
            }
            _ => applied.fail(&part, error),
        }
    }
}

/// For operations that nobody has refused yet: it is our own limit that they did not get a turn.
fn not_tried(refusal: &EdgeError) -> EdgeError {
    let message = format!(
        "not tried, because too many others of the same zone were refused: {}",
        refusal.message
    );
    EdgeError::new(EdgeErrorKind::RateLimited, message)
}

fn blames_an_operation(kind: EdgeErrorKind) -> bool {
    matches!(
        kind,
        EdgeErrorKind::Invalid | EdgeErrorKind::Conflict | EdgeErrorKind::NotFound
    )
}

impl ZoneChanges {
    fn part(&self, changes: &[RecordChange]) -> Self {
        Self {
            zone: self.zone.clone(),
            changes: changes.to_vec(),
        }
    }
}

impl Applied {
    fn fail(&mut self, part: &ZoneChanges, error: EdgeError) {
        let hostnames = part.changes.iter().filter_map(RecordChange::hostname);
        self.hostnames
            .extend(hostnames.map(|hostname| (hostname.clone(), outcome_of(&error))));
        self.failures.push(error);
    }
}
