//! When what failed at the edge is tried again: each Gateway has a wait of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::names::ObjectKey;
use domain::reconcile::{EdgePassReport, Queue};
use tokio::time::Instant;

/// First wait after a failure; doubles with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Longest time that the edge may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Something that failed, and rests.
struct Rest {
    wait: Duration,
    until: Instant,
}

impl Rest {
    fn after(before: Option<&Self>, asked_for: Option<Duration>, now: Instant) -> Self {
        let wait = before.map_or(FIRST_WAIT, |before| (before.wait * 2).min(LONGEST_WAIT));
        let pause = asked_for.unwrap_or_default().min(LONGEST_PAUSE);
        Self {
            wait,
            until: now + wait.max(pause),
        }
    }
}

/// Who rests, and until when.
#[derive(Default)]
pub(crate) struct Schedule {
    gateways: BTreeMap<ObjectKey, Rest>,
    queues: BTreeMap<Queue, Rest>,
    /// When a pass of each queue ended last.
    ended: BTreeMap<Queue, Instant>,
}

impl Schedule {
    /// Takes note of a pass that ended now.
    pub(crate) fn ended(&mut self, queue: &Queue, report: &EdgePassReport, now: Instant) {
        let gone = report.removed.iter().chain(&report.orphaned);
        for gateway in report.stated.iter().chain(gone) {
            if !report.again.contains_key(gateway) {
                self.gateways.remove(gateway);
            }
        }
        for (gateway, asked_for) in &report.again {
            let rest = Rest::after(self.gateways.get(gateway), *asked_for, now);
            self.gateways.insert(gateway.clone(), rest);
        }
        // What is left is not a Gateway's that rests by itself.
        let is_left = report.again.is_empty() || *queue == Queue::Leftovers;
        if is_left && !report.settled {
            let rest = Rest::after(self.queues.get(queue), None, now);
            self.queues.insert(queue.clone(), rest);
        } else {
            self.queues.remove(queue);
        }
        self.ended.insert(queue.clone(), now);
        self.forget_what_is_long_over(now);
    }

    /// Names of Gateways and namespaces come and go.
    fn forget_what_is_long_over(&mut self, now: Instant) {
        let is_over = |at: Instant| now.saturating_duration_since(at) > 10 * LONGEST_WAIT;
        self.gateways.retain(|_, rest| !is_over(rest.until));
        self.queues.retain(|_, rest| !is_over(rest.until));
        self.ended.retain(|_, at| !is_over(*at));
    }

    /// Gateways to leave alone.
    pub(crate) fn resting(&self, now: Instant) -> BTreeSet<ObjectKey> {
        let resting = self.gateways.iter().filter(|(_, rest)| rest.until > now);
        resting.map(|(gateway, _)| gateway.clone()).collect()
    }

    /// Whether the queue as a whole is to be left alone.
    pub(crate) fn rests(&self, queue: &Queue, now: Instant) -> bool {
        self.queues.get(queue).is_some_and(|rest| rest.until > now)
    }

    /// When a pass of the queue ended last; before all others where there was none.
    pub(crate) fn last_end(&self, queue: &Queue) -> Option<Instant> {
        self.ended.get(queue).copied()
    }

    /// When the next rest is over.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let rests = self.gateways.values().chain(self.queues.values());
        rests
            .map(|rest| rest.until)
            .filter(|until| *until > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("shop", name)
    }

    fn queue() -> Queue {
        Queue::Secrets("shop".to_owned())
    }

    fn report(stated: &[&str], again: &[(&str, Option<Duration>)]) -> EdgePassReport {
        EdgePassReport {
            settled: again.is_empty(),
            again: again
                .iter()
                .map(|(name, time)| (key(name), *time))
                .collect(),
            stated: stated.iter().map(|name| key(name)).collect(),
            removed: Vec::new(),
            orphaned: Vec::new(),
            swept: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_gateway_that_fails_rests_longer_each_time_and_holds_up_no_other() {
        let mut schedule = Schedule::default();
        let mut now = Instant::now();
        let failed = report(&["a", "b"], &[("a", None)]);
        let mut rested = Vec::new();
        for _ in 0..9 {
            schedule.ended(&queue(), &failed, now);
            assert_eq!(schedule.resting(now), BTreeSet::from([key("a")]));
            assert!(!schedule.rests(&queue(), now));
            let until = schedule.next(now).unwrap();
            rested.push(until - now);
            now = until;
            assert!(schedule.resting(now).is_empty());
        }
        assert_eq!(rested[..3], [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]);
        assert_eq!(rested[8], LONGEST_WAIT);
        schedule.ended(&queue(), &report(&["a"], &[]), now);
        schedule.ended(&queue(), &failed, now);
        assert_eq!(schedule.next(now), Some(now + FIRST_WAIT), "from the start");
    }

    #[test]
    fn a_gateway_rests_for_the_time_that_the_edge_named_up_to_an_hour() {
        for (named, expected) in [(9, 9), (86_400, 3600)] {
            let mut schedule = Schedule::default();
            let now = Instant::now();
            let busy = report(&["a"], &[("a", Some(named * SECOND)), ("b", None)]);
            schedule.ended(&queue(), &busy, now);
            let just_before = now + expected * SECOND - SECOND / 2;
            assert_eq!(schedule.resting(just_before), BTreeSet::from([key("a")]));
            assert!(schedule.resting(now + expected * SECOND).is_empty());
        }
    }

    #[test]
    fn a_queue_rests_where_what_is_left_is_no_gateways() {
        let unsettled = EdgePassReport {
            settled: false,
            ..report(&[], &[])
        };
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.ended(&Queue::Leftovers, &unsettled, now);
        assert!(schedule.rests(&Queue::Leftovers, now));
        assert!(!schedule.rests(&queue(), now));
        schedule.ended(&Queue::Leftovers, &report(&[], &[]), now + SECOND);
        assert!(!schedule.rests(&Queue::Leftovers, now));
    }
}
