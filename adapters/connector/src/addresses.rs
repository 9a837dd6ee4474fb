//! Which connection uses which edge address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::discovery::{self, DiscoveryError};
use crate::options::EdgeAddresses;

/// Failures in a row after which a connection would rather share an address than try this one again.
const GIVEN_UP: u32 = 3;

/// The edge's addresses and who is on them.
#[derive(Debug)]
pub(crate) struct AddressBook {
    edge: EdgeAddresses,
    region: Option<String>,
    /// Held during a look-up, so that connections wait for one and the same.
    known: tokio::sync::Mutex<Vec<SocketAddr>>,
    /// The family of the address that answered last. Its addresses are the first to be used: a machine
    /// without a way out for one family has none to any address of it.
    answered: Mutex<Option<Family>>,
    users: Users,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Users(Arc<Mutex<HashMap<SocketAddr, u32>>>);

/// The use of an address by a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    address: SocketAddr,
    users: Users,
}

/// The addresses on which one connection failed since it was last registered, and how often.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    of: HashMap<SocketAddr, u32>,
    /// Attempts without an answer, by family.
    unanswered: HashMap<Family, u32>,
}

/// What speaks against an address for a connection.
#[derive(Debug, Clone, Copy, Default)]
struct Against {
    users: u32,
    /// How often the connection failed on it.
    failures: u32,
    /// Attempts of the connection without an answer, in the address's family.
    unanswered: u32,
}

impl AddressBook {
    /// Looks nothing up yet. `region` is the token's.
    pub(crate) fn new(edge: EdgeAddresses, region: Option<String>) -> Self {
        Self {
            edge,
            region,
            known: tokio::sync::Mutex::default(),
            answered: Mutex::default(),
            users: Users::default(),
        }
    }

    /// The addresses that were found last; none before the first connection was to be made.
    pub(crate) async fn known(&self) -> Vec<SocketAddr> {
        self.known.lock().await.clone()
    }

    /// The edge answered at an address: its family is to be preferred from now on.
    pub(crate) fn answered(&self, address: SocketAddr) {
        *self.answered.lock() = Some(Family::of(address));
    }

    /// An address for a connection: a free one before a shared one, one that did not fail before one
    /// that did, one of a family that answers before one of the other, the connection's own
    /// before another. When all have failed it is time to look them up again.
    pub(crate) async fn take(
        &self,
        index: u8,
        failures: &mut Failures,
    ) -> Result<Lease, DiscoveryError> {
        let mut known = self.known.lock().await;
        if known.iter().all(|address| failures.gave_up(*address)) {
            match discovery::addresses(&self.edge, self.region.as_deref()).await {
                Ok(addresses) => *known = addresses,
                Err(error) if known.is_empty() => return Err(error),
                Err(error) => tracing::debug!(%error, "keeping the known edge addresses"),
            }
            failures.forget();
        }
        if let Some(answered) = *self.answered.lock() {
            known.sort_by_key(|address| Family::of(*address) != answered);
        }
        let chosen = {
            let users = self.users.0.lock();
            choose(&known, index, |address| Against {
                users: users.get(&address).copied().unwrap_or(0),
                failures: failures.of(address),
                unanswered: failures.unanswered(Family::of(address)),
            })
        };
        match chosen {
            Some(address) => Ok(self.users.lease(address)),
            None => Err(DiscoveryError::Nothing("an empty list".to_owned())),
        }
    }
}

/// The best address for a connection; `against` is what speaks against each. The family of the first
/// address comes before the other.
fn choose(
    known: &[SocketAddr],
    index: u8,
    against: impl Fn(SocketAddr) -> Against,
) -> Option<SocketAddr> {
    let first = known.first().copied().map(Family::of)?;
    let rank = |at: usize| {
        let Against {
            users,
            failures,
            unanswered,
        } = against(known[at]);
        let second = Family::of(known[at]) != first;
        let distance = distance(known, at, index);
        let given_up = failures >= GIVEN_UP;
        (given_up, users, failures, unanswered, second, distance)
    };
    (0..known.len())
        .min_by_key(|at| rank(*at))
        .map(|at| known[at])
}

/// How far behind the connection's own address an address is, among those of its family. Each connection
/// has an own one in either family, so that connections that turn to the other family spread over it.
fn distance(known: &[SocketAddr], at: usize, index: u8) -> usize {
    let family = Family::of(known[at]);
    let count = |addresses: &[SocketAddr]| {
        let same = |address: &&SocketAddr| Family::of(**address) == family;
        addresses.iter().filter(same).count()
    };
    let (before, all) = (count(&known[..at]), count(known));
    (before + all - usize::from(index) % all) % all
}

impl Users {
    fn lease(&self, address: SocketAddr) -> Lease {
        *self.0.lock().entry(address).or_default() += 1;
        Lease {
            address,
            users: self.clone(),
        }
    }
}

impl Lease {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut users = self.users.0.lock();
        if let Some(count) = users.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.address);
            }
        }
    }
}

impl Failures {
    /// Another address is to be preferred for now.
    pub(crate) fn count(&mut self, address: SocketAddr) {
        *self.of.entry(address).or_default() += 1;
    }

    /// There was no answer at the address. Where one family does not get through, its other addresses
    /// hardly do, so the other family is to be tried next.
    pub(crate) fn count_unanswered(&mut self, address: SocketAddr) {
        self.count(address);
        *self.unanswered.entry(Family::of(address)).or_default() += 1;
    }

    /// The connection is registered: what was before does not matter any more.
    pub(crate) fn forget(&mut self) {
        self.of.clear();
        self.unanswered.clear();
    }

    fn of(&self, address: SocketAddr) -> u32 {
        self.of.get(&address).copied().unwrap_or(0)
    }

    fn unanswered(&self, family: Family) -> u32 {
        self.unanswered.get(&family).copied().unwrap_or(0)
    }

    fn gave_up(&self, address: SocketAddr) -> bool {
        self.of(address) >= GIVEN_UP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_gets_the_best_address_there_is() {
        // Users and failures of addresses 0, 1 and 2, the connection's index, the address it gets.
        for (given, index, then) in [
            ([(0, 0), (0, 0), (0, 0)], 0, 0),
            ([(0, 0), (0, 0), (0, 0)], 2, 2),
            ([(0, 0), (0, 0), (0, 0)], 4, 1),
            ([(1, 0), (0, 0), (1, 0)], 0, 1),
            ([(0, 1), (0, 0), (0, 0)], 0, 1),
            ([(0, 1), (1, 0), (1, 0)], 0, 0),
            ([(0, 3), (1, 0), (2, 0)], 0, 1),
            ([(1, 0), (1, 0), (1, 0)], 1, 1),
        ] {
            let known: Vec<_> = (0..3)
                .map(|n| SocketAddr::from(([192, 0, 2, n], 7844)))
                .collect();
            let against = |address| {
                let (users, failures) = given[known.iter().position(|a| *a == address).unwrap()];
                Against {
                    users,
                    failures,
                    unanswered: 0,
                }
            };
            assert_eq!(
                choose(&known, index, against),
                Some(known[then]),
                "{given:?}"
            );
        }
        assert_eq!(choose(&[], 0, |_| Against::default()), None);
    }

    /// Address `n` of a family.
    fn of_family(family: Family, n: u8) -> SocketAddr {
        match family {
            Family::V4 => SocketAddr::from(([192, 0, 2, n], 7844)),
            Family::V6 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)], 7844)),
        }
    }

    /// As the edge has them: so many of each family, those of IPv4 first.
    fn both_families(of_each: u8) -> Vec<SocketAddr> {
        let of = |family| (0..of_each).map(move |n| of_family(family, n));
        of(Family::V4).chain(of(Family::V6)).collect()
    }

    #[tokio::test]
    async fn where_nobody_answers_in_a_family_the_other_one_is_tried_next() {
        let (v4, v6) = (Family::V4, Family::V6);
        for (given, unanswered, refused, then) in [
            ("nothing failed", &[][..], &[][..], v4),
            ("one of IPv4", &[(v4, 0)], &[], v6),
            ("one of each", &[(v4, 0), (v6, 0)], &[], v4),
            ("two of IPv4", &[(v4, 0), (v6, 0), (v4, 1)], &[], v6),
            ("an edge that answered, and refused", &[], &[(v4, 0)], v4),
        ] {
            let book = AddressBook::new(EdgeAddresses::Given(both_families(20)), None);
            let mut failures = Failures::default();
            drop(book.take(0, &mut failures).await.unwrap());
            for (family, n) in unanswered {
                failures.count_unanswered(of_family(*family, *n));
            }
            for (family, n) in refused {
                failures.count(of_family(*family, *n));
            }
            let lease = book.take(0, &mut failures).await.unwrap();
            assert_eq!(Family::of(lease.address()), then, "{given}");
        }
    }

    #[tokio::test]
    async fn connections_that_turn_to_the_other_family_spread_over_it() {
        let book = AddressBook::new(EdgeAddresses::Given(both_families(20)), None);
        for index in 0..4 {
            let mut failures = Failures::default();
            drop(book.take(index, &mut failures).await.unwrap());
            failures.count_unanswered(of_family(Family::V4, index));
            let lease = book.take(index, &mut failures).await.unwrap();
            assert_eq!(lease.address(), of_family(Family::V6, index));
        }
    }

    #[tokio::test]
    async fn the_family_that_answered_last_comes_first_for_every_connection() {
        let book = AddressBook::new(EdgeAddresses::Given(both_families(20)), None);
        for (answered, then) in [(Family::V6, Family::V6), (Family::V4, Family::V4)] {
            book.answered(of_family(answered, 7));
            let mut leases = Vec::new();
            for index in 0..4 {
                leases.push(book.take(index, &mut Failures::default()).await.unwrap());
            }
            let taken: Vec<_> = leases.iter().map(Lease::address).collect();
            let own: Vec<_> = (0..4).map(|n| of_family(then, n)).collect();
            assert_eq!(taken, own, "{answered:?} answered");
        }
    }

    #[tokio::test]
    async fn an_address_is_free_again_when_its_connection_is_gone() {
        let known: Vec<_> = (1..3)
            .map(|n| SocketAddr::from(([192, 0, 2, n], 7844)))
            .collect();
        let book = AddressBook::new(EdgeAddresses::Given(known.clone()), None);
        let first = book.take(0, &mut Failures::default()).await.unwrap();
        let second = book.take(0, &mut Failures::default()).await.unwrap();
        assert_eq!([first.address(), second.address()], [known[0], known[1]]);
        drop(first);
        let third = book.take(1, &mut Failures::default()).await.unwrap();
        assert_eq!(third.address(), known[0]);
    }
}
