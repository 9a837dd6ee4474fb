//! Faults on demand: what can go wrong between a client and the API, set up by tests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Cloud;
use super::lag::ListLag;

/// Which calls a fault hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallMatch {
    /// Like `POST`; any when absent.
    pub method: Option<String>,
    /// The path below `/client/v4` contains this.
    pub path: String,
    /// The first matching call that is hit, counted from 1 when the fault is set.
    pub nth: u64,
    /// How many matching calls in a row are hit.
    pub times: u64,
}

impl Default for CallMatch {
    fn default() -> Self {
        Self {
            method: None,
            path: String::new(),
            nth: 1,
            times: 1,
        }
    }
}

impl CallMatch {
    /// The next call with this method whose path contains the text.
    pub fn next(method: &str, path: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path: path.to_owned(),
            ..Self::default()
        }
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|m| m == method) && path.contains(&self.path)
    }
}

/// When, relative to the change that the call makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The change is not made.
    BeforeCommit,
    /// The change is made; only the answer is lost.
    AfterCommit,
}

/// What the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Status 500 with an error envelope.
    ServerError,
    /// The connection ends without an answer.
    CutConnection,
    /// Nothing, for an hour: the client has to give up.
    Silence,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The call fails.
    Fail {
        /// Before or after the change.
        stage: Stage,
        /// How it looks.
        failure: Failure,
    },
    /// Status 429 with this Retry-After, in seconds.
    RateLimited {
        /// Seconds.
        retry_after: u64,
    },
    /// A list answers as usual but its items are missing.
    EmptyPage,
    /// A list says that it has this many items in all.
    TotalCount(u64),
    /// The answer is late by this many milliseconds.
    Slow {
        /// Milliseconds.
        milliseconds: u64,
    },
}

/// A fault: which calls, and what happens to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls it hits.
    #[serde(default)]
    pub on: CallMatch,
    /// What happens.
    pub effect: Effect,
}

/// How many calls a token may make. Exceeding it blocks the token for one more window.
/// Cloudflare documentation: "Rate limits" (1,200 in five minutes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Calls in one window.
    pub calls: u32,
    /// Length of the window in milliseconds.
    pub window_milliseconds: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            calls: 1_200,
            window_milliseconds: 300_000,
        }
    }
}

/// What of zones a token is shown that may edit DNS and not read zones. Public reports disagree about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutZoneRead {
    /// Status 403, as the permission is missing.
    #[default]
    Refused,
    /// A list without a zone.
    Empty,
    /// The zone that it asks for by name; status 403 for a list.
    ByName,
}

struct Window {
    began: Instant,
    calls: u32,
    blocked_until: Option<Instant>,
}

#[derive(Default)]
struct Settings {
    faults: Vec<(Fault, u64)>,
    lag: ListLag,
    limit: RateLimit,
    without_zone_read: WithoutZoneRead,
    windows: HashMap<String, Window>,
}

/// The switches. Kept apart from the state, because they are not Cloudflare's.
#[derive(Default)]
pub(super) struct Faults(Mutex<Settings>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cloud {
    /// Sets a fault. Several can be set; the first that hits a call decides.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().faults.push((fault, 0));
    }

    /// The faults that are set.
    pub fn faults(&self) -> Vec<Fault> {
        let settings = self.shared.faults.lock();
        settings.faults.iter().map(|(f, _)| f.clone()).collect()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.lock().faults.clear();
    }

    /// Sets how late lists show writes from now on.
    pub fn set_list_lag(&self, lag: ListLag) {
        self.shared.faults.lock().lag = lag;
    }

    /// How late lists show writes.
    pub fn list_lag(&self) -> ListLag {
        self.shared.faults.lock().lag
    }

    /// Sets what of zones tokens without the permission for it are shown.
    pub fn set_without_zone_read(&self, shown: WithoutZoneRead) {
        self.shared.faults.lock().without_zone_read = shown;
    }

    /// What of zones tokens without the permission for it are shown.
    pub fn without_zone_read(&self) -> WithoutZoneRead {
        self.shared.faults.lock().without_zone_read
    }

    /// Sets the rate limit of every token and starts counting anew.
    pub fn set_rate_limit(&self, limit: RateLimit) {
        let mut settings = self.shared.faults.lock();
        settings.limit = limit;
        settings.windows.clear();
    }

    /// Counts a call against every fault and returns what happens to it.
    pub(crate) fn effect_on(&self, method: &str, path: &str) -> Option<Effect> {
        let mut hit = None;
        for (fault, seen) in &mut self.shared.faults.lock().faults {
            if fault.on.fits(method, path) {
                *seen += 1;
                let last = fault.on.nth.saturating_add(fault.on.times);
                if *seen >= fault.on.nth && *seen < last && hit.is_none() {
                    hit = Some(fault.effect.clone());
                }
            }
        }
        hit
    }

    /// Counts a call of a token; an error is the time to wait.
    pub(crate) fn spend(&self, token_id: &str) -> Result<(), Duration> {
        let mut settings = self.shared.faults.lock();
        let RateLimit {
            calls,
            window_milliseconds,
        } = settings.limit;
        let length = Duration::from_millis(window_milliseconds);
        let now = Instant::now();
        let fresh = || Window {
            began: now,
            calls: 0,
            blocked_until: None,
        };
        let window = settings
            .windows
            .entry(token_id.to_owned())
            .or_insert_with(fresh);
        let over = match window.blocked_until {
            Some(end) => now >= end,
            None => now.duration_since(window.began) >= length,
        };
        if over {
            *window = fresh();
        }
        window.calls += 1;
        if window.calls > calls {
            let end = *window.blocked_until.get_or_insert(now + length);
            return Err(end.duration_since(now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_the_calls_it_names_and_no_other() {
        let cloud = Cloud::default();
        let on = CallMatch {
            nth: 2,
            times: 2,
            ..CallMatch::next("POST", "dns_records")
        };
        cloud.inject(Fault {
            on,
            effect: Effect::EmptyPage,
        });
        assert_eq!(cloud.effect_on("GET", "/zones/z/dns_records"), None);
        assert_eq!(cloud.effect_on("POST", "/accounts/a/cfd_tunnel"), None);
        let hits: Vec<bool> = (0..4)
            .map(|_| cloud.effect_on("POST", "/zones/z/dns_records").is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false]);
    }

    #[test]
    fn a_token_over_its_limit_waits_while_others_go_on() {
        let cloud = Cloud::default();
        cloud.set_rate_limit(RateLimit {
            calls: 2,
            window_milliseconds: 60_000,
        });
        let results: Vec<bool> = (0..4).map(|_| cloud.spend("one").is_ok()).collect();
        assert_eq!(results, [true, true, false, false]);
        assert!(cloud.spend("other").is_ok());
    }
}
