//! Sixty generated cases.

use std::collections::BTreeMap;

use super::cases::{Dice, Model, by_hand};
use super::effects::{effects, planned, seen};
use super::rig::Rig;

const CASES: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_what_then_happens_in_sixty_generated_cases() {
    let mut without = 0;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..CASES {
        let mut dice = Dice::new(seed);
        let rig = Rig::start().await;
        let mut model = Model::new(&mut dice);
        if !dice.once_in(5) {
            rig.write(&model.manifests());
            rig.controller().await;
            for _ in 0..dice.roll(3) {
                by_hand(&rig.cloud, &mut dice);
            }
            for _ in 0..dice.roll(7) {
                model.edit(&mut dice);
            }
        }
        rig.write(&model.manifests());
        rig.cloud.forget_calls();
        let before = seen(&rig.cloud);
        let plan = rig.plan().await;
        let written = rig.cloud.writes();
        assert_eq!(written, [], "case {seed}: a plan writes nothing");
        assert_eq!(seen(&rig.cloud), before, "case {seed}");

        rig.controller().await;
        let after = seen(&rig.cloud);
        let lines: Vec<_> = plan.changes.iter().map(|change| &change.line).collect();
        let case = format!("case {seed}: {model:#?} {lines:#?} {:#?}", plan.problems);
        assert_eq!(planned(&plan), effects(&before, &after), "{case}");
        let writes = rig.cloud.writes();
        assert_eq!(writes.len(), plan.writes, "{case} {writes:#?}");
        for change in &plan.changes {
            let kind = format!("{} {}", change.sign, change.what);
            *kinds.entry(kind).or_default() += 1;
        }
        without += usize::from(plan.changes.is_empty());
    }
    for kind in [
        "+ tunnel", "- tunnel", "+ rules", "~ rules", "+ record", "~ record", "- record",
    ] {
        let times = kinds.get(kind).copied().unwrap_or_default();
        assert!(times >= 8, "{kind}: {times} in {kinds:?}");
    }
    assert!((1..30).contains(&without), "{without}");
}
