//! The lead is lost in the middle of an edge pass.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::ports::Leadership;

/// Leads until it was asked so often.
struct Leading(AtomicUsize);

impl Leadership for Leading {
    fn term(&self) -> Option<u64> {
        let left = self.0.load(SeqCst).checked_sub(1)?;
        self.0.store(left, SeqCst);
        Some(1)
    }
}

fn two() -> ClusterSnapshot {
    snapshot(
        vec![gateway("a"), gateway("b")],
        vec![
            route("ra", "a", 1, &["a.example.com"]),
            route("rb", "b", 1, &["b.example.com"]),
        ],
    )
}

#[tokio::test]
async fn a_pass_that_loses_the_lead_stops_between_two_gateways() {
    type Change = fn(&mut ClusterSnapshot);
    type Count = fn(&Bench<FakeEdge>) -> usize;
    let table: [(&str, bool, Change, Count); 3] = [
        ("new", false, |_| {}, |bench| bench.edge.stated().len()),
        (
            "of another shape",
            true,
            |snapshot| {
                for gateway in gateways(snapshot) {
                    let labels = &mut gateway.infrastructure.labels;
                    labels.insert("team".to_owned(), "shop".to_owned());
                }
            },
            |bench| bench.workloads.ensured() - 2,
        ),
        (
            "deleted",
            true,
            |snapshot| {
                for gateway in gateways(snapshot) {
                    gateway.deleting = true;
                }
            },
            |bench| 2 - bench.edge.records().len(),
        ),
    ];
    for (given, are_served, change, count) in table {
        let mut seen = BTreeSet::new();
        for questions in 1..20 {
            let mut bench = bench(two());
            if are_served {
                assert!(bench.pass().await.settled, "{given}");
            }
            bench.cluster.change(change);
            bench.reconciler.route_pass().await;
            bench.reconciler.ports.leadership = Arc::new(Leading(questions.into()));
            let done = bench.reconciler.edge_pass(false).await;
            let changed = count(&bench);
            assert!(!done.settled || changed == 2, "{given}: {questions}");
            seen.insert(changed);
        }
        assert_eq!(seen, BTreeSet::from([0, 1, 2]), "{given}");
    }
}
