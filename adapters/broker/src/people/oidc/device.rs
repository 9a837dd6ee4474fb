//! How somebody at a terminal gets a token: the provider shows a page in whatever browser they have, and is asked meanwhile
//! whether they are done with it (OAuth 2.0 Device Authorization Grant, RFC 8628).

use std::ops::ControlFlow;
use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::provider::{ProviderClient, ProviderError, read};

/// How long somebody may take, at most, whatever the provider says.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// How often the provider is asked unless it says something else, and by how much more slowly where it asks for that (RFC 8628,
/// section 3.5).
const INTERVAL: Duration = Duration::from_secs(5);

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// As whom a token is asked for.
#[derive(Debug)]
pub struct Client {
    pub id: String,
    /// Some providers give one to programs for terminals too.
    pub secret: Option<SecretString>,
    /// `openid` is needed.
    pub scopes: Vec<String>,
}

/// What somebody has to do in a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The page that they open.
    pub page: String,
    /// What they type there.
    pub code: String,
    /// The page with the code typed in already.
    pub page_with_code: Option<String>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("{0} does not let people sign in at a terminal (RFC 8628)")]
    NotOffered(String),
    #[error("the provider refuses: {error} {detail}")]
    Refused {
        /// A word of RFC 6749 or RFC 8628.
        error: String,
        detail: String,
    },
    #[error("it was refused in the browser")]
    Denied,
    #[error("nobody signed in within the time that the provider gives")]
    TooLate,
    #[error("the provider gives no ID token; the scopes must have openid")]
    NoToken,
}

/// RFC 8628, section 3.2.
#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Given {
    id_token: Option<String>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

impl ProviderClient {
    /// Waits until somebody has signed in with the provider. `tell` is what shows them where.
    pub async fn id_token(
        &self,
        client: &Client,
        tell: impl FnOnce(&Prompt),
    ) -> Result<SecretString, DeviceError> {
        let found = self.discover().await?;
        let (Some(begin), Some(end)) = (found.device_authorization_endpoint, found.token_endpoint)
        else {
            return Err(DeviceError::NotOffered(self.issuer().to_owned()));
        };
        let scopes = client.scopes.join(" ");
        let form = client.form(&[("scope", &scopes)]);
        let begun: Begun = answered(&begin, self.post(&begin, &form).await?)?;
        tell(&Prompt {
            page: self.page(&begun.verification_uri)?,
            code: begun.user_code,
            page_with_code: begun
                .verification_uri_complete
                .filter(|page| self.page(page).is_ok()),
        });
        let form = [("grant_type", GRANT), ("device_code", &begun.device_code)];
        let form = client.form(&form);
        let given = Duration::from_secs(begun.expires_in).min(LONGEST_WAIT);
        let until = Instant::now() + given;
        let mut interval = begun.interval.map_or(INTERVAL, Duration::from_secs);
        interval = interval.clamp(Duration::from_secs(1), given.max(INTERVAL));
        while Instant::now() + interval < until {
            sleep(interval).await;
            let answer = self.post(&end, &form).await.map_err(DeviceError::from);
            let given = answer.and_then(|answer| answered::<Given>(&end, answer));
            if let ControlFlow::Break(ended) = judge(given, &mut interval) {
                return ended;
            }
        }
        Err(DeviceError::TooLate)
    }
}

/// What an answer means to whoever waits for a token (RFC 8628, section 3.5).
fn judge(
    given: Result<Given, DeviceError>,
    interval: &mut Duration,
) -> ControlFlow<Result<SecretString, DeviceError>> {
    let refused = match given {
        Ok(given) => {
            let token = given.id_token.map(SecretString::from);
            return ControlFlow::Break(token.ok_or(DeviceError::NoToken));
        }
        // It may come back.
        Err(DeviceError::Provider(ProviderError::NoAnswer { .. })) => {
            *interval *= 2;
            return ControlFlow::Continue(());
        }
        Err(DeviceError::Refused { error, detail }) => (error, detail),
        Err(other) => return ControlFlow::Break(Err(other)),
    };
    match refused.0.as_str() {
        "authorization_pending" => ControlFlow::Continue(()),
        "slow_down" => {
            *interval += INTERVAL;
            ControlFlow::Continue(())
        }
        "access_denied" => ControlFlow::Break(Err(DeviceError::Denied)),
        "expired_token" => ControlFlow::Break(Err(DeviceError::TooLate)),
        _ => {
            let (error, detail) = refused;
            ControlFlow::Break(Err(DeviceError::Refused { error, detail }))
        }
    }
}

impl Client {
    fn form<'c>(&'c self, fields: &[(&'c str, &'c str)]) -> Vec<(&'c str, &'c str)> {
        let secret = self
            .secret
            .as_ref()
            .map(|secret| ("client_secret", secret.expose_secret()));
        let own = [("client_id", self.id.as_str())].into_iter().chain(secret);
        own.chain(fields.iter().copied()).collect()
    }
}

fn answered<D: for<'d> Deserialize<'d>>(
    url: &str,
    (status, body): (StatusCode, Vec<u8>),
) -> Result<D, DeviceError> {
    if status.is_success() {
        return Ok(read(url, &body, "what RFC 8628 has there")?);
    }
    let Ok(refused) = serde_json::from_slice::<Refused>(&body) else {
        let (url, status) = (url.to_owned(), status.as_u16());
        return Err(ProviderError::Refused { url, status }.into());
    };
    Err(DeviceError::Refused {
        error: refused.error,
        detail: refused.error_description.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_does_what_the_provider_says() {
        let refused = |error: &str| {
            Err(DeviceError::Refused {
                error: error.to_owned(),
                detail: "why".to_owned(),
            })
        };
        let away = ProviderError::NoAnswer {
            url: "https://login.example.com".to_owned(),
            why: "away".to_owned(),
        };
        let given = |token: Option<&str>| {
            Ok(Given {
                id_token: token.map(str::to_owned),
            })
        };
        let broken = ProviderError::OtherIssuer("https://login.example.com".to_owned());
        for (answer, seconds, expected) in [
            (refused("authorization_pending"), 5, None),
            (refused("slow_down"), 10, None),
            (Err(DeviceError::Provider(away)), 10, None),
            (refused("access_denied"), 5, Some(Err(DeviceError::Denied))),
            (refused("expired_token"), 5, Some(Err(DeviceError::TooLate))),
            (
                refused("invalid_client"),
                5,
                Some(refused("invalid_client").map(|_: Given| "")),
            ),
            (
                Err(DeviceError::Provider(broken.clone())),
                5,
                Some(Err(DeviceError::Provider(broken))),
            ),
            (given(None), 5, Some(Err(DeviceError::NoToken))),
            (given(Some("token")), 5, Some(Ok("token"))),
        ] {
            let mut interval = INTERVAL;
            let found = match judge(answer, &mut interval) {
                ControlFlow::Continue(()) => None,
                ControlFlow::Break(ended) => Some(ended),
            };
            let found = found.map(|ended| ended.map(|token| token.expose_secret().to_owned()));
            let expected = expected.map(|ended| ended.map(str::to_owned));
            assert_eq!((found, interval.as_secs()), (expected, seconds));
        }
    }
}
