//! Problems of passes in the log: each once when it comes, and once when all are gone.

use std::collections::{BTreeMap, BTreeSet};

use domain::names::ObjectKey;
use domain::reconcile::{EdgePassReport, Queue};

/// Problems of a pass that looks at everything.
#[derive(Default)]
pub(crate) struct Problems(BTreeSet<String>);

impl Problems {
    pub(crate) fn tell(&mut self, now: impl Iterator<Item = String>) {
        let now: BTreeSet<_> = now.collect();
        for problem in now.difference(&self.0) {
            tracing::warn!("{problem}");
        }
        if now.is_empty() && !self.0.is_empty() {
            tracing::info!("all earlier problems are mended");
        }
        self.0 = now;
    }
}

/// Problems of edge passes, each of which looks at some Gateways of one queue.
#[derive(Default)]
pub(crate) struct EdgeProblems(BTreeMap<(Queue, Option<ObjectKey>), BTreeSet<String>>);

impl EdgeProblems {
    pub(crate) fn tell(&mut self, queue: &Queue, report: &EdgePassReport) {
        let of_gateways = report.stated.iter().chain(&report.removed);
        let of_gateways = of_gateways.chain(report.again.keys()).cloned().map(Some);
        let looked_at: BTreeSet<_> = of_gateways.chain([None]).collect();
        let any_before = !self.0.is_empty();
        for gateway in looked_at {
            let now = report.problems.iter();
            let now: BTreeSet<String> = now
                .filter(|problem| problem.gateway == gateway)
                .map(ToString::to_string)
                .collect();
            let place = (queue.clone(), gateway);
            let before = self.0.remove(&place).unwrap_or_default();
            for problem in now.difference(&before) {
                tracing::warn!("{problem}");
            }
            if !now.is_empty() {
                self.0.insert(place, now);
            }
        }
        if any_before && self.0.is_empty() {
            tracing::info!("all earlier problems at the edge are mended");
        }
    }
}
