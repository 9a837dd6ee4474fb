//! Sessions of a rule: what one visitor asks for goes to one endpoint (GEP-1619).
//!
//! The visitor carries all there is of a session, its token; nothing is kept here. A token is the id of an endpoint, a keyed
//! hash that tells nothing of its address, and, where sessions end, when it began and was last used, with a hash over both.
//! The keys are those of the rule, so a token of another rule, of another Gateway or of nobody is none.
//!
//! Where weights choose the backend of each request, a visitor has a token for each backend, side by side in one value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::gateway::{PathMatch, Session, SessionCarrier, SessionCookie};
use domain::names::ObjectKey;
use domain::route_table::Scheme;
use hmac::{Hmac, Mac};
use http::HeaderMap;
use http::header::{COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use sha2::Sha256;

use crate::upstream::Upstream;

/// Tokens of a request that are looked at, in one value or in several; and backends of which a visitor keeps one.
const MOST_TOKENS: usize = 8;

/// What stands between two tokens. It is in no token.
const SEPARATOR: char = '.';

/// Bytes of an id, of a hash over times, and of both times.
const HASH: usize = 16;
const TIMES: usize = 8;
const TIMED: usize = HASH + TIMES + HASH;

/// Endpoints of rules with sessions, counted for each rule, of the routes of one namespace: each has an id of its own in each
/// rule, to be made when a table is loaded and to be kept.
const MOST_ENDPOINTS: usize = 1 << 16;

type Id = [u8; HASH];

/// How many endpoints the rules with sessions of each namespace have so far.
#[derive(Debug, Default)]
pub(super) struct Room(HashMap<String, usize>);

impl Room {
    /// Takes room for a rule with so many endpoints. `false` where its namespace has no more.
    pub(super) fn take(&mut self, namespace: &str, endpoints: usize) -> bool {
        let taken = self.0.entry(namespace.to_owned()).or_default();
        let all = taken.saturating_add(endpoints);
        let has_room = all <= MOST_ENDPOINTS;
        if has_room {
            *taken = all;
        }
        has_room
    }
}

/// An endpoint of a rule: its position in the upstream of the backend at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) backend: usize,
    pub(super) endpoint: usize,
}

/// The sessions of one rule.
pub(super) struct Sessions {
    carrier: Carrier,
    /// Seconds.
    absolute: Option<u32>,
    idle: Option<u32>,
    /// See [`Session::beats_weights`].
    beats_weights: bool,
    key: Hmac<Sha256>,
    backends: Box<[Endpoints]>,
}

/// The endpoints of a backend: none, where it does not resolve or gets no request.
#[derive(Default)]
struct Endpoints {
    ids: Box<[Id]>,
    positions: HashMap<Id, usize>,
}

enum Carrier {
    Cookie(SessionCookie),
    Header(HeaderName),
}

/// A session that a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    place: Place,
    /// Seconds since 1970.
    begun: u32,
    used: u32,
}

/// A request to a rule with sessions.
pub(super) struct Visit<'s> {
    sessions: &'s Sessions,
    /// What its tokens lead to, in the order of the tokens.
    held: Vec<Held>,
    scheme: Scheme,
    now: u32,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// The sessions of a rule with these backends, `None` for one that no request is to go to. `None` where there is no key.
    pub(super) fn new<'b>(
        session: &Session,
        backends: impl Iterator<Item = Option<(&'b ObjectKey, &'b Upstream)>>,
    ) -> Option<Self> {
        let key = Hmac::new_from_slice(session.key.as_ref()?.expose()).ok()?;
        let carrier = match &session.carrier {
            SessionCarrier::Cookie(cookie) => Carrier::Cookie(cookie.clone()),
            SessionCarrier::Header(name) => Carrier::Header(name.parse().ok()?),
        };
        let backends = backends
            .map(|backend| backend.map_or_else(Endpoints::default, |it| Endpoints::of(&key, it)))
            .collect();
        Some(Self {
            carrier,
            absolute: session.absolute.map(seconds),
            idle: session.idle.map(seconds),
            beats_weights: session.beats_weights,
            key,
            backends,
        })
    }

    /// A request that comes now.
    pub(super) fn visit(&self, headers: &HeaderMap, scheme: Scheme) -> Visit<'_> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        self.visit_at(headers, scheme, seconds(since_epoch.unwrap_or_default()))
    }

    fn visit_at(&self, headers: &HeaderMap, scheme: Scheme, now: u32) -> Visit<'_> {
        Visit {
            sessions: self,
            held: self.held(headers, now),
            scheme,
            now,
        }
    }

    /// What the tokens of a request lead to, as far as they are of this rule and not over.
    fn held(&self, headers: &HeaderMap, now: u32) -> Vec<Held> {
        let mut held = Vec::new();
        match &self.carrier {
            Carrier::Header(name) => {
                let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
                self.read_all(values, now, &mut held);
            }
            Carrier::Cookie(cookie) => {
                let lines = headers.get_all(COOKIE).iter();
                let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
                let values = pairs.filter_map(|pair| {
                    let value = pair.trim_ascii().strip_prefix(cookie.name.as_bytes())?;
                    value.strip_prefix(b"=")
                });
                self.read_all(values, now, &mut held);
            }
        }
        held
    }

    fn read_all<'v>(&self, values: impl Iterator<Item = &'v [u8]>, now: u32, held: &mut Vec<Held>) {
        let tokens = values.flat_map(|value| value.split(|byte| *byte == SEPARATOR as u8));
        for token in tokens.take(MOST_TOKENS) {
            let Some((id, begun, used)) = self.read(token, now) else {
                continue;
            };
            // A Service may stand in a rule more than once.
            let backends = self.backends.iter().enumerate();
            held.extend(backends.filter_map(|(backend, endpoints)| {
                let endpoint = *endpoints.positions.get(&id)?;
                let place = Place { backend, endpoint };
                Some(Held { place, begun, used })
            }));
        }
    }

    /// The id in a token that is not over, with its begin and its last use.
    fn read(&self, token: &[u8], now: u32) -> Option<(Id, u32, u32)> {
        let mut bytes = [0; TIMED + 2];
        let size = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
        let (id, times) = bytes[..size].split_first_chunk::<HASH>()?;
        if !self.is_timed() {
            return times.is_empty().then_some((*id, now, now));
        }
        let (times, hash) = times.split_first_chunk::<TIMES>()?;
        self.hash_of(id, times).verify_truncated_left(hash).ok()?;
        let at = |bytes: [u8; 4]| u32::from_be_bytes(bytes);
        let [a, b, c, d, e, f, g, h] = *times;
        let (begun, used) = (at([a, b, c, d]), at([e, f, g, h]));
        // Clocks of replicas differ; a time to come is now.
        let is_over = |since: u32, limit: Option<u32>| {
            limit.is_some_and(|limit| now.saturating_sub(since) >= limit)
        };
        let is_whole = hash.len() == HASH;
        let is_held = is_whole && !is_over(begun, self.absolute) && !is_over(used, self.idle);
        is_held.then_some((*id, begun, used))
    }

    fn is_timed(&self) -> bool {
        self.absolute.is_some() || self.idle.is_some()
    }

    fn hash_of(&self, id: &Id, times: &[u8; TIMES]) -> Hmac<Sha256> {
        self.key
            .clone()
            .chain_update(b"times")
            .chain_update(id)
            .chain_update(times)
    }

    fn id(&self, place: Place) -> Option<&Id> {
        let backend = self.backends.get(place.backend)?;
        backend.ids.get(place.endpoint)
    }

    /// `None` where there is no such endpoint.
    fn token(&self, held: Held) -> Option<String> {
        let id = self.id(held.place)?;
        let mut token = id.to_vec();
        if self.is_timed() {
            let (begun, used) = (held.begun.to_be_bytes(), held.used.to_be_bytes());
            let mut times = [0; TIMES];
            times[..4].copy_from_slice(&begun);
            times[4..].copy_from_slice(&used);
            token.extend(times);
            let hash = self.hash_of(id, &times).finalize().into_bytes();
            token.extend(&hash[..HASH]);
        }
        Some(URL_SAFE_NO_PAD.encode(token))
    }
}

impl Visit<'_> {
    /// The backend of its session, where that goes before weights.
    pub(super) fn backend(&self) -> Option<usize> {
        let held = self.held.first().filter(|_| self.sessions.beats_weights)?;
        Some(held.place.backend)
    }

    /// Its endpoint of a backend.
    pub(super) fn endpoint(&self, backend: usize) -> Option<usize> {
        Some(self.of(backend)?.place.endpoint)
    }

    fn of(&self, backend: usize) -> Option<Held> {
        let mut held = self.held.iter();
        held.find(|held| held.place.backend == backend).copied()
    }

    /// Has the answer of this endpoint say what the visitor does not know yet of its session: that it began or moved, or
    /// that it was used.
    pub(super) fn tell(self, answered: Place, matched: &PathMatch, headers: &mut HeaderMap) {
        let now = self.now;
        let known = self.of(answered.backend);
        let begun = match known.filter(|held| held.place == answered) {
            None => now,
            Some(held) => match self.sessions.idle {
                // A quarter of the time may be lost, in return for fewer tokens.
                Some(idle) if now.saturating_sub(held.used) >= (idle / 4).max(1) => held.begun,
                _ => return,
            },
        };
        let told = Held {
            place: answered,
            begun,
            used: now,
        };
        let Some((value, begun)) = self.value(told) else {
            return;
        };
        match &self.sessions.carrier {
            Carrier::Header(name) => {
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
            Carrier::Cookie(cookie) => {
                let path = path(cookie, matched);
                let mut line = format!("{}={value}; Path={path}", cookie.name);
                if let Some(absolute) = self.sessions.absolute.filter(|_| cookie.is_permanent) {
                    let left = absolute.saturating_sub(now.saturating_sub(begun));
                    line.push_str(&format!("; Max-Age={left}"));
                }
                if self.scheme == Scheme::Https {
                    line.push_str("; Secure");
                }
                line.push_str("; HttpOnly; SameSite=Strict");
                if let Ok(line) = HeaderValue::try_from(line) {
                    headers.append(SET_COOKIE, line);
                }
            }
        }
    }

    /// What the visitor is to bring from now on, and when the youngest of it began: the token of this endpoint, and where
    /// weights choose, those that it has of other backends.
    fn value(&self, told: Held) -> Option<(String, u32)> {
        let id = |held: &Held| self.sessions.id(held.place).copied();
        let mut value = self.sessions.token(told)?;
        let (mut begun, mut tokens) = (told.begun, 1);
        let mut written = vec![id(&told)?];
        // That of the endpoint before it.
        written.extend(self.of(told.place.backend).as_ref().and_then(id));
        for held in self.held.iter().filter(|_| !self.sessions.beats_weights) {
            let Some(id) = id(held).filter(|id| !written.contains(id)) else {
                continue;
            };
            if tokens < MOST_TOKENS
                && let Some(token) = self.sessions.token(*held)
            {
                value.push(SEPARATOR);
                value.push_str(&token);
                begun = begun.max(held.begun);
                tokens += 1;
            }
            written.push(id);
        }
        Some((value, begun))
    }
}

impl Endpoints {
    fn of(key: &Hmac<Sha256>, backend: (&ObjectKey, &Upstream)) -> Self {
        let ids = ids(key, backend);
        let mut positions = HashMap::with_capacity(ids.len());
        for (position, id) in ids.iter().enumerate() {
            positions.entry(*id).or_insert(position);
        }
        Self { ids, positions }
    }
}

/// The ids of the endpoints of a backend.
fn ids(key: &Hmac<Sha256>, (service, upstream): (&ObjectKey, &Upstream)) -> Box<[Id]> {
    let id = |at: &domain::route_table::UpstreamEndpoint| {
        let host = match &at.host {
            domain::gateway::EndpointHost::Address(address) => address.to_string(),
            domain::gateway::EndpointHost::Name(name) => name.clone(),
        };
        let parts = [service.namespace.as_str(), &service.name, &host];
        let mut hash = key.clone().chain_update(b"endpoint");
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash
            .chain_update(at.port.to_be_bytes())
            .finalize()
            .into_bytes();
        let mut id = Id::default();
        id.copy_from_slice(&hash[..HASH]);
        id
    };
    let endpoints = upstream.endpoints.iter();
    endpoints.map(|endpoint| id(endpoint.at())).collect()
}

fn seconds(duration: Duration) -> u32 {
    // Not zero, which would end a session at once.
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
}

/// The attribute `Path`: what is written, else the path of the match, up to where a regular expression or something begins
/// that a cookie cannot say.
fn path<'p>(cookie: &'p SessionCookie, matched: &'p PathMatch) -> Cow<'p, str> {
    if let Some(path) = &cookie.path {
        return Cow::Borrowed(path);
    }
    let is_plain = |c: char| c.is_ascii_graphic() && c != ';';
    let is_literal = |c: char| is_plain(c) && !r"\.+*?()|[]{}^$".contains(c);
    let (path, end) = match matched {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => {
            (path.as_str(), path.find(|c| !is_plain(c)))
        }
        PathMatch::Regex(pattern) => {
            let text = pattern.as_str();
            let choice = text.contains('|').then_some(0);
            (text, choice.or(text.find(|c| !is_literal(c))))
        }
        PathMatch::Call(_) => ("/", None),
    };
    let path = match end {
        Some(end) => &path[..path[..end].rfind('/').unwrap_or(0)],
        None => path,
    };
    match path.trim_end_matches('/') {
        path if path.starts_with('/') => Cow::Borrowed(path),
        _ => Cow::Borrowed("/"),
    }
}

#[cfg(test)]
mod tests;
