//! Who asks, and what they may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_listener::{Client, Known};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::broker::audit::Event;
use domain::broker::ports::{Digest, StoreError};
use domain::broker::role::{Permission, Rights};
use domain::broker::{Code, Refusal, TenantName};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::items::not_there;
use super::{PeoplePlane, REQUESTS_UNDER_WAY};
use crate::identity;
use crate::problem::{ApiError, Problem};
use crate::rate::{Left, Rate};
use crate::server::admission::{once, source};

/// Attempts to sign in from one address.
pub(super) const ATTEMPTS: Rate = Rate {
    at_once: 20.0,
    in_a_second: 0.2,
};

/// Requests of one person.
pub(super) const REQUESTS: Rate = Rate {
    at_once: 200.0,
    in_a_second: 20.0,
};

/// Addresses or people that are counted at a time. Beyond it nobody new may ask until one of them was quiet.
const COUNTED: usize = 10_000;

/// How often each of many asked lately.
pub(super) struct Rates {
    rate: Rate,
    left: Mutex<BTreeMap<String, Left>>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            left: Mutex::default(),
        }
    }

    /// Counts one more, if it is not too much.
    pub(super) fn take(&self, who: &str) -> Result<(), Problem> {
        let (mut all, now) = (self.left.lock(), Instant::now());
        if all.len() >= COUNTED && !all.contains_key(who) {
            all.retain(|_, left| !left.is_all(self.rate, now));
        }
        if all.len() >= COUNTED && !all.contains_key(who) {
            return Err(too_many());
        }
        let left = all.entry(who.to_owned());
        let left = left.or_insert_with(|| Left::all(self.rate, now));
        left.take(self.rate, now).then_some(()).ok_or_else(too_many)
    }
}

fn too_many() -> Problem {
    let detail = "too many requests at a time; try again later";
    Problem {
        retry_after_ms: Some(1000),
        ..Problem::refused(ApiError::TooManyRequests, detail)
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub(super) struct Asking {
    /// As it is told in the audit.
    pub(super) name: String,
    pub(super) rights: Rights,
    /// The address that it is asked from.
    pub(super) source: String,
    pub(super) session: Digest,
    /// Kept until the request is answered.
    _counted: Arc<OwnedSemaphorePermit>,
    _known: Arc<Option<Known>>,
}

impl Asking {
    /// Refuses what they may not do to what belongs to a tenant. What they do not see is not there.
    pub(super) fn may(
        &self,
        permission: Permission,
        tenant: Option<&TenantName>,
    ) -> Result<(), Problem> {
        if !self.rights.sees(tenant) {
            return Err(not_there());
        }
        if !self.rights.may(permission, tenant) {
            let role = match permission {
                Permission::Read => "viewer",
                Permission::Operate => "operator",
                Permission::Credentials => "credential-admin",
                Permission::Audit => "auditor",
            };
            let detail = format!(
                "{} does not have the role {role}; whoever runs the broker can give it",
                self.name
            );
            return Err(Problem::decided(&Refusal::new(Code::Forbidden, detail)));
        }
        Ok(())
    }

    /// The same for what whoever runs the broker decides: which tenants there are, and what each may have. Whoever sees one
    /// tenant only has no part in it.
    pub(super) fn may_to_all(&self, permission: Permission) -> Result<(), Problem> {
        if self.rights.tenant.is_none() {
            return self.may(permission, None);
        }
        let detail = format!(
            "{} sees one tenant only; ask whoever runs the broker",
            self.name
        );
        Err(Problem::decided(&Refusal::new(Code::Forbidden, detail)))
    }
}

pub(super) async fn no_such_path() -> Problem {
    let detail = "docs/api/broker-people.json has all paths";
    Problem::refused(ApiError::NoSuchPath, detail)
}

/// Finds out who asks.
pub(super) async fn admit(
    State(plane): State<Arc<PeoplePlane>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let asking = plane.asking(&parts).await;
    request = Request::from_parts(parts, body);
    match asking {
        Err(problem) => problem.into_response(),
        Ok(asking) => {
            let action = format!("{} {}", request.method(), pattern(&request));
            let object = request.uri().path().to_owned();
            request.extensions_mut().insert(asking.clone());
            let response = next.run(request).await;
            let problem: Option<&Problem> = response.extensions().get();
            let is_denied = problem.is_some_and(|problem| problem.is(Code::Forbidden));
            let told = match is_denied {
                true => plane.tell_denied(&asking, action, &object).await,
                false => Ok(()),
            };
            told.map_or_else(|error| Problem::from(error).into_response(), |()| response)
        }
    }
}

/// The path of a request, with names in braces.
fn pattern(request: &Request) -> String {
    let matched: Option<&MatchedPath> = request.extensions().get();
    matched.map_or_else(String::new, |path| path.as_str().to_owned())
}

impl PeoplePlane {
    async fn asking(&self, parts: &Parts) -> Result<Asking, Problem> {
        let session = session(&parts.headers)?;
        let signed_in = self.store.signed_in(&session, self.clock.now()).await?;
        let is_current = self.providers.check(&signed_in);
        is_current.map_err(|refusal| Problem::decided(&refusal))?;
        let name = signed_in.to_string();
        self.requests.take(&name)?;
        let counted = self.under_way.clone().try_acquire_owned();
        let counted = counted.map_err(|_| {
            let detail =
                format!("{REQUESTS_UNDER_WAY} requests of people are under way; try again later");
            Problem::refused(ApiError::TooManyRequests, detail)
        })?;
        Ok(Asking {
            name,
            rights: signed_in.rights().clone(),
            source: source(parts),
            session,
            _counted: Arc::new(counted),
            _known: Arc::new(parts.extensions.get().map(Client::known)),
        })
    }

    /// What somebody may not do is in the audit before it is answered, each once an hour.
    async fn tell_denied(
        &self,
        asking: &Asking,
        action: String,
        object: &str,
    ) -> Result<(), StoreError> {
        let event = Event {
            result: Code::Forbidden.to_string(),
            ..self.event(asking, &action, object)
        };
        match self.denied.is_news((asking.name.clone(), action), event.at) {
            true => self.store.append(event).await,
            false => Ok(()),
        }
    }

    /// Something that somebody does, and that is done.
    pub(super) fn event(&self, asking: &Asking, action: &str, object: &str) -> Event {
        Event {
            at: self.clock.now(),
            actor: format!("person {}", asking.name),
            source: asking.source.clone(),
            action: action.to_owned(),
            object: object.to_owned(),
            result: "done".to_owned(),
            ..Event::default()
        }
    }
}

/// `Authorization: Bearer …` (RFC 6750, section 2.1).
fn session(headers: &HeaderMap) -> Result<Digest, Problem> {
    let value = once(headers, &header::AUTHORIZATION);
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    let token = token.ok_or_else(|| {
        let detail = "send the token that you signed in for once, as `Authorization: Bearer …`";
        Problem::refused(ApiError::MissingToken, detail)
    })?;
    Ok(identity::digest(&SecretString::from(token)))
}

impl FromRequestParts<Arc<PeoplePlane>> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<PeoplePlane>,
    ) -> Result<Self, Self::Rejection> {
        let asking = parts.extensions.get().cloned();
        Ok(asking.expect("every path but one is behind `admit`"))
    }
}

/// The address that somebody signs in from.
pub(super) struct Source(pub(super) String);

impl FromRequestParts<Arc<PeoplePlane>> for Source {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<PeoplePlane>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self(source(parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_addresses_are_counted_and_no_more() {
        let rates = Rates::new(ATTEMPTS);
        let refused = (0..COUNTED + 5).filter(|number| rates.take(&number.to_string()).is_err());
        assert_eq!(refused.count(), 5);
        assert!(rates.take("0").is_ok());
    }
}
