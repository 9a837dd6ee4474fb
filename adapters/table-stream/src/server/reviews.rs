//! Whose proxy shows a token. The cluster is asked about tokens that are not known, and never about so many that it
//! or an honest proxy would suffer from a stranger who invents them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_listener::{AtMostEvery, Peer};
use domain::names::ObjectKey;
use domain::ports::ProxyIdentities;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Questions to the cluster at a time.
pub(super) const AT_A_TIME: usize = 8;

/// Questions for one peer at a time, waiting ones included.
pub(super) const OF_PEER: usize = 4;

/// Questions at a time, waiting ones included.
const WAITING: usize = 64;

/// Tokens of one peer that may turn out to be no proxy's within [`SPAN`].
pub(super) const REFUSED_OF_PEER: u32 = 30;

/// See [`REFUSED_OF_PEER`].
const SPAN: Duration = Duration::from_secs(60);

/// Peers that are counted at a time.
const PEERS: usize = 4096;

/// How long the cluster may take to answer, waiting included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a token that is a proxy's is taken for one without asking again. A ServiceAccount that is deleted
/// is refused after this time at the latest.
const ACCEPTED_FOR: Duration = Duration::from_secs(60);

/// Accepted tokens that are remembered. Only proxies have them.
const ACCEPTED: usize = 4096;

/// How long a token that is no proxy's is refused without asking again: a proxy whose ServiceAccount was only just
/// made comes again.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Refused tokens that are remembered. Anyone can invent them.
const REFUSED: usize = 1024;

/// How often the log says that the cluster could not be asked.
const TELL_EVERY: Duration = Duration::from_secs(10);

type Hash = [u8; 32];

/// What became of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Review {
    /// It is that of a proxy of this Gateway.
    Proxy(ObjectKey),
    /// It is no proxy's.
    Refused,
    /// It is not known: the cluster could not be asked, or not yet.
    Later,
}

/// Asks the cluster about tokens and remembers the answers for a while.
pub(super) struct Reviews {
    identities: Arc<dyn ProxyIdentities>,
    at_a_time: Semaphore,
    failures: AtMostEvery,
    state: Mutex<State>,
}

struct State {
    accepted: Remembered<ObjectKey>,
    refused: Remembered<()>,
    questions: usize,
    peers: HashMap<Peer, OfPeer>,
}

/// What is counted of one peer.
struct OfPeer {
    questions: usize,
    /// Tokens since `since` that were refused, or are not known yet.
    refused: u32,
    since: Instant,
}

/// A question to the cluster; over when dropped.
struct Question<'r> {
    reviews: &'r Reviews,
    peer: Peer,
}

impl Reviews {
    pub(super) fn new(identities: Arc<dyn ProxyIdentities>) -> Self {
        Self {
            identities,
            at_a_time: Semaphore::new(AT_A_TIME),
            failures: AtMostEvery::new(TELL_EVERY),
            state: Mutex::new(State {
                accepted: Remembered::new(ACCEPTED, ACCEPTED_FOR),
                refused: Remembered::new(REFUSED, REFUSED_FOR),
                questions: 0,
                peers: HashMap::new(),
            }),
        }
    }

    /// What the token of this peer is. What the API server says of its troubles is for the log alone.
    pub(super) async fn of(&self, token: &SecretString, peer: Peer) -> Review {
        let hash: Hash = Sha256::digest(token.expose_secret().as_bytes()).into();
        let question = match self.begin(&hash, peer, Instant::now()) {
            Ok(question) => question,
            Err(review) => return review,
        };
        let asked = async {
            let _turn = self.at_a_time.acquire().await;
            self.identities.gateway_of(token).await
        };
        let problem = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(gateway)) => return question.answered(hash, gateway),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "there was no answer in time".to_owned(),
        };
        if let Some(others) = self.failures.pass(Instant::now()) {
            tracing::warn!(
                problem,
                others,
                "whose token a proxy shows could not be asked"
            );
        }
        question.unanswered()
    }

    /// What is known of a token, or the question to the cluster, if this peer may have one more. It counts as refused
    /// until it is answered: going away does not make a question free.
    fn begin(&self, hash: &Hash, peer: Peer, now: Instant) -> Result<Question<'_>, Review> {
        let mut state = self.state.lock();
        if let Some(gateway) = state.accepted.get(hash, now) {
            return Err(Review::Proxy(gateway.clone()));
        }
        if state.refused.get(hash, now).is_some() {
            return Err(Review::Refused);
        }
        if state.peers.len() >= PEERS {
            state.peers.retain(|_, of_peer| of_peer.counts(now));
        }
        if state.questions >= WAITING || state.peers.len() >= PEERS {
            return Err(Review::Later);
        }
        let of_peer = state.peers.entry(peer).or_insert(OfPeer {
            questions: 0,
            refused: 0,
            since: now,
        });
        if now.duration_since(of_peer.since) >= SPAN {
            of_peer.refused = 0;
            of_peer.since = now;
        }
        if of_peer.questions >= OF_PEER || of_peer.refused >= REFUSED_OF_PEER {
            return Err(Review::Later);
        }
        of_peer.questions += 1;
        of_peer.refused += 1;
        state.questions += 1;
        drop(state);
        Ok(Question {
            reviews: self,
            peer,
        })
    }
}

impl OfPeer {
    fn counts(&self, now: Instant) -> bool {
        self.questions > 0 || (self.refused > 0 && now.duration_since(self.since) < SPAN)
    }
}

impl Question<'_> {
    fn answered(self, hash: Hash, gateway: Option<ObjectKey>) -> Review {
        let now = Instant::now();
        match gateway {
            Some(gateway) => {
                self.forgive();
                let mut state = self.reviews.state.lock();
                state.accepted.insert(hash, gateway.clone(), now);
                Review::Proxy(gateway)
            }
            None => {
                let mut state = self.reviews.state.lock();
                state.refused.insert(hash, (), now);
                Review::Refused
            }
        }
    }

    fn unanswered(self) -> Review {
        self.forgive();
        Review::Later
    }

    /// The token may be a good one.
    fn forgive(&self) {
        let mut state = self.reviews.state.lock();
        if let Some(of_peer) = state.peers.get_mut(&self.peer) {
            of_peer.refused = of_peer.refused.saturating_sub(1);
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut state = self.reviews.state.lock();
        state.questions -= 1;
        if let Some(of_peer) = state.peers.get_mut(&self.peer) {
            of_peer.questions -= 1;
            if !of_peer.counts(Instant::now()) {
                state.peers.remove(&self.peer);
            }
        }
    }
}

/// Answers by the hash of their token, each for the same time. When there are too many, the oldest goes.
struct Remembered<T> {
    most: usize,
    lasts: Duration,
    answers: HashMap<Hash, (T, Instant)>,
    /// In the order in which they came.
    order: VecDeque<(Hash, Instant)>,
}

impl<T> Remembered<T> {
    fn new(most: usize, lasts: Duration) -> Self {
        Self {
            most,
            lasts,
            answers: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn get(&self, hash: &Hash, now: Instant) -> Option<&T> {
        let (answer, came) = self.answers.get(hash)?;
        (now.duration_since(*came) < self.lasts).then_some(answer)
    }

    fn insert(&mut self, hash: Hash, answer: T, now: Instant) {
        self.answers.insert(hash, (answer, now));
        self.order.push_back((hash, now));
        while let Some((oldest, came)) = self.order.front().copied() {
            let is_over = now.duration_since(came) >= self.lasts;
            if !is_over && self.order.len() <= self.most {
                return;
            }
            self.order.pop_front();
            // One that came again is later in the order.
            if self.answers.get(&oldest).is_some_and(|(_, at)| *at == came) {
                self.answers.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_lasts_for_a_time_and_the_oldest_makes_room() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut remembered = Remembered::new(2, Duration::from_secs(10));
        for (n, second) in [(1, 0), (2, 1), (1, 2), (3, 3)] {
            remembered.insert([n; 32], n, at(second));
        }
        let found = |remembered: &Remembered<u8>, second| {
            [1, 2, 3].map(|n| remembered.get(&[n; 32], at(second)).is_some())
        };
        assert_eq!(found(&remembered, 3), [true, false, true]);
        assert_eq!(found(&remembered, 12), [false, false, true]);
        remembered.insert([4; 32], 4, at(20));
        assert_eq!((remembered.answers.len(), remembered.order.len()), (1, 1));
    }
}
