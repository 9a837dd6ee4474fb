//! The journal of writes.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::edge::Changes;
use crate::edge::objects::{DnsRecord, RecordBatch};
use crate::edge::ports::Journal;
use crate::names::{RecordId, TunnelId, ZoneId};

/// The journal, why the writes of one call are made, and which there were so far.
pub(crate) struct Notes {
    journal: Option<Arc<dyn Journal>>,
    why: String,
    changes: Mutex<Changes>,
}

impl Notes {
    pub(crate) fn new(journal: Option<Arc<dyn Journal>>, why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            journal,
            why,
            changes: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        let locked = self.changes.lock();
        locked.expect("nothing panics while it holds this lock")
    }

    /// What was written so far.
    pub(crate) fn changes(&self) -> Changes {
        self.lock().clone()
    }

    /// Something new was made, which the journal does not name.
    pub(crate) fn made(&self, what: impl std::fmt::Display) {
        self.lock().add(format_args!("made {what}"));
    }

    /// Something was done.
    pub(crate) fn done(&self, what: impl std::fmt::Display) {
        self.lock().add(&what);
        if let Some(journal) = &self.journal {
            journal.note(&format!("{what}, as {}", self.why));
        }
    }

    /// Records were removed, or changed in place. `before`: what the zone is known to have had.
    pub(crate) fn changed(&self, zone: &ZoneId, before: &[DnsRecord], batch: &RecordBatch) {
        let found = |id: &RecordId| before.iter().find(|record| record.id == *id);
        for id in &batch.deletes {
            let name = found(id).map_or("", |record| &record.data.name);
            self.done(format_args!("removed record {name} ({id} of zone {zone})"));
        }
        for (id, after) in &batch.puts {
            let name = &after.name;
            let from = found(id).map_or("", |record| &record.data.content);
            if from != after.content {
                let to = &after.content;
                self.done(format_args!(
                    "led record {name} ({id} of zone {zone}) from {from} to {to}"
                ));
            }
        }
        for after in &batch.posts {
            self.made(format_args!("record {}", after.name));
        }
    }

    /// Ingress rules were written.
    pub(crate) fn configured(&self, tunnel: TunnelId, rules: usize) {
        self.done(format_args!(
            "wrote {rules} ingress rules of tunnel {tunnel}"
        ));
    }
}
