//! Changing and removing records, batch by batch.

use std::collections::BTreeMap;

use super::plan::{RecordChange, ZoneChanges, outcome_of};
use crate::edge::HostnameOutcome;
use crate::edge::api::BATCH_LIMIT;
use crate::edge::cache::CachedApi;
use crate::edge::objects::RecordBatch;
use crate::edge::ownership::RecordMark;
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, RecordId, TunnelId, ZoneId};

/// Further calls that are spent on finding the operation for which a whole batch was refused: enough for
/// two bad ones among 200, few enough not to eat the account's budget when every one is refused.
const CALLS_TO_ISOLATE: usize = 32;

/// What did not go as planned.
#[derive(Default)]
pub(crate) struct RecordFailures {
    pub(crate) hostnames: BTreeMap<Hostname, HostnameOutcome>,
    pub(crate) failures: Vec<PortError>,
}

/// Changes one zone, in as many batches as it takes.
pub(crate) async fn change(
    api: &CachedApi,
    tunnel: TunnelId,
    mark: RecordMark,
    zone: &ZoneChanges,
) -> RecordFailures {
    let mut failed = RecordFailures::default();
    for part in batches(&zone.changes) {
        change_batch(api, tunnel, mark, zone.part(part), &mut failed).await;
    }
    failed
}

/// Changes in groups of as many operations as a batch takes. One that is several operations is never parted.
fn batches(changes: &[RecordChange]) -> Vec<&[RecordChange]> {
    let mut batches = Vec::new();
    let (mut start, mut operations) = (0, 0);
    for (index, change) in changes.iter().enumerate() {
        if operations + change.operations() > BATCH_LIMIT {
            batches.push(&changes[start..index]);
            (start, operations) = (index, 0);
        }
        operations += change.operations();
    }
    batches.push(&changes[start..]);
    batches
}

/// One batch, all or nothing. Where one of its operations is refused, it is taken apart, so that one bad
/// name does not keep the others of its zone from their records.
async fn change_batch(
    api: &CachedApi,
    tunnel: TunnelId,
    mark: RecordMark,
    whole: ZoneChanges,
    failed: &mut RecordFailures,
) {
    let mut calls_left = 1 + CALLS_TO_ISOLATE;
    let mut pending = vec![whole];
    let mut refusal = None;
    while let Some(part) = pending.pop() {
        if calls_left == 0 {
            let refusal: &PortError = refusal
                .as_ref()
                .expect("calls run out only after a refusal took the batch apart");
            failed.add(&part, not_tried(refusal));
            continue;
        }
        calls_left -= 1;
        let batch = part.batch(tunnel, mark);
        let Err(error) = api.change_records(&part.zone, &batch).await else {
            continue;
        };
        match &part.changes[..] {
            [RecordChange::Delete(_)] if error.kind == PortErrorKind::NotFound => {}
            [_, _, ..] if blames_an_operation(error.kind) => {
                let (first, second) = part.changes.split_at(part.changes.len() / 2);
                pending.push(part.part(second));
                pending.push(part.part(first));
                refusal = Some(error);
            }
            _ => failed.add(&part, error),
        }
    }
}

/// For operations that were not tried, because of our own limit.
fn not_tried(refusal: &PortError) -> PortError {
    let message = format!(
        "not tried, because too many others of the same zone were refused: {}",
        refusal.message
    );
    PortError::new(PortErrorKind::RateLimited, message)
}

fn blames_an_operation(kind: PortErrorKind) -> bool {
    matches!(
        kind,
        PortErrorKind::Invalid | PortErrorKind::Conflict | PortErrorKind::NotFound
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

impl RecordFailures {
    fn add(&mut self, part: &ZoneChanges, error: PortError) {
        let hostnames = part.changes.iter().filter_map(RecordChange::hostname);
        self.hostnames
            .extend(hostnames.map(|hostname| (hostname.clone(), outcome_of(&error))));
        self.failures.push(error);
    }
}

/// Removes these records of a zone.
pub(crate) async fn delete_records(
    api: &CachedApi,
    zone: &ZoneId,
    ids: &[RecordId],
) -> Result<(), PortError> {
    for part in ids.chunks(BATCH_LIMIT) {
        let batch = RecordBatch {
            deletes: part.to_vec(),
            ..RecordBatch::default()
        };
        api.change_records(zone, &batch).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_at_its_limit_and_parts_no_switch() {
        let name = Hostname::parse("a.example.com").unwrap();
        let post = || RecordChange::Post(name.clone());
        let others = vec![RecordId::new("r"); 100];
        let switch = RecordChange::Switch(others, name.clone());
        let mut changes = vec![post(); BATCH_LIMIT - 100];
        changes.extend([switch, post(), post()]);
        let sizes: Vec<_> = batches(&changes).iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [BATCH_LIMIT - 100, 3]);
        let sizes: Vec<_> = batches(&vec![post(); 450])
            .iter()
            .map(|b| b.len())
            .collect();
        assert_eq!(sizes, [200, 200, 50]);
    }
}
