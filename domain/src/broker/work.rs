//! What is to be done for Gateways: at most one piece of work for each, which makes true what was stated last.

use std::time::Duration;

use super::held::{Errands, Held, Wanted};
use super::names::ClusterName;
use crate::names::ObjectKey;

/// What comes first where not all can be done at once. Within one, the cluster comes first that has the fewest pieces of
/// work under way; then what is due longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Something is to be taken away, or a token is to stop working.
    Withdraw,
    Publish,
    /// Nothing was stated anew: whether others changed something is to be seen.
    Repair,
}

impl Priority {
    /// Of what a Gateway has to be done.
    pub fn of(held: &Held) -> Self {
        let errands = &held.errands;
        match (&held.wanted, held.is_settled()) {
            (Wanted::Gone, _) | (Wanted::Tunnel, false) => Self::Withdraw,
            _ if *errands != Errands::default() => Self::Withdraw,
            (_, true) => Self::Repair,
            (_, false) => Self::Publish,
        }
    }
}

/// A piece of work that a broker took. Nobody else takes it until its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub cluster: ClusterName,
    pub gateway: ObjectKey,
    /// How often it was tried in vain.
    pub attempts: u32,
    pub holder: Holder,
}

/// Who has a piece of work: a text that nobody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub String);

/// Pieces of work of one cluster that are under way at a time, over all brokers: whatever its account does, others go on.
pub const OF_ONE_CLUSTER: usize = 4;

/// How long to wait after so many failed attempts: 1 s, 2 s, 4 s … five minutes; longer where Cloudflare says so.
pub fn again_after(attempts: u32, retry_after: Option<Duration>) -> Duration {
    const LONGEST: Duration = Duration::from_secs(300);
    let doubled = Duration::from_secs(1 << attempts.min(9));
    doubled.min(LONGEST).max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::held::{Place, Statement};
    use super::*;
    use crate::edge::{EdgeIntent, EdgeStatus};
    use crate::names::Timestamp;

    #[test]
    fn what_takes_away_comes_before_what_adds_and_repairs_come_last() {
        let key = ObjectKey::new("default", "one");
        let intent = Statement::Intent(Box::new(EdgeIntent::new(key.clone())));
        let mut settled = Held::new(key);
        settled.state(intent, Place::default(), None).unwrap();
        assert_eq!(Priority::of(&settled), Priority::Publish);
        let none = std::collections::BTreeSet::new();
        settled.finish(1, &none, Ok(EdgeStatus::default()), Timestamp(0));
        assert_eq!(Priority::of(&settled), Priority::Repair);
        for statement in [Statement::Remove, Statement::CloseConnections] {
            let mut held = settled.clone();
            held.state(statement, Place::default(), None).unwrap();
            assert_eq!(Priority::of(&held), Priority::Withdraw);
        }
        assert!([Priority::Withdraw, Priority::Publish, Priority::Repair].is_sorted());
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes_and_is_as_long_as_cloudflare_says() {
        let seconds = Duration::from_secs;
        for (attempts, told, wait) in [
            (0, None, 1),
            (1, None, 2),
            (8, None, 256),
            (9, None, 300),
            (u32::MAX, None, 300),
            (0, Some(17), 17),
            (9, Some(17), 300),
            (0, Some(900), 900),
        ] {
            let found = again_after(attempts, told.map(seconds));
            assert_eq!(found, seconds(wait), "{attempts} {told:?}");
        }
    }
}
