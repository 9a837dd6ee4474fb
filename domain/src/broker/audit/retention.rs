//! How much of the audit stays in the store.

use std::time::Duration;

use super::End;
use super::checkpoint::{Checkpoint, Mark};
use crate::names::Timestamp;

/// Entries that are cut at a time, about, so that a file of them is of a bearable size.
pub const LARGEST_CUT: u64 = 10_000;

/// Entries that it is worth to cut…
const SMALLEST_CUT: u64 = 1_000;

/// …unless they are older than they have to be by so many seconds.
const PATIENCE: i64 = 24 * 3600;

/// What stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For so long.
    pub keep: Duration,
    /// And at most about so many entries.
    pub most: u64,
}

impl Retention {
    /// Up to where to cut now, out of the checkpoints after `start`, in their order. `start` is where the last cut was.
    pub fn cut<'c>(
        &self,
        start: u64,
        end: End,
        checkpoints: &'c [Checkpoint],
        now: Timestamp,
    ) -> Option<&'c Checkpoint> {
        let keep = i64::try_from(self.keep.as_secs()).unwrap_or(i64::MAX);
        // Of a checkpoint, as no entry before it is younger.
        let beyond = |checkpoint: &Checkpoint| {
            now.0
                .saturating_sub(checkpoint.statement.at.0)
                .saturating_sub(keep)
        };
        let sequence = |checkpoint: &Checkpoint| checkpoint.statement.end.sequence;
        let mut over = checkpoints.iter().filter(|checkpoint| {
            let too_many = end.sequence.saturating_sub(sequence(checkpoint)) >= self.most;
            let is_after =
                sequence(checkpoint) > start && checkpoint.statement.mark == Mark::Reached;
            is_after && (too_many || beyond(checkpoint) >= 0)
        });
        let first = over.next()?;
        let bearable = |checkpoint: &&Checkpoint| sequence(checkpoint) - start <= LARGEST_CUT;
        let last = over.take_while(bearable).last().unwrap_or(first);
        let is_worth = sequence(last) - start >= SMALLEST_CUT || beyond(first) >= PATIENCE;
        is_worth.then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Link;
    use super::super::checkpoint::tests::signed;
    use super::*;

    const HOUR: i64 = 3600;

    #[test]
    fn what_is_too_old_or_too_much_is_cut_at_a_checkpoint_and_in_pieces() {
        let retention = Retention {
            keep: Duration::from_secs(100 * 3600),
            most: 5_000,
        };
        let end = |sequence| End {
            sequence,
            link: Link::default(),
        };
        // Each is a sequence, and the hour in which it was signed.
        /// What is kept, the first and the last entry, marks with their times, and where the cut is.
        type Case = (&'static str, u64, u64, &'static [(u64, i64)], Option<u64>);
        let cases: [Case; 9] = [
            ("nothing is signed", 0, 9_000, &[], None),
            (
                "nothing is old or too much",
                0,
                4_000,
                &[(2_000, 150)],
                None,
            ),
            (
                "so old",
                0,
                4_000,
                &[(2_000, 100), (3_000, 101)],
                Some(2_000),
            ),
            ("a few are left for a day", 0, 4_000, &[(900, 77)], None),
            (
                "a few that are older by a day",
                0,
                4_000,
                &[(900, 76)],
                Some(900),
            ),
            (
                "too many",
                0,
                8_000,
                &[(2_000, 199), (3_000, 199), (4_000, 199)],
                Some(3_000),
            ),
            (
                "from the last cut",
                2_000,
                9_500,
                &[(2_000, 1), (3_000, 199), (4_000, 199)],
                Some(4_000),
            ),
            (
                "a piece",
                0,
                90_000,
                &[(9_000, 1), (10_000, 1), (11_000, 1)],
                Some(10_000),
            ),
            (
                "a piece that cannot be smaller",
                0,
                90_000,
                &[(12_000, 1), (13_000, 1)],
                Some(12_000),
            ),
        ];
        for (case, start, last, checkpoints, expected) in cases {
            let signed: Vec<_> = checkpoints
                .iter()
                .map(|(sequence, hour)| signed(Mark::Reached, end(*sequence), hour * HOUR))
                .collect();
            let found = retention.cut(start, end(last), &signed, Timestamp(200 * HOUR));
            let found = found.map(|found| found.statement.end.sequence);
            assert_eq!(found, expected, "{case}");
        }
    }
}
