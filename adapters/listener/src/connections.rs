//! Which connections are open, and which has to go when there are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::peer::Peer;

/// The open connections of one server.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers connections and requests.
    next: u64,
    connections: usize,
    strangers: usize,
    peers: HashMap<Peer, OfPeer>,
}

#[derive(Debug, Default)]
struct OfPeer {
    connections: HashMap<u64, Connection>,
    strangers: usize,
}

#[derive(Debug)]
struct Connection {
    requests: HashMap<u64, Request>,
    /// When it was accepted or, after requests, when the last one ended.
    since: Instant,
    had_request: bool,
    close: CancellationToken,
}

#[derive(Debug)]
struct Request {
    began: Instant,
    is_known: bool,
}

impl Connection {
    /// Whether the client is a stranger.
    fn is_stranger(&self) -> bool {
        !self.requests.values().any(|request| request.is_known)
    }

    fn is_overdue(&self, limits: &Limits, now: Instant) -> bool {
        if self.requests.is_empty() {
            let limit = match self.had_request {
                true => limits.idle,
                false => limits.first_request,
            };
            return now.duration_since(self.since) >= limit;
        }
        self.requests.values().any(|request| {
            let limit = match request.is_known {
                true => limits.known_request,
                false => Some(limits.request),
            };
            limit.is_some_and(|limit| now.duration_since(request.began) >= limit)
        })
    }
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    pub(crate) peer: Peer,
    number: u64,
    /// Cancelled when the connection has to be closed.
    pub(crate) close: CancellationToken,
}

/// A request with its answer; over when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    place: Arc<Place>,
    number: u64,
}

/// Who sent a request. Each request carries it as an extension.
#[derive(Debug, Clone)]
pub struct Client {
    place: Arc<Place>,
    request: u64,
}

impl Client {
    /// From where the request came.
    pub fn peer(&self) -> Peer {
        self.place.peer
    }

    /// The server has found out who it is: the connection is not closed for others as long as this is kept.
    pub fn known(&self) -> Known {
        self.set_known(true);
        Known(self.clone())
    }

    fn set_known(&self, is_known: bool) {
        let mut state = self.place.connections.state.lock();
        state.change(&self.place, |connection| {
            if let Some(request) = connection.requests.get_mut(&self.request) {
                request.is_known = is_known;
                request.began = Instant::now();
            }
        });
    }
}

/// Keeps a client known. Once it is dropped, the rest of the answer has the time of a stranger's request.
#[derive(Debug)]
pub struct Known(Client);

impl Drop for Known {
    fn drop(&mut self) {
        self.0.set_known(false);
    }
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { limits, state })
    }

    /// A place for a new connection from this address. Where there are too many, one of a stranger has to go: of the
    /// same peer if that has more than its share, else of the peer that has most of them. `None` where all are known.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        let peer = Peer::of(address, self.limits.ipv6_prefix);
        let mut state = self.state.lock();
        let of_peer = state.peers.get(&peer);
        if of_peer.is_some_and(|of_peer| of_peer.connections.len() >= self.limits.of_peer()) {
            state.close_one_of(peer).then_some(())?;
        } else if state.connections >= self.limits.connections
            || state.strangers >= self.limits.strangers
        {
            state.close_one().then_some(())?;
        }
        let number = state.number();
        let close = CancellationToken::new();
        let connection = Connection {
            requests: HashMap::new(),
            since: now,
            had_request: false,
            close: close.clone(),
        };
        state.connections += 1;
        state.strangers += 1;
        let of_peer = state.peers.entry(peer).or_default();
        of_peer.strangers += 1;
        of_peer.connections.insert(number, connection);
        drop(state);
        Some(Place {
            connections: self.clone(),
            peer,
            number,
            close,
        })
    }

    /// Closes a connection of a stranger, if there is any.
    pub(crate) fn close_one(&self) {
        self.state.lock().close_one();
    }

    /// Closes every connection that has used up its time.
    pub(crate) fn close_overdue(&self, now: Instant) {
        let mut state = self.state.lock();
        let mut overdue = Vec::new();
        for (peer, of_peer) in &state.peers {
            for (number, connection) in &of_peer.connections {
                if connection.is_overdue(&self.limits, now) {
                    overdue.push((*peer, *number));
                }
            }
        }
        for (peer, number) in overdue {
            state.close(peer, number);
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Of the peer that has most connections of strangers: a client that has one connection keeps it while
    /// somebody else has more.
    fn close_one(&mut self) -> bool {
        let peers = self.peers.iter();
        let busiest = peers.max_by_key(|(_, of_peer)| of_peer.strangers);
        let busiest = busiest.map(|(peer, _)| *peer);
        busiest.is_some_and(|peer| self.close_one_of(peer))
    }

    /// The one that has been a stranger's for longest.
    fn close_one_of(&mut self, peer: Peer) -> bool {
        let Some(of_peer) = self.peers.get(&peer) else {
            return false;
        };
        let connections = of_peer.connections.iter();
        let strangers = connections.filter(|(_, connection)| connection.is_stranger());
        let oldest = strangers.min_by_key(|(number, connection)| (connection.since, **number));
        match oldest.map(|(number, _)| *number) {
            None => false,
            Some(number) => {
                self.close(peer, number);
                true
            }
        }
    }

    fn close(&mut self, peer: Peer, number: u64) {
        if let Some(connection) = self.remove(peer, number) {
            tracing::debug!(%peer, "a connection is closed by the server's limits");
            connection.close.cancel();
        }
    }

    fn remove(&mut self, peer: Peer, number: u64) -> Option<Connection> {
        let of_peer = self.peers.get_mut(&peer)?;
        let connection = of_peer.connections.remove(&number)?;
        self.connections -= 1;
        if connection.is_stranger() {
            of_peer.strangers -= 1;
            self.strangers -= 1;
        }
        if of_peer.connections.is_empty() {
            self.peers.remove(&peer);
        }
        Some(connection)
    }

    /// Lets `change` change the requests of a connection, if it is still there.
    fn change(&mut self, place: &Place, change: impl FnOnce(&mut Connection)) {
        let Some(of_peer) = self.peers.get_mut(&place.peer) else {
            return;
        };
        let Some(connection) = of_peer.connections.get_mut(&place.number) else {
            return;
        };
        let was_stranger = connection.is_stranger();
        change(connection);
        match (was_stranger, connection.is_stranger()) {
            (true, false) => {
                of_peer.strangers -= 1;
                self.strangers -= 1;
            }
            (false, true) => {
                of_peer.strangers += 1;
                self.strangers += 1;
            }
            _ => {}
        }
    }
}

impl Place {
    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.connections.state.lock();
        let number = state.number();
        state.change(self, |connection| {
            connection.had_request = true;
            let request = Request {
                began: Instant::now(),
                is_known: false,
            };
            connection.requests.insert(number, request);
        });
        UnderWay {
            place: self.clone(),
            number,
        }
    }
}

impl UnderWay {
    pub(crate) fn client(&self) -> Client {
        Client {
            place: self.place.clone(),
            request: self.number,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.place.connections.state.lock();
        state.change(&self.place, |connection| {
            connection.requests.remove(&self.number);
            connection.since = Instant::now();
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.state.lock().remove(self.peer, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 16,
        strangers: 4,
        ipv6_prefix: 128,
        first_request: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        request: Duration::from_secs(10),
        known_request: Some(Duration::from_secs(100)),
        grace: Duration::ZERO,
    };

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Connections of a peer, one after another.
    fn open(connections: &Arc<Connections>, last: u8, count: usize) -> Vec<Arc<Place>> {
        let places = (0..count).map(|_| connections.admit(address(last), Instant::now()));
        places
            .map(|place| Arc::new(place.expect("a place")))
            .collect()
    }

    fn closed(places: &[Arc<Place>]) -> Vec<bool> {
        places
            .iter()
            .map(|place| place.close.is_cancelled())
            .collect()
    }

    /// A request of a client that is known.
    fn known(place: &Arc<Place>) -> (Known, UnderWay) {
        let request = place.begin();
        (request.client().known(), request)
    }

    #[test]
    fn a_peer_with_more_than_its_share_loses_its_oldest_connection_of_a_stranger() {
        let connections = Connections::new(LIMITS);
        let places = open(&connections, 1, 4);
        let (_request, known_request) = (places[1].begin(), known(&places[0]));
        let fifth = open(&connections, 1, 1);
        assert_eq!(closed(&places), [false, true, false, false]);
        let all = places[2..].iter().chain(&fifth);
        let all: Vec<_> = all.map(known).collect();
        assert!(connections.admit(address(1), Instant::now()).is_none());
        drop((known_request, all));
        open(&connections, 1, 1);
        assert_eq!(closed(&places), [true, true, false, false]);
    }

    #[test]
    fn whoever_has_one_connection_keeps_it_while_another_has_more() {
        let connections = Connections::new(LIMITS);
        let honest = open(&connections, 1, 1);
        let flood: Vec<_> = (0..50).flat_map(|_| open(&connections, 2, 1)).collect();
        let more: Vec<_> = (0..50).flat_map(|_| open(&connections, 3, 1)).collect();
        assert_eq!(closed(&honest), [false]);
        let left = [flood, more].concat();
        let left = closed(&left).into_iter().filter(|closed| !closed).count();
        assert_eq!(left + 1, LIMITS.strangers);
    }

    #[test]
    fn connections_of_known_clients_are_never_closed_for_others_and_have_a_limit_too() {
        let connections = Connections::new(LIMITS);
        let mut all = Vec::new();
        for last in 1..=4 {
            for place in open(&connections, last, 4) {
                all.push((known(&place), place));
            }
        }
        assert!(connections.admit(address(9), Instant::now()).is_none());
        assert!(all.iter().all(|(_, place)| !place.close.is_cancelled()));
        all.pop();
        assert!(connections.admit(address(9), Instant::now()).is_some());
    }

    #[test]
    fn each_connection_has_a_time_for_its_first_request_its_pauses_and_its_answers() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (given, alive, over) in [
            ("no request", 4, 6),
            ("a request that is over", 59, 61),
            ("a request of a stranger", 9, 11),
            ("a request of a known client", 99, 101),
        ] {
            let connections = Connections::new(LIMITS);
            let places = open(&connections, 1, 1);
            let request = match given {
                "no request" => None,
                "a request of a known client" => {
                    let (known, request) = known(&places[0]);
                    Some((Some(known), request))
                }
                _ => Some((None, places[0].begin())),
            };
            let request = request.filter(|_| given != "a request that is over");
            connections.close_overdue(at(alive));
            assert_eq!(closed(&places), [false], "{given}");
            connections.close_overdue(at(over));
            assert_eq!(closed(&places), [true], "{given}");
            drop(request);
        }
    }

    #[test]
    fn a_client_that_was_known_has_a_strangers_time_for_the_rest_of_its_answer() {
        let connections = Connections::new(LIMITS);
        let places = open(&connections, 1, 1);
        let (known, _request) = known(&places[0]);
        drop(known);
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        connections.close_overdue(later(9));
        assert_eq!(closed(&places), [false]);
        connections.close_overdue(later(11));
        assert_eq!(closed(&places), [true]);
    }

    #[test]
    fn nothing_is_left_of_connections_that_ended() {
        let connections = Connections::new(LIMITS);
        let places = open(&connections, 1, 6);
        let known: Vec<_> = places.iter().map(known).collect();
        let requests: Vec<_> = places.iter().map(Place::begin).collect();
        drop((places, requests, known));
        let state = connections.state.lock();
        assert_eq!((state.connections, state.strangers), (0, 0));
        assert!(state.peers.is_empty());
    }
}
