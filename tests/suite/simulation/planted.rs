//! Fourteen ways in which the product could be wrong, planted at the ports in turn. The rules must find each.

use std::sync::Arc;

use domain::edge::objects::{DnsRecord, RecordBatch};
use domain::gateway::{Adoption, CONFIRM_REMOVAL, RECONCILE_ANNOTATION};
use domain::snapshot::{ClusterSnapshot, Reading};

use super::cluster_model::{GATEWAYS, key};
use super::history;
use super::installations::{ClusterId, Owner};
use super::rules::Rule;
use super::told::Told;

/// What one port says or does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A zone whose read failed is shown as one without records.
    FailedReadIsEmpty,
    /// A kind that could not be listed is shown as one of which there is no object.
    UnreadKindIsEmpty,
    /// Foreign records are shown with a mark of ours.
    ForeignRecordsAreOurs,
    /// Records of the other cluster are shown with our mark of the Gateway of the same name.
    OtherClustersRecordsAreOurs,
    /// What a batch changes in place is deleted by a call before.
    DeletionComesFirst,
    /// No finalizer is added, though it is said that it was.
    FinalizerIsNotAdded,
    /// The finalizer goes when the proxy is stopped.
    FinalizerGoesEarly,
    /// Who led once is told that it leads for good.
    LeadershipIsNotLost,
    /// What is kept of a rotation is not there any more.
    RotationIsLost,
    /// It is not known whose things stay.
    OrphansAreLost,
    /// The annotation that suspends is not shown.
    SuspensionIsNotSeen,
    /// Every adoption of which it was told what would be done is shown as confirmed.
    AdoptionIsConfirmed,
    /// Every removal that is held back is shown as confirmed.
    RemovalIsConfirmed,
    /// A table is not served, though it is said that it is.
    TableIsNotServed,
}

/// Each with the rules that are broken by it.
const PLANTED: [(Planted, &[Rule]); 14] = [
    (
        Planted::FailedReadIsEmpty,
        &[Rule::ChangesNothingUnread, Rule::RecordsGoBeforeTunnel],
    ),
    (
        Planted::UnreadKindIsEmpty,
        &[Rule::StopsNoWantedProxy, Rule::RemovesNothingWanted],
    ),
    (Planted::ForeignRecordsAreOurs, &[Rule::LeavesForeignAlone]),
    (
        Planted::OtherClustersRecordsAreOurs,
        &[Rule::LeavesOtherClustersAlone],
    ),
    (
        Planted::DeletionComesFirst,
        &[Rule::HandsNamesOver, Rule::RemovesNothingWanted],
    ),
    (
        Planted::FinalizerIsNotAdded,
        &[Rule::FinalizerComesFirst, Rule::Converges],
    ),
    (Planted::FinalizerGoesEarly, &[Rule::FinalizerGoesLast]),
    (Planted::LeadershipIsNotLost, &[Rule::WritesOnlyAsLeader]),
    (Planted::RotationIsLost, &[Rule::KeepsTokens]),
    (Planted::OrphansAreLost, &[Rule::StopsNoWantedProxy]),
    (
        Planted::SuspensionIsNotSeen,
        &[Rule::WritesNothingWhileSuspended],
    ),
    (Planted::AdoptionIsConfirmed, &[Rule::LeavesForeignAlone]),
    (Planted::RemovalIsConfirmed, &[Rule::HoldsBigCutsBack]),
    (Planted::TableIsNotServed, &[Rule::ServesBeforeItResolves]),
];

/// Histories within which each is found.
const MOST_HISTORIES: u64 = 2_000;

impl Planted {
    /// A snapshot as it is shown with the fault.
    pub(crate) fn shown(self, snapshot: Arc<ClusterSnapshot>, told: &Told) -> Arc<ClusterSnapshot> {
        let mut shown = (*snapshot).clone();
        match self {
            Self::UnreadKindIsEmpty => {
                empty_unread(&mut shown.classes);
                empty_unread(&mut shown.gateways);
                empty_unread(&mut shown.routes);
                empty_unread(&mut shown.services);
                empty_unread(&mut shown.endpoint_slices);
            }
            Self::SuspensionIsNotSeen => {
                if let Reading::Known(gateways) = &mut shown.gateways {
                    for gateway in gateways {
                        gateway.annotations.remove(RECONCILE_ANNOTATION);
                    }
                }
            }
            Self::AdoptionIsConfirmed => {
                if let Reading::Known(parameters) = &mut shown.parameters {
                    let adopt = parameters.iter_mut().flat_map(|it| &mut it.records.adopt);
                    for (name, adoption) in adopt.flatten() {
                        let code = told.adoptions.get(name).cloned();
                        *adoption = code.map_or(Adoption::DryRun, Adoption::Confirmed);
                    }
                }
            }
            Self::RemovalIsConfirmed => {
                if let Reading::Known(gateways) = &mut shown.gateways {
                    for gateway in gateways {
                        let code = told.removals.get(&gateway.key).cloned();
                        let code = code.map(|code| (CONFIRM_REMOVAL.to_owned(), code));
                        gateway.annotations.extend(code);
                    }
                }
            }
            _ => return snapshot,
        }
        Arc::new(shown)
    }

    /// A record as it is shown to a cluster with the fault.
    pub(crate) fn shown_record(self, mut record: DnsRecord, cluster: ClusterId) -> DnsRecord {
        let gateway = match (self, Owner::of_record(&record.data)) {
            (Self::ForeignRecordsAreOurs, None) => key(GATEWAYS[0]),
            (Self::OtherClustersRecordsAreOurs, Some(owner)) => owner.gateway.clone(),
            _ => return record,
        };
        record.data.comment = Owner { cluster, gateway }.mark().to_string();
        record
    }

    /// The batches that are made in place of one.
    pub(crate) fn made(self, batch: &RecordBatch) -> Vec<RecordBatch> {
        if self != Self::DeletionComesFirst || batch.puts.is_empty() {
            return vec![batch.clone()];
        }
        let mut deletion = RecordBatch::default();
        let mut addition = RecordBatch::default();
        deletion.deletes.clone_from(&batch.deletes);
        addition.posts.clone_from(&batch.posts);
        for (id, data) in &batch.puts {
            deletion.deletes.push(id.clone());
            addition.posts.push(data.clone());
        }
        vec![deletion, addition]
    }
}

fn empty_unread<T: Default>(reading: &mut Reading<T>) {
    if reading.is_unknown() {
        *reading = Reading::Known(T::default());
    }
}

/// What finds a fault: the seed, the rule, and what the rule says.
fn finding(planted: Planted) -> Option<(u64, Rule, String)> {
    let seed = super::search(u64::MAX, MOST_HISTORIES, Some(planted)).failed?;
    let failure = history::run(seed, false, Some(planted)).failure?;
    Some((seed, failure.rule, failure.what))
}

#[test]
fn each_of_fourteen_planted_faults_is_found_by_its_rule() {
    let mut wrong = Vec::new();
    for (planted, rules) in PLANTED {
        let found = finding(planted);
        println!("{planted:?}: {found:?}");
        if !found.is_some_and(|(_, rule, _)| rules.contains(&rule)) {
            wrong.push((planted, rules));
        }
    }
    assert!(wrong.is_empty(), "not found by its rule: {wrong:?}");
}
