//! The journal of writes.

use std::sync::Arc;

use crate::edge::objects::{DnsRecord, RecordBatch};
use crate::edge::ports::Journal;
use crate::names::{RecordId, TunnelId, ZoneId};

/// The journal, and why the writes of one call are made.
pub(crate) struct Notes {
    journal: Option<Arc<dyn Journal>>,
    why: String,
}

impl Notes {
    pub(crate) fn new(journal: Option<Arc<dyn Journal>>, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { journal, why }
    }

    /// Something was done.
    pub(crate) fn done(&self, what: impl std::fmt::Display) {
        if let Some(journal) = &self.journal {
            journal.note(&format!("{what}, as {}", self.why));
        }
    }

    /// Records were removed, or changed in place. `before`: what the zone is known to have had.
    pub(crate) fn changed(&self, zone: &ZoneId, before: &[DnsRecord], batch: &RecordBatch) {
        if self.journal.is_none() {
            return;
        }
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
    }

    /// Ingress rules were written.
    pub(crate) fn configured(&self, tunnel: TunnelId, rules: usize) {
        self.done(format_args!(
            "wrote {rules} ingress rules of tunnel {tunnel}"
        ));
    }
}
