//! Which connection uses which edge address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    users: Users,
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
pub(crate) struct Failures(HashMap<SocketAddr, u32>);

impl AddressBook {
    /// Looks nothing up yet. `region` is the token's.
    pub(crate) fn new(edge: EdgeAddresses, region: Option<String>) -> Self {
        Self {
            edge,
            region,
            known: tokio::sync::Mutex::default(),
            users: Users::default(),
        }
    }

    /// The addresses that were found last; none before the first connection was to be made.
    pub(crate) async fn known(&self) -> Vec<SocketAddr> {
        self.known.lock().await.clone()
    }

    /// An address for a connection: a free one before a shared one, one that did not fail before one
    /// that did, the connection's own before another. When all have failed it is time to look them up
    /// again.
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
            failures.0.clear();
        }
        let chosen = {
            let users = self.users.lock();
            choose(&known, index, |address| {
                (
                    users.get(&address).copied().unwrap_or(0),
                    failures.of(address),
                )
            })
        };
        match chosen {
            Some(address) => Ok(self.users.lease(address)),
            None => Err(DiscoveryError::Nothing("an empty list".to_owned())),
        }
    }
}

/// The best address for a connection; `of` tells how many use an address and how often the connection
/// failed on it.
fn choose(
    known: &[SocketAddr],
    index: u8,
    of: impl Fn(SocketAddr) -> (u32, u32),
) -> Option<SocketAddr> {
    let count = known.len();
    let rank = |at: usize| {
        let (users, failures) = of(known[at]);
        let distance = (at + count - usize::from(index) % count) % count;
        (failures >= GIVEN_UP, users, failures, distance)
    };
    (0..count).min_by_key(|at| rank(*at)).map(|at| known[at])
}

impl Users {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self, address: SocketAddr) -> Lease {
        *self.lock().entry(address).or_default() += 1;
        Lease {
            address,
            users: self.clone(),
        }
    }
}

impl Lease {
    /// The address that is used.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut users = self.users.lock();
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
        *self.0.entry(address).or_default() += 1;
    }

    /// The connection is registered: what was before does not matter any more.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    fn of(&self, address: SocketAddr) -> u32 {
        self.0.get(&address).copied().unwrap_or(0)
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
            let of = |address| given[known.iter().position(|a| *a == address).unwrap()];
            assert_eq!(choose(&known, index, of), Some(known[then]), "{given:?}");
        }
        assert_eq!(choose(&[], 0, |_| (0, 0)), None);
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
