//! The keys of a provider, as they are known now.

use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::provider::ProviderError;
use crate::jwt::signing_key::Wanted;

/// How long keys count without being fetched again: a key that a provider gave up is good for nothing after that.
pub const KEYS_LAST: Duration = Duration::from_secs(10 * 60);

/// Keys are fetched once in this time, at most, whatever tokens come.
pub const FETCH_AGAIN: Duration = Duration::from_secs(10);

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the provider has no key that the token is signed with")]
    Unknown,
    #[error("the identity provider cannot be asked for its keys: {0}")]
    Provider(#[from] ProviderError),
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Jwk>,
    fetched: Option<Instant>,
    /// The newest attempt, and why it failed.
    tried: Option<(Instant, Option<ProviderError>)>,
}

/// Remembers keys. One attempt to fetch them is made at a time, and others wait for what it gives.
#[derive(Debug, Default)]
pub(super) struct KnownKeys(Mutex<State>);

impl KnownKeys {
    /// The keys that a token may be signed with, at least one. They are fetched where they are not known or too old. To be run
    /// to its end: whoever goes away meanwhile must not have it begin again.
    pub(super) async fn find(
        &self,
        wanted: &Wanted,
        now: Instant,
        fetch: impl Future<Output = Result<Vec<Jwk>, ProviderError>>,
    ) -> Result<Vec<Jwk>, KeyError> {
        let mut state = self.0.lock().await;
        if let Some(found) = state.fitting(wanted, now) {
            return Ok(found);
        }
        if !state.was_tried(now) {
            let failure = match fetch.await {
                Ok(keys) => {
                    (state.keys, state.fetched) = (keys, Some(now));
                    None
                }
                Err(error) => {
                    tracing::warn!("keys of an identity provider are not known: {error}");
                    Some(error)
                }
            };
            state.tried = Some((now, failure));
        }
        match (state.fitting(wanted, now), &state.tried) {
            (Some(found), _) => Ok(found),
            (None, Some((_, Some(error)))) => Err(error.clone().into()),
            (None, _) => Err(KeyError::Unknown),
        }
    }
}

impl State {
    fn was_tried(&self, now: Instant) -> bool {
        let tried = self.tried.as_ref();
        tried.is_some_and(|(at, _)| now.saturating_duration_since(*at) < FETCH_AGAIN)
    }

    fn fitting(&self, wanted: &Wanted, now: Instant) -> Option<Vec<Jwk>> {
        let is_new = |at: Instant| now.saturating_duration_since(at) < KEYS_LAST;
        let keys = self
            .keys
            .iter()
            .filter(|_| self.fetched.is_some_and(is_new));
        let found: Vec<Jwk> = keys.filter(|key| wanted.may_be(key)).cloned().collect();
        (!found.is_empty()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use jsonwebtoken::Algorithm;

    use super::*;

    fn key(id: &str, more: &str) -> Jwk {
        let text = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"{id}"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn wanted(id: &str) -> Wanted {
        Wanted {
            id: Some(id.to_owned()),
            algorithm: Algorithm::EdDSA,
        }
    }

    fn away() -> ProviderError {
        ProviderError::Address("away".to_owned())
    }

    #[tokio::test]
    async fn keys_are_fetched_when_one_is_missing_or_old_and_seldom() {
        let (known, began, fetched) = (KnownKeys::default(), Instant::now(), Cell::new(0));
        let (one, two) = (vec![key("one", "")], vec![key("two", "")]);
        let unknown = Err(KeyError::Unknown);
        let failed = || Err(KeyError::Provider(away()));
        for (seconds, id, answer, found, fetches) in [
            (0, "one", Err(away()), failed(), 1),
            // Not again so soon.
            (9, "one", Ok(one.clone()), failed(), 1),
            (10, "one", Ok(one.clone()), Ok("one"), 2),
            (11, "one", Err(away()), Ok("one"), 2),
            (12, "none", Err(away()), unknown.clone(), 2),
            (20, "none", Ok(one.clone()), unknown.clone(), 3),
            (21, "none", Ok(one.clone()), unknown.clone(), 3),
            // The provider has another key.
            (29, "two", Ok(two.clone()), unknown.clone(), 3),
            (30, "two", Ok(two.clone()), Ok("two"), 4),
            (31, "one", Ok(two.clone()), unknown.clone(), 4),
            (629, "two", Err(away()), Ok("two"), 4),
            // Old keys are no keys.
            (630, "two", Err(away()), failed(), 5),
            (640, "two", Ok(two.clone()), Ok("two"), 6),
        ] {
            let fetch = async {
                fetched.set(fetched.get() + 1);
                answer
            };
            let now = began + Duration::from_secs(seconds);
            let keys = known.find(&wanted(id), now, fetch).await;
            let ids = keys.map(|keys| keys[0].common.key_id.clone().unwrap());
            assert_eq!(ids, found.map(str::to_owned), "{id} after {seconds} s");
            assert_eq!(fetched.get(), fetches, "{id} after {seconds} s");
        }
    }

    #[tokio::test]
    async fn many_unknown_keys_at_a_time_are_one_fetch() {
        let (known, now, fetched) = (KnownKeys::default(), Instant::now(), Cell::new(0));
        for number in 0..1000 {
            let fetch = async {
                fetched.set(fetched.get() + 1);
                Ok(vec![key("one", "")])
            };
            let id = format!("none {number}");
            let found = known.find(&wanted(&id), now, fetch).await;
            assert_eq!(found, Err(KeyError::Unknown));
        }
        assert_eq!(fetched.get(), 1);
    }
}
