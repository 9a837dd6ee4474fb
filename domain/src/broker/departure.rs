//! What becomes of a Gateway when its cluster goes, and nobody states anything of it any more.

use std::collections::BTreeSet;

use super::held::{Errands, Held, Wanted};
use crate::secret::TokenHash;

/// What a broker has done to every Gateway of a cluster that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Departure {
    /// Its connectors are shut out: the token is replaced by one that nobody reads, and all connections are closed. Records
    /// and tunnel stay.
    ShutOut,
    /// Its records go, its tunnel stays. What the cluster states next counts again.
    Unpublish,
    /// Its connectors are shut out, and all that it has is removed.
    Remove,
}

impl Held {
    /// Its cluster goes. Whether there is work to do for that.
    pub fn depart(&mut self, departure: Departure) -> bool {
        match departure {
            Departure::ShutOut => self.shut_out(),
            Departure::Unpublish if matches!(self.wanted, Wanted::Present(_)) => {
                self.wanted = Wanted::Tunnel;
            }
            Departure::Unpublish => return false,
            Departure::Remove => {
                self.wanted = Wanted::Gone;
                self.shut_out();
            }
        }
        self.forget_unwanted();
        self.version += 1;
        true
    }

    fn shut_out(&mut self) {
        self.errands = Errands {
            shut_out: true,
            // Those that were noted may be replaced already.
            noted: std::mem::take(&mut self.errands.noted),
            ..Errands::default()
        };
    }

    /// Notes which tokens are to be replaced, unless that is known already, and gives those that are.
    pub fn note_tokens(&mut self, found: BTreeSet<TokenHash>) -> BTreeSet<TokenHash> {
        let asked = self.errands.shut_out || self.errands.retire.is_some();
        if asked && self.errands.noted.is_empty() {
            self.errands.noted = found;
        }
        self.errands.noted.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::{Place, Statement};
    use super::super::work::Priority;
    use super::*;
    use crate::edge::{EdgeIntent, EdgeStatus};
    use crate::error::PortError;
    use crate::names::{ObjectKey, Timestamp};

    fn intent() -> Statement {
        Statement::Intent(Box::new(EdgeIntent::new(key())))
    }

    fn key() -> ObjectKey {
        ObjectKey::new("default", "one")
    }

    fn settled() -> Held {
        let mut held = Held::new(key());
        held.state(intent(), Place::default(), None).unwrap();
        finish(&mut held, Ok(EdgeStatus::default()));
        assert!(held.is_settled());
        held
    }

    fn finish(held: &mut Held, outcome: Result<EdgeStatus, PortError>) {
        held.finish(held.version, &BTreeSet::new(), outcome, Timestamp(0));
    }

    fn hash(digit: &str) -> TokenHash {
        TokenHash::parse(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_departure_is_work_until_it_is_done() {
        for (departure, is_gone) in [
            (Departure::ShutOut, false),
            (Departure::Unpublish, false),
            (Departure::Remove, true),
        ] {
            let mut held = settled();
            assert!(held.depart(departure), "{departure:?}");
            assert!(!held.is_settled(), "{departure:?}");
            assert_eq!(Priority::of(&held), Priority::Withdraw, "{departure:?}");
            finish(&mut held, Err(PortError::unavailable("no answer")));
            assert!(!held.is_settled(), "{departure:?}");
            finish(&mut held, Ok(EdgeStatus::default()));
            assert!(held.is_settled(), "{departure:?}");
            assert_eq!(held.is_gone(), is_gone, "{departure:?}");
        }
    }

    #[test]
    fn what_was_under_way_when_the_cluster_went_does_not_count_as_done() {
        for departure in [Departure::ShutOut, Departure::Unpublish, Departure::Remove] {
            let mut held = settled();
            let before = held.version;
            held.depart(departure);
            let done = Ok(EdgeStatus::default());
            held.finish(before, &BTreeSet::new(), done, Timestamp(1));
            assert!(!held.is_settled(), "{departure:?}");
        }
    }

    #[test]
    fn what_a_cluster_states_when_it_comes_back_counts_again() {
        let mut held = settled();
        let stated = held.wanted.clone();
        held.depart(Departure::Unpublish);
        assert_eq!(held.wanted, Wanted::Tunnel);
        finish(&mut held, Ok(EdgeStatus::default()));
        held.state(intent(), Place::default(), None).unwrap();
        assert_eq!(held.wanted, stated);
        assert!(!held.is_settled());
    }

    #[test]
    fn a_gateway_that_is_being_removed_is_not_unpublished() {
        let mut held = settled();
        held.state(Statement::Remove, Place::default(), None)
            .unwrap();
        let before = held.clone();
        assert!(!held.depart(Departure::Unpublish));
        assert_eq!(held, before);
    }

    #[test]
    fn which_tokens_are_replaced_is_noted_once() {
        let mut held = settled();
        let (first, later) = ([hash("1")], [hash("2")]);
        assert!(held.note_tokens(first.into()).is_empty(), "nobody asked");
        held.depart(Departure::ShutOut);
        assert_eq!(held.note_tokens(first.into()), first.into());
        assert_eq!(held.note_tokens(later.into()), first.into());
        held.depart(Departure::Remove);
        assert_eq!(held.note_tokens(later.into()), first.into());
        assert_eq!(held.errands.retire, None);
    }
}
