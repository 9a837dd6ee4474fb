//! What the records of one name call for.

use std::collections::BTreeSet;

use super::owner::{Owner, Owners};
use super::plan::RecordChange;
use super::{adopt, drift};
use crate::edge::objects::DnsRecord;
use crate::edge::{EdgeIntent, HostnameOutcome, Policy};
use crate::gateway::DriftPolicy;
use crate::names::Hostname;

/// What one name's records call for.
pub(super) struct NamePlan {
    pub(super) outcome: HostnameOutcome,
    pub(super) change: Option<RecordChange>,
    /// What somebody changed and the change puts right.
    pub(super) repaired: Option<String>,
}

impl NamePlan {
    pub(super) fn leave(outcome: HostnameOutcome) -> Self {
        Self {
            outcome,
            change: None,
            repaired: None,
        }
    }

    pub(super) fn apply(change: RecordChange) -> Self {
        Self {
            outcome: HostnameOutcome::Applied,
            change: Some(change),
            repaired: None,
        }
    }
}

/// Judges the names of one Gateway.
pub(super) struct Judge<'a> {
    pub(super) intent: &'a EdgeIntent,
    pub(super) owners: &'a Owners<'a>,
    /// Names that are known to have had a record of the Gateway.
    pub(super) had: &'a BTreeSet<Hostname>,
}

impl Judge<'_> {
    /// A wanted name and the records that occupy it.
    pub(super) fn judge(&self, hostname: &Hostname, there: &[&DnsRecord]) -> NamePlan {
        let owners = there.iter().map(|record| self.owners.owner(record));
        let owners: Vec<Owner> = owners.collect();
        let foreign = owners.iter().filter(|owner| **owner == Owner::Foreign);
        let foreign = foreign.count();
        if foreign > 0 {
            return self.foreign(hostname, there, foreign);
        }
        for owner in &owners {
            let outcome = match owner {
                Owner::Namesake { tunnel } => HostnameOutcome::Namesake {
                    tunnel: tunnel.clone(),
                },
                Owner::Unknown { message } => HostnameOutcome::Unknown {
                    message: message.clone(),
                },
                _ => continue,
            };
            return NamePlan::leave(outcome);
        }
        let own = owners.iter().position(|owner| *owner == Owner::Gateway);
        match there.get(own.unwrap_or(0)) {
            None => self.absent(hostname),
            Some(record) => self.present(hostname, record, own.is_some()),
        }
    }

    fn foreign(&self, hostname: &Hostname, there: &[&DnsRecord], foreign: usize) -> NamePlan {
        let may_adopt = foreign == there.len() && self.intent.policy != Policy::UpsertOnly;
        let allowed = self.intent.dns.records.adopt.get(hostname);
        let allowed = allowed.filter(|_| may_adopt);
        let adopted =
            allowed.and_then(|allowed| adopt::plan(hostname, there, allowed, self.owners.mark));
        adopted.unwrap_or_else(|| {
            let mut records = there.iter();
            let first = records.find(|record| self.owners.owner(record) == Owner::Foreign);
            let found = first.map_or_else(String::new, |record| describe(record, foreign - 1));
            NamePlan::leave(HostnameOutcome::Conflict { found })
        })
    }

    /// A name without a record that is in the way.
    fn absent(&self, hostname: &Hostname) -> NamePlan {
        let make = RecordChange::Post(hostname.clone());
        match self.had.contains(hostname) {
            true => self.drifted("the record is gone".to_owned(), make),
            false => NamePlan::apply(make),
        }
    }

    /// A name with a record of this Gateway (`is_own`) or of another of the installation.
    fn present(&self, hostname: &Hostname, record: &DnsRecord, is_own: bool) -> NamePlan {
        let put = RecordChange::Put(record.id.clone(), hostname.clone());
        let difference = drift::difference(&record.data, self.owners.tunnel, self.owners.mark);
        if difference.is_empty() {
            return NamePlan::leave(HostnameOutcome::Applied);
        }
        // What we wrote before our tunnel was made anew, or another Gateway or a former instance wrote, is no drift.
        let is_drift = self.owners.is_marked(record) && !self.owners.leads_back(record);
        match is_drift {
            true => self.drifted(difference.join("; "), put),
            false => self.hand_over(hostname, is_own, put),
        }
    }

    fn drifted(&self, difference: String, mend: RecordChange) -> NamePlan {
        match self.intent.dns.records.drift {
            DriftPolicy::Repair => NamePlan {
                repaired: Some(difference),
                ..NamePlan::apply(mend)
            },
            DriftPolicy::Report | DriftPolicy::Pause => {
                NamePlan::leave(HostnameOutcome::Drifted { difference })
            }
        }
    }

    fn hand_over(&self, hostname: &Hostname, is_own: bool, put: RecordChange) -> NamePlan {
        if is_own || self.intent.policy != Policy::UpsertOnly {
            return NamePlan::apply(put);
        }
        NamePlan::leave(HostnameOutcome::Unknown {
            message: format!(
                "{hostname} has a record of another Gateway of this installation, and not all \
                 objects could be read, so it is not known whether that Gateway still wants it"
            ),
        })
    }
}

fn describe(record: &DnsRecord, others: usize) -> String {
    let described = format!("{} record {}", record.data.kind, record.data.content);
    if others == 0 {
        described
    } else {
        format!("{described} and {others} more")
    }
}
